"""The judge that is often wrong, of the experiment on how wrong one may be: at its rates and in its way."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from envs.workcell import Outcome

_PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "tolerance" / "handrail_corrupted.py"


class Cell:
    """A tool somewhere, and a task that is done or is not."""

    def __init__(self) -> None:
        self.at, self.done = np.array([0.47, 0.0, 0.2]), False
        self.task, self.cell = SimpleNamespace(evaluate=lambda cell: Outcome(0.0, success=self.done)), self

    def tool_position(self) -> np.ndarray:
        return self.at


@pytest.fixture(scope="module")
def module() -> Any:
    spec = importlib.util.spec_from_file_location("handrail_corrupted", _PATH)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize(("done", "said"), [(False, 0.1), (True, 0.2)])
def test_frames_are_misjudged_at_the_stated_rates(module: Any, done: bool, said: float):
    cell = Cell()
    cell.done = done
    judge = module.WrongJudge(cell, 0.1, 0.8, "frames", seed=0)
    assert np.mean([judge.judge({}).success for _ in range(4000)]) == pytest.approx(said, abs=0.02)


def test_a_place_of_false_success_is_one_whenever_the_tool_comes_back(module: Any):
    cell, rng = Cell(), np.random.default_rng(0)
    judge = module.WrongJudge(cell, 0.1, 0.0, "places", seed=0)
    places = rng.uniform([0.3, -0.2, 0.0], [0.6, 0.2, 0.3], (2000, 3))
    said = []
    for cell.at in places:
        said.append(judge.judge({}).success)
    again = []
    for cell.at in places + 1e-6:
        again.append(judge.judge({}).success)
    assert np.mean(said) == pytest.approx(0.1, abs=0.05)
    assert np.mean(np.array(said) == again) > 0.999


def test_errors_of_a_kind_that_is_not_known_are_refused(module: Any):
    with pytest.raises(ValueError, match="HANDRAIL_ERRORS must be one of frames, places, got frame"):
        module.WrongJudge(Cell(), 0.1, 0.0, "frame", seed=0)
