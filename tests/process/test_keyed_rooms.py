"""The link off the machine, with keys, as two people at two machines set it up: real commands, real processes."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from front_door import SMALL, Command, archived, free_address, until

pytestmark = pytest.mark.process


class Machine:
    """A folder of keys of its own; the working folder is shared."""

    def __init__(self, keys: Path, folder: Path) -> None:
        self.keys, self.folder = keys, folder
        self.commands: list[Command] = []

    def start(self, *words: str) -> Command:
        before = os.environ.get("HANDRAIL_KEYS")
        os.environ["HANDRAIL_KEYS"] = str(self.keys)
        try:
            self.commands.append(Command(self.folder, *words))
        finally:
            os.environ.pop("HANDRAIL_KEYS")
            if before is not None:
                os.environ["HANDRAIL_KEYS"] = before
        return self.commands[-1]

    def types(self, line: str) -> str:
        command = self.start(*line.split()[1:])
        assert command.ends() == 0, command.said
        return command.said


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    both = tuple(Machine(tmp_path / name / "keys", tmp_path) for name in ("gpu", "robot"))
    yield both[0], both[1]
    for command in [command for machine in both for command in machine.commands]:
        if command.process.poll() is None:
            command.kill_rooms()


def line_in(text: str) -> str:
    """The one line that is to be copied."""
    (line,) = re.findall(r"^ {2}(handrail keys .*)$", text, flags=re.MULTILINE)
    return line


def test_a_robot_delivers_with_its_key_is_put_out_when_revoked_and_comes_back(
    machines: tuple[Machine, Machine], tmp_path: Path
):
    gpu, robot = machines
    to_gpu = line_in(robot.types(line_in(gpu.types("handrail keys new learner"))))
    address, run = free_address().replace("127.0.0.1", "0.0.0.0"), tmp_path / "r"
    learner = gpu.start("learner", *SMALL, f"bind={address}", "run=r", "steps=1000000")
    actor = robot.start("actor", *SMALL[:2], f"learner={address.replace('0.0.0.0', '127.0.0.1')}", "human=script",
                        f"link.keys={robot.keys}")  # fmt: skip
    until(lambda: "the learner does not let this key in" in actor.said, actor)
    assert to_gpu in actor.said
    gpu.types(to_gpu)
    until(lambda: len(archived(run)) > 20, actor)
    gpu.types("handrail keys revoke robot-1")
    until(lambda: actor.said.count("the learner does not let this key in") > 2, actor)
    known = len(archived(run))
    gpu.types(to_gpu)
    until(lambda: len(archived(run)) > known + 20, actor)
    assert learner.process.poll() is None
    private = [path.read_text().split()[-1] for path in (gpu.keys / "learner.key", robot.keys / "robot-1.key")]
    for path in [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".key"]:
        assert not any(secret.encode() in path.read_bytes() for secret in private), f"{path} holds a private key"
    actor.interrupt()
    assert actor.ends(30) == 130
    learner.interrupt()
    assert learner.ends(30) == 130
