"""Record demonstrations, by a script or by a person, in the format of every archive.

An episode is on disk as soon as it has ended, so that neither Ctrl-C nor a crash costs more than the one under way.
"""

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self

import msgspec
import numpy as np
from rich.console import Console

from actor.attention import Attention
from actor.board import Board, shown
from actor.config import DemosConfig
from actor.demonstrators import Demonstrator, ScriptedDemonstrator
from actor.human import Channel, Nobody
from actor.human.live import LiveChannel
from actor.human.make import Robot, open_hand, with_keys
from actor.judging import judged, rewarded
from actor.loop import UNWATCHED, CellEnv, Pace, run_episode
from actor.pacing import CellPace
from actor.priority import first_in_line
from actor.watchdog import Heart, watched
from envs.experts import Expert
from envs.guard import Guard
from envs.make import make_env
from envs.ticker import Ticker
from wire.database import EmptyError
from wire.errors import UserError
from wire.quality import EpisodeQuality, gripper_dims, measure, recorded_episodes
from wire.specs import EnvSpec
from wire.store import StepStore, StoreError
from wire.types import Observation, Source, Step, new_stream_id

log = logging.getLogger(__name__)

_STOPPED = 130
"""Exit code where there is less than was asked for, because the person wanted no more: as after Ctrl-C."""
_SCORE_S = 5.0
_MAX_TRIES = 20
"""Episodes per wanted success before we say that the expert cannot do it."""


class Recording:
    """A file of demonstrations under way."""

    def __init__(self, store: StepStore, *, keep_all: bool) -> None:
        self.store = store
        self.tries = 0
        self.qualities: list[EpisodeQuality] = []
        """Of every episode in the file, in order."""
        self.earlier = 0
        """How many of them were there before."""
        self._keep_all = keep_all
        self._stream, self._seq, self._number = new_stream_id(), 0, 0
        self.offset = store.last_row()
        """Rows that were there before: with the seed they decide what is random from here on."""
        for episode in recorded_episodes(store.rows(frames=False)):
            if episode.ended:
                self.qualities.append(measure(episode.steps, store.spec))
        self.earlier = len(self.qualities)
        self._ends = [self.offset]

    @classmethod
    @contextlib.contextmanager
    def open(cls, config: DemosConfig, spec: EnvSpec) -> Iterator[Self]:
        """The recording that a config describes, for the block; a file in which nothing is will not be left behind.

        Raises:
            UserError: The file is there and was not to be added to, or it is of another environment.
        """
        path = Path(config.out)
        _check(path, resume=config.resume)
        facts = {"kind": "demonstrations", "human": config.human, "noise": str(config.noise)}
        try:
            with StepStore.open(path, spec, facts) as store:
                yield cls(store, keep_all=config.keep == "all")
        finally:
            if _is_empty(path):
                path.unlink()

    @property
    def successes(self) -> int:
        """Successful episodes in the file."""
        return sum(quality.success and not quality.discarded for quality in self.qualities)

    def take(self, steps: Sequence[Step]) -> str:
        """Put an episode on disk if it is to be kept; returns what became of it, in a few words."""
        self.tries += 1
        if not steps[-1].ended:
            return "not kept: it was cut short"
        last = steps[-1]
        if last.discarded:
            return "discarded"
        if not (last.success or self._keep_all):
            return f"not kept: {'the time was up' if last.truncated else 'failure'}"
        shown = [_as_demonstration(step, self._number) for step in steps]
        for step in shown:
            self._seq += 1
            self.store.insert(self._stream, self._seq, step)
        self.store.commit()
        self._number += 1
        self._ends.append(self.store.last_row())
        self.qualities.append(measure(shown, self.store.spec))
        return "kept"

    def undo(self) -> bool:
        """Take the last episode back, of those recorded now; whether there was one."""
        if len(self._ends) < 2:
            return False
        self._ends.pop()
        self.store.forget_after(self._ends[-1])
        self.store.commit()
        self._seq = self.store.last_seq(self._stream)
        self._number -= 1
        self.qualities.pop()
        return True


def _as_demonstration(step: Step, episode: int) -> Step:
    return msgspec.structs.replace(step, episode=episode, source=Source.DEMO, policy_action=None)


def _check(path: Path, *, resume: bool) -> None:
    if path.exists() and not resume and not _is_empty(path):
        raise UserError(f"{path} exists already; name another file, or move it away, or add to it with resume=true")
    if resume and not path.exists():
        raise UserError(f"there is no file {path} to add to; check out=<file>, or drop resume=true")


def _is_empty(path: Path) -> bool:
    """Whether a recorder that was killed before its first episode left this."""
    try:
        with StepStore.read(path) as store:
            return store.last_row() == 0
    except EmptyError:
        return True
    except StoreError:
        return False


def record(config: DemosConfig) -> int:
    """Record until enough episodes succeeded, or the person wants no more; returns the exit code."""
    console = Console()
    # What can be refused before a robot is woken is refused before.
    _check(Path(config.out), resume=config.resume)
    with contextlib.ExitStack() as leaving:
        env = make_env(config.env)
        leaving.callback(env.close)
        # Before the file, whose spec names the reward.
        wait_s = 0.0 if config.env.in_real_time else _SCORE_S
        leaving.enter_context(judged(env, config.judge, wait_s=wait_s))
        leaving.enter_context(rewarded(env, config.rewarder))
        recording = leaving.enter_context(Recording.open(config, env.wire_spec))
        board = Board(recording.store.spec, config, recording)
        try:
            heart = leaving.enter_context(watched(env.stopper))
            with shown(board, console):
                _record_episodes(config, env, recording, board, heart)
        finally:
            # An error that came before the first try speaks for itself.
            if recording.tries or not isinstance(sys.exception(), UserError):
                _say_what_there_is(config, recording, console)
    return 0 if recording.successes >= config.episodes else _STOPPED


def _say_what_there_is(config: DemosConfig, recording: Recording, console: Console) -> None:
    n, out = recording.successes, config.out
    text = f"{n} demonstrations from {recording.tries} tries in {out}"
    if recording.earlier:
        text += f"; {recording.earlier} of its episodes are from before"
    if n < config.episodes:
        text = f"Stopped: {n} of {config.episodes} demonstrations are in {out}; go on with resume=true"
    if not recording.qualities:
        text = "Stopped: nothing was recorded"
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _record_episodes(config: DemosConfig, env: CellEnv, recording: Recording, board: Board, heart: Heart) -> None:
    over = threading.Event()
    with contextlib.ExitStack() as leaving:
        # Disks take longer than a control loop may be silent, and an undo may come while it beats.
        disk = leaving.enter_context(ThreadPoolExecutor(1, thread_name_prefix="disk"))
        undo = partial(_undo, recording, board)
        shows = _somebody(config, env, recording.offset, board, heart, lambda: disk.submit(undo))
        human, pace = leaving.enter_context(shows)
        if config.env.in_real_time:
            leaving.enter_context(first_in_line())
        while recording.successes < config.episodes and not over.is_set():
            if config.human == "script" and recording.tries >= _MAX_TRIES * config.episodes:
                raise UserError(
                    f"the expert succeeded in {recording.successes} of {recording.tries} episodes only; lower noise="
                )
            entropy = [config.seed, 3, recording.offset + recording.tries]
            steps = demonstrate(
                env,
                human,
                heart,
                episode=recording.tries,
                seed=int(np.random.SeedSequence(entropy).generate_state(1)[0]),
                pace=pace,
                over=over,
                watch=board.see,
            )
            if heart.tripped() or env.halted():
                log.error("the episode ended early: %s", env.halted() or "the watchdog held the robot")
            if steps:
                board.note(disk.submit(recording.take, steps).result(), steps)


def _undo(recording: Recording, board: Board) -> None:
    try:
        board.undone(recording.undo())
    except StoreError as error:
        log.error("%s", error)


@contextlib.contextmanager
def _somebody(
    config: DemosConfig, env: CellEnv, offset: int, board: Board, heart: Heart, undo: Callable[[], object]
) -> Iterator[tuple[Channel, Pace]]:
    """Who shows the task, for the block, and what sets the pace."""
    if config.human == "script":
        env.pause = Attention(Nobody(), heart).pause
        entropy = [config.seed, 2, *([offset] if offset else [])]
        expert: Expert = env.expert(np.random.default_rng(entropy), config.noise)
        yield ScriptedDemonstrator(expert), CellPace()
        return
    with contextlib.ExitStack() as leaving:
        hand = leaving.enter_context(open_hand(config.hand, Robot.of(env)))
        person = leaving.enter_context(with_keys(LiveChannel(hand), config.hand))
        shows = Demonstrator(person, env.wire_spec.action.shape[0], gripper_dims(env.wire_spec), undo)
        board.demonstrator = shows
        human = Attention(shows, heart)
        env.pause = human.pause
        # A simulation has no hurry, a person does.
        yield human, Ticker(env.wire_spec.rate_hz) if env.ticker is None else CellPace()


class _NoPolicy:
    def reset(self) -> None:
        pass

    def act(self, observation: Observation) -> tuple[None, int]:
        return None, 0


def demonstrate(
    env: CellEnv,
    human: Channel,
    heart: Heart = UNWATCHED,
    *,
    episode: int,
    seed: int,
    pace: Pace | None = None,
    over: threading.Event | None = None,
    watch: Callable[[Step], None] = lambda step: None,
) -> list[Step]:
    """One episode driven by whoever shows the task, every action guarded; `over` is set where they want no more."""
    steps: list[Step] = []
    over = over or threading.Event()

    def take(step: Step) -> None:
        steps.append(step)
        watch(step)

    run_episode(
        env,
        _NoPolicy(),
        human,
        Guard(env.limits),
        pace or CellPace(),
        take,
        episode=episode,
        seed=seed,
        stopped=over.is_set,
        end=over.set,
        heart=heart,
    )
    return steps
