"""For colcon. `launch` and `config/fastdds.xml` are links into the project, so that each file is there once."""

from pathlib import Path

from setuptools import setup

SHARE = "share/handrail_bringup"
FOLDERS = ("launch", "config", "udev", "rviz", "foxglove")

setup(
    name="handrail_bringup",
    version="0.1.0",
    description="Brings a Handrail cell up.",
    license="Apache-2.0",
    packages=["handrail_bringup"],
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/handrail_bringup"]),
        (SHARE, ["package.xml"]),
        *((f"{SHARE}/{folder}", sorted(map(str, Path(folder).glob("*.*")))) for folder in FOLDERS),
    ],
    zip_safe=True,
)
