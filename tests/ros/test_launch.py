"""The launch files: what they start is there, is told what it knows, and comes up and ends in order."""

import functools
import importlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from launched import PACKAGES, ROOT, Launched, entry_points, installed, interrupted, until
from lifecycle_msgs.msg import Transition
from rcl_interfaces.srv import ListParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState

from actor.config import HUMANS, POLICIES
from envs.config import OBSERVATIONS, SCENES, TASKS
from envs.ros.config import known_robots, load_robot

CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
FILES = {
    "sim.launch.py": {"record": "recordings"},
    "workcell.launch.py": {"robot": "fr3", "front_serial": "0123", "wrist_serial": "456", "record": "recordings"},
    "teleop.launch.py": {"record": "recordings"},
}
EXPECTED = {
    "sim.launch.py": ["/actor", "/guard", "/recorder", "/sim_camera", "/sim_robot"],
    "workcell.launch.py": ["/actor", "/camera_front", "/camera_wrist", "/guard", "/recorder"],
    "teleop.launch.py": ["/guard", "/recorder", "/sim_robot", "/spacemouse", "/teleop"],
}

# The parser of messages that the wheels bring imports a module that Python means to drop.
pytestmark = [pytest.mark.process, pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")]


@pytest.fixture(scope="module", autouse=True)
def workspace(tmp_path_factory):
    """The packages as if colcon had installed them."""
    before, path, modules = dict(os.environ), list(sys.path), set(sys.modules)
    installed(tmp_path_factory.mktemp("workspace"))
    yield
    os.environ.clear()
    os.environ.update(before)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] in ("launch", "launch_ros", "handrail_bringup"):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def profile(monkeypatch):
    """Nobody has set a profile, as on a user's machine."""
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)


@pytest.fixture
def graph():
    """A node that looks on."""
    with rclpy.init():
        node = rclpy.create_node("spectator")
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        yield node, executor
        executor.shutdown()
        node.destroy_node()


@pytest.fixture
def start():
    """Starts what a launch file describes."""
    processes = []

    def begin(started, environment):
        path = os.pathsep.join(map(str, (ROOT, PACKAGES / "handrail_nodes")))
        process = subprocess.Popen(
            started.command(),
            env={**os.environ, **environment, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("file", FILES)
def test_every_node_is_a_program_of_the_package(file):
    nodes = Launched(file, **FILES[file]).nodes
    assert sorted(nodes) == EXPECTED[file]
    programs = entry_points("handrail_nodes")
    for node in nodes.values():
        assert programs[node.executable] == f"{node.package}.{node.executable}"


@pytest.mark.parametrize("file", FILES)
def test_a_namespace_takes_every_node_along(file):
    nodes = Launched(file, **FILES[file], namespace="left").nodes
    assert sorted(nodes) == [f"/left{name}" for name in EXPECTED[file]]
    assert all("__ns:=/left" in node.words for node in nodes.values())


@pytest.mark.parametrize("file", FILES)
def test_nothing_is_remapped_behind_the_robots_file(file):
    assert all(node.remappings == {} for node in Launched(file, **FILES[file]).nodes.values())


def taken(started):
    """Names of the parameters that a node takes."""
    from handrail_nodes import actor_parameters, parameters, teleop_node

    if started.executable == "actor_node":
        return set(actor_parameters.ALL)
    if started.executable == "teleop_node":
        return {*teleop_node.OWN, *teleop_node.HAND}
    return set(parameters.wanted(importlib.import_module(f"handrail_nodes.{started.executable}").Parameters))


@pytest.mark.parametrize("file", FILES)
def test_nodes_take_every_parameter_they_are_given(file):
    for node in Launched(file, **FILES[file]).nodes.values():
        assert set(node.parameters) <= taken(node), node.name


@pytest.mark.parametrize("name", ["/guard", "/sim_robot", "/sim_camera", "/actor"])
def test_a_node_declares_every_parameter_it_takes(name, start, graph):
    node, executor = graph
    launched = Launched("sim.launch.py", namespace="asked")
    started = launched.nodes[f"/asked{name}"]
    process = start(started, launched.environment)
    client = node.create_client(ListParameters, f"{started.name}/list_parameters")
    assert until(executor, client.service_is_ready, [process])
    answer = client.call_async(ListParameters.Request())
    assert until(executor, answer.done, [process])
    assert taken(started) <= set(answer.result().result.names)
    assert interrupted([process])[0] == [0]


def test_what_is_given_reaches_the_nodes_as_what_it_is():
    given = {
        "task": "reach",
        "scene": "varied",
        "obs": "state",
        "learner": "tcp://gpu:5555",
        "keys": "2026",
        "seed": "7",
    }
    nodes = Launched("sim.launch.py", **given, outbox="0123", image_size="128").nodes
    scene = {"task": "reach", "scene": "varied", "clearance_mm": 0.0}
    assert nodes["/sim_robot"].parameters == {"robot": "sim", **scene}
    assert nodes["/sim_camera"].parameters.items() >= scene.items()
    actor = nodes["/actor"].parameters
    told = {"robot": "sim", "task": "reach", "obs": "state", "learner": "tcp://gpu:5555", "human": "none"}
    assert actor.items() >= {**told, "keys": "2026", "outbox": "0123", "seed": 7, "image_size": 128}.items()
    assert actor.items() >= {"reward": "task", "trunk": "", "policy": "learner", "policy_address": ""}.items()
    driven = {"reward": "tcp://gpu:5556", "policy": "external", "policy_address": "tcp://vla:5557", "steer": "2026"}
    assert Launched("workcell.launch.py", robot="fr3", **driven).nodes["/actor"].parameters.items() >= driven.items()
    assert nodes["/guard"].parameters["robot"] == "sim"
    cell = Launched("workcell.launch.py", robot="my/arm.yaml", wrist_serial="0123", record="2026")
    assert {cell.nodes[name].parameters["robot"] for name in ("/guard", "/actor", "/recorder")} == {"my/arm.yaml"}
    wrist = cell.nodes["/camera_wrist"].parameters
    assert wrist.items() >= {"name": "wrist", "serial": "0123", "source": "realsense", "width": 640}.items()
    assert cell.nodes["/recorder"].parameters["folder"] == "2026"


def test_a_camera_that_is_no_realsense_is_named_by_its_device():
    front = Launched("workcell.launch.py", robot="fr3", front_device="/dev/video2").nodes["/camera_front"]
    assert front.parameters.items() >= {"source": "uvc", "device": "/dev/video2", "serial": ""}.items()


def test_what_the_launch_says_may_not_be_in_a_file_too(tmp_path):
    shutil.copytree(PACKAGES / "handrail_bringup/config", tmp_path / "config", symlinks=False)
    file = tmp_path / "config/teleop.yaml"
    file.write_text(f"{file.read_text()}    frame: tool\n")
    with pytest.raises(RuntimeError, match=r"teleop.yaml sets frame, which the launch file says: delete it there"):
        Launched("teleop.launch.py", config=str(tmp_path / "config"))


def test_what_is_not_wanted_is_not_started():
    assert sorted(Launched("sim.launch.py", actor="false", cameras="false").nodes) == ["/guard", "/sim_robot"]
    assert sorted(Launched("workcell.launch.py", robot="ur5e").nodes) == ["/actor", "/guard"]
    assert sorted(Launched("teleop.launch.py", robot="ur5e").nodes) == ["/guard", "/spacemouse", "/teleop"]


def test_choices_are_those_of_the_rooms():
    arguments = {argument.name: argument.choices for argument in Launched("sim.launch.py").arguments}
    assert sorted(arguments["task"]) == sorted(TASKS)
    assert sorted(arguments["obs"]) == sorted(OBSERVATIONS)
    assert sorted(arguments["scene"]) == sorted(SCENES)
    assert sorted(arguments["human"]) == sorted(HUMANS)
    assert sorted(arguments["policy"]) == sorted(POLICIES)


def test_the_robots_that_are_named_have_files():
    from handrail_bringup.arguments import ROBOTS

    assert sorted(ROBOTS) == known_robots()


@pytest.mark.parametrize("file", FILES)
def test_every_argument_is_explained(file):
    page = (ROOT / "docs/ros2.md").read_text()
    for argument in Launched(file, **FILES[file]).arguments:
        assert argument.description
        assert f"| `{argument.name}`" in page, f"docs/ros2.md does not tell of {argument.name}"


@pytest.mark.parametrize(
    ("file", "given", "said"),
    [
        ("sim.launch.py", {"task": "pick_cubes"}, "pick_cubes"),
        ("sim.launch.py", {"actor": "no"}, "no"),
        ("sim.launch.py", {"seed": "x"}, "seed must be a whole number, got 'x'"),
        ("sim.launch.py", {"image_size": "-64"}, "image_size must be a whole number, got '-64'"),
        ("workcell.launch.py", {}, "robot"),
        ("sim.launch.py", {"clearance_mm": "-1"}, "clearance_mm must be a number >= 0, got '-1'"),
        ("workcell.launch.py", {"robot": "fr3", "front_serial": "1", "front_device": "2"}, "give one of them"),
        ("sim.launch.py", {"config": "/nowhere"}, "config:=/nowhere holds no guard.yaml; copy "),
    ],
)
def test_a_wrong_argument_is_refused(file, given, said):
    with pytest.raises(RuntimeError) as refusal:
        Launched(file, **given)
    assert said in str(refusal.value)


def test_an_unknown_argument_is_refused_with_the_near_miss():
    with pytest.raises(RuntimeError, match=r"sim.launch.py has no argument lerner; did you mean learner"):
        Launched("sim.launch.py", ["task:=reach", "lerner:=tcp://gpu:5555"])
    with pytest.raises(RuntimeError, match=r"teleop.launch.py has no argument x; it takes robot, "):
        Launched("teleop.launch.py", ["x:=1"])


def test_a_file_that_includes_ours_has_arguments_of_its_own(monkeypatch):
    from handrail_bringup.arguments import require_known

    require_known("sim.launch.py", ["ros2", "launch", "cells.launch.py", "tusk:=1"], ["task"])
    with pytest.raises(RuntimeError, match="tusk"):
        require_known("sim.launch.py", ["ros2", "launch", "launch/sim.launch.py", "tusk:=1"], ["task"])


def test_fast_dds_gets_room_for_pictures_unless_the_user_has_a_profile(monkeypatch):
    profile = Launched("sim.launch.py").environment["FASTDDS_DEFAULT_PROFILES_FILE"]
    assert Path(profile).read_text() == (ROOT / "envs/ros/fastdds.xml").read_text()
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", "/mine.xml")
    assert Launched("sim.launch.py").environment == {}


def test_what_holds_the_robot_comes_back_and_the_actor_does_not():
    delays = {
        name: node.respawn_delay for name, node in Launched("sim.launch.py", **FILES["sim.launch.py"]).nodes.items()
    }
    assert delays == {"/guard": 1.0, "/sim_robot": 1.0, "/sim_camera": 1.0, "/actor": None, "/recorder": None}
    assert Launched("sim.launch.py", actor_respawn="true").nodes["/actor"].respawn_delay == 1.0
    assert Launched("workcell.launch.py", **FILES["workcell.launch.py"]).nodes["/camera_front"].respawn_delay == 5.0


def test_the_actor_is_configured_whenever_it_starts_and_activated_once():
    launched = Launched("sim.launch.py")
    assert launched.after(launched.process("ProcessStarted", "/actor")) == [CONFIGURE]
    assert launched.after(launched.process("ProcessStarted", "/guard")) == []
    assert launched.after(launched.transition("/actor", "configuring", "inactive")) == [ACTIVATE]
    assert launched.after(launched.transition("/actor", "deactivating", "inactive")) == [], "an operator's wish stands"
    patient = Launched("sim.launch.py", autostart="false")
    assert patient.after(patient.process("ProcessStarted", "/actor")) == [CONFIGURE]
    assert patient.after(patient.transition("/actor", "configuring", "inactive")) == []


def test_a_node_that_was_given_something_wrong_ends_the_launch():
    launched = Launched("sim.launch.py")
    for name in ("/guard", "/sim_robot", "/sim_camera"):
        with pytest.raises(RuntimeError, match=f"{name[1:]}-1 was given something wrong; its own words are above"):
            launched.after(launched.process("ProcessExited", name, returncode=2))
        assert launched.after(launched.process("ProcessExited", name, returncode=1)) == []
    assert launched.after(launched.process("ProcessExited", "/actor", returncode=2)) == [], "the cell stays up"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_is_interrupted_again_and_again_still_ends_in_order(start, graph, number):
    """`ros2 launch` interrupts its nodes too where there is no terminal, after a service manager has."""
    node, executor = graph
    launched = Launched("sim.launch.py")
    process = start(launched.nodes["/guard"], launched.environment)
    assert until(executor, lambda: node.count_publishers("/guard/state") == 1, [process])
    while process.poll() is None:
        process.send_signal(number)
    assert process.returncode == 0, process.communicate()[0]


def test_the_cell_comes_up_from_the_launch_file_and_ends_in_order(start, graph):
    node, executor = graph
    robot, heard = load_robot("sim"), {}
    kinds = {robot.joint_states: JointState, robot.current_pose: PoseStamped, "guard/state": DiagnosticStatus}
    for topic, kind in kinds.items():
        keep = functools.partial(heard.__setitem__, topic)
        node.create_subscription(kind, f"/{topic}", keep, qos_profile_sensor_data)
    launched = Launched("sim.launch.py", actor="false", cameras="false")
    processes = [start(each, launched.environment) for each in launched.nodes.values()]
    holding = lambda: len(heard) == 3 and heard["guard/state"].message.startswith("holding")  # noqa: E731
    assert until(executor, holding, processes), heard
    assert list(heard[robot.joint_states].name) == list(robot.joints)
    assert heard[robot.current_pose].header.frame_id == robot.base_frame
    codes, output = interrupted(processes)
    assert codes == [0, 0], output
    assert "Traceback" not in output
