"""Make the SDK of RealSense cameras importable, for tests on a machine without one. `make test` runs it once.

Its wheel takes libusb from the system. Where that is missing, Debian's package of it is unpacked into `.usb/` of this
checkout, which needs no rights; where that fails too, the tests of RealSense cameras skip and say why. A machine with
such a camera should have the package itself: `apt install libusb-1.0-0`.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from debian import apt_own_lists, last_line, library_path, unpack

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["libusb-1.0-0"]


def complaint(libraries: str = "") -> str:
    """What importing the SDK says in a process that finds these libraries too; empty: it works."""
    found = ":".join(filter(None, [libraries, os.environ.get("LD_LIBRARY_PATH")]))
    command = [sys.executable, "-c", "import pyrealsense2"]
    done = subprocess.run(command, env={**os.environ, "LD_LIBRARY_PATH": found}, capture_output=True, text=True)
    return "" if done.returncode == 0 else last_line(done.stderr) or f"exit status {done.returncode}"


def unpacked(prefix: Path) -> str:
    """The libraries below `prefix`, unpacked there where they are not; raises RuntimeError saying why that failed."""
    failure = complaint(library_path(prefix))
    if failure and not shutil.which("apt-get"):
        failure = "there is no apt-get here"
    elif failure:
        state = prefix / "apt"
        # The system's lists first: they are there wherever something was installed, and fetching ours takes seconds.
        failure = unpack(PACKAGES, prefix, [])
        if failure:
            failure = unpack(PACKAGES, prefix, apt_own_lists(state))
        shutil.rmtree(state, ignore_errors=True)
        failure = failure or complaint(library_path(prefix))
    if failure:
        shutil.rmtree(prefix, ignore_errors=True)
        raise RuntimeError(failure)
    return library_path(prefix)


def main() -> int:
    """Write a file for `sh` that sets LD_LIBRARY_PATH, if it is needed; 0 even where the SDK cannot be imported."""
    parser = argparse.ArgumentParser(description="Make the SDK of RealSense cameras importable.")
    parser.add_argument("--out", type=Path, default=Path(sys.prefix) / "cameras.env", help="the file to write")
    parser.add_argument("--prefix", type=Path, default=ROOT / ".usb", help="where to unpack libusb")
    args = parser.parse_args()
    lines = ["# Written by scripts/setup_cameras.py; delete it to have the machine looked at again."]
    failure = complaint()
    if failure:
        try:
            libraries = shlex.quote(unpacked(args.prefix))
            lines.append(f"LD_LIBRARY_PATH={libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}")
            print(f"cameras: libusb is in {args.prefix}")
        except RuntimeError as error:
            print(f"cameras: pyrealsense2 cannot be imported ({failure}), nor libusb fetched ({error}).")
            print("         The tests of RealSense cameras will skip. With one: apt install libusb-1.0-0")
    args.out.write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
