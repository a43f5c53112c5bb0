"""One file per algorithm, each in the same order: config, state, init, losses, update, policy."""

from learner.agents.base import Agent
from learner.agents.bc import Bc
from learner.agents.calql import CalQl
from learner.agents.iql import Iql
from learner.agents.sac import Sac
from learner.agents.td3bc import Td3Bc
from learner.config import AgentConfig, BcConfig, CqlConfig, IqlConfig, SacConfig, Td3BcConfig
from networks.architecture import architecture_for
from wire.specs import EnvSpec


def make_agent(config: AgentConfig, spec: EnvSpec, *, interventions: str = "plain") -> Agent:
    """The agent that a configuration names, for an environment."""
    discrete = isinstance(config, SacConfig) and config.gripper == "discrete"
    arch = architecture_for(spec, hidden=tuple(config.hidden), embedding=config.embedding, discrete_grippers=discrete)
    if isinstance(config, BcConfig):
        return Bc(config, arch)
    if isinstance(config, IqlConfig):
        return Iql(config, arch)
    if isinstance(config, Td3BcConfig):
        return Td3Bc(config, arch, spec.return_bounds)
    if isinstance(config, CqlConfig):
        return CalQl(config, arch, spec.return_bounds, interventions)
    # RLPD is SAC with other settings: prior data in every minibatch, LayerNorm, more critics.
    return Sac(config, arch, spec.return_bounds, interventions)
