"""The 10 Hz loop over ROS 2 topics with two cameras of 640 x 480: from what was sensed to what was commanded.

Simulated robot, guard and two cameras are processes of their own; the loop with its policy is this one.

    python benchmarks/ros_loop.py --json ros_loop.json
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import report

# Before this folder, whose learner.py and wire.py would be taken for the packages of these names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from actor.__main__ import prepare_jax
from actor.priority import first_in_line, raise_process
from envs.config import EnvConfig
from envs.guard import Guard
from envs.make import make_env

_ROOT = Path(__file__).resolve().parents[1]
_NODES = _ROOT / "ros2_ws/src/handrail_nodes"
CAMERAS = ("front", "wrist")
CAMERA_HZ = 30.0
_PLACES = {"p50": 50, "p99": 99, "p100": 100}


class Process:
    """A node, and how much of a core it takes."""

    def __init__(self, name: str, words: list[str], log: Path, stack: ExitStack) -> None:
        self.name = name
        path = os.pathsep.join([str(_ROOT), str(_NODES)])
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, *words], stdout=out, stderr=out, env={**os.environ, "PYTHONPATH": path}
            )
        self.pid = self._process.pid
        stack.callback(self._end)

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait()


def cpu_s(pid: int) -> float:
    """Processor time of a process and its threads, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def random_policy(env: Any) -> Any:
    """The networks that the learner would send, with random weights."""
    import jax

    from actor.policy import PolicySlot
    from learner.publisher import encode_policy
    from networks import encoder, policy
    from networks.architecture import architecture_for

    arch = architecture_for(env.wire_spec, hidden=(256, 256), embedding=64)
    params = {
        "encoder": encoder.init(jax.random.key(0), arch),
        "normaliser": encoder.identity_normaliser(arch),
        "policy": policy.init(jax.random.key(1), arch),
    }
    slot = PolicySlot(env.wire_spec)
    slot.load(encode_policy(params, arch, version=1, fingerprint=env.wire_spec.fingerprint()))
    return slot


class Stopwatch:
    """Notes how old what the policy saw was when its command went out, by ROS's clock, and which frames never came."""

    def __init__(self, cell: Any) -> None:
        self.cell = cell
        self.inputs = {name: cell.senses.inputs()[f"cameras.{name}.image"] for name in CAMERAS}
        self.ages_ms: dict[str, list[float]] = {name: [] for name in (*CAMERAS, "joint_states")}
        self.shown: dict[str, int] = {}
        self.added_ms: list[float] = []
        self.seen, self.unseen = dict.fromkeys(CAMERAS, 0), dict.fromkeys(CAMERAS, 0)

    def see(self) -> None:
        """Remember the stamps of what the coming observation shows."""
        inputs = self.cell.senses.inputs()
        self.shown = {name: self.inputs[name].stamp_ns for name in CAMERAS}
        self.shown["joint_states"] = inputs["joint_states"].stamp_ns

    def commanded(self) -> None:
        """A command has just gone out."""
        now_ns = self.cell.now_ns()
        for name, stamp_ns in self.shown.items():
            self.ages_ms[name].append((now_ns - stamp_ns) / 1e6)

    def reset(self, env: Any) -> Any:
        """Begin an episode; frames that pass by meanwhile are not lost, because nobody looks for them."""
        before = {name: topic.missed for name, topic in self.inputs.items()}
        observation, _ = env.reset(seed=0)
        for name, topic in self.inputs.items():
            self.unseen[name] += topic.missed - before[name]
        return observation

    def pause(self, seconds: float) -> bool:
        """Wait, and take every frame that comes meanwhile, so that what is missing is lost."""
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0:
            for name, topic in self.inputs.items():
                self.seen[name] += topic.take()
            time.sleep(min(left_s, 0.004))
        return True


def drive(env: Any, policy: Any, watch: Stopwatch, steps: int) -> int:
    """So many control periods; how many of them the guard refused."""
    guard, held, observation = Guard(env.limits), 0, None
    command = env.cell.command

    def timed(action: Any) -> None:
        command(action)
        watch.commanded()

    env.cell.command, env.pause = timed, watch.pause
    for _ in range(steps):
        if observation is None:
            observation = watch.reset(env)
        watch.see()
        began_s = time.monotonic()
        wanted, _ = policy.act(observation)
        verdict = guard.apply(wanted, env.target_position(), env.vitals())
        held += verdict.held
        watch.added_ms.append(1000 * (time.monotonic() - began_s))
        observation, _, terminated, truncated, _ = env.step(verdict.action)
        if terminated or truncated:
            observation = None
    env.cell.command = command
    return held


def measure(steps: int, image_size: int, folder: Path) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Rows and ratios of the report."""
    with ExitStack() as stack:
        robot = ["-m", "handrail_nodes.sim_robot_node", "--ros-args", "-p", "task:=pick_cube"]
        words = {"sim_robot": robot, "guard": ["-m", "handrail_nodes.guard_node"]}
        camera = str(Path(__file__).parent / "contenders" / "ros_camera.py")
        words |= {f"camera_{name}": [camera, name, str(CAMERA_HZ)] for name in CAMERAS}
        processes = [Process(name, each, folder / f"{name}.log", stack) for name, each in words.items()]
        env: Any = make_env(EnvConfig(env="ros", task="pick_cube", obs="pixels", image_size=image_size))
        stack.callback(env.close)
        policy, watch = random_policy(env), Stopwatch(env.cell)
        stack.enter_context(first_in_line())
        drive(env, policy, Stopwatch(env.cell), 20)
        env.reset(seed=0)
        before = {name: each.missed for name, each in watch.inputs.items()}
        pids = {each.name: each.pid for each in processes} | {"loop": os.getpid()}
        began_s, used_s = time.monotonic(), {name: cpu_s(pid) for name, pid in pids.items()}
        held = drive(env, policy, watch, steps)
        lasted_s = time.monotonic() - began_s
        share = {name: (cpu_s(pid) - used_s[name]) / lasted_s for name, pid in pids.items()}
        lost = {name: each.missed - before[name] - watch.unseen[name] for name, each in watch.inputs.items()}
    rows: list[dict[str, Any]] = [
        {"what": f"stamp of {name} -> command published, ms", **_percentiles(ages)}
        for name, ages in watch.ages_ms.items()
    ]
    rows.append({"what": "policy and guard, ms", **_percentiles(watch.added_ms)})
    rows += [{"what": f"frames of {name}", "seen": watch.seen[name], "lost": lost[name]} for name in CAMERAS]
    rows += [{"what": f"share of a core: {name}", "share": round(value, 3)} for name, value in share.items()]
    rows.append({"what": "loop", "steps": steps, "held": held, "overruns": env.ticker.overruns})
    worst = max(float(np.percentile(watch.ages_ms[name], 99)) for name in CAMERAS)
    return rows, {
        "p99 of picture -> command / one camera period and one control period": worst / (1e3 / CAMERA_HZ + 100)
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    return {place: round(float(np.percentile(values, at)), 2) for place, at in _PLACES.items()}


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--steps", type=int, default=600, help="control periods of 100 ms")
    parser.add_argument("--image-size", type=int, default=64)
    arguments = parser.parse_args()
    # A domain of its own: nobody else's robot must hear this, nor be heard.
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    raise_process()
    prepare_jax()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("ROS_LOG_DIR", folder)
        rows, ratios = measure(arguments.steps, arguments.image_size, Path(folder))
    for row in rows:
        print("  ".join(f"{value}" if key == "what" else f"{key} {value}" for key, value in row.items()))
    report.write(arguments.json, "ros_loop", rows, ratios)


if __name__ == "__main__":
    main()
