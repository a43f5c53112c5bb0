"""The layouts for Foxglove and RViz show topics that the simulated cell has, of types that their panels can show."""

import json
import re
from pathlib import Path

import msgspec
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo, Image

from envs.ros.config import load_robot
from envs.ros.listening import topics

BRINGUP = Path(__file__).resolve().parents[2] / "ros2_ws/src/handrail_bringup"
ROBOT = load_robot("sim")
CELL = {f"/{name.lstrip('/')}": kind for name, (kind, _) in topics(ROBOT, guard="guard", images=True).items()}
FOXGLOVE = json.loads((BRINGUP / "foxglove/handrail.json").read_text())
PANELS = FOXGLOVE["configById"]
RVIZ = msgspec.yaml.decode((BRINGUP / "rviz/handrail.rviz").read_bytes())["Visualization Manager"]
DISPLAYS = [each for each in RVIZ["Displays"] if "Topic" in each]


def leaves(node):
    return [node] if isinstance(node, str) else leaves(node["first"]) + leaves(node["second"])


def paths():
    """Every message path that a panel shows."""
    found = [path["value"] for panel in PANELS.values() for path in panel.get("paths", [])]
    return found + [panel["topicPath"] for panel in PANELS.values() if "topicPath" in panel]


def field_of(kind, path):
    """The type of a field, as ROS names it, of a path such as values[:]{key=="mode"}.value; KeyError: there is none."""
    words = re.sub(r"\{[^}]*\}|\.@derivative$", "", path).split(".")
    for word in words:
        name = re.sub(r"\[[^]]*\]$", "", word)
        found = kind.get_fields_and_field_types()[name]
        inner = re.sub(r"sequence<(.*?)(, \d+)?>", r"\1", found)
        if (inner != found) != (name != word):
            raise KeyError(f"{word} is {found}")
        if "/" in inner:
            package, _, message = inner.partition("/")
            kind = getattr(__import__(f"{package}.msg", fromlist=[message]), message)
    return inner


def test_every_panel_is_placed_and_every_place_has_one():
    assert sorted(leaves(FOXGLOVE["layout"])) == sorted(PANELS)


@pytest.mark.parametrize("path", paths())
def test_foxglove_plots_what_there_is(path):
    topic, _, field = path.partition(".")
    plotted = any(path == each["value"] for name in PANELS if "Plot!" in name for each in PANELS[name]["paths"])
    assert field_of(CELL[topic], field) == ("double" if plotted else "string")


def test_foxglove_shows_pictures_poses_and_diagnostics():
    images = {panel["imageMode"]["imageTopic"] for panel in PANELS.values() if "imageMode" in panel}
    infos = {panel["imageMode"]["calibrationTopic"] for panel in PANELS.values() if "imageMode" in panel}
    assert images == {f"/{camera.image}" for camera in ROBOT.cameras.values()}
    assert {CELL[topic] for topic in images | infos} == {Image, CameraInfo}
    scene = PANELS["3D!poses"]
    assert {CELL[topic] for topic in scene["topics"]} == {PoseStamped}
    assert scene["followTf"] == ROBOT.base_frame
    assert CELL[PANELS["DiagnosticSummary!all"]["topicToRender"]] is DiagnosticArray


def test_rviz_shows_the_poses_and_both_cameras():
    wanted = {"rviz_default_plugins/Pose": PoseStamped, "rviz_default_plugins/Image": Image}
    shown = {each["Topic"]["Value"]: each for each in DISPLAYS}
    assert {topic: CELL[topic] for topic in shown} == {topic: wanted[each["Class"]] for topic, each in shown.items()}
    poses = {f"/{name}" for name in (ROBOT.current_pose, ROBOT.target_pose, "guard/requested_pose")}
    assert poses | {f"/{camera.image}" for camera in ROBOT.cameras.values()} <= shown.keys()
    assert RVIZ["Global Options"]["Fixed Frame"] == ROBOT.base_frame
    # Cameras publish best effort, which a reliable display would never hear.
    assert {each["Topic"]["Reliability Policy"] for each in DISPLAYS} == {"Best Effort"}
