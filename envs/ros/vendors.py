"""Messages that come with a robot's driver, not from PyPI: imported only where a robot's file asks for them."""

import importlib
from typing import Any

from wire.errors import UserError

_PACKAGES = {
    "control_msgs": "control-msgs",
    "franka_msgs": "franka-msgs",
    "controller_manager_msgs": "controller-manager-msgs",
}


class VendorMissingError(UserError, RuntimeError):
    """A driver's messages are not installed."""


def vendor(module: str, name: str) -> Any:
    """The message, service or action `name` of a vendor's `module`, e.g. control_msgs.action.

    Raises:
        VendorMissingError: Where it is not installed; says how to install it.
    """
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        package = module.partition(".")[0]
        debian = _PACKAGES.get(package, package.replace("_", "-"))
        raise VendorMissingError(
            f"the robot's file needs {module}.{name}, which is not installed: apt install ros-$ROS_DISTRO-{debian}, or "
            "build the driver's workspace, then source its setup.bash"
        ) from error
