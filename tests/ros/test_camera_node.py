"""The camera node with a real rclpy: a process of its own plays a recording, and a subscriber here looks at it."""

import importlib.util
import re
import signal
import time

import numpy as np
import pytest
from recordings import FOCAL_PX, HEIGHT, WIDTH, picture, realsense_sdk, record_realsense, record_video

from envs.ros.images import to_array

if importlib.util.find_spec("rclpy") is None:
    pytest.skip("rclpy is not installed", allow_module_level=True)

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from ros_nodes import ROOT, scripts
from sensor_msgs.msg import CameraInfo, Image

NODE = ROOT / "ros2_ws/src/handrail_nodes/handrail_nodes/camera_node.py"
WAIT_S = 30.0
"""Only a broken node is waited for this long; two processes may take three seconds to find each other."""

# The parser of messages that the wheels bring imports a module that Python means to drop.
pytestmark = [pytest.mark.process, pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")]


@pytest.fixture(scope="module")
def ros():
    """ROS in this process."""
    with rclpy.init():
        yield


class Spectator:
    """A subscriber of one camera's topics."""

    def __init__(self, name, qos):
        self.node = rclpy.create_node("spectator")
        self.images, self.infos = [], []
        self.topic = f"/camera/{name}/color/image_raw"
        self.node.create_subscription(Image, self.topic, self.images.append, qos)
        self.node.create_subscription(CameraInfo, f"/camera/{name}/color/camera_info", self.infos.append, qos)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)

    def until(self, condition):
        deadline_s = time.monotonic() + WAIT_S
        while not condition() and time.monotonic() < deadline_s:
            self._executor.spin_once(timeout_sec=0.1)
        return condition()

    def close(self):
        self._executor.shutdown()
        self.node.destroy_node()


@pytest.fixture
def start(ros):
    with scripts(NODE) as start:
        yield start


@pytest.fixture
def watch(ros):
    spectators = []

    def begin(name, qos=qos_profile_sensor_data):
        spectators.append(Spectator(name, qos))
        return spectators[-1]

    yield begin
    for spectator in spectators:
        spectator.close()


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    realsense_sdk()
    return record_realsense(tmp_path_factory.mktemp("realsense") / "wrist.db3", frames=10)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return record_video(tmp_path_factory.mktemp("uvc") / "front.avi", frames=10)


def ended(process, by):
    process.send_signal(by)
    output, _ = process.communicate(timeout=WAIT_S)
    return process.returncode, output


def in_s(stamp):
    return stamp.sec + stamp.nanosec / 1e9


def test_a_realsense_appears_on_the_topics_of_realsense2_camera(start, watch, recording):
    wrist = watch("wrist")
    begun_s = in_s(wrist.node.get_clock().now().to_msg())
    node = start(name="wrist", playback=recording, width=WIDTH, height=HEIGHT)
    assert wrist.until(lambda: wrist.infos and len({bytes(image.data) for image in wrist.images}) == 10), node.poll()

    pictures = {picture(number).tobytes(): number for number in range(1, 11)}
    shown = [to_array(image, wrist.topic) for image in wrist.images]
    assert {encoding for _, encoding in shown} == {"rgb8"}
    assert {pictures[pixels.tobytes()] for pixels, _ in shown} == set(range(1, 11)), "all frames, with their own pixels"
    assert {image.header.frame_id for image in wrist.images} == {"wrist_color_optical_frame"}

    stamps_s = [in_s(image.header.stamp) for image in wrist.images]
    now_s = in_s(wrist.node.get_clock().now().to_msg())
    assert begun_s < stamps_s[0]
    assert stamps_s[-1] <= now_s
    assert stamps_s == sorted(set(stamps_s)), "every frame has a time of its own"

    info = wrist.infos[-1]
    assert (info.width, info.height, info.header.frame_id) == (WIDTH, HEIGHT, "wrist_color_optical_frame")
    assert (info.k[0], info.k[4]) == FOCAL_PX
    assert {in_s(found.header.stamp) for found in wrist.infos} & set(stamps_s), "both have the picture's stamp"
    code, output = ended(node, signal.SIGINT)
    assert (code, "Traceback" in output) == (0, False), output


def test_a_uvc_camera_reaches_a_reliable_subscriber_where_it_is_asked_to(start, watch, video):
    front = watch("front", QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))
    settings = {"name": "front", "source": "uvc", "playback": video, "width": WIDTH, "height": HEIGHT}
    node = start(**settings, reliable="true", frame_id="front_lens")
    assert front.until(lambda: front.images and front.infos), node.poll()
    pixels, _ = to_array(front.images[0], front.topic)
    assert np.abs(pixels[0, 0].astype(int) - picture(1)[0, 0])[1:].max() <= 1
    assert front.images[0].header.frame_id == "front_lens"
    assert front.infos[0].k[0] == 0.0, "its pinhole is not known"
    code, output = ended(node, signal.SIGTERM)
    assert (code, "Traceback" in output) == (0, False), output


def test_a_camera_that_falls_silent_is_named_in_the_log(start, watch, video):
    front = watch("front", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    node = start(name="front", source="uvc", playback=video, repeat="false", width=WIDTH, height=HEIGHT)
    lines = iter(node.stdout.readline, "")
    said = next((line for line in lines if "camera front" in line), "nothing")
    assert "[WARN]" in said
    assert re.search(r"camera front: its last frame is \d+\.\d s old, wanted one every 0\.5 s at least; check", said), (
        said
    )
    assert front.until(lambda: front.node.count_publishers(front.topic) == 1), "it stays, and waits for its camera"


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (
            {"source": "uvc", "device": 999},
            "error: camera camera: there is no /dev/video999; cameras that are",
        ),
        (
            {"source": "uvx"},
            "error: camera_node: camera camera: source must be one of realsense, uvc, got uvx",
        ),
        ({"width": "wide"}, "error: camera_node: width must be a whole number, got wide"),
        ({"exposure": 80}, "error: camera_node: camera camera: exposure=80 needs auto_exposure=false"),
    ],
    ids=["device", "source", "width", "exposure"],
)
def test_wrong_parameters_end_the_node_with_one_sentence(start, parameters, said):
    node = start(**parameters)
    output, _ = node.communicate(timeout=WAIT_S)
    assert node.returncode == 2
    assert said in output
    assert "Traceback" not in output
