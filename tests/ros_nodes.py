"""Handrail's own nodes as processes, and somebody who watches the graph."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from envs.ros import messages
from envs.ros.diagnostics import values_of
from envs.ros.inputs import LATCHED, Input

ROOT = Path(__file__).resolve().parents[1]
NODES = ROOT / "ros2_ws/src/handrail_nodes"
WAIT_S = 60.0
"""Only what is broken is waited for this long."""


def until(condition, what, seconds=WAIT_S):
    """Wait for a condition; its value."""
    deadline_s = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.005)
    return value


_TRIES = 12


class NodeProcess:
    """A node of ours in a process of its own, with its log."""

    def __init__(self, name, folder, namespace, **parameters):
        self.log = Path(folder) / f"{name}.log"
        words = [word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")]
        words += ["-r", f"__ns:={namespace}"]
        path = os.pathsep.join([str(ROOT), str(NODES), os.environ.get("PYTHONPATH", "")])
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"handrail_nodes.{name}", "--ros-args", *words],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": path},
                # As a launch starts it: what kills one node must not kill another.
                process_group=0,
            )

    @property
    def pid(self):
        return self.process.pid

    def said(self):
        return self.log.read_text(errors="replace")

    def children(self):
        """Processes that it has started, and those that they have."""
        found = subprocess.run(["pgrep", "-P", str(self.pid)], capture_output=True, text=True, check=False)
        return [int(word) for word in found.stdout.split()]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """End it in order; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(WAIT_S)
        finally:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def nodes(namespace="/"):
    """Starts nodes; ends those that are left, the last one first."""
    with contextlib.ExitStack() as stack:

        def start(name, folder, **parameters):
            process = NodeProcess(name, folder, namespace, **parameters)
            stack.callback(lambda: process.stop() if process.process.poll() is None else None)
            return process

        yield start


@contextlib.contextmanager
def scripts(path, **given):
    """Starts a node as a script, with these parameters and more, what it says piped; kills those that are left."""
    processes = []

    def start(**parameters):
        words = [word for name, value in (given | parameters).items() for word in ("-p", f"{name}:={value}")]
        process = subprocess.Popen(
            [sys.executable, str(path), "--ros-args", *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(NODES)])},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=WAIT_S)


class Spectator:
    """Somebody on the graph who sees what the guard says and what the robot is told."""

    def __init__(self, namespace="/"):
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = Node(f"spectator_{os.getpid()}", context=self.context, namespace=namespace, enable_rosout=False)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self._state = Input(self.node, DiagnosticStatus, "guard/state", qos=LATCHED)
        self._target = Input(self.node, PoseStamped, "target_pose")
        self.moved_ns = 0
        """When the guard last sent another target, by the stamp that it gave it: ROS's clock, see `now_ns`."""
        self._at = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.node.destroy_node()
        self.context.try_shutdown()

    def guard(self, key="mode"):
        self._state.take()
        return "" if self._state.message is None else values_of(self._state.message).get(key, "")

    def watch_target(self):
        """Take the newest target in; its position."""
        if self._target.take():
            at = messages.position(self._target.message)
            if self._at is not None and not np.array_equal(at, self._at):
                self.moved_ns = self._target.stamp_ns
            self._at = at
        return self._at

    def now_ns(self):
        """ROS's clock."""
        return self.node.get_clock().now().nanoseconds

    def watch(self, seconds):
        """Watch the target for so long; serves as an environment's pause."""
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            self.watch_target()
            time.sleep(0.002)
        return True

    def call(self, kind, name, request):
        client = self.node.create_client(kind, name)
        try:
            assert client.wait_for_service(WAIT_S), f"nobody offers {name}"
            for _ in range(_TRIES):
                # A call, or its answer, that crosses the discovery of the two ends is lost.
                future = client.call_async(request)
                self.executor.spin_until_future_complete(future, WAIT_S / _TRIES)
                if future.done():
                    return future.result()
            raise AssertionError(f"{name} does not answer")
        finally:
            self.node.destroy_client(client)

    def bring(self, node, transition, state):
        """Take a lifecycle node through a transition, to the state that it leads to."""
        request = ChangeState.Request()
        request.transition.label = transition
        self.call(ChangeState, f"/{node}/change_state", request)
        found = self.call(GetState, f"/{node}/get_state", GetState.Request()).current_state.label
        assert found == state, f"{node} is {found} after {transition}"
