"""One file per algorithm, each in the same order: config, state, init, losses, update, policy."""

from learner.agents.base import Agent
from learner.agents.bc import Bc
from learner.agents.sac import Sac
from learner.config import AgentConfig, BcConfig, SacConfig
from networks.architecture import architecture_for
from wire.specs import EnvSpec


def make_agent(config: AgentConfig, spec: EnvSpec, *, interventions: str = "plain") -> Agent:
    """The agent that a configuration names, for an environment."""
    discrete = isinstance(config, SacConfig) and config.gripper == "discrete"
    arch = architecture_for(spec, hidden=tuple(config.hidden), embedding=config.embedding, discrete_grippers=discrete)
    if isinstance(config, BcConfig):
        return Bc(config, arch)
    # RLPD is SAC with other settings: prior data in every minibatch, LayerNorm, more critics.
    return Sac(config, arch, spec.return_bounds, interventions)
