"""The rooms stay where they are and stay as light as they promise, whatever else is installed here."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = [
    name
    for name in ("wire", "envs", "networks", "rewards", "actor", "learner", "handrail")
    if (ROOT / name / "__init__.py").is_file()
]
HEAVY = ("torch", "jax", "jaxlib", "optax", "mujoco", "rclpy", "gymnasium", "transformers")
CONFIGS = sorted(path for room in ROOMS for path in (ROOT / room).rglob("config.py"))


def module_name(path: Path) -> str:
    """`wire/codec.py` is the module wire.codec."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def heavy_after_importing(modules: list[str]) -> list[str]:
    """What of HEAVY a fresh interpreter has loaded after these imports."""
    code = "import importlib, sys\n"
    code += f"for name in {modules!r}: importlib.import_module(name)\n"
    code += f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_imported_from_this_checkout(room):
    file = importlib.import_module(room).__file__
    assert file is not None
    assert Path(file).resolve() == ROOT / room / "__init__.py"


def test_the_contract_imports_nothing_heavy():
    modules = sorted({module_name(path) for path in (ROOT / "wire").rglob("*.py") if path.name != "__main__.py"})
    assert heavy_after_importing(modules) == []


def test_three_files_alone_touch_zeromq():
    imports = re.compile(r"^\s*(import|from) zmq\b", re.MULTILINE)
    found = {path for room in ROOMS for path in (ROOT / room).rglob("*.py") if imports.search(path.read_text())}
    assert found == {ROOT / "wire" / name for name in ("sockets.py", "zap.py", "keys.py")}


@pytest.mark.parametrize("path", CONFIGS, ids=[module_name(path) for path in CONFIGS])
def test_config_modules_import_nothing_heavy(path):
    assert heavy_after_importing([module_name(path)]) == []


def test_the_front_door_imports_nothing_heavy():
    modules = sorted(
        {module_name(path) for path in (ROOT / "handrail").rglob("*.py") if path.name not in ("__main__.py",)}
    )
    assert heavy_after_importing(modules) == []


def test_what_a_robot_imports_of_rewards_is_light():
    """The actor and the learner may use these; import-linter holds that they can never lead to torch."""
    light = ("config", "score", "decide", "episodes", "relabel", "models", "sheet")
    assert heavy_after_importing([f"rewards.{name}" for name in light]) == []
    assert heavy_after_importing(["actor.judging", "rewards.client"]) == ["gymnasium"]


def test_what_simulates_and_learns_is_installed_without_torch():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted, seen = ["actor", "sim", "learner"], set()
    while wanted:
        name = wanted.pop()
        seen.add(name)
        for line in extras[name]:
            assert not line.startswith("torch")
            wanted += [extra for extra in re.findall(r"[a-z]+", line.partition("[")[2]) if extra not in seen]


def test_the_archive_imports_nothing_heavy():
    files = [path for path in (ROOT / "learner" / "archive").rglob("*.py") if path.name != "__main__.py"]
    assert heavy_after_importing(sorted(map(module_name, files))) == []


def test_a_heavy_import_would_be_found():
    assert heavy_after_importing(["gymnasium"]) == ["gymnasium"]


@pytest.mark.parametrize("folder", ["tests", "launch", "docker", "benchmarks", "scripts"])
def test_folders_that_are_no_packages_have_no_init(folder):
    assert not list((ROOT / folder).rglob("__init__.py")), f"{folder}/ would shadow a package of the same name"


def test_the_ros_workspace_holds_packages_of_its_own_names_only():
    found = {path.parent.relative_to(ROOT / "ros2_ws/src") for path in (ROOT / "ros2_ws").rglob("__init__.py")}
    assert all(path.parts == (path.parts[0],) * 2 and path.parts[0].startswith("handrail_") for path in found), found


def test_every_room_is_under_the_import_contracts():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(settings["tool"]["importlinter"]["root_packages"]) == set(ROOMS)
    assert set(settings["tool"]["setuptools"]["packages"]["find"]["include"]) >= set(ROOMS)
    assert set(settings["tool"]["pyright"]["include"]) >= set(ROOMS)


def test_every_top_level_package_is_a_known_room():
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert found == set(ROOMS)


def test_prints_are_lints_business():
    """Ruff's T20 keeps prints out of the rooms; this holds only that nobody turns it off for a room."""
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "T20" in lint["select"]
    excused = {pattern.split("/")[0] for pattern, rules in lint["per-file-ignores"].items() if "T20" in rules}
    assert not excused & set(ROOMS)


def test_constraints_pin_one_exact_version_each():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(line.count("==") == 1 and "://" not in line and " " not in line for line in lines)
    names = [line.split("==")[0].lower().replace("_", "-") for line in lines]
    assert len(names) == len(set(names))
