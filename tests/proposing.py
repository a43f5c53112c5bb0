"""Policies that are served in threads of the test, and critics to steer them by: real sockets, real files."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from actor.policy_link import PolicyLink
from learner.publisher import CRITIC_FILE, encode_policy
from networks import critic, encoder
from networks.architecture import Architecture, Chunk, Critics, architecture_for
from wire.allowed import LearnerKeys
from wire.keys import ActorKeys
from wire.proposal_server import Proposer, serve_policy
from wire.proposing import Offer, Seen
from wire.specs import EnvSpec

PATIENCE_S = 30.0


def offer_for(spec: EnvSpec, **changes: object) -> Offer:
    """An offer that fits an environment."""
    fields: dict = {
        "name": "toy-1",
        "observation": {name: Seen(array.shape, array.dtype) for name, array in spec.observation.items()},
        "action": spec.action.shape[0],
        "candidates": 16,
    }
    return Offer(**fields | changes)


@contextlib.contextmanager
def served(
    offer: Offer, propose: Proposer, bind: str = "tcp://127.0.0.1:*", *, keys: LearnerKeys | None = None
) -> Iterator[str]:
    """The address of a policy that answers from another thread."""
    stopped, said = threading.Event(), []
    heard = threading.Event()

    def say(text: str) -> None:
        said.append(text.rpartition(" ")[2])
        heard.set()

    options = {"stopped": stopped.is_set, "say": say, "keys": keys}
    thread = threading.Thread(target=serve_policy, args=(offer, propose, bind), kwargs=options, daemon=True)
    thread.start()
    try:
        assert heard.wait(PATIENCE_S)
        yield said[0]
    finally:
        stopped.set()
        thread.join()


@contextlib.contextmanager
def linked(address: str, keys: ActorKeys | None = None) -> Iterator[PolicyLink]:
    link = PolicyLink(address, keys=keys)
    link.start()
    with contextlib.closing(link):
        yield link


def until(holds: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def critics_for(spec: EnvSpec, *, chunk: int | None = None, seed: int = 0) -> tuple[Architecture, dict]:
    """Untrained critics of an environment, and their architecture."""
    shape = None if chunk is None else Chunk(length=chunk, candidates=2, flow_steps=1, critics=3)
    bare = architecture_for(spec, hidden=(8,), chunk=shape)
    told = Critics(members=3, norm="layer")
    arch = Architecture(
        frames=bare.frames, vectors=bare.vectors, action_dim=bare.action_dim, hidden=(8,), chunk=shape, critics=told
    )
    keys = jax.random.split(jax.random.key(seed), 2)
    params = {
        "encoder": encoder.init(keys[0], arch),
        "normaliser": encoder.identity_normaliser(arch),
        "critics": critic.init(keys[1], arch, told),
    }
    return arch, params


def leave(folder: Path, spec: EnvSpec, *, version: int = 7, **how: int) -> tuple[Architecture, dict]:
    """Critics as a learner leaves them in a run's folder."""
    arch, params = critics_for(spec, **how)
    folder.mkdir(exist_ok=True)
    data = encode_policy(params, arch, version=version, fingerprint=spec.fingerprint())
    (folder / CRITIC_FILE).write_bytes(data)
    return arch, params


def fan(observation: dict[str, np.ndarray], candidates: int, begins: bool) -> np.ndarray:
    """Proposals of one action each, from one end of the range to the other."""
    return np.repeat(np.linspace(-0.9, 0.9, candidates, dtype=np.float32)[:, None, None], 2, axis=2)
