"""What every benchmark writes: {name, machine, rows, ratios} as JSON, medians with their spread."""

import json
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median, quantiles
from typing import Any

_PACKAGES = ("handrail", "jax", "numpy", "mujoco")


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, cores, load by others, versions, day."""
    names = [line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith(("model name", "Model name"))]
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name)) is not None},
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, quartiles and minimum, to four significant digits."""
    found = sorted(values)
    low, _, high = quantiles(found, n=4, method="inclusive") if len(found) > 1 else (found[0], 0.0, found[0])
    facts = {"median": median(found), "p25": low, "p75": high, "min": found[0]}
    return {name: float(f"{value:.4g}") for name, value in facts.items()} | {"n": len(found)}


def write(path: Path | None, name: str, rows: list[dict[str, Any]], ratios: dict[str, float], **more: Any) -> None:
    """Print the document and, where a path was given, leave it there."""
    rounded = {label: float(f"{value:.3g}") for label, value in ratios.items()}
    text = json.dumps({"name": name, "machine": machine() | more, "rows": rows, "ratios": rounded}, indent=2)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    for label, value in rounded.items():
        print(f"{value:10.3g}  {label}")


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
