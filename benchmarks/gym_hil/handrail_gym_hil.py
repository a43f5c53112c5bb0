"""The pick-cube task of gym-hil as a benchmark: its simulation, controller and success criterion, our conventions.

Importing this module registers `handrail_gym_hil/PickCube-v0`. Read with gym-hil 0.1.14 (`gym_hil/envs`, Apache-2.0).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from gym_hil import GymRenderingSpec, MujocoGymEnv
from gym_hil.envs import PandaPickCubeGymEnv
from gym_hil.mujoco_gym_env import MAX_GRIPPER_COMMAND

from envs.experts import Corrector, Expert, NoisyExpert, StuckCorrector
from wire.types import Action

METRES_PER_UNIT = 0.025
MAX_EPISODE_STEPS = 50
_GRIPPER, _TOOL = 14, slice(15, 18)
"""Where in gym-hil's `agent_pos` the gripper command and the tool are."""
_PICTURE = GymRenderingSpec(height=360, width=480, camera_id="front")


class _Built(Exception):
    """All of a simulation is set up but its renderer and what belongs to the task."""


class _Simulation(PandaPickCubeGymEnv):
    """gym-hil's own environment, except that it opens no renderer, which would need a GL library, until asked to."""

    def __init__(self) -> None:
        try:
            # Its sparse reward asks for the height alone, so that a cube flung up counts; its dense one for a grasp.
            super().__init__(random_block_position=True, reward_type="dense", render_spec=_PICTURE)
        except _Built:
            self._random_block_position = True
            self._block_z = self.model.geom("block").size[2]

    def _setup_action_space(self) -> None:
        """The base class calls this right before it opens the renderer."""
        raise _Built

    def picture(self) -> np.ndarray:
        """The front camera."""
        return MujocoGymEnv.render(self)


class PickCube(gymnasium.Env[np.ndarray, np.ndarray]):
    """Lift the cube by more than 10 cm, its centre within 5 cm of the tool centre point; 10 Hz, reward 0 or 1.

    Action, shape (4,), in [-1, 1]: the tool's target moves by 25 mm per unit along x, y and z of the base frame; the
    gripper's by the full stroke per unit, +1 shuts and -1 opens it, whatever it was, 0 leaves it. This is what
    gym-hil's own EEActionWrapper makes of its actions, with 1 taken from the fourth.

    Observation, shape (24,), float32: joint angles [7] rad, joint velocities [7] rad/s, gripper command (0 open,
    1 shut), tool [3] m, cube [3] m, cube from tool [3] m. How far the fingers have come is not observed.

    An episode ends with reward 0 where the cube leaves its area by more than 5 cm.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    return_bounds = (0.0, 1.0)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (24,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)
        self._sim = _Simulation()
        model = self._sim.model
        self._cube = model.geom("block").id
        self._cube_rests_m = float(model.geom("block").size[2])
        self._pads = [{model.geom(f"{side}_pad{part}").id for part in (1, 2)} for side in ("left", "right")]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode with the cube anywhere in gym-hil's area of 20 x 30 cm; `seed` decides where."""
        super().reset(seed=seed)
        with _global_seed(int(self.np_random.integers(2**32))):
            observation, _ = self._sim.reset()
        return _flat(observation), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Carry out an action for 0.1 s."""
        x, y, z = METRES_PER_UNIT * np.asarray(action[:3], np.float64)
        observation, _, terminated, _, info = self._sim.step(np.array([x, y, z, 0.0, 0.0, 0.0, action[3]]))
        success = bool(info["succeed"])
        return _flat(observation), float(success), terminated, False, {"success": success}

    def render(self) -> np.ndarray:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A picture for people, uint8 of shape (360, 480, 3)."""
        return self._sim.picture()

    def close(self) -> None:
        """Close the renderer, where there is one."""
        self._sim.close()

    def expert(self, rng: np.random.Generator, noise: float = 0.0) -> Expert:
        """A script that picks the cube up; `noise` is the sigma of Gaussian noise on xyz, in action units."""
        expert = PickCubeExpert(self)
        return NoisyExpert(expert, rng, noise, dims=3) if noise else expert

    def corrector(self, rng: np.random.Generator) -> Corrector:
        """Somebody who helps a policy that comes no nearer to the cube, or does not lift it."""
        return StuckCorrector(PickCubeExpert(self), self.progress_m, rng)

    def tool(self) -> np.ndarray:
        """Tool centre point, shape (3,), metres, base frame."""
        return self._sim.data.sensor("2f85/pinch_pos").data.copy()

    def target(self) -> np.ndarray:
        """Where the controller is to bring the tool, shape (3,), metres, base frame."""
        return self._sim.data.mocap_pos[0].copy()

    def cube(self) -> np.ndarray:
        """Centre of the cube, shape (3,), metres, base frame."""
        return self._sim.data.sensor("block_pos").data.copy()

    def held(self) -> bool:
        """Whether both fingers touch the cube."""
        touching = {int(geom) for pair in self._sim.data.contact.geom if self._cube in pair for geom in pair}
        return all(pads & touching for pads in self._pads)

    def shut(self) -> bool:
        """Whether the gripper was last told to shut."""
        return bool(self._sim.get_gripper_pose()[0] > 0.5 * MAX_GRIPPER_COMMAND)

    def progress_m(self) -> float:
        """Potential of the task, metres: nearer to the cube is better, lifted by both fingers is better still."""
        cube = self.cube()
        near = -float(np.linalg.norm(cube - self.tool()))
        return near + (2.0 * max(0.0, float(cube[2] - self._cube_rests_m)) if self.held() else 0.0)


class PickCubeExpert:
    """Open, come down over the cube, shut, lift. It looks at the state alone, so it can take over anywhere."""

    ALIGNED_M = 0.010
    GRASP_M = 0.010
    HOVER_M = 0.06

    def __init__(self, env: PickCube) -> None:
        self._env = env

    def begin_episode(self) -> None:
        """Forget the last episode; there is nothing to forget."""

    def propose(self) -> Action:
        """The next move; the gripper is told to open or to shut."""
        env = self._env
        cube = env.cube()
        if env.shut() and env.held():
            return _move(np.array([0.0, 0.0, METRES_PER_UNIT]), gripper=1.0)
        offset = cube - env.tool()
        aside = float(np.linalg.norm(offset[:2]))
        # Fingers that are shutting already go on, though a shaky hand has strayed by now.
        slack = 2.0 if env.shut() else 1.0
        if aside < slack * self.ALIGNED_M and abs(offset[2]) < slack * self.GRASP_M:
            return _move(cube - env.target(), gripper=1.0)
        # Down a cone onto the cube: from the side its fingers would push it away.
        height = min(self.HOVER_M, max(0.0, 2.0 * (aside - self.ALIGNED_M)))
        return _move(cube + np.array([0.0, 0.0, height]) - env.target(), gripper=-1.0)


def _move(metres: np.ndarray, *, gripper: float) -> Action:
    return np.array([*np.clip(metres / METRES_PER_UNIT, -1.0, 1.0), gripper], np.float32)


def _flat(observation: dict[str, np.ndarray]) -> np.ndarray:
    robot, cube = observation["agent_pos"].copy(), observation["environment_state"]
    robot[_GRIPPER] /= MAX_GRIPPER_COMMAND
    return np.concatenate([robot, cube, cube - robot[_TOOL]]).astype(np.float32)


@contextmanager
def _global_seed(seed: int) -> Iterator[None]:
    """NumPy's global generator, which gym-hil draws from, seeded for a while."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


gymnasium.register(
    "handrail_gym_hil/PickCube-v0", entry_point="handrail_gym_hil:PickCube", max_episode_steps=MAX_EPISODE_STEPS
)
