"""An evaluation counts what the task has ended, and keeps what it has judged however it ends itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acting import ToyCell, ToyTask, toy_weights
from rich.console import Console

from actor import evaluate as evaluate_module
from actor.config import EvalConfig
from actor.evaluate import EpisodeScore, evaluate, judge_episodes, run_alone
from actor.policy import PolicySlot
from envs.config import EnvConfig
from envs.guard import GuardLimits
from envs.workcell import NotReadyError, WorkcellEnv
from wire.errors import UserError
from wire.types import Action

pytestmark = pytest.mark.usefixtures("quick_compiles")

QUIET = Console(quiet=True)


class Cell(ToyCell):
    """A toy cell to which something happens in chosen episodes, counted from 0 with those that are tried again."""

    def __init__(self, happens: Callable[["Cell"], None], *, limits: GuardLimits = ToyCell.limits) -> None:
        super().__init__()
        self.limits, self.begun, self._happens = limits, -1, happens

    def command(self, action: Action) -> None:
        super().command(action)
        self._happens(self)


class Task(ToyTask):
    """Succeeds with the first action; before the start of episode `unready` the cell is not ready."""

    def __init__(self, unready: int | None = None) -> None:
        super().__init__(goal=-1e9)
        self._unready = unready

    def reset(self, cell: Any, rng: np.random.Generator) -> None:
        super().reset(cell, rng)
        cell.begun, cell.halt, cell.ages_s = cell.begun + 1, "", {}
        if cell.begun == self._unready:
            raise NotReadyError("the robot's node is missing")


def nothing(cell: Cell) -> None:
    pass


def halting(*episodes: int) -> Callable[[Cell], None]:
    def happens(cell: Cell) -> None:
        if cell.begun in episodes:
            cell.halt = "two nodes command the robot"

    return happens


def always(cell: Cell) -> None:
    halting(cell.begun)(cell)


@pytest.fixture
def judging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EvalConfig]:
    """Settings of an evaluation of a toy policy in a cell of ours."""

    def configured(cell: Cell, task: Task | None = None, **keys: Any) -> EvalConfig:
        env = WorkcellEnv(cell, task or Task())
        policy = PolicySlot(env.wire_spec, seed=0, explores=False)
        assert policy.offer(toy_weights(env.wire_spec))
        monkeypatch.setattr(evaluate_module, "make_env", lambda _: env)
        monkeypatch.setattr(evaluate_module, "load_run", lambda *_, **__: policy)
        return EvalConfig(run=str(tmp_path), env=EnvConfig(obs="state"), **{"episodes": 4, **keys})

    return configured


def facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "eval.json").read_text())


def test_a_halted_episode_is_said_and_tried_again_and_is_no_failure(judging, tmp_path: Path, caplog):
    cell = Cell(halting(1, 2, 4))
    assert evaluate(judging(cell)) == 0
    assert cell.begun == 6  # Four that count, and three that were halted.
    assert (facts(tmp_path)["episodes"], facts(tmp_path)["successes"]) == (4, 4)
    assert caplog.text.count("was halted and does not count: two nodes command the robot") == 3


def test_an_episode_that_ended_unseen_is_tried_again(judging, tmp_path: Path, caplog):
    def happens(cell: Cell) -> None:
        cell.ages_s = {"front": 9.0} if cell.begun == 0 else {}

    limits = GuardLimits(low=(-1.0, -1.0), high=(1.0, 1.0), hold=(0.0, None), rate_hz=20.0, max_camera_age_s=0.1)
    assert evaluate(judging(Cell(happens, limits=limits))) == 0
    assert facts(tmp_path)["episodes"] == facts(tmp_path)["successes"] == 4
    assert "does not count: front was last heard of 9000 ms ago" in caplog.text


def test_three_halts_in_a_row_end_it_with_the_verdict_of_what_was_judged(judging, tmp_path: Path, capsys):
    cell = Cell(halting(0, 1, 3, 4, 5))
    with pytest.raises(
        UserError,
        match=r"^episode 1 was halted 3 times in a row \(two nodes command the robot\); mend that and evaluate again; "
        r"1 of 4 episodes were judged$",
    ):
        evaluate(judging(cell))
    assert "success 100.0% of 1 episodes" in capsys.readouterr().out
    assert facts(tmp_path)["episodes"] == 1


def test_where_nothing_was_judged_there_is_no_verdict(judging, tmp_path: Path, capsys):
    with pytest.raises(UserError, match="0 of 4 episodes were judged"):
        evaluate(judging(Cell(always)))
    assert "success" not in capsys.readouterr().out
    assert not (tmp_path / "eval.json").exists()


def test_a_cell_that_is_not_ready_any_more_leaves_the_episodes_before(judging, tmp_path: Path, capsys):
    with pytest.raises(UserError, match=r"^the robot's node is missing; 3 of 4 episodes were judged$"):
        evaluate(judging(Cell(nothing), Task(unready=3)))
    assert "of 3 episodes" in capsys.readouterr().out
    assert facts(tmp_path)["episodes"] == 3


def test_ctrl_c_leaves_the_episodes_before(judging, tmp_path: Path):
    def happens(cell: Cell) -> None:
        if cell.begun == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(judging(Cell(happens)))
    assert facts(tmp_path)["episodes"] == 2


def test_folders_of_results_are_made_before_the_first_episode(judging, tmp_path: Path):
    place = tmp_path / "results" / "today"
    seen: list[bool] = []
    config = judging(Cell(lambda cell: seen.append(place.is_dir())), json=str(place / "x.json"))
    assert evaluate(config) == 0
    assert seen[0]
    assert json.loads((place / "x.json").read_text())["episodes"] == 4


@pytest.mark.parametrize("key", ["json", "video"])
@pytest.mark.parametrize(("path", "said"), [("file/x", "cannot make the folder of"), ("folder", "cannot write")])
def test_a_place_that_cannot_be_written_is_refused_before_the_first_episode(judging, tmp_path, key, path, said):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    cell = Cell(nothing)
    with pytest.raises(UserError, match=rf"^{said} .*{key}={tmp_path / path}: .*; name another file$"):
        evaluate(judging(cell, **{key: str(tmp_path / path)}))
    assert cell.begun == -1


def test_the_verdict_is_printed_though_the_disk_does_not_take_the_file(judging, tmp_path: Path, monkeypatch, capsys):
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evaluate_module, "write_atomically", full)
    with pytest.raises(
        UserError, match=r"cannot write .*eval\.json: No space left on device; the verdict stands above"
    ):
        evaluate(judging(Cell(nothing)))
    assert "success 100.0% of 4 episodes" in capsys.readouterr().out


def test_a_film_does_not_show_what_was_halted():
    tries: list[int] = []

    def attempt(seed: int, film: list[np.ndarray] | None) -> EpisodeScore:
        tries.append(seed)
        assert film is not None
        film.append(np.full((1, 1, 3), len(tries)))
        return EpisodeScore(True, 1, 1.0, "a watchdog" if len(tries) == 1 else "")

    config = EvalConfig(run="r", env=EnvConfig(), episodes=2, seed=7, video="x.mp4")
    scores: list[EpisodeScore] = []
    frames: list[np.ndarray] = []
    judge_episodes(config, scores, frames, attempt, QUIET)
    assert tries == [7, 7, 8]
    assert [int(frame.max()) for frame in frames] == [2, 3]


def test_an_episode_that_a_watchdog_ends_is_halted_and_one_that_the_policy_gave_up_is_not():
    class Tripped:
        def begin(self, within_s: float) -> None: ...
        def beat(self) -> None: ...
        def rest(self) -> None: ...
        def tripped(self) -> bool:
            return True

    env = WorkcellEnv(ToyCell(), ToyTask())
    policy = PolicySlot(env.wire_spec, seed=0, explores=False)
    assert policy.offer(toy_weights(env.wire_spec))
    assert run_alone(env, policy, seed=0, heart=Tripped()).halted == "the watchdog held the robot"
    assert run_alone(env, policy, seed=0, given_up=lambda: "it is silent").halted == ""
    assert run_alone(env, policy, seed=0).halted == ""
