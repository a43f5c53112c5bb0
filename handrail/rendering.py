"""Which OpenGL MuJoCo draws with on this machine: probed for real, and remembered beside the environment.

`scripts/setup_rendering.py` finds or installs a back end and writes what it found to `<venv>/rendering.env`. Whoever
starts a process that renders adds `rendering_env()` to that process's environment: LD_LIBRARY_PATH is read by the
loader only when a process starts, so it cannot be set from inside.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ENV_FILE = "rendering.env"
STATE_ONLY = "HANDRAIL_RENDERING"  # "none" in the file: nothing renders here, and the user has been told.

# Draws one lit sphere and looks at the pixels: a back end that starts and paints black counts as broken.
_PROBE = """
import mujoco
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/><camera name='c' pos='0 0 2'/><geom size='.5'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 32, 32) as renderer:
    renderer.update_scene(data, "c")
    assert renderer.render().max() > 0, "the picture is black"
"""


@dataclass(frozen=True)
class ProbeResult:
    """What came of drawing one picture with one back end; `reason` is its last line of error, empty if it worked."""

    backend: str
    works: bool
    reason: str


def has_nvidia_gpu(dev: Path = Path("/dev")) -> bool:
    """Whether the NVIDIA driver is loaded here: only then is EGL likely to draw on a GPU."""
    return (dev / "nvidiactl").exists()


def backends(dev: Path = Path("/dev")) -> list[str]:
    """Back ends worth trying, best first. Without a GPU both are the same rasteriser, and OSMesa needs less."""
    if sys.platform == "darwin":
        return ["cgl"]
    return ["egl", "osmesa"] if has_nvidia_gpu(dev) else ["osmesa", "egl"]


def probe(backend: str, extra: Mapping[str, str] | None = None, timeout_s: float = 60.0) -> ProbeResult:
    """Draw a picture in a process of its own, so that a broken driver takes only that process with it.

    Args:
        backend: a value of MUJOCO_GL: egl, osmesa, glfw or cgl.
        extra: more environment variables, such as LD_LIBRARY_PATH.
        timeout_s: a driver that hangs longer than this does not work.
    """
    env = {**os.environ, **(extra or {}), "MUJOCO_GL": backend, "LP_NUM_THREADS": "0"}
    try:
        # From "/" because MuJoCo may leave a MUJOCO_LOG.TXT in the working directory; -P keeps that off sys.path.
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROBE], env=env, cwd="/", capture_output=True, text=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        return ProbeResult(backend, False, f"no picture within {timeout_s:.0f} s")
    if done.returncode == 0:
        return ProbeResult(backend, True, "")
    return ProbeResult(backend, False, _last_error(done.stderr) or f"exit status {done.returncode}")


def _last_error(stderr: str) -> str:
    """The first traceback's message: later ones come from destructors and only hide it."""
    if "'NoneType' object has no attribute" in stderr:  # PyOpenGL's way of saying that it loaded no library.
        return "its library is not installed"
    for line in stderr.splitlines():
        if line[:1].isalpha() and "Error" in line.split(":")[0]:
            return line.strip()
    lines = stderr.strip().splitlines()
    return lines[-1].strip() if lines else ""


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words and "=" in words[0]:
            name, _, value = words[0].partition("=")
            yield name, value


def rendering_env(prefix: Path | None = None, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables a rendering process needs on this machine; empty where nothing was set up.

    What the user has already set wins, except LD_LIBRARY_PATH, which is put in front of theirs.

    Args:
        prefix: the environment's folder, `sys.prefix` by default.
        base: the environment to be extended, `os.environ` by default.
    """
    base = os.environ if base is None else base
    file = (Path(sys.prefix) if prefix is None else prefix) / ENV_FILE
    if not file.is_file():
        return {}
    found: dict[str, str] = {}
    for name, value in _assignments(file.read_text()):
        theirs = base.get(name, "")
        if name == "LD_LIBRARY_PATH":
            paths = [value, *(p for p in theirs.split(os.pathsep) if p and p != value)]
            found[name] = os.pathsep.join(paths)
        elif not theirs:
            found[name] = value
    return found


def can_render(prefix: Path | None = None) -> bool:
    """Whether the last set-up here found a back end. True where set-up never ran: then trying is the way to know."""
    return rendering_env(prefix, base={}).get(STATE_ONLY) != "none"


def write_env(file: Path, values: Mapping[str, str]) -> None:
    """Write the file in a form that both `sh` and `rendering_env` read."""
    lines = ["# Written by scripts/setup_rendering.py; delete it to have the machine probed again."]
    lines += [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    file.write_text("\n".join(lines) + "\n")
