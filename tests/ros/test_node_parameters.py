"""What a node is told by ROS parameters: everything it takes, nothing else, and each of its type."""

import importlib
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "ros2_ws/src/handrail_nodes"))

import rclpy
from handrail_nodes import actor_parameters, parameters
from rclpy.context import Context
from rclpy.parameter import Parameter

from actor.config import HAND, ActorConfig, ExternalConfig
from wire.errors import UserError

# The parser of messages that the wheels bring imports a module that Python means to drop.
pytestmark = pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")
COUNT = itertools.count()
NODES = ("guard", "recorder", "sim_camera", "sim_robot", "spacemouse", "teleop", "camera")


SAID = {"a text", "a number", "a whole number", "true or false", "a list of texts", "a list of whole numbers"}


@dataclass(frozen=True)
class Oven:
    name: str = "oven"
    heat_c: float = 180.0
    shelves: int = 3
    fan: bool = False
    dishes: tuple[str, ...] = ("bread",)
    timer: str | None = None
    offset_c: float | None = None

    def __post_init__(self) -> None:
        if self.heat_c > 300:
            raise ValueError(f"heat_c must be <= 300, got {self.heat_c:g}")


@pytest.fixture
def given():
    """A node that was given these parameters."""
    context = Context()
    rclpy.init(context=context)
    nodes = []

    def make(**told):
        overrides = [Parameter(name, value=value) for name, value in told.items()]
        name = f"node_{next(COUNT)}"
        nodes.append(
            rclpy.create_node(
                name, context=context, parameter_overrides=overrides, namespace="left", **parameters.GIVEN
            )
        )
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_what_is_not_given_has_its_default(given):
    node = given()
    assert parameters.read(node, Oven) == Oven()
    assert node.get_parameter("heat_c").value == 180.0, "and ros2 param shows it"
    assert node.get_parameter("timer").value == ""


def test_what_is_given_is_taken(given):
    told = {"name": "big", "shelves": 5, "fan": True, "dishes": ["pie", "cake"], "timer": "noon", "offset_c": 1.5}
    assert parameters.read(given(**told), Oven) == Oven(**{**told, "dishes": ("pie", "cake")})


def test_a_whole_number_is_a_number_and_digits_are_a_text(given):
    oven = parameters.read(given(heat_c=200, offset_c=2, name=123, timer=7), Oven)
    assert oven == Oven(heat_c=200.0, offset_c=2.0, name="123", timer="7")
    assert isinstance(oven.heat_c, float)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"heat_c": "hot"}, "heat_c must be a number, got hot"),
        ({"shelves": 2.5}, "shelves must be a whole number, got 2.5"),
        ({"fan": 1}, "fan must be true or false, got 1"),
        ({"name": True}, "name must be a text, got True"),
        ({"dishes": [1, 2]}, r"dishes must be a list of texts, got \[1, 2\]"),
        ({"offset_c": "little"}, "offset_c must be a number, got little"),
        ({"heat_c": 301}, "heat_c must be <= 300, got 301"),
        ({"heet_c": 100.0}, "has no parameter heet_c; did you mean heat_c?"),
        ({"zzz": 1}, "has no parameter zzz; it takes dishes, fan, heat_c, name, offset_c, shelves, timer"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_makes_no_sense_is_named(given, told, said):
    with pytest.raises(UserError, match=said):
        parameters.read(given(**told), Oven)


def test_what_every_node_takes_from_ros_is_no_mistake(given):
    assert parameters.read(given(use_sim_time=False), Oven) == Oven()


@pytest.mark.parametrize("name", NODES)
def test_the_defaults_of_every_node_make_sense(name):
    kind = importlib.import_module(f"handrail_nodes.{name}_node").Parameters
    assert kind()


@pytest.mark.parametrize("name", [*NODES, "actor"])
def test_what_every_parameter_must_be_can_be_said(name):
    if name == "actor":
        taken = actor_parameters.ALL
    else:
        taken = parameters.wanted(importlib.import_module(f"handrail_nodes.{name}_node").Parameters)
    assert {parameters.said(kind) for kind, _ in taken.values()} <= SAID


class TestActor:
    def read(self, node, words=()):
        actor_parameters.declare(node)
        return actor_parameters.read(node, list(words))

    def test_nothing_given_is_an_actor_of_the_cell(self, given):
        told = self.read(given())
        assert (told.env.env, told.env.namespace, told.env.task) == ("ros", "/left", "pick_cube")
        assert (told.judge, told.external, told.trunk, told.keys) == (None, None, None, None)
        assert (told.learner, told.confirm_s) == (ActorConfig.learner, ActorConfig.confirm_s)

    def test_a_reward_service_and_a_trunk(self, given):
        told = self.read(given(reward="tcp://127.0.0.1:5556", trunk="models/own.safetensors", confirm_s=3))
        assert (told.judge, told.trunk, told.confirm_s) == ("tcp://127.0.0.1:5556", "models/own.safetensors", 3.0)

    def test_an_external_policy_steered_by_a_run(self, given, tmp_path):
        more = {"external.candidates": 20, "external.deadline_s": 1}
        told = self.read(
            given(policy="external", policy_address="tcp://127.0.0.1:5557", steer=str(tmp_path), **more)
        ).external
        assert told == ExternalConfig(
            address="tcp://127.0.0.1:5557", steer=str(tmp_path), candidates=20, deadline_s=1.0
        )

    def test_a_hand_is_as_its_instrument_but_for_what_is_given(self, given):
        keys = {"human.view_deg": 0, "human.signs": [1, -1, 1, 1, 1, 1], "human.end_button": -1}
        told = self.read(given(human="gamepad", **keys)).hand
        assert (told.view_deg, told.signs, told.end_button) == (0.0, (1, -1, 1, 1, 1, 1), None)
        assert (told.kind, told.dead_zone) == ("gamepad", HAND["gamepad"].dead_zone)

    def test_a_path_may_begin_at_home_and_a_scripted_person_has_a_skill(self, given, monkeypatch):
        monkeypatch.setenv("HOME", "/home/anna")
        told = self.read(given(outbox="~/out.sqlite", human="script", **{"human.skill": "lazy"}))
        assert (told.outbox, told.skill) == ("/home/anna/out.sqlite", "lazy")

    def test_the_keys_for_a_learner_elsewhere_are_found_where_they_are_made(self, given, monkeypatch, tmp_path):
        monkeypatch.setenv("HANDRAIL_KEYS", str(tmp_path))
        with pytest.raises(UserError, match="handrail keys new"):
            self.read(given(learner="tcp://gpu:5555"))
        assert self.read(given(learner="tcp://gpu:5555", insecure=True)).insecure

    @pytest.mark.parametrize(
        ("told", "said"),
        [
            ({"learner": "gpu:5555"}, "learner must be tcp://<host>:<port>, got gpu:5555"),
            ({"reward": "classifier:models/lifted"}, "reward must be task here, or tcp://<host>:<port> of a service"),
            ({"policy": "extern"}, "policy must be learner or external, got extern; did you mean external?"),
            ({"policy": "external"}, "set policy_address=tcp://<host>:<port>"),
            ({"steer": "runs/a"}, "steer= goes with policy=external"),
            ({"human": "mouse"}, "human must be one of"),
            ({"human": "joy", "human.frame": "bse"}, "human.frame must be one of base, tool, got bse"),
            ({"human.view_dg": 0.0}, "has no parameter human.view_dg; did you mean human.view_deg?"),
            ({"external.candidates": "many"}, "external.candidates must be a whole number, got many"),
            ({"task": "pick_cup"}, "task must be one of"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_what_makes_no_sense_is_named(self, given, told, said):
        with pytest.raises((UserError, ValueError), match=said):
            self.read(given(**told))
