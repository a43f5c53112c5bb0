"""Does the recorder keep up with a whole cell, and what does that cost?

Two cameras of 640 x 480 at 30 Hz and four topics at 100 Hz, from processes of their own over Fast DDS, the guard's
state among them; the recorder is the node that `ros2 run` starts. What was lost is counted in the recording itself, by
the publishers' own count of their messages.

    python benchmarks/recorder.py --json recorder.json
"""

import argparse
import array
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import report

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))
_NODES = _ROOT / "ros2_ws/src/handrail_nodes"
_WAIT_S = 60.0
_CAMERAS = ("camera/front/color/image_raw", "camera/wrist/color/image_raw")
_POSES = ("current_pose", "target_pose", "guard/requested_pose")


def camera(topic: str, seconds: float, noise: str) -> None:
    """Publish pictures with a sensor's noise (`low`: 2 of 255), or nothing but noise (`full`)."""
    from sensor_msgs.msg import Image

    from envs.ros.images import fill
    from envs.ros.inputs import SENSOR

    rng = np.random.default_rng(sum(map(ord, topic)))
    smooth = np.add.outer(np.linspace(40, 120, 480), np.linspace(0, 90, 640))[..., None] + np.array([0, 10, 20])
    messages = [Image() for _ in range(8)]
    for message in messages:
        full, low = rng.integers(0, 256, smooth.shape), smooth + rng.normal(0, 2, smooth.shape)
        fill(message, (full if noise == "full" else low).astype(np.uint8), "rgb8")
    _publish({topic: (Image, SENSOR, messages)}, 1 / 30, seconds)


def robot(seconds: float) -> None:
    """Publish three poses and the joints at 100 Hz."""
    from geometry_msgs.msg import PoseStamped
    from sensor_msgs.msg import JointState

    from envs.ros.inputs import RELIABLE

    pose, joints = PoseStamped(), JointState(name=[f"fr3_joint{i}" for i in range(1, 8)])
    pose.header.frame_id, joints.position = "base", array.array("d", [0.1] * 7)
    _publish(
        {name: (PoseStamped, RELIABLE, [pose]) for name in _POSES} | {"joint_states": (JointState, RELIABLE, [joints])},
        0.01,
        seconds,
    )


def guard(seconds: float) -> None:
    """Say that an episode is on, at 20 Hz, then that the next one is."""
    from diagnostic_msgs.msg import DiagnosticStatus

    from envs.ros.diagnostics import status
    from envs.ros.inputs import LATCHED

    def state(episode: int) -> DiagnosticStatus:
        return status("guard", DiagnosticStatus.OK, "following", mode="following", begun=episode)

    messages = [state(0), *[state(1)] * round(seconds / 0.05), *[state(2)] * 20]
    _publish({"guard/state": (DiagnosticStatus, LATCHED, messages)}, 0.05, seconds + 1.0)


def _publish(topics: dict[str, tuple[Any, Any, list[Any]]], period_s: float, seconds: float) -> None:
    import rclpy

    with rclpy.init():
        node = rclpy.create_node(f"publisher_{os.getpid()}")
        publishers = [(node.create_publisher(kind, name, qos), each) for name, (kind, qos, each) in topics.items()]
        deadline_s = time.monotonic() + _WAIT_S
        while not all(publisher.get_subscription_count() for publisher, _ in publishers):
            if time.monotonic() > deadline_s:
                raise SystemExit(f"nobody has listened to {', '.join(topics)} for {_WAIT_S:g} s: did the recorder end?")
            time.sleep(0.01)
        sys.stdout.write("found\n")
        sys.stdout.flush()
        sys.stdin.readline()
        begun_s = time.monotonic()
        for number in range(round(seconds / period_s)):
            time.sleep(max(0.0, begun_s + number * period_s - time.monotonic()))
            for publisher, messages in publishers:
                message = messages[number % len(messages)]
                if hasattr(message, "header"):
                    message.header.stamp = node.get_clock().now().to_msg()
                publisher.publish(message)


def measure(seconds: float, noise: str, folder: Path) -> dict[str, Any]:
    """Record for `seconds` and say how that went."""
    import msgspec

    bags, settings = folder / "bags", _settings(folder)
    words = ["--ros-args", "-p", f"folder:={bags}", "-p", "max_gb:=20.0"]
    recorder = subprocess.Popen([sys.executable, "-m", "handrail_nodes.recorder_node", *words], env=settings)
    # Cameras and robot go on for a little longer than the episode, which is what is counted.
    parts = [["camera", name, str(seconds + 0.5), noise] for name in _CAMERAS]
    parts += [["robot", str(seconds + 0.5)], ["guard", str(seconds)]]
    started = [_part(words, settings) for words in parts]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    before_s, begun_s = _cpu_s(recorder.pid), time.monotonic()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    started[-1].wait()
    share = (_cpu_s(recorder.pid) - before_s) / (time.monotonic() - begun_s)
    recorder.send_signal(signal.SIGINT)
    recorder.wait(30)
    for process in started:
        process.communicate()
    episode = sorted(bags.iterdir())[0]
    about = msgspec.yaml.decode((episode / "metadata.yaml").read_bytes())["rosbag2_bagfile_information"]
    counts = {each["topic_metadata"]["name"]: each["message_count"] for each in about["topics_with_message_count"]}
    (file,) = episode.glob("*.mcap")
    return {
        "noise": noise,
        "seconds": about["duration"]["nanoseconds"] / 1e9,
        "messages": counts,
        "lost": about["custom_data"]["lost"],
        "cpu_share": round(share, 3),
        "mb_per_s": round(file.stat().st_size / about["duration"]["nanoseconds"] * 1e3, 2),
    }


def _part(words: list[str], settings: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--part", *words]
    return subprocess.Popen(command, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _settings(folder: Path) -> dict[str, str]:
    mine = {
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str(folder),
        "FASTDDS_DEFAULT_PROFILES_FILE": str(_ROOT / "envs/ros/fastdds.xml"),
        "PYTHONPATH": os.pathsep.join((str(_ROOT), str(_NODES))),
    }
    return os.environ | mine


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure what was asked for, or be a publisher."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the episode")
    parser.add_argument("--noise", default="low,full", help="which of low and full")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        name, *words = arguments.part
        if name == "camera":
            camera(words[0], float(words[1]), words[2])
        else:
            {"robot": robot, "guard": guard}[name](float(words[0]))
        return
    rows = []
    for noise in arguments.noise.split(","):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(arguments.seconds, noise, Path(folder)))
        print(json.dumps(rows[-1], indent=2), file=sys.stderr)
    ratios = {f"noise {row['noise']}: CPU share of the recorder": row["cpu_share"] for row in rows}
    ratios |= {f"noise {row['noise']}: MB/s on disk": row["mb_per_s"] for row in rows}
    report.write(arguments.json, "recorder", rows, ratios)


if __name__ == "__main__":
    main()
