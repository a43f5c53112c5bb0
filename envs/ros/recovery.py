"""How an arm is made ready: its controllers, and its return after a stop of its own (a reflex, a protective stop)."""

from typing import Any

from rclpy.action.client import ActionClient
from rclpy.node import Node

from envs.ros.config import RobotConfig
from envs.ros.services import FOUND_S, ServiceError, Services
from envs.ros.vendors import vendor

FRANKA_ACTION = "/action_server/error_recovery"
UR_DASHBOARD = "/dashboard_client"
_UR_CALLS = ("close_safety_popup", "unlock_protective_stop", "play")


def activate_controllers(services: Services, robot: RobotConfig) -> None:
    """Switch the controllers on that the robot's file names.

    Raises:
        ServiceError: Where the controller manager does not answer or refuses.
        VendorMissingError: Where its messages are not installed.
    """
    if not robot.controllers:
        return
    kind = vendor("controller_manager_msgs.srv", "SwitchController")
    request = kind.Request(activate_controllers=list(robot.controllers), strictness=kind.Request.BEST_EFFORT)
    answer = services.call(kind, f"{robot.controller_manager}/switch_controller", request)
    if not answer.ok:
        names = ", ".join(robot.controllers)
        raise ServiceError(f"the controller manager did not switch {names} on; ros2 control list_controllers tells why")


def recover(node: Node, services: Services, robot: RobotConfig) -> None:
    """Bring the arm back, in its vendor's way; harmless where nothing had stopped it.

    Raises:
        ServiceError: Where the robot does not answer or refuses.
        VendorMissingError: Where the vendor's messages are not installed.
    """
    match robot.recovery:
        case "trigger":
            services.trigger(robot.recovery_name)
        case "ur":
            for call in _UR_CALLS:
                services.trigger(f"{robot.recovery_name or UR_DASHBOARD}/{call}")
        case "franka":
            _act(node, services, vendor("franka_msgs.action", "ErrorRecovery"), robot.recovery_name or FRANKA_ACTION)


def _act(node: Node, services: Services, kind: Any, name: str) -> None:
    client = ActionClient(node, kind, name)
    try:
        if not client.wait_for_server(FOUND_S):
            raise ServiceError(f"nobody offers the action {name}; start the robot's driver, or set recovery_name")
        handle: Any = services.result(client.send_goal_async(kind.Goal()), name)
        if handle is None or not handle.accepted:
            raise ServiceError(f"{name} did not take the goal; look at the robot's own display")
        services.result(handle.get_result_async(), name)
    finally:
        client.destroy()
