"""`handrail doctor`: what of this machine Handrail can use, and what to do about the rest.

Every line is a real probe, not a guess from version numbers. What may be broken in a way that takes a process down (GPU
and rendering drivers, ROS) is tried in a process of its own. Only Python, the packages of the simulation and a writable
disk are needed for the simulation to run; everything else is a warning with a cure.
"""

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from actor.spacemice import UDEV_RULE, is_spacemouse
from handrail.rendering import backends, probe, rendering_env

SIM_PACKAGES = ("numpy", "msgspec", "zmq", "jax", "optax", "gymnasium", "gymnasium_robotics", "mujoco", "hydra")
LINK_PORT = 5555
NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "lustre", "beegfs", "ceph", "afs"})
FREE_SPACE_GB = 10.0  # Almost three hours of two 128 x 128 cameras at 10 Hz, uncompressed.
REALSENSE_VENDOR = "8086"
REALSENSE_PRODUCT = re.compile(r"0[ab][0-9a-f]{2}")


class Mark(StrEnum):
    """How a finding bears on running Handrail here."""

    OK = "ok"
    WARN = "warn"  # Something does not work, and there is another way or a cure.
    FAIL = "fail"  # The simulation cannot run.
    ABSENT = "absent"  # Not here, and needed only by those who have one.


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    mark: Mark
    what: str
    found: str
    do: str = ""


@dataclass(frozen=True)
class Places:
    """Where the system keeps what is looked at; tests pass folders of their own."""

    sys: Path = Path("/sys")
    dev: Path = Path("/dev")
    mounts: Path = Path("/proc/mounts")
    runs: Path = field(default_factory=lambda: Path.cwd() / "runs")


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Python itself, at the version the package asks for."""
    found = ".".join(map(str, version))
    if version >= (3, 11):
        return Finding(Mark.OK, "Python", found)
    return Finding(Mark.FAIL, "Python", found, "Install Python 3.11 or newer, then `make sim`.")


def check_packages(names: tuple[str, ...] = SIM_PACKAGES) -> Finding:
    """Whether the packages of the simulation are there, without importing any of them."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if not missing:
        return Finding(Mark.OK, "Simulation packages", f"all {len(names)}")
    return Finding(
        Mark.FAIL,
        "Simulation packages",
        f"missing: {', '.join(missing)}",
        "pip install -e '.[actor,sim,learner]' -c constraints.txt",
    )


def _python(code: str, timeout_s: float = 60.0) -> tuple[bool, str]:
    """Run code in a fresh interpreter; its last line of output, or of error."""
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return False, f"no answer within {timeout_s:.0f} s"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode == 0, lines[-1].strip() if lines else ""


def check_gpu(places: Places | None = None) -> Finding:
    """What JAX computes on; on a robot's computer the CPU is enough."""
    dev = (places or Places()).dev
    works, answer = _python("import jax; d = jax.devices(); print(d[0].platform, len(d), d[0].device_kind, sep='|')")
    if not works or answer.count("|") != 2:
        return Finding(Mark.FAIL, "JAX", answer, "pip install -e '.[learner]' -c constraints.txt")
    platform, count, kind = answer.split("|")
    if platform != "cpu":
        return Finding(Mark.OK, "JAX", f"{count} x {kind}")
    if (dev / "nvidiactl").exists():
        return Finding(
            Mark.WARN, "JAX", "an NVIDIA driver is here, and JAX uses only the CPU", "pip install 'jax[cuda13]'"
        )
    return Finding(Mark.OK, "JAX", "CPU only: enough for the simulation; a GPU trains from pixels many times faster")


def check_rendering(backend: str) -> Finding:
    """Draw one picture with one back end, with the libraries that `make` set up."""
    result = probe(backend, rendering_env())
    if result.works:
        return Finding(Mark.OK, f"Rendering, {backend}", "draws")
    return Finding(Mark.ABSENT, f"Rendering, {backend}", result.reason)


def judge_rendering(findings: list[Finding]) -> Finding:
    """One back end is enough, and without any there are state observations."""
    works = [finding.what.removeprefix("Rendering, ") for finding in findings if finding.mark is Mark.OK]
    chosen = os.environ.get("MUJOCO_GL") or rendering_env().get("MUJOCO_GL")
    if not works:
        return Finding(
            Mark.WARN,
            "Rendering",
            "nothing draws: only obs=state works",
            "rm -f .venv/rendering.env && make setup, or: apt install libosmesa6",
        )
    if chosen and chosen not in works:
        return Finding(Mark.WARN, "Rendering", f"MUJOCO_GL={chosen} does not draw", f"export MUJOCO_GL={works[0]}")
    if not chosen:
        return Finding(Mark.WARN, "Rendering", "no back end is chosen", f"make setup, or: export MUJOCO_GL={works[0]}")
    return Finding(Mark.OK, "Rendering", f"pixels, by {chosen}")


def check_ros() -> Finding:
    """Whether ROS 2 can be imported, as its Python sees it."""
    if importlib.util.find_spec("rclpy") is None:
        return Finding(
            Mark.ABSENT, "ROS 2", "rclpy is not importable", "For a real robot: source /opt/ros/<distro>/setup.bash"
        )
    works, answer = _python("import os, rclpy; print(os.environ.get('ROS_DISTRO', 'unknown distribution'))")
    if works:
        return Finding(Mark.OK, "ROS 2", answer)
    return Finding(Mark.WARN, "ROS 2", answer, "ROS's Python must be the same version as this one.")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _no_access(node: Path) -> bool:
    return not os.access(node, os.R_OK | os.W_OK)


def check_spacemouse(places: Places | None = None) -> Finding:
    """A SpaceMouse among the hidraw nodes, and whether this user may read it."""
    places = places or Places()
    for entry in sorted((places.sys / "class/hidraw").glob("hidraw*")):
        # HID_ID=0003:0000256F:0000C635, that is bus, vendor, product.
        ids = re.search(r"HID_ID=\w+:0000([0-9A-Fa-f]{4}):0000([0-9A-Fa-f]{4})", _read(entry / "device/uevent"))
        if ids is None or not is_spacemouse(int(ids[1], 16), int(ids[2], 16)):
            continue
        node = places.dev / entry.name
        if _no_access(node):
            rule = "\n".join(UDEV_RULE)
            return Finding(
                Mark.WARN,
                "SpaceMouse",
                f"{node}, which you may not read",
                f"Write to /etc/udev/rules.d/70-spacemouse.rules, then replug:\n{rule}",
            )
        return Finding(Mark.OK, "SpaceMouse", f"{node} ({ids[1]}:{ids[2]})".lower())
    return Finding(Mark.ABSENT, "SpaceMouse", "none", "human=gamepad, keyboard or script work without one")


def check_gamepad(places: Places | None = None) -> Finding:
    """A gamepad: the kernel gives each a js node."""
    places = places or Places()
    nodes = sorted((places.dev / "input").glob("js*"))
    if not nodes:
        return Finding(Mark.ABSENT, "Gamepad", "none")
    name = _read(places.sys / "class/input" / nodes[0].name / "device/name") or "unnamed"
    if _no_access(nodes[0]):
        return Finding(
            Mark.WARN, "Gamepad", f"{name}, which you may not read", "sudo usermod -aG input $USER, then log in again"
        )
    return Finding(Mark.OK, "Gamepad", f"{name} ({nodes[0]})")


def check_realsense(places: Places | None = None) -> Finding:
    """RealSense cameras by USB id, and whether they are on a fast port."""
    places = places or Places()
    cameras = []
    for device in sorted((places.sys / "bus/usb/devices").glob("*")):
        if _read(device / "idVendor") == REALSENSE_VENDOR and REALSENSE_PRODUCT.fullmatch(_read(device / "idProduct")):
            speed = _read(device / "speed")
            cameras.append((_read(device / "product") or "RealSense", speed.isdigit() and int(speed) >= 5000))
    if not cameras:
        return Finding(Mark.ABSENT, "RealSense", "none")
    slow = [name for name, fast in cameras if not fast]
    found = ", ".join(name for name, _ in cameras)
    if slow:
        return Finding(Mark.WARN, "RealSense", f"{found}; on USB 2: {', '.join(slow)}", "Use a USB 3 port and cable.")
    works, answer = _python("import pyrealsense2")
    if not works:
        cure = "apt install libusb-1.0-0" if "libusb" in answer else "pip install -e '.[cameras]' -c constraints.txt"
        return Finding(Mark.WARN, "RealSense", f"{found}, without its driver: {answer}", cure)
    return Finding(Mark.OK, "RealSense", found)


def file_system(path: Path, mounts: Path) -> str:
    """The type of the file system that `path` lies on: the longest mount point that contains it."""
    best, kind = "", "unknown"
    for line in _read(mounts).splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind


def check_disk(places: Places | None = None) -> Finding:
    """Room for runs, on a disk whose locks SQLite can trust."""
    places = places or Places()
    folder = places.runs.absolute()
    while not folder.exists():
        folder = folder.parent
    free_gb = shutil.disk_usage(folder).free / 1e9
    kind = file_system(folder.resolve(), places.mounts)
    found = f"{free_gb:.0f} GB free for {places.runs} ({kind})"
    if _no_access(folder):
        return Finding(Mark.FAIL, "Disk", f"{folder} is not writable", "Start elsewhere, or say run=<folder>.")
    if kind in NETWORK_FILE_SYSTEMS:
        return Finding(Mark.WARN, "Disk", found, "Network locks break SQLite: say run=<folder on a local disk>.")
    if free_gb < FREE_SPACE_GB:
        return Finding(Mark.WARN, "Disk", found, f"Free {FREE_SPACE_GB:.0f} GB: a full disk stops the robot.")
    return Finding(Mark.OK, "Disk", found)


def check_port(port: int = LINK_PORT) -> Finding:
    """Whether a learner could bind the usual port."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", port))
        except OSError as error:
            reason = error.strerror or str(error)
            return Finding(Mark.WARN, "Port", f"{port}: {reason}", "learner bind=tcp://0.0.0.0:<another port>")
    return Finding(Mark.OK, "Port", f"{port} is free for a learner")


def check_keys() -> Finding:
    """The keys of this machine, their permissions, and what a link off this machine would still miss."""
    try:
        from handrail.keys import keys_folder, look_over
    except ImportError as error:
        return Finding(Mark.WARN, "Keys", str(error), "Install what the line of the packages names.")
    found, problems = look_over(keys_folder())
    if problems:
        return Finding(Mark.WARN, "Keys", found, "; ".join(problems))
    if not found:
        do = "Only for a learner on another machine: `handrail keys --help`."
        return Finding(Mark.ABSENT, "Keys", f"none in {keys_folder()}", do)
    return Finding(Mark.OK, "Keys", found)


def examine(places: Places | None = None) -> list[Finding]:
    """All findings, in the order of the report; the slow probes run side by side."""
    places = places or Places()
    tried = [*backends(places.dev)]
    checks: list[Callable[[], Finding]] = [
        check_python,
        check_packages,
        lambda: check_gpu(places),
        *(lambda backend=backend: check_rendering(backend) for backend in tried),
        check_ros,
        lambda: check_spacemouse(places),
        lambda: check_gamepad(places),
        lambda: check_realsense(places),
        lambda: check_disk(places),
        check_port,
        check_keys,
    ]
    with ThreadPoolExecutor(max_workers=4) as pool:
        findings = [future.result() for future in [pool.submit(check) for check in checks]]
    last = 3 + len(tried)
    return [*findings[:last], judge_rendering(findings[3:last]), *findings[last:]]


def can_simulate(findings: list[Finding]) -> bool:
    """Whether `handrail sim` can run here: nothing it needs has failed."""
    return all(finding.mark is not Mark.FAIL for finding in findings)


def _show(findings: list[Finding], verdict: str) -> None:
    """The table for people. Rich is imported here so that `--json` works on the barest machine."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    styles = {Mark.OK: "green", Mark.WARN: "yellow", Mark.FAIL: "bold red", Mark.ABSENT: "dim"}
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        style = styles[finding.mark]
        cells = (finding.mark.value, finding.what, finding.found, finding.do)
        table.add_row(*(Text(cell, style if place == 0 else "") for place, cell in enumerate(cells)))
    console = Console()
    console.print(table)
    console.print(verdict, markup=False, soft_wrap=True)


def run_doctor(as_json: bool) -> int:
    """Examine this machine and say what was found.

    Args:
        as_json: write one JSON document instead of a table.

    Returns:
        The exit status: 0 if the simulation can run here, whatever else is missing; 1 otherwise.
    """
    findings = examine()
    ready = can_simulate(findings)
    if as_json:
        document = {"simulation": ready, "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        verdict = (
            "The simulation can run here." if ready else "The simulation cannot run here: see the lines marked fail."
        )
        _show(findings, verdict)
    return 0 if ready else 1
