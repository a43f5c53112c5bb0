"""The world around the arm: table, lights, cameras, and what changes between the episodes of the varied scene."""

# MuJoCo's compiled module comes without type stubs.
# pyright: reportAttributeAccessIssue=false

import colorsys
from typing import Any

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from envs.sim.panda import CONTACT, hand_frame, panda_spec
from envs.tabletop import CENTRE_M, Handling, View

ARM = "arm/"
"""Prefix of the names of everything that belongs to the arm."""
CAMERAS = {"front": "front", "wrist": f"{ARM}wrist"}
"""Name of the observation -> name of the camera in the model."""
DISTRACTORS = ("distractor_0", "distractor_1")
DISTRACTOR_HALF_M = 0.017
KEY_LIGHT = "key"

_TABLE_RGBA = (0.55, 0.50, 0.44, 1.0)
_PEOPLE = View(eye_m=(1.45, -1.0, 0.80), looks_at_m=(0.27, 0.0, 0.27), fovy_deg=36.0)
_KEY_DIRECTION = (-0.35, 0.25, -0.9)


def world_spec(handling: Handling, *, varied: bool, detailed: bool = False) -> mujoco.MjSpec:
    """The arm at a table under two lights and two cameras; a task adds its own things.

    Args:
        handling: What the task wants of the pads and of the cameras.
        varied: Add the two distractor boxes of the varied scene.
        detailed: Visual meshes, soft shadows and antialiasing, for pictures that people look at.
    """
    spec = mujoco.MjSpec()
    _set_options(spec, detailed)
    _furnish(spec, detailed)
    arm = panda_spec(detailed=detailed, pad_friction=handling.pad_friction)
    _add_camera(spec.worldbody, "front", handling.front)
    _add_camera(spec.worldbody, "people", _PEOPLE)
    _add_camera(hand_frame(arm), "wrist", handling.wrist)
    spec.attach(arm, frame=spec.worldbody.add_frame(), prefix=ARM)
    if varied:
        half_m = (DISTRACTOR_HALF_M, DISTRACTOR_HALF_M, DISTRACTOR_HALF_M)
        for name in DISTRACTORS:
            SimTable(spec).add_box(name, half_m=half_m, mass_kg=0.05, friction=0.5, rgba=(0.2, 0.4, 0.8, 1.0))
    return spec


class SimTable:
    """Where a task puts its things; body, joint and geom bear the name of the thing, walls a number too."""

    def __init__(self, spec: mujoco.MjSpec) -> None:
        self._spec = spec

    def add_box(
        self, name: str, *, half_m: tuple[float, float, float], mass_kg: float, friction: float, rgba: tuple[float, ...]
    ) -> None:
        """Add a free box that the hand can grasp; `half_m` are halves of its edges."""
        body = self._spec.worldbody.add_body(name=name, pos=[CENTRE_M[0], CENTRE_M[1], half_m[2]])
        body.add_freejoint(name=name)
        geom = body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_BOX, size=half_m, mass=mass_kg, condim=4, **CONTACT)
        geom.friction, geom.rgba = [friction, 0.02, 1e-4], rgba

    def add_well(
        self, name: str, *, opening_m: float, height_m: float, wall_m: float, friction: float, rgba: tuple[float, ...]
    ) -> None:
        """Add a square well of four walls that nothing moves; its origin is the middle of its opening, at the rim."""
        body = self._spec.worldbody.add_body(name=name, mocap=True, pos=[CENTRE_M[0], CENTRE_M[1], height_m])
        out, half, long = (opening_m + wall_m) / 2.0, wall_m / 2.0, opening_m / 2.0 + wall_m
        # Two walls run the whole length, two stand between them.
        walls = ((out, 0.0, half, long), (-out, 0.0, half, long), (0.0, out, long - wall_m, half))
        for index, (x, y, half_x, half_y) in enumerate((*walls, (0.0, -out, long - wall_m, half))):
            geom = body.add_geom(
                name=f"{name}_{index}",
                type=mujoco.mjtGeom.mjGEOM_BOX,
                pos=[x, y, -height_m / 2.0],
                size=[half_x, half_y, height_m / 2.0],
                condim=4,
                **CONTACT,
            )
            geom.friction, geom.rgba = [friction, 0.02, 1e-4], rgba

    def add_marker(self, name: str, *, radius_m: float, rgba: tuple[float, ...]) -> None:
        """Add a ball that is seen but not felt."""
        body = self._spec.worldbody.add_body(name=name, mocap=True, pos=[CENTRE_M[0], CENTRE_M[1], 0.1])
        body.add_geom(
            name=name, type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[radius_m, 0, 0], contype=0, conaffinity=0, rgba=rgba
        )


def vary(model: mujoco.MjModel, handling: Handling, hues: dict[str, float], rng: np.random.Generator) -> None:
    """Change what the policy must not depend on: shades, light direction, camera position.

    Every property is set anew, none is changed by a difference, so that nothing of an earlier episode remains.

    Args:
        model: Of a varied world.
        handling: What that world was made with.
        hues: Name of a thing -> its hue in [0, 1), which it keeps; only the shade varies.
        rng: Decides everything.
    """
    for name, hue in hues.items():
        shade = (hue + rng.uniform(-0.02, 0.02)) % 1.0, rng.uniform(0.75, 1.0), rng.uniform(0.5, 0.95)
        model.geom_rgba[model.geom_bodyid == model.body(name).id, :3] = colorsys.hsv_to_rgb(*shade)
    model.geom("table").rgba[:3] = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.05, 0.4), rng.uniform(0.3, 0.75))
    for name in DISTRACTORS:
        # Yellow to blue: none of the reds and pinks of the tasks' own things.
        shade = rng.uniform(0.14, 0.72), rng.uniform(0.5, 1.0), rng.uniform(0.4, 0.9)
        model.geom(name).rgba[:3] = colorsys.hsv_to_rgb(*shade)
    direction = np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.7, 0.7), -1.0])
    model.light(KEY_LIGHT).dir[:] = direction / np.linalg.norm(direction)
    model.camera("front").pos[:] = np.array(handling.front.eye_m) + rng.uniform(-0.01, 0.01, 3)


def knock_camera(
    model: mujoco.MjModel, name: str, rng: np.random.Generator, *, shift_m: float, turn_rad: float
) -> None:
    """Move a camera, by its name in the model, so far in any direction, and turn it by so much about any axis."""
    camera = model.camera(name).id
    model.cam_pos[camera] += shift_m * _direction(rng)
    turn = Rotation.from_rotvec(turn_rad * _direction(rng))
    model.cam_quat[camera] = (turn * Rotation.from_quat(model.cam_quat[camera], scalar_first=True)).as_quat(
        scalar_first=True
    )


def _direction(rng: np.random.Generator) -> np.ndarray:
    drawn = rng.standard_normal(3)
    return drawn / np.linalg.norm(drawn)


def copy_look(source: mujoco.MjModel, target: mujoco.MjModel) -> None:
    """Give `target`, the same world compiled with other meshes, the colours and the light that `source` has now."""
    for index in range(source.ngeom):
        if name := source.geom(index).name:
            target.geom(name).rgba[:] = source.geom_rgba[index]
    direction = source.light(KEY_LIGHT).dir
    target.light(KEY_LIGHT).dir[:] = direction
    # Shadows are cast within a square about the light's position: aim its middle at the work area.
    target.light(KEY_LIGHT).pos[:] = np.array([*CENTRE_M, 0.0]) - 2.0 * direction / np.linalg.norm(direction)


def scatter(rng: np.random.Generator, count: int, taken_m: list[np.ndarray]) -> list[np.ndarray]:
    """Places on the table for distractors, each of shape (2,), metres: apart from `taken_m` and from each other."""
    places: list[np.ndarray] = []
    while len(places) < count:
        place = np.array(CENTRE_M) + rng.uniform((-0.14, -0.20), (0.14, 0.20))
        # The open hand is 16 cm across: nearer than 11 cm it would push the distractor while it grasps.
        free = all(np.linalg.norm(place - other) > 0.11 for other in taken_m)
        if free and all(np.linalg.norm(place - other) > 0.07 for other in places):
            places.append(place)
    return places


def _set_options(spec: mujoco.MjSpec, detailed: bool) -> None:
    option = spec.option
    option.timestep = 0.002
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # Elliptic cones, impratio and noslip together keep a held cube from creeping out of the grip.
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10.0
    option.noslip_iterations = 5
    # Without this the near plane grows with the room and the wrist camera sees through the hand.
    spec.stat.extent = 1.0
    spec.stat.center = [CENTRE_M[0], CENTRE_M[1], 0.1]
    quality = spec.visual.quality
    quality.offsamples = 4 if detailed else 0
    quality.shadowsize = 4096 if detailed else 512
    spec.visual.map.shadowclip = 1.2
    spec.visual.map.znear = 0.01
    spec.visual.headlight.ambient = [0.2 if detailed else 0.35] * 3
    spec.visual.headlight.diffuse = [0.2 if detailed else 0.25] * 3
    spec.visual.headlight.specular = [0.0, 0.0, 0.0]
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1920, 1080


def _furnish(spec: mujoco.MjSpec, detailed: bool) -> None:
    world = spec.worldbody
    if detailed:
        spec.add_texture(
            name="sky",
            type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
            rgb1=[0.80, 0.86, 0.92],
            rgb2=[0.45, 0.52, 0.60],
            width=256,
            height=256,
        )
    # The floor lies well below the table top: coplanar faces flicker in the picture.
    world.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[3, 3, 0.1], pos=[0, 0, -0.75], rgba=[0.32, 0.35, 0.38, 1]
    )
    world.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.60, 0.60, 0.03],
        pos=[0.35, 0, -0.03],
        rgba=_TABLE_RGBA,
        friction=[0.5, 0.02, 1e-4],
        condim=4,
        **CONTACT,
    )
    light: dict[str, Any] = {"type": mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, "specular": [0.1] * 3}
    world.add_light(
        name=KEY_LIGHT, pos=[0.8, -0.4, 2.0], dir=_KEY_DIRECTION, diffuse=[0.55] * 3, castshadow=detailed, **light
    )
    world.add_light(
        name="fill", pos=[0.5, 1.0, 2.0], dir=[0.1, -0.6, -0.8], diffuse=[0.15] * 3, castshadow=False, **light
    )


def _add_camera(parent: Any, name: str, view: View) -> None:
    """Add a camera to a body or frame, its picture's up nearest to +z or +x of that."""
    backward = np.subtract(view.eye_m, view.looks_at_m)
    backward = backward / np.linalg.norm(backward)
    up = np.array([1.0, 0.0, 0.0]) if abs(backward[2]) > 0.8 else np.array([0.0, 0.0, 1.0])
    right = np.cross(up, backward)
    right = right / np.linalg.norm(right)
    parent.add_camera(name=name, pos=view.eye_m, xyaxes=[*right, *np.cross(backward, right)], fovy=view.fovy_deg)
