"""For colcon; the rooms themselves are installed with pip (see docs/ros2.md)."""

from setuptools import setup

NODES = (
    "actor_node",
    "guard_node",
    "camera_node",
    "recorder_node",
    "sim_camera_node",
    "sim_robot_node",
    "spacemouse_node",
    "teleop_node",
)

setup(
    name="handrail_nodes",
    version="0.1.0",
    description="Handrail's rooms as ROS 2 nodes.",
    license="Apache-2.0",
    packages=["handrail_nodes"],
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/handrail_nodes"]),
        ("share/handrail_nodes", ["package.xml"]),
    ],
    zip_safe=True,
    entry_points={"console_scripts": [f"{node} = handrail_nodes.{node}:main" for node in NODES]},
)
