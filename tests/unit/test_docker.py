"""What can be known of the images without building them: what they copy, install and start is there."""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
IMAGES = sorted(DOCKER.glob("*.Dockerfile"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
NODES = ROOT / "ros2_ws/src/handrail_nodes/handrail_nodes"


def with_defaults(text):
    """${NAME:-default} as compose reads it where nothing is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


COMPOSE = msgspec.yaml.decode(with_defaults((DOCKER / "compose.yaml").read_text()))
SERVICES = COMPOSE["services"]


def instructions(image):
    """Word -> what follows it, for each instruction."""
    text = re.sub(r"^\s*#.*\n", "", image.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]


def sent(path):
    """Whether .dockerignore lets a path of the checkout into an image; the last pattern that fits decides."""
    decision = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        above = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
        if any(fnmatch.fnmatch(each, pattern) or fnmatch.fnmatch(f"/{each}", pattern) for each in above):
            decision = line.startswith("!")
    return decision


def test_there_are_the_images_that_the_documentation_names():
    assert [image.name for image in IMAGES] == ["actor.Dockerfile", "ci.Dockerfile", "learner.Dockerfile"]


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.stem)
def test_what_is_copied_exists_and_is_sent_to_the_builder(image):
    for word, rest in instructions(image):
        assert word != "ADD"
        for source in rest.split()[:-1] if word == "COPY" else []:
            assert (ROOT / source).exists()
            assert source == "." or sent(source)


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.stem)
def test_every_path_of_the_checkout_that_an_image_names_is_in_it(image):
    for path in re.findall(r"\bsrc/([\w./-]+)", image.read_text()):
        assert (ROOT / path).exists(), path
        assert sent(path), path


def test_no_key_and_no_run_ever_enters_an_image():
    for path in (
        "keys/robot.key_secret",
        "wire/robot.key_secret",
        "runs/now/steps.sqlite",
        ".venv/bin/python",
        ".git/config",
    ):
        assert not sent(path), path
    assert not sent("actor/outbox.sqlite")


def test_everything_that_is_installed_is_sent():
    packages = {name for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"] if "." not in name}
    for name in packages & {path.name for path in ROOT.iterdir()}:
        assert sent(f"{name}/__init__.py"), name
    named = [PROJECT["project"]["readme"], *PROJECT["project"]["license-files"], "pyproject.toml", "constraints.txt"]
    for name in [*named, "ros2_ws/src/handrail_nodes/setup.py"]:
        assert sent(name), name


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.stem)
def test_every_extra_exists_and_every_installation_is_constrained(image):
    text = " ".join(" ".join(each) for each in instructions(image))
    built = [each["build"] for each in SERVICES.values() if each["build"]["dockerfile"].endswith(image.name)]
    given = [build["args"]["EXTRAS"] for build in built if "EXTRAS" in build["args"]]
    for extras in [*re.findall(r"ARG EXTRAS=(\S+)", text), *given, *re.findall(r"\./src\[([a-z,]+)\]", text)]:
        assert set(extras.split(",")) <= EXTRAS.keys()
    assert text.count("pip install") == text.count("-c src/constraints.txt") == text.count("--no-cache-dir")
    arguments = set(re.findall(r"ARG (\w+)=", text))
    for build in built:
        assert set(build["args"]) <= arguments


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.stem)
def test_nothing_runs_as_root(image):
    assert [rest for word, rest in instructions(image) if word == "USER"] == ["${UID}"]


def test_the_entry_point_can_be_executed():
    assert os.access(DOCKER / "entrypoint.sh", os.X_OK)
    subprocess.run(["bash", "-n", DOCKER / "entrypoint.sh"], check=True)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_mounts_the_keys_read_only_and_keeps_its_runs(name):
    service = SERVICES[name]
    assert (ROOT / "docker" / service["build"]["context"] / service["build"]["dockerfile"]).resolve().is_file()
    volumes = [volume.rsplit(":", 2) for volume in service["volumes"]]
    assert ["~/.config/handrail/keys", "/keys", "ro"] in volumes
    assert ["runs", "/data/runs"] in volumes
    assert "runs" in COMPOSE["volumes"]
    assert service["network_mode"] == "host"
    assert service["init"] is True


@pytest.mark.parametrize("name", [name for name in SERVICES if "--ros-args" in SERVICES[name]["command"]])
def test_every_node_that_a_service_starts_takes_its_parameters(name):
    command = SERVICES[name]["command"]
    module = command[command.index("-m") + 1].removeprefix("handrail_nodes.")
    # By their text: there is ROS in the image, and need not be here. A camera's are also those of its configuration.
    sources = "".join(file.read_text() for file in (NODES / f"{module}.py", ROOT / "envs/cameras/config.py"))
    assert command[:2] == ["python3", "-m"], "`ros2 run` would keep the signals of `docker stop` from the node"
    for word in command[command.index("--ros-args") + 1 :]:
        assert word == "-p" or f"\n    {word.split(':=')[0]}: " in sources


@pytest.mark.process
@pytest.mark.parametrize("name", ["actor", "learner"])
def test_the_front_door_knows_every_key_that_a_service_sets(name):
    words = SERVICES[name]["command"]
    command = words[1:] if words[0] == "handrail" else words
    run = [sys.executable, "-m", "handrail.cli", *command, "--cfg", "job"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_images_pass_hadolint():
    here = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    if (hadolint := shutil.which("hadolint", path=here)) is None:
        pytest.skip("hadolint is not installed: its wheel is for x86-64 Linux")
    done = subprocess.run(
        [hadolint, "-c", DOCKER / "hadolint.yaml", *IMAGES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
