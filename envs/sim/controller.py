"""Operational-space control of the arm: joint torques that carry the tool along a straight line, pointing down."""

# MuJoCo's compiled module comes without type stubs.
# pyright: reportAttributeAccessIssue=false

import mujoco
import numpy as np

from envs.tabletop import Handling, shorten

POSTURE_STIFFNESS = 10.0
"""Pull towards the home posture in the null space, 1/s^2: it decides where the elbow is, never where the tool is."""


class OperationalSpaceController:
    """Turns a moving tool target into joint torques: tau = J' L (a_tool - J a_posture) + M a_posture + bias.

    L = (J M^-1 J')^-1 is the inertia that the tool feels. The target moves at constant speed over a control period and
    its velocity is fed forward; without that the tool lags by 16 mm at full speed.
    """

    def __init__(
        self, model: mujoco.MjModel, site: str, joints: tuple[str, ...], posture: np.ndarray, handling: Handling
    ) -> None:
        """Control `joints` so that `site` follows the target; `posture` holds their preferred angles, radians."""
        self._model = model
        self._handling = handling
        self._site = model.site(site).id
        self._qpos = np.array([model.joint(name).qposadr[0] for name in joints])
        self._dofs = np.array([model.joint(name).dofadr[0] for name in joints])
        self._posture = np.asarray(posture, np.float64)
        self._jacobian = np.zeros((6, model.nv))
        self._minv_jt = np.zeros((6, model.nv))
        self._acceleration = np.zeros(model.nv)
        self._inertial = np.zeros(model.nv)
        self._orientation_error = np.zeros(3)
        self.target = np.zeros(3)
        """Where the tool shall be at the end of the period, shape (3,), metres, base frame."""
        self._start = np.zeros(3)
        self._orientation = np.zeros(4)

    def reset(self, data: mujoco.MjData) -> None:
        """Take the present pose of the tool as its target, orientation included."""
        mujoco.mju_mat2Quat(self._orientation, data.site_xmat[self._site])
        self.stop(data)

    def stop(self, data: mujoco.MjData) -> None:
        """Stay at the present position of the tool."""
        self.target = data.site_xpos[self._site].copy()
        self._start = self.target

    def move(self, translation: np.ndarray) -> None:
        """Shift the target by `translation`, shape (3,), metres, over the coming period."""
        self._start, self.target = self.target, self.target + translation

    def aim(self, quaternion: np.ndarray) -> None:
        """Turn the tool to an orientation, unit quaternion, w first, base frame."""
        self._orientation[:] = quaternion

    def arrive(self, data: mujoco.MjData) -> None:
        """End the period: the target stands still until the next move, no farther off than the leash."""
        self.target = self._handling.draw_in(self.target, data.site_xpos[self._site])
        self._start = self.target

    def torques(self, data: mujoco.MjData, fraction: float, period_s: float) -> np.ndarray:
        """Joint torques, shape (joints,), newton metres, at a `fraction` of the control period."""
        jacobian = self._jacobian
        mujoco.mj_jacSite(self._model, data, jacobian[:3], jacobian[3:], self._site)
        mujoco.mj_solveM(self._model, data, self._minv_jt, jacobian)
        self._acceleration[self._dofs] = (
            POSTURE_STIFFNESS * (self._posture - data.qpos[self._qpos])
            - 2.0 * np.sqrt(POSTURE_STIFFNESS) * data.qvel[self._dofs]
        )
        mujoco.mj_mulM(self._model, data, self._inertial, self._acceleration)
        wanted = self._tool_acceleration(data, fraction, period_s) - jacobian @ self._acceleration
        force = np.linalg.solve(jacobian @ self._minv_jt.T, wanted)
        return (jacobian.T @ force + self._inertial + data.qfrc_bias)[self._dofs]

    def _tool_acceleration(self, data: mujoco.MjData, fraction: float, period_s: float) -> np.ndarray:
        """Spring and damper between the tool and its moving target, shape (6,): linear, then angular."""
        error, velocity = np.zeros(6), np.zeros(6)
        error[:3] = self._start + fraction * (self.target - self._start) - data.site_xpos[self._site]
        velocity[:3] = (self.target - self._start) / period_s
        present = np.zeros(4)
        mujoco.mju_mat2Quat(present, data.site_xmat[self._site])
        mujoco.mju_subQuat(self._orientation_error, self._orientation, present)
        # subQuat answers in the tool's frame.
        error[3:] = data.site_xmat[self._site].reshape(3, 3) @ self._orientation_error
        stiffness, max_pull_m_s2 = self._handling.stiffness, self._handling.max_pull_m_s2
        wanted = stiffness * error + 2.0 * np.sqrt(stiffness) * (velocity - self._jacobian @ data.qvel)
        if max_pull_m_s2 is not None:
            wanted[:3] = shorten(wanted[:3], max_pull_m_s2)
        return wanted
