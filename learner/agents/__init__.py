"""One file per algorithm, each in the same order: config, state, init, losses, update, policy."""

from learner.agents.base import Agent
from learner.agents.bc import Bc
from learner.agents.calql import CalQl
from learner.agents.cpl import Cpl
from learner.agents.crossq import CrossQ
from learner.agents.gqn import Gqn
from learner.agents.iql import Iql
from learner.agents.qc import Qc
from learner.agents.sac import Sac
from learner.agents.td3bc import Td3Bc
from learner.config import (
    AgentConfig,
    BcConfig,
    CplConfig,
    CqlConfig,
    GqnConfig,
    IqlConfig,
    QcConfig,
    SacConfig,
    Td3BcConfig,
)
from networks.architecture import Chunk, Grid, Trunk, architecture_for
from wire.specs import EnvSpec


def make_agent(
    config: AgentConfig, spec: EnvSpec, *, interventions: str = "plain", trunk: Trunk | None = None
) -> Agent:
    """The agent that a configuration names, for an environment; over the features of a trunk, where one is given."""
    arch = architecture_for(
        spec,
        hidden=tuple(config.hidden),
        embedding=config.embedding,
        discrete_grippers=isinstance(config, SacConfig) and config.gripper == "discrete",
        trunk=trunk,
        chunk=_chunk(config) if isinstance(config, QcConfig) else None,
        grid=_grid(config) if isinstance(config, GqnConfig) else None,
    )
    if isinstance(config, GqnConfig):
        return Gqn(config, arch, spec.return_bounds)
    if isinstance(config, QcConfig):
        return Qc(config, arch, spec.return_bounds)
    if isinstance(config, CplConfig):
        return Cpl(config, arch)
    if isinstance(config, BcConfig):
        return Bc(config, arch)
    if isinstance(config, IqlConfig):
        return Iql(config, arch)
    if isinstance(config, Td3BcConfig):
        return Td3Bc(config, arch, spec.return_bounds)
    if isinstance(config, CqlConfig):
        return CalQl(config, arch, spec.return_bounds, interventions)
    if config.batch_norm:
        return CrossQ(config, arch, spec.return_bounds, interventions)
    # RLPD is SAC with other settings: prior data in every minibatch, LayerNorm, more critics.
    return Sac(config, arch, spec.return_bounds, interventions)


def _chunk(config: QcConfig) -> Chunk:
    return Chunk(
        length=config.chunk, candidates=config.candidates, flow_steps=config.flow_steps, critics=config.critics
    )


def _grid(config: GqnConfig) -> Grid:
    return Grid(bins=config.bins, critics=config.critics, exploration=config.exploration)
