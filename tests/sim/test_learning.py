"""The shortest proof that the whole thing learns: by itself, from states, through the front door."""

from pathlib import Path

import pytest
from front_door import Command, read


@pytest.mark.learn
@pytest.mark.process
@pytest.mark.timeout(900)
def test_picking_a_cube_is_learned_from_states_in_a_thousand_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # As users have it: compiled for speed.
    monkeypatch.delenv("XLA_FLAGS")
    command = Command(
        tmp_path,
        *("sim", "task=pick_cube", "obs=state", "run=r", "steps=1200", "eval_episodes=50", "learner.tensorboard=false"),
    )
    try:
        assert command.ends(850) == 0, command.said
    finally:
        if command.process.poll() is None:
            command.kill_rooms()
    summary = read(tmp_path / "r" / "summary.json")
    assert summary["success"]["rate"] >= 0.8, summary
    assert summary["link"]["lost"] == 0
