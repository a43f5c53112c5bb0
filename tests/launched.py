"""What Handrail's launch files would start, as plain data: by the real `launch` where it is installed, else by ours."""

import importlib.util
import itertools
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import launch_recorder
import yaml
from lifecycle_msgs.msg import State, TransitionEvent

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ROOT / "ros2_ws/src"
WAIT_S = 60.0
"""Only a broken node is waited for this long; two processes may take three seconds to find each other."""
REAL = importlib.util.find_spec("launch_ros") is not None


@dataclass(frozen=True)
class Started:
    """A process that a launch file starts."""

    action: Any
    package: str
    executable: str
    name: str
    """With its namespace."""
    words: list[str]
    """What follows the program in its command."""
    respawn_delay: float | None

    @property
    def parameters(self):
        """Name -> value, as the node will find them: a later file or word wins."""
        found, words = {}, self.words
        for flag, word in itertools.pairwise(words):
            if flag == "--params-file":
                for section in yaml.safe_load(Path(word).read_text()).values():
                    found |= section["ros__parameters"]
            elif flag == "-p":
                name, _, value = word.partition(":=")
                found[name] = yaml.safe_load(value)
        return found

    @property
    def remappings(self):
        """from -> to, without the node's own name."""
        rules = [word for flag, word in itertools.pairwise(self.words) if flag == "-r"]
        return {rule.partition(":=")[0]: rule.partition(":=")[2] for rule in rules if not rule.startswith("__")}

    def command(self):
        """As `ros2 launch` would start it, without an installed workspace."""
        return [sys.executable, "-m", f"{self.package}.{self.executable}", *self.words]


class Launched:
    """A launch file with its arguments."""

    def __init__(self, file, command=(), **given):
        """Describe it; raises what `ros2 launch` would print where the arguments are wrong."""
        from launch import LaunchContext

        self.context = LaunchContext()
        self.context.launch_configurations.update(given)
        before, sys.argv = sys.argv, ["ros2", "launch", file, *command]
        try:
            self.description = _load(ROOT / "launch" / file).generate_launch_description()
            *self.arguments, begin = self.description.entities
            for argument in self.arguments:
                argument.execute(self.context)
            self.actions = begin.execute(self.context)
        finally:
            sys.argv = before
        self.nodes = {each.name: each for each in map(self._started, self.of("Node", "LifecycleNode"))}
        self.environment = {_text(each.name): _text(each.value) for each in self.of("SetEnvironmentVariable")}

    def of(self, *kinds):
        """The actions of these classes."""
        return [each for each in self.actions if type(each).__name__ in kinds]

    def after(self, event):
        """The transitions that are asked for after an event."""
        handlers = [each.event_handler for each in self.of("RegisterEventHandler")]
        follows = [each for handler in handlers if handler.matches(event) for each in self._handled(handler, event)]
        return [each.event.transition_id for each in follows]

    def process(self, kind, name, **event):
        """An event of `launch`: a node's process has started or exited."""
        from launch.events import process

        about = {"action": self.nodes[name].action, "name": f"{name}-1", "cmd": [], "cwd": None, "env": None, "pid": 1}
        return getattr(process, kind)(**about, **event)

    def transition(self, name, start, goal):
        """An event of `launch`: a node went from one state to another."""
        from launch_ros.events.lifecycle import StateTransition

        states = {"start_state": State(label=start), "goal_state": State(label=goal)}
        return StateTransition(action=self.nodes[name].action, msg=TransitionEvent(**states))

    def _handled(self, handler, event):
        found = handler.handle(event, self.context)
        return list(found) if isinstance(found, list | tuple) else [found]

    def _started(self, action):
        if not REAL:
            name = f"/{'/'.join(filter(None, (action.namespace.strip('/'), action.name)))}"
            delay = action.respawn_delay if action.respawn else None
            return Started(action, action.package, action.executable, name, action.words(self.context), delay)
        action._perform_substitutions(self.context)
        names = {
            "name": f"__node:={action.node_name.rpartition('/')[2]}",
            "ns": f"__ns:={action.expanded_node_namespace}",
        }
        self.context.extend_locals({"ros_specific_arguments": names})
        words = [_text(part, self.context) for part in action.cmd[1:]]
        delay = action._ExecuteLocal__respawn_delay if action._ExecuteLocal__respawn else None
        return Started(action, action.node_package, action.node_executable, action.node_name, words, delay)


def until(executor, condition, processes):
    """Spin until the condition holds; an assertion fails where a process ends before."""
    deadline_s = time.monotonic() + WAIT_S
    while not condition() and time.monotonic() < deadline_s:
        ended = [process for process in processes if process.poll() is not None]
        assert not ended, ended[0].communicate()[0]
        executor.spin_once(timeout_sec=0.1)
    return condition()


def interrupted(processes):
    """End processes as Ctrl-C does: their exit codes, and all that they said."""
    for process in processes:
        process.send_signal(signal.SIGINT)
    ends = [(process.communicate(timeout=WAIT_S)[0], process.returncode) for process in processes]
    return [code for _, code in ends], "".join(output for output, _ in ends)


def installed(folder):
    """Where ROS looks for installed packages, with ours in it, as links."""
    for package in ("handrail_nodes", "handrail_bringup"):
        index = folder / "share/ament_index/resource_index/packages"
        index.mkdir(parents=True, exist_ok=True)
        (index / package).touch()
        (folder / "share" / package).symlink_to(PACKAGES / package)
    os.environ["AMENT_PREFIX_PATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("AMENT_PREFIX_PATH"))))
    sys.path[:0] = [str(PACKAGES / package) for package in ("handrail_nodes", "handrail_bringup")]
    if not REAL:
        launch_recorder.install()


def entry_points(package):
    """Name of each program of a package -> its module."""
    found = {}
    import setuptools

    before, setuptools.setup = setuptools.setup, lambda **said: found.update(said)
    try:
        _load(PACKAGES / package / "setup.py")
    finally:
        setuptools.setup = before
    lines = found.get("entry_points", {}).get("console_scripts", [])
    return {line.partition(" = ")[0]: line.partition(" = ")[2].partition(":")[0] for line in lines}


def _load(file):
    spec = importlib.util.spec_from_file_location("a_file_of_ros", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _text(value, context=None):
    if isinstance(value, str):
        return value
    return "".join(each.perform(context) for each in value)
