"""Demonstrations by a person over real topics."""

import pytest
from ros_nodes import Spectator, nodes, until
from terminals import Terminal

from wire.store import StepStore
from wire.types import Source

pytestmark = [pytest.mark.process, pytest.mark.sim]


def test_a_person_records_on_a_cell_over_topics(tmp_path):
    with nodes() as start, Spectator() as spectator:
        start("sim_robot_node", tmp_path, task="reach")
        start("guard_node", tmp_path)
        until(lambda: spectator.guard("ready") == "True", "the guard")
        keys = ("human=keyboard", "env=ros", "task=reach", "obs=state", "episodes=1", "out=demos.sqlite")
        terminal = Terminal(tmp_path, "demos", "record", *keys)
        terminal.show("w", "y", "1 demonstrations from 1 tries in demos.sqlite")
        assert terminal.ends() == 0
    with StepStore.read(tmp_path / "demos.sqlite") as store:
        steps = [row.step for row in store.rows()]
        assert store.spec.env == "ros"
    assert all(step.source is Source.DEMO for step in steps)
    assert any(abs(step.action[0]) > 0.3 for step in steps)
    assert steps[-1].success
