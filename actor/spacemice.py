"""Which USB devices are SpaceMice, and who may open them; plain Python, because the doctor of a bare machine asks."""

VENDOR, OLD_VENDOR = 0x256F, 0x046D
"""3Dconnexion, and Logitech, which sold them before and sells much else."""
MODELS = {
    (OLD_VENDOR, 0xC626): "SpaceNavigator",
    (OLD_VENDOR, 0xC627): "SpaceExplorer",
    (OLD_VENDOR, 0xC628): "SpaceNavigator for Notebooks",
    (OLD_VENDOR, 0xC629): "SpacePilot Pro",
    (OLD_VENDOR, 0xC62B): "SpaceMouse Pro",
    (VENDOR, 0xC62E): "SpaceMouse Wireless (cabled)",
    (VENDOR, 0xC62F): "SpaceMouse Wireless",
    (VENDOR, 0xC631): "SpaceMouse Pro Wireless (cabled)",
    (VENDOR, 0xC632): "SpaceMouse Pro Wireless",
    (VENDOR, 0xC633): "SpaceMouse Enterprise",
    (VENDOR, 0xC635): "SpaceMouse Compact",
    (VENDOR, 0xC638): "SpaceMouse Pro Wireless (Bluetooth)",
    (VENDOR, 0xC63A): "SpaceMouse Wireless (new)",
    (VENDOR, 0xC652): "Universal Receiver",
}
"""(vendor, product) -> name, for people; whatever else of the vendor is a multi-axis controller is taken, too."""
_WHO = 'MODE="0660", GROUP="plugdev", TAG+="uaccess"'
_OLD_PRODUCTS = "|".join(f"{product:04x}" for vendor, product in MODELS if vendor == OLD_VENDOR)
UDEV_RULE = (
    f'SUBSYSTEM=="hidraw", ATTRS{{idVendor}}=="{VENDOR:04x}", {_WHO}',
    f'SUBSYSTEM=="hidraw", ATTRS{{idVendor}}=="{OLD_VENDOR:04x}", ATTRS{{idProduct}}=="{_OLD_PRODUCTS}", {_WHO}',
)
"""The lines of ros2_ws/src/handrail_bringup/udev/70-handrail-spacemouse.rules, for who has not that file."""


def is_spacemouse(vendor: int, product: int) -> bool:
    """Whether these USB ids belong to a SpaceMouse; of its vendor everything may be one."""
    return vendor == VENDOR or (vendor, product) in MODELS
