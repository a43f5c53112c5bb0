"""The Franka Panda arm and hand, composed from the files of the gymnasium-robotics wheel.

The wheel is located, never imported: its meshes and its chain of bodies are used, its soft servos, capsule fingers and
compiler settings are replaced. Its joint zeros differ from the real robot's.
"""

# MuJoCo's compiled module comes without type stubs.
# pyright: reportAttributeAccessIssue=false

import importlib.util
import math
import re
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

ARM_JOINTS = tuple(f"robot:panda0_joint{i}" for i in range(1, 8))
JOINT_ZEROS_RAD = np.array([0.0, 0.0, 0.0, 0.0, 0.0, math.pi / 2, math.pi / 4])
"""Where the model's joints are zero, as the real robot counts: q_real = q_model + this."""
FINGER_JOINTS = ("robot:panda0_finger_joint1", "robot:panda0_finger_joint2")
FINGER_BODIES = ("panda0_leftfinger", "panda0_rightfinger")
TOOL_SITE = "pinch"
"""Tool centre point, between the finger pads, 14.5 mm above their tips; z points out of the hand, y from pad to pad."""
FINGER_OPEN_M = 0.04
"""Travel of one finger; the hand opens twice as wide."""
HIDDEN_GROUP = 3
"""Geom group of what no camera shows; everything else is in group 0."""

# A stiff, well damped contact: penetration stays below half a millimetre at a time step of 2 ms.
CONTACT: dict[str, Any] = {"solref": [0.004, 1.0], "solimp": [0.95, 0.99, 0.001, 0.5, 2.0]}
_HAND_QUAT = (math.cos(math.pi / 8), 0.0, 0.0, -math.sin(math.pi / 8))


def panda_spec(*, detailed: bool = False, pad_friction: float = 0.5) -> mujoco.MjSpec:
    """The arm as a spec to attach to a world: torque actuators on the arm, position actuators on the fingers.

    Args:
        detailed: Keep the 136,000 faces of the visual meshes (and show them instead of the collision meshes): for
            pictures that people look at.
        pad_friction: Of the finger pads (see envs.tabletop.Handling).

    Raises:
        RuntimeError: Where the gymnasium-robotics wheel, or its Franka model, is not installed.
    """
    assets = _assets()
    spec = mujoco.MjSpec.from_string(
        f"<mujoco><compiler angle='radian' meshdir='{assets / 'meshes'}'/>{_fragment(assets / 'assets.xml')}"
        f"<worldbody>{_fragment(assets / 'chain.xml')}</worldbody></mujoco>"
    )
    _choose_geoms(spec, detailed)
    _actuate(spec)
    _add_pads(spec, detailed, pad_friction)
    spec.body("panda0_link7").add_site(name=TOOL_SITE, pos=[0, 0, 0.2454], quat=_HAND_QUAT)
    return spec


def hand_frame(spec: mujoco.MjSpec) -> mujoco.MjsFrame:
    """A frame on the last link, turned like the hand: x away from the base when the tool points down, z out of it."""
    return spec.body("panda0_link7").add_frame(quat=_HAND_QUAT)


def _assets() -> Path:
    found = importlib.util.find_spec("gymnasium_robotics")
    folder = Path((found and found.origin) or "").parent / "envs/assets/kitchen_franka/franka_assets"
    if not (folder / "chain.xml").exists():
        raise RuntimeError(
            "the simulated arm needs the files of gymnasium-robotics >= 1.4.2: pip install handrail[sim]"
        )
    return folder


def _fragment(file: Path) -> str:
    """The body of an include file, without the settings that would reach out of it."""
    text = re.sub(r"<!--.*?-->", "", file.read_text(), flags=re.DOTALL)
    body = re.search(r"<mujocoinclude>(.*)</mujocoinclude>", text, re.DOTALL)
    if body is None:
        raise RuntimeError(f"{file} is no MuJoCo include file; wanted the one of gymnasium-robotics 1.4")
    return re.sub(r"<(compiler|size|option)[^>]*/>", "", body[1])


def _choose_geoms(spec: mujoco.MjSpec, detailed: bool) -> None:
    for geom in list(spec.geoms):
        visual = geom.classname.name == "panda_viz"
        if geom.type == mujoco.mjtGeom.mjGEOM_CAPSULE or (visual and not detailed):
            spec.delete(geom)
        elif visual:
            geom.group, geom.rgba = 0, [0.86, 0.88, 0.90, 1.0]
        else:
            geom.group = HIDDEN_GROUP if detailed else 0
            geom.margin = 0.0
            geom.rgba = [0.82, 0.84, 0.86, 1.0]
            geom.solref, geom.solimp = CONTACT["solref"], CONTACT["solimp"]
    for mesh in list(spec.meshes):
        if mesh.name == "finger_col" or (mesh.name.endswith("_viz") and not detailed):
            spec.delete(mesh)


def _actuate(spec: mujoco.MjSpec) -> None:
    """Replace the wheel's heavy damping, made for its own servos, and couple the fingers."""
    for index, joint in enumerate(spec.joints):
        finger = joint.name in FINGER_JOINTS
        proximal = index < 4
        damping = 250.0 if finger else (1.0 if proximal else 0.5)
        # A vector of three in newer MuJoCo, a number in older.
        joint.damping = [damping, 0.0, 0.0] if hasattr(joint.damping, "__len__") else damping
        joint.armature = 0.5 if finger else (0.1 if proximal else 0.05)
        strongest = 30.0 if finger else (87.0 if proximal else 12.0)
        actuator = spec.add_actuator(
            name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT, ctrllimited=True
        )
        actuator.ctrlrange = [0.0, FINGER_OPEN_M] if finger else [-strongest, strongest]
        if finger:
            actuator.set_to_position(kp=3000.0)
            actuator.forcerange = [-strongest, strongest]
            actuator.forcelimited = True
    first, second = FINGER_JOINTS
    coupling = spec.add_equality(
        type=mujoco.mjtEq.mjEQ_JOINT, objtype=mujoco.mjtObj.mjOBJ_JOINT, name1=first, name2=second
    )
    coupling.data[:5] = [0.0, 1.0, 0.0, 0.0, 0.0]


def _add_pads(spec: mujoco.MjSpec, detailed: bool, friction: float) -> None:
    # contype 1, conaffinity 0: the fingers touch objects and the table but not each other.
    shape: dict[str, Any] = dict(
        type=mujoco.mjtGeom.mjGEOM_BOX, contype=1, conaffinity=0, margin=0.0, mass=0.0, condim=4, group=0, **CONTACT
    )
    for name, side in zip(FINGER_BODIES, (1.0, -1.0), strict=True):
        body = spec.body(name)
        pad = body.add_geom(pos=[0, side * 0.005, 0.0785], size=[0.010, 0.005, 0.016], **shape)
        pad.friction, pad.rgba = [friction, 0.02, 1e-4], [0.2, 0.2, 0.22, 1.0]
        back = body.add_geom(pos=[0, side * 0.0145, 0.048], size=[0.010, 0.0065, 0.030], **shape)
        back.rgba, back.group = [0.82, 0.84, 0.86, 1.0], HIDDEN_GROUP if detailed else 0
