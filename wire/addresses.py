"""Addresses of the link: which of them leave this machine."""

import ipaddress

from wire.errors import UserError


class LinkError(UserError, OSError):
    """An address cannot be used, or the link has ended; the text names the cure."""


def require_secure(address: str, *, keyed: bool, insecure: bool) -> None:
    """Raise LinkError where an address that is not protected would leave this machine."""
    if not keyed and not insecure and not is_local(address):
        raise LinkError(
            f"{address} leaves this machine and the link has no keys: make them with handrail keys new, set "
            "link.insecure=true on a network you trust, or bind tcp://127.0.0.1 and forward the port with ssh"
        )


def is_local(address: str) -> bool:
    """Whether nobody off this machine can be reached, or can come, at an address."""
    scheme, _, rest = address.partition("://")
    if scheme in ("ipc", "inproc"):
        return True
    host = rest.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
