"""Libraries from Debian packages, unpacked into a folder of ours: it needs no rights and changes nothing else."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path


def run(command: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command without a terminal, its output kept for the one who asks why."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    return subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def apt_own_lists(state: Path) -> list[str]:
    """apt's options for fresh package lists in a folder of ours; none, for the system's own, where that fails."""
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (state / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::State::lists={state / 'lists'}", "-o", f"Dir::Cache={state / 'cache'}"]
    return options if run(["apt-get", *options, "update"]).returncode == 0 else []


def unpack(packages: Sequence[str], prefix: Path, apt_options: Sequence[str]) -> str:
    """Download what an installation would add (never libc, which is there) and unpack it without installing.

    Returns:
        Why that failed; empty: it did not.
    """
    plan = run(["apt-get", *apt_options, "install", "--simulate", "--no-install-recommends", *packages])
    missing = sorted({line.split()[1] for line in plan.stdout.splitlines() if line.startswith("Inst ")} - {"libc6"})
    if plan.returncode != 0 or not missing:
        return last_line(plan.stderr) or "nothing is missing, and still it does not work"
    debs = prefix / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    done = run(["apt-get", *apt_options, "download", *missing], cwd=debs)
    if done.returncode != 0:
        return last_line(done.stderr) or "download failed"
    unpacked = all(run(["dpkg-deb", "-x", str(deb), str(prefix)]).returncode == 0 for deb in debs.glob("*.deb"))
    shutil.rmtree(debs)
    return "" if unpacked else "a package could not be unpacked"


def library_path(prefix: Path) -> str:
    """LD_LIBRARY_PATH of what was unpacked; empty where nothing was."""
    return ":".join(sorted({str(file.parent) for file in prefix.glob("usr/lib/*/*.so*")}))


def last_line(text: str) -> str:
    """What a program said in the end."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
