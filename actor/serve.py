"""Serve a run's policy to robots elsewhere: something to begin with for whoever steers, or serves, policies."""

import signal
import threading
from pathlib import Path

import numpy as np
from rich.console import Console

from actor.config import PolicyServerConfig
from actor.policy import PolicySlot
from actor.runs import load_policy, policy_file
from wire.allowed import learner_keys
from wire.errors import UserError
from wire.proposal_server import serve_policy
from wire.proposing import Offer, Seen
from wire.specs import EnvSpec
from wire.store import StepStore
from wire.types import Observation


def serve(config: PolicyServerConfig) -> int:
    """Serve until Ctrl-C or SIGTERM; raises UserError where there is no policy to serve."""
    run = Path(config.run)
    path = policy_file(run)
    spec = _spec_of(run)
    proposer = Proposer(load_policy(path, run, spec, explores=True), spec, noise=config.noise, seed=config.seed)
    offer = Offer(
        name=f"{run.absolute().name}-{proposer.version}"[:64],
        observation={name: Seen(array.shape, array.dtype) for name, array in spec.observation.items()},
        action=spec.action.shape[0],
        action_names=spec.action_names,
        rate_hz=spec.rate_hz,
        chunk=proposer.chunk,
        candidates=config.candidates,
    )
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    console = Console()
    serve_policy(
        offer,
        proposer.propose,
        config.bind,
        keys=None if config.keys is None else learner_keys(Path(config.keys)),
        insecure=config.insecure,
        stopped=stopped.is_set,
        say=lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True),
    )
    return 0


class Proposer:
    """Draws proposals from a policy as it explores, and makes them worse where noise is asked for."""

    def __init__(self, policy: PolicySlot, spec: EnvSpec, *, noise: float, seed: int) -> None:
        self._policy, self._noise = policy, noise
        self._rng = np.random.default_rng([seed, 7])
        blank = {name: np.zeros(array.shape, array.dtype) for name, array in spec.observation.items()}
        self.chunk = len(policy.decide(blank))
        """Actions of a proposal."""
        self.version = policy.version

    def propose(self, observation: Observation, candidates: int, begins: bool) -> np.ndarray:
        """Proposals, float32 (candidates, chunk, n) in -1..1; the policy plans nothing beyond a chunk."""
        drawn = np.stack([self._policy.decide(observation) for _ in range(candidates)])
        noisy = drawn + self._noise * self._rng.normal(size=drawn.shape)
        return np.clip(noisy, -1.0, 1.0).astype(np.float32)


def _spec_of(run: Path) -> EnvSpec:
    archive = run / "steps.sqlite"
    if not archive.exists():
        raise UserError(f"{run} does not say what its policy is for (steps.sqlite is missing); serve a whole run")
    with StepStore.read(archive) as store:
        return store.spec
