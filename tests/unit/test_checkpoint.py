"""A checkpoint brings back exactly the state that was saved, or says why not."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from learning import SEEING, TINY, digest, make_batch, make_sac, normaliser, small_sac, snapshot

from learner.agents.sac import Sac, State
from learner.checkpoint import Checkpointer
from learner.limiter import RateLimiter
from networks.architecture import Architecture
from wire.errors import UserError

pytestmark = pytest.mark.usefixtures("quick_compiles")


class OlderState(NamedTuple):
    """The state of SAC as it was."""

    encoder: Any
    critics: Any
    target_critics: Any
    policy: Any
    average_policy: Any
    log_temperature: Any
    normaliser: Any
    optimisers: Any
    seed: Any
    step: Any


def trained(arch: Architecture = TINY, blocks: int = 2) -> tuple[Sac, object]:
    agent = make_sac(arch, utd=2)
    state = agent.init(0, normaliser(arch))
    for block in range(blocks):
        state, _ = agent.update(state, make_batch(arch, 2, seed=block))
    return agent, state


def save(run: Path, state: object, blocks: int, version: int = 7) -> None:
    checkpointer = Checkpointer(run)
    checkpointer.save(state, RateLimiter(arrived=30, done=blocks, waived=3), fingerprint="abc", version=version)
    checkpointer.close()


@pytest.mark.parametrize("arch", [TINY, SEEING], ids=["vectors", "cameras"])
def test_state_counters_and_version_come_back_bit_by_bit(arch: Architecture, tmp_path: Path):
    agent, state = trained(arch)
    wanted = digest(state)
    save(tmp_path, state, 20)
    restored, limiter, version = Checkpointer(tmp_path).restore(agent.init(5, normaliser(arch)), fingerprint="abc")
    assert digest(restored) == wanted
    assert (limiter, version) == (RateLimiter(30, 20, 3), 7)


def test_training_that_goes_on_at_once_does_not_change_what_is_being_saved(tmp_path: Path):
    agent, state = trained()
    wanted = digest(snapshot(state))
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(state, RateLimiter(done=1), fingerprint="abc", version=1)
    for block in range(20):
        state, _ = agent.update(state, make_batch(TINY, 2, seed=block))  # Reuses the buffers of `state`.
    checkpointer.close()
    restored, _, _ = Checkpointer(tmp_path).restore(agent.init(0, normaliser(TINY)), fingerprint="abc")
    assert digest(restored) == wanted


def test_the_newest_of_the_last_two_is_taken(tmp_path: Path):
    _, state = trained()
    for blocks in (5, 10, 15):
        save(tmp_path, state, blocks, version=blocks)
    _, limiter, version = Checkpointer(tmp_path).restore(state, fingerprint="abc")
    assert (limiter.done, version) == (15, 15)
    kept = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit())
    assert kept == [13, 18]


def test_saving_again_without_progress_changes_nothing(tmp_path: Path):
    _, state = trained()
    save(tmp_path, state, 5, version=1)
    save(tmp_path, state, 5, version=2)
    assert Checkpointer(tmp_path).restore(state, fingerprint="abc")[2] == 1


def test_a_run_without_a_checkpoint_restores_nothing(tmp_path: Path):
    _, state = trained(blocks=0)
    assert Checkpointer(tmp_path).restore(state, fingerprint="abc") is None


def test_a_checkpoint_of_another_environment_is_refused_with_the_cure(tmp_path: Path):
    _, state = trained()
    save(tmp_path, state, 5)
    with pytest.raises(UserError, match=r"is of environment abc, this run is of def; resume with the task"):
        Checkpointer(tmp_path).restore(state, fingerprint="def")


@pytest.mark.parametrize("changes", [{"hidden": [16]}, {"critics": 5}, {"layer_norm": True}, {"hidden": [8, 8]}])
def test_a_checkpoint_of_another_network_is_refused_with_the_cure(changes: dict, tmp_path: Path):
    _, state = trained()
    save(tmp_path, state, 5)
    arch = Architecture(frames={}, vectors={"state": 3}, action_dim=2, hidden=tuple(changes.get("hidden", [8])))
    other = make_sac(arch, **changes)
    with pytest.raises(UserError, match=r"another network than agent\.\* describes: .* there, .* here; resume with"):
        Checkpointer(tmp_path).restore(other.init(0, normaliser(arch)), fingerprint="abc")


def test_a_run_goes_on_only_with_the_scheme_of_interventions_that_it_began_with(tmp_path: Path):
    _, state = trained()
    save(tmp_path, state, 5)
    tied = Sac(small_sac(), TINY, None, "lagrange")
    with pytest.raises(UserError, match=r"another network than agent\.\* describes: .*resume with the settings"):
        Checkpointer(tmp_path).restore(tied.init(0, normaliser(TINY)), fingerprint="abc")


def test_a_checkpoint_of_before_there_were_such_schemes_and_grippers_still_restores(tmp_path: Path):
    agent, state = trained()
    newer = ("human", "multiplier", "gripper", "target_gripper", "average_encoder")
    save(tmp_path, OlderState(*(getattr(state, name) for name in OlderState._fields)), 5)
    assert set(State._fields) - set(OlderState._fields) == set(newer)
    restored, _, _ = Checkpointer(tmp_path).restore(agent.init(5, normaliser(TINY)), fingerprint="abc")
    assert digest(restored) == digest(state)
