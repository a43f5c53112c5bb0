"""The checks that every file gets, whatever its language; pre-commit passes the names."""

import sys
from pathlib import Path

LIMIT_BYTES = 1_000_000  # Git keeps every version for ever.
MERGE_MARKS = (b"<<<<<<< ", b">>>>>>> ")


def complaints(path: Path) -> list[str]:
    """What is wrong with one file, as `name:line: what`."""
    if path.is_symlink() or not path.is_file():
        return []
    content = path.read_bytes()
    found = [f"{path}: {len(content)} bytes; keep large files out of git"] if len(content) > LIMIT_BYTES else []
    if b"\0" in content or not content or path.suffix == ".bin":
        return found
    for number, line in enumerate(content.splitlines(), start=1):
        if line.startswith(MERGE_MARKS):
            found.append(f"{path}:{number}: merge mark")
        if line != line.rstrip() and path.suffix not in (".md", ".patch"):
            found.append(f"{path}:{number}: space at the end of the line")
    if not content.endswith(b"\n"):
        found.append(f"{path}: no newline at the end")
    return found


if __name__ == "__main__":
    found = [complaint for name in sys.argv[1:] for complaint in complaints(Path(name))]
    print(*found, sep="\n", end="\n" if found else "")
    raise SystemExit(bool(found))
