"""Make MuJoCo render without a display, and write down how. `make sim` and `make test` run it once.

Tried in this order, and each claim is proven by drawing a picture in a process of its own:

1. what is there: EGL on an NVIDIA GPU, else OSMesa, else EGL in software;
2. the system's packages, with `apt-get` as root, or through `sudo` where it asks for no password;
3. the same packages unpacked into `.gl/` of this checkout, which needs no rights at all;
4. nothing: state observations work all the same, pixels do not, and this says so.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from debian import apt_own_lists, last_line, library_path, run, unpack

from handrail.rendering import STATE_ONLY, backends, probe, write_env

ROOT = Path(__file__).resolve().parent.parent
# OSMesa left Mesa with 25.1, so newer distributions have only software EGL; libgl1 brings the drivers with it.
PACKAGES = {"osmesa": ["libosmesa6"], "egl": ["libegl1", "libgl1"]}


def say(text: str) -> None:
    """One line of progress, at once."""
    print(f"rendering: {text}", flush=True)


def first_working(candidates: Iterable[str], extra: dict[str, str] | None = None) -> dict[str, str] | None:
    """The variables for the first back end that draws, or None."""
    for backend in candidates:
        result = probe(backend, extra)
        if result.works:
            return {"MUJOCO_GL": backend, "LP_NUM_THREADS": "0", **(extra or {})}
        say(f"{backend} does not draw: {result.reason}")
    return None


def with_system_packages(become_root: Sequence[str]) -> dict[str, str] | None:
    """Install with apt and probe again. `become_root` is empty for root, `sudo -n` for others."""
    update = run([*become_root, "apt-get", "update"])
    if update.returncode != 0 and become_root and not update.stdout.strip():
        return None  # sudo wants a password: nothing ran.
    for backend, packages in PACKAGES.items():
        say(f"apt-get install {' '.join(packages)}")
        done = run([*become_root, "apt-get", "install", "--yes", "--no-install-recommends", *packages])
        if done.returncode == 0:
            found = first_working([backend])
            if found:
                return found
        else:
            say(last_line(done.stderr) or last_line(done.stdout) or "apt-get failed")
    return None


def without_rights(prefix: Path) -> dict[str, str] | None:
    """Unpack the packages that are missing into `prefix`; the loader is pointed there by LD_LIBRARY_PATH."""
    apt_state = prefix / "apt"
    apt_options = apt_own_lists(apt_state)
    if not apt_options:
        say("apt-get update without rights failed; going by the system's own package lists")
    for backend, packages in PACKAGES.items():
        say(f"unpacking {' '.join(packages)} into {prefix} (no rights needed, about 200 MB)")
        failure = unpack(packages, prefix, apt_options)
        if failure:
            say(failure)
            continue
        found = first_working([backend], prefix_variables(prefix))
        if found:
            shutil.rmtree(apt_state, ignore_errors=True)
            return found
    shutil.rmtree(prefix, ignore_errors=True)
    return None


def prefix_variables(prefix: Path) -> dict[str, str]:
    """Where the loader, Mesa's drivers and the EGL vendor files are found below `prefix`."""
    drivers = sorted(str(folder) for folder in prefix.glob("usr/lib/*/dri"))
    variables = {"LD_LIBRARY_PATH": library_path(prefix)}
    if drivers:
        variables["LIBGL_DRIVERS_PATH"] = ":".join(drivers)
    vendors = prefix / "usr/share/glvnd/egl_vendor.d"
    if vendors.is_dir():
        variables["__EGL_VENDOR_LIBRARY_DIRS"] = str(vendors)
    return variables


def find_or_install(prefix: Path) -> dict[str, str]:
    """All routes in order; the last one is to render nothing."""
    wanted = os.environ.get("MUJOCO_GL")
    found = first_working(dict.fromkeys([wanted, *backends()] if wanted else backends()))
    if found is None and any(prefix.glob("usr/lib/*/*.so*")):
        found = first_working(PACKAGES, prefix_variables(prefix))
    if found is None and shutil.which("apt-get"):
        if os.geteuid() == 0:
            found = with_system_packages([])
        else:
            if shutil.which("sudo"):
                found = with_system_packages(["sudo", "-n"])
            found = found or without_rights(prefix)
    return found or {STATE_ONLY: "none"}


CURE = """\
rendering: nothing draws on this machine, so only obs=state will work (handrail sim obs=state).
           To have pixels, install OSMesa or EGL and run `rm -f .venv/rendering.env` and the same command again:
             Debian, Ubuntu   sudo apt-get install libosmesa6     (newer: libegl1 libgl1)
             Fedora, RHEL     sudo dnf install mesa-libOSMesa     (newer: mesa-libEGL mesa-dri-drivers)
             NVIDIA GPU       the driver's own EGL library, libEGL_nvidia.so"""


def main() -> int:
    """Write the file named on the command line; 0 even for state only, since the simulation runs with it."""
    parser = argparse.ArgumentParser(description="Make MuJoCo render without a display, and write down how.")
    parser.add_argument("--out", type=Path, default=Path(sys.prefix) / "rendering.env", help="the file to write")
    parser.add_argument("--prefix", type=Path, default=ROOT / ".gl", help="where to unpack without rights")
    args = parser.parse_args()
    values = find_or_install(args.prefix)
    write_env(args.out, values)
    if STATE_ONLY in values:
        print(CURE, file=sys.stderr)
    else:
        say(f"MuJoCo draws with {values['MUJOCO_GL']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
