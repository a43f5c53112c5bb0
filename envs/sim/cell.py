"""A simulated workcell: the arm, its two cameras, and the things of one task on the table."""

# MuJoCo's compiled module comes without type stubs.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Mapping
from dataclasses import replace

import mujoco
import numpy as np

from envs.guard import Vitals
from envs.sim import scene
from envs.sim.controller import OperationalSpaceController
from envs.sim.panda import ARM_JOINTS, FINGER_BODIES, FINGER_OPEN_M, JOINT_ZEROS_RAD, TOOL_SITE
from envs.sim.rendering import Pictures
from envs.tabletop import (
    LIMITS,
    PERIOD_S,
    RATE_HZ,
    TOOL_ROTATION,
    TabletopTask,
    proprio_spec,
    upright,
)
from wire.specs import ArraySpec
from wire.types import Action, Observation

ARM_DOFS = len(ARM_JOINTS)
"""The arm comes first in qpos, qvel and ctrl; then the two fingers; then the task's things."""
HOME_RAD = (0.0, -0.1008, 0.0, -2.4482, 0.0003, 0.7774, 0.0003)
"""Joint positions at the start of an episode: the tool points down from HOME_M, above the middle of the work area."""
HOME_M = (0.47, 0.0, 0.20)
SUBSTEPS_PER_TICK = 5
SETTLING_PERIODS = 2
"""How long the hand takes hold of what is in it from the start, before the episode begins."""
PEOPLE_SIZE = (480, 360)
"""Width and height of the picture for people, pixels."""

# This arm breaks nothing, and what the guard refuses is not learned from: here a policy may find out that pressing on
# the table leads nowhere. A cell in real time has the limit that a robot has.
FORCELESS = replace(LIMITS, max_force_n=None)


class SimCell:
    """The Workcell over MuJoCo.

    Observations: `proprio` always; with obs=state also `object`, the task's things; with obs=pixels instead the uint8
    images `front` and `wrist`. Without pixels no renderer exists and no GL library is needed.
    """

    kind = "sim"
    robot = "panda"
    rate_hz = RATE_HZ
    action_frame = "base"
    arm_limits = FORCELESS
    stopper: str | None = None
    shows = tuple(scene.CAMERAS)
    """What `show` can show."""

    def __init__(
        self, task: TabletopTask, *, obs: str = "state", scene_name: str = "plain", image_size: int = 64
    ) -> None:
        """Build the cell.

        Args:
            task: Whose things stand on the table.
            obs: pixels, state or proprio (see envs.config).
            scene_name: plain, or varied: new shades, light, camera shift and distractors in every episode.
            image_size: Width and height of the camera images, pixels.

        Raises:
            GraphicsUnavailableError: Where obs is pixels and no GL library works here.
            RuntimeError: Where the robot's model files are not installed.
        """
        self._task, self._handling = task, task.handling
        self.action, self.action_names = task.handling.action, task.handling.action_names
        self.limits = task.handling.narrow(self.arm_limits)
        self._varied = scene_name == "varied"
        self.model = self._compile()
        self.data = mujoco.MjData(self.model)
        joints = tuple(f"{scene.ARM}{name}" for name in ARM_JOINTS)
        self._controller = OperationalSpaceController(
            self.model, f"{scene.ARM}{TOOL_SITE}", joints, np.array(HOME_RAD), task.handling
        )
        self._tool = self.model.site(f"{scene.ARM}{TOOL_SITE}").id
        self._is_arm = np.array([self.model.body(i).name.startswith(scene.ARM) for i in range(self.model.nbody)])
        self._finger_bodies = [self.model.body(f"{scene.ARM}{name}").id for name in FINGER_BODIES]
        self._pictures = Pictures(self.model, width=image_size, height=image_size) if obs == "pixels" else None
        self._for_judge: Pictures | None = None
        self._people: tuple[Pictures, mujoco.MjModel, mujoco.MjData] | None = None
        frame = ArraySpec(shape=(image_size, image_size, 3), dtype="uint8", unit="sRGB")
        seen = {"state": {"object": task.object}, "pixels": dict.fromkeys(scene.CAMERAS, frame), "proprio": {}}
        self._obs = obs
        self.observation: dict[str, ArraySpec] = {**seen[obs], "proprio": proprio_spec(ARM_DOFS)}
        self.restart({}, {}, np.random.default_rng(0))

    def _compile(self, *, detailed: bool = False) -> mujoco.MjModel:
        world = scene.world_spec(self._handling, varied=self._varied, detailed=detailed)
        self._task.furnish(scene.SimTable(world))
        return world.compile()

    def restart(self, places: dict[str, np.ndarray], hues: dict[str, float], rng: np.random.Generator) -> None:
        """Bring the arm home, and the task's things to their places.

        Args:
            places: Name of a body -> its pose: position and unit quaternion (w first), shape (7,), metres, base frame.
            hues: Name of a thing -> hue in [0, 1): it gets another shade of it in every episode of the varied scene.
            rng: Decides what varies between episodes in the varied scene; the plain scene draws nothing.
        """
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:9] = [*HOME_RAD, FINGER_OPEN_M, FINGER_OPEN_M]
        self._gripper = 1.0 if self._handling.held is None else -1.0
        self._command_fingers()
        self._peak_force_n = 0.0
        for name, pose in places.items():
            self._place(name, pose)
        self._hues = hues
        if self._varied:
            self.change_look(rng, [pose[:2] for pose in places.values()])
        mujoco.mj_forward(self.model, self.data)
        self._controller.reset(self.data)
        if self._handling.held in places:
            self._take_hold(self._handling.held)
        self._standing = True

    def change_look(self, rng: np.random.Generator, taken_m: list[np.ndarray]) -> None:
        """Draw anew what the varied scene varies; distractors keep away from `taken_m`, places of shape (2,)."""
        scene.vary(self.model, self._handling, self._hues, rng)
        for name, xy in zip(scene.DISTRACTORS, scene.scatter(rng, len(scene.DISTRACTORS), taken_m), strict=True):
            self._place(name, upright(xy, scene.DISTRACTOR_HALF_M, rng.uniform(0.0, np.pi / 2)))

    def shift(self, name: str, xy: np.ndarray) -> None:
        """Put a thing elsewhere at its height, `xy` of shape (2,), metres, base frame; it is there after kinematics."""
        body = self.model.body(name)
        place = self.data.mocap_pos[body.mocapid[0]] if body.mocapid[0] >= 0 else self.data.joint(name).qpos
        place[:2] = xy

    def _take_hold(self, name: str) -> None:
        """Shut the hand on the thing between its pads, and let both come to rest."""
        half_m = float(self.model.geom(name).size[1])
        self.data.qpos[ARM_DOFS : ARM_DOFS + 2] = half_m
        for _ in range(SETTLING_PERIODS):
            self._simulate_period()
        self.data.qvel[:] = 0.0
        mujoco.mj_forward(self.model, self.data)
        self._controller.stop(self.data)

    def observe(self) -> Observation:
        """The latest senses, as fresh arrays that the caller may keep."""
        data = self.data
        proprio = [*(data.qpos[:ARM_DOFS] + JOINT_ZEROS_RAD), self.finger_width(), *self.tool_position(), self._gripper]
        senses = {"proprio": np.array(proprio, np.float32)}
        if self._obs == "state":
            return {"object": self._task.object_state(self).astype(np.float32), **senses}
        if self._pictures is None:
            return senses
        return {name: self._pictures.take(data, camera) for name, camera in scene.CAMERAS.items()} | senses

    def show(self, frames: Mapping[str, tuple[int, ...]]) -> Observation:
        """Frames that are no observation, by name of the camera, in these shapes: for a judge that sees more."""
        found: Observation = {}
        for name, shape in frames.items():
            if self._for_judge is None or self._for_judge.size != (shape[1], shape[0]):
                self._close_for_judge()
                self._for_judge = Pictures(self.model, width=shape[1], height=shape[0])
            found[name] = self._for_judge.take(self.data, scene.CAMERAS[name])
        return found

    def command(self, action: Action) -> None:
        """Set the target of the coming control period from a guarded action in [-1, 1], as `action` describes it."""
        self._controller.move(self._handling.metres_per_unit * np.asarray(action[:3], np.float64))
        if self._handling.held is None:
            self._gripper = float(action[3])
            self._command_fingers()
        self._standing = self._standing and not np.any(action[:3])

    def _command_fingers(self) -> None:
        self.data.ctrl[ARM_DOFS:] = FINGER_OPEN_M * (1.0 + self._gripper) / 2.0

    def advance(self) -> None:
        """Let one control period pass."""
        self._simulate_period()

    def _simulate_period(self) -> None:
        ticks = self.ticks_per_period()
        self._peak_force_n = 0.0
        for tick in range(ticks):
            # Where the target is now, not at the end of the 10 ms: half the lag, and no overshoot into the table.
            self.integrate(tick / ticks)
        # Positions of bodies and contacts lag by one substep until this.
        mujoco.mj_forward(self.model, self.data)
        self._controller.arrive(self.data)

    def ticks_per_period(self) -> int:
        """How many times 10 ms a control period takes."""
        return round(PERIOD_S / (self.model.opt.timestep * SUBSTEPS_PER_TICK))

    def integrate(self, fraction: float, period_s: float = PERIOD_S) -> None:
        """Let 10 ms pass from a `fraction` of the way to the target on, which is covered in `period_s`."""
        felt_n = []
        for done in range(0, SUBSTEPS_PER_TICK, self._handling.substeps_per_torque):
            ahead = done * self.model.opt.timestep / period_s
            self.data.ctrl[:ARM_DOFS] = self._controller.torques(self.data, fraction + ahead, period_s)
            substeps = min(self._handling.substeps_per_torque, SUBSTEPS_PER_TICK - done)
            mujoco.mj_step(self.model, self.data, substeps)
            if self._handling.held is not None:
                felt_n.append(self.force_n())
        if felt_n:
            self._peak_force_n = max(self._peak_force_n, float(np.mean(felt_n)))

    def hold(self) -> None:
        """Stay where the robot is from now on, until the next command; the gripper keeps its last command."""
        # Once only: taking the measured position as the target again and again would let the arm creep.
        if not self._standing:
            self._controller.stop(self.data)
            self._standing = True

    def vitals(self) -> Vitals:
        """The force, where it is limited; simulated senses are never stale, for nothing moves while we think."""
        return Vitals(force_n=None if self.limits.max_force_n is None else self.force_n())

    def halted(self) -> str:
        """Nobody else can reach a simulation in this process."""
        return ""

    def force_n(self) -> float:
        """Size of the sum of all contact forces between the arm and its surroundings, newtons.

        What the two fingers squeeze cancels out, as it does for a sensor in the wrist.
        """
        sides = self._is_arm[self.model.geom_bodyid[self.data.contact.geom]]
        total, wrench = np.zeros(3), np.zeros(6)
        for index in np.flatnonzero(sides[:, 0] != sides[:, 1]):
            mujoco.mj_contactForce(self.model, self.data, index, wrench)
            force = wrench[:3] @ self.data.contact.frame[index].reshape(3, 3)
            total += force if sides[index, 1] else -force
        return float(np.linalg.norm(total))

    def target_position(self) -> np.ndarray:
        """Commanded position of the tool centre point, shape (3,), metres, base frame."""
        return self._controller.target.copy()

    def tool_rotation(self) -> np.ndarray:
        """The tool's axes as columns in the base frame, shape (3, 3)."""
        return np.array(TOOL_ROTATION)

    def tool_position(self) -> np.ndarray:
        """Actual position of the tool centre point, shape (3,), metres, base frame."""
        return self.data.site_xpos[self._tool].copy()

    def finger_width(self) -> float:
        """Distance between the finger pads, metres."""
        return float(self.data.qpos[7] + self.data.qpos[8])

    def body_position(self, name: str) -> np.ndarray:
        """Position of a thing on the table, shape (3,), metres, base frame."""
        return self.data.body(name).xpos.copy()

    def body_rotation(self, name: str) -> np.ndarray:
        """Rotation matrix of a thing on the table, shape (3, 3), its axes as columns in the base frame."""
        return self.data.body(name).xmat.reshape(3, 3).copy()

    def things(self) -> list[str]:
        """Names of what can be put somewhere."""
        bodies = [self.model.body(index) for index in range(self.model.nbody)]
        free = self.model.jnt_type == mujoco.mjtJoint.mjJNT_FREE
        return [body.name for body in bodies if body.mocapid[0] >= 0 or free[self.model.jnt_bodyid == body.id].any()]

    def fingers_touching(self, name: str) -> int:
        """How many of the two fingers touch a thing."""
        bodies = self.model.geom_bodyid[self.data.contact.geom]
        touching = bodies[(bodies == self.model.body(name).id).any(axis=1)]
        return sum(bool((touching == finger).any()) for finger in self._finger_bodies)

    def penetration_m(self, name: str) -> float:
        """How deep a thing and what it touches have sunk into each other, metres."""
        touching = (self.model.geom_bodyid[self.data.contact.geom] == self.model.body(name).id).any(axis=1)
        return float(max(0.0, -self.data.contact.dist[touching].min(initial=0.0)))

    def peak_force_n(self) -> float:
        """Largest mean of `force_n` over 10 ms in the last control period; of tasks with something in the hand only."""
        return self._peak_force_n

    def picture(self, width: int = PEOPLE_SIZE[0], height: int = PEOPLE_SIZE[1]) -> np.ndarray:
        """A picture for people, uint8 of shape (height, width, 3): visual meshes, shadows, a camera that sees it all.

        Raises:
            GraphicsUnavailableError: Where no GL library works here.
        """
        if self._people is None or self._people[0].size != (width, height):
            self._close_people()
            model = self._compile(detailed=True)
            pictures = Pictures(model, width=width, height=height, detailed=True)
            self._people = pictures, model, mujoco.MjData(model)
        pictures, model, data = self._people
        scene.copy_look(self.model, model)
        data.qpos[:], data.mocap_pos[:] = self.data.qpos, self.data.mocap_pos
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        return pictures.take(data, "people")

    def close(self) -> None:
        """Release the renderers; safe to call twice."""
        if self._pictures is not None:
            self._pictures.close()
        self._close_for_judge()
        self._close_people()

    def _close_for_judge(self) -> None:
        if self._for_judge is not None:
            self._for_judge.close()
            self._for_judge = None

    def _close_people(self) -> None:
        if self._people is not None:
            self._people[0].close()
            self._people = None

    def _place(self, name: str, pose: np.ndarray) -> None:
        body = self.model.body(name)
        if body.mocapid[0] >= 0:
            self.data.mocap_pos[body.mocapid[0]] = pose[:3]
        else:
            self.data.joint(name).qpos[:] = pose
