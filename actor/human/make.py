"""From a config to the channel of whoever may take over."""

import contextlib
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from actor.config import ActorConfig, HandConfig
from actor.human import Channel, Event, Nobody, Override, ScriptedCorrector, not_labels
from actor.human.hand import Hand
from actor.human.instrument import Instrument
from actor.human.keyboard import NAMES, Keyboard
from actor.human.live import LiveChannel
from actor.human.mapping import Mapping, Rotation
from actor.human.pair import Pair, halves, tool_rotation_of
from envs.experts import Corrector
from envs.gym_env import GymEnv
from envs.skills import HABITS, Supervisor
from envs.workcell import WorkcellEnv
from wire.errors import UserError
from wire.specs import EnvSpec
from wire.types import Action

log = logging.getLogger(__name__)

_STDIN = 0


@contextlib.contextmanager
def whoever(config: ActorConfig, env: WorkcellEnv | GymEnv) -> Iterator[Channel]:
    """Whoever may take over, for the block.

    Raises:
        UserError: Where their instrument is not there, or cannot drive this robot; says what to do.
    """
    if config.human == "none":
        yield Nobody()
    elif config.human == "script":
        yield ScriptedCorrector(scripted(config.skill, env, config.seed))
    else:
        with contextlib.ExitStack() as leaving:
            device = leaving.enter_context(open_hand(config.hand, Robot.of(env)))
            hand = LiveChannel(device)
            log.info("a person may take over with the %s", device.name)
            yield leaving.enter_context(with_keys(hand, config.hand))


def scripted(skill: str, env: WorkcellEnv | GymEnv, seed: int) -> Corrector:
    """A scripted person of some skill (see actor.config.SKILLS).

    Raises:
        UserError: Where the environment lacks the scripts that the skill is made of; names them.
    """
    rng = np.random.default_rng([seed, 1])
    if skill in ("value", "random"):
        # Asked now for what will be asked of it in the loop: a person who cannot judge is refused at the start.
        estimate = env.estimator() if skill == "value" else None
        return Supervisor(env.expert(rng), rng, estimate)
    corrector = env.corrector(rng)
    if skill == "expert":
        return corrector
    moving = np.array([not name.endswith("gripper") for name in env.wire_spec.action_names])
    return HABITS[skill](corrector, rng, moving)


@contextlib.contextmanager
def with_keys(hand: Channel, config: HandConfig) -> Iterator[Channel]:
    """The hand and, where there is a terminal that it does not use itself, its keys for what its buttons do not say."""
    if config.kind == "keyboard" or not has_keys():
        yield hand
        return
    with contextlib.closing(Keyboard(_STDIN)) as keys:
        yield WithKeys(hand, keys)


@dataclass(frozen=True)
class Robot:
    """What a hand must know of what it drives."""

    spec: EnvSpec
    tool_rotation: Rotation | None = None
    """How its tool is turned; of two arms, both, shape (2, 3, 3), the left one first."""
    metres_per_unit: float | None = None
    """How far one unit of the action moves the tool in a control period, where that is known."""

    @classmethod
    def of(cls, env: WorkcellEnv | GymEnv) -> "Robot":
        """That of an environment."""
        return cls(env.wire_spec, env.tool_rotation, env.limits.metres_per_unit)


@contextlib.contextmanager
def open_hand(config: HandConfig, robot: Robot) -> Iterator[Hand | Pair]:
    """A hand on the instrument that a config names, or one on each of two, for the block.

    Raises:
        UserError: As `whoever` does.
    """
    if config.kind == "spacemice":
        with _open_pair(config, robot) as pair:
            yield pair
        return
    mapping = Mapping(config, robot.spec, robot.tool_rotation)
    following = _following(config, robot, mapping) if config.kind == "leader" else None
    with contextlib.closing(open_instrument(config)) as instrument:
        yield Hand(instrument, mapping, config, following=following)


@contextlib.contextmanager
def _open_pair(config: HandConfig, robot: Robot) -> Iterator[Pair]:
    from actor.human.spacemouse import SpaceMouse, choose_pair

    parts = halves(robot.spec)
    mappings = {
        side: Mapping(config, half, tool_rotation_of(side, robot.tool_rotation)) for side, (half, _) in parts.items()
    }
    with contextlib.ExitStack() as leaving:
        hands = {}
        for side, wanted in choose_pair(config.left, config.right).items():
            mouse = leaving.enter_context(contextlib.closing(SpaceMouse(wanted, rest=config.dead_zone)))
            hands[side] = Hand(mouse, mappings[side], config)
        yield Pair(hands, {side: places for side, (_, places) in parts.items()})


def _following(config: HandConfig, robot: Robot, mapping: Mapping) -> Any:
    if robot.metres_per_unit is None:
        raise UserError(
            f"human=leader must know how far an action moves the robot, and {robot.spec.task} does not say; use "
            "human=spacemouse, gamepad, keyboard, joy or twist"
        )
    try:
        from actor.human.following import Following
    except ImportError as error:
        raise UserError(f"human=leader needs SciPy ({error}): pip install 'handrail[ros]'") from error
    return Following(mapping, config, robot.metres_per_unit)


def open_instrument(config: HandConfig) -> Instrument:
    """The instrument that a person holds; raises UserError where it is not there, and says what to do."""
    if config.kind == "keyboard":
        if not has_keys():
            raise UserError("human=keyboard needs a terminal to read keys from; start it in one, or use another device")
        return Keyboard(_STDIN)
    # Their libraries are not installed wherever somebody acts.
    if config.kind == "gamepad":
        from actor.human.gamepad import Gamepad

        return Gamepad(config.device, rest=config.dead_zone)
    if config.kind in ("joy", "twist", "leader"):
        return _topic(config)
    from actor.human.spacemouse import SpaceMouse

    return SpaceMouse(config.device, rest=config.dead_zone)


def _topic(config: HandConfig) -> Instrument:
    try:
        from actor.human.topics import Leader, Topic
    except ImportError as error:
        raise UserError(
            f"human={config.kind} needs ROS 2's Python library ({error}): source /opt/ros/<distribution>/setup.bash, "
            "or install its wheels: pip install 'handrail[ros]'"
        ) from error
    if config.kind == "leader":
        return Leader(config.device, config.joy, needs_joy=config.clutch_button is not None)
    return Topic(config.kind, config.device)


def has_keys() -> bool:
    """Whether keys come in on standard input: a terminal that is ours to read, or a pipe that forwards them."""
    try:
        if os.isatty(_STDIN):
            # Reading the terminal of another group would stop this process.
            return os.tcgetpgrp(_STDIN) == os.getpgrp()
        return stat.S_ISFIFO(os.fstat(_STDIN).st_mode)
    except OSError:
        return False


class WithKeys:
    """A hand on an instrument, and the keys of the terminal for what its buttons do not say."""

    def __init__(self, hand: Channel, keys: Keyboard) -> None:
        self._hand = hand
        self._keys = keys
        self._said: list[Event] = []

    def begin_episode(self, episode: int) -> None:
        """Tell the hand; the labels given by key before are of the last episode, too."""
        self._hand.begin_episode(episode)
        self._take_keys()
        self._said = not_labels(self._said)

    def poll(self) -> Override | None:
        """What the hand wants."""
        return self._hand.poll()

    def touched(self) -> bool:
        """Whether the hand is on it."""
        return self._hand.touched()

    def lost(self) -> bool:
        """Whether the hand cannot be heard any more."""
        return self._hand.lost()

    def events(self) -> list[Event]:
        """What was said by button, then what was said by key; the gripper is the hand's."""
        self._take_keys()
        said, self._said = self._said, []
        return self._hand.events() + said

    def executed(self, action: Action) -> None:
        """Tell the hand."""
        self._hand.executed(action)

    def _take_keys(self) -> None:
        names = (NAMES[number] for number in self._keys.pressed())
        self._said += [Event(name) for name in names if name != "gripper"]
