"""`python -m envs.ros.recover <folder>.part ...`: complete recordings whose recorder was killed."""

import sys
from pathlib import Path

from envs.ros.bags import RecordingError, StandardTypes, recover
from wire.errors import run_main


def main() -> None:
    """Recover each folder that was named."""
    parts = sys.argv[1:]
    if not parts:
        raise RecordingError("name the unfinished recordings: python -m envs.ros.recover <folder>.part ...")
    types = StandardTypes()
    for part in parts:
        sys.stdout.write(f"{recover(Path(part), types)}\n")


if __name__ == "__main__":
    sys.exit(run_main(main))
