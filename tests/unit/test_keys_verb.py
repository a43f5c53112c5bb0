"""`handrail keys`: the set-up story of a lab, one line copied each way, and what is said where it goes wrong."""

import re
from pathlib import Path

import pytest

from handrail import cli
from wire.addresses import LinkError
from wire.allowed import ALLOWED, AllowList
from wire.errors import UserError
from wire.keys import KeyProblem, actor_keys, load_pair


class Machine:
    """A machine with its own folder of keys, and somebody who types there."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def types(self, line: str) -> str:
        self._monkeypatch.setenv("HANDRAIL_KEYS", str(self.folder))
        assert line.split()[0] == "handrail"
        assert cli.run(line.split()[1:]) == 0
        out, err = self._capsys.readouterr()
        return out + err


@pytest.fixture
def machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[Machine, Machine]:
    monkeypatch.setattr(cli, "stop_on_sigterm", lambda: None)
    monkeypatch.chdir(tmp_path)
    return Machine(tmp_path / "gpu", monkeypatch, capsys), Machine(tmp_path / "robot", monkeypatch, capsys)


def line_in(text: str) -> str:
    """The one line that is to be copied."""
    (line,) = re.findall(r"^ {2}(handrail keys .*)$", text, flags=re.MULTILINE)
    return line


def test_a_lab_is_set_up_by_copying_one_line_each_way(machines: tuple[Machine, Machine]):
    gpu, robot = machines
    to_robot = line_in(gpu.types("handrail keys new learner"))
    to_gpu = line_in(robot.types(to_robot))
    assert f"robot-1 is allowed, in {gpu.folder / ALLOWED}" in gpu.types(to_gpu)
    keys = actor_keys(robot.folder)
    assert keys.own.name == "robot-1"
    assert keys.learner == load_pair(gpu.folder, "learner").public
    assert AllowList(gpu.folder / ALLOWED).names == {keys.own.public: "robot-1"}
    assert gpu.types(to_gpu) == "robot-1 is allowed already.\n"


def test_show_prints_the_lines_again_and_never_a_private_key(machines: tuple[Machine, Machine]):
    gpu, robot = machines
    assert "none: run handrail keys new learner beside the GPU" in gpu.types("handrail keys show")
    to_robot = line_in(gpu.types("handrail keys new learner"))
    to_gpu = line_in(robot.types(to_robot))
    gpu.types(to_gpu)
    here, there = gpu.types("handrail keys show"), robot.types("handrail keys show")
    assert line_in(here) == to_robot
    assert line_in(there) == to_gpu
    assert re.search(r"let in by the learner here:\n  robot-1 +hrpub_", here)
    assert re.search(r"  learner +hrpub_\S+  \(trusted by actors here\)", there)
    for machine, name in ((gpu, "learner"), (robot, "robot-1")):
        assert load_pair(machine.folder, name).private not in here + there


def test_show_names_a_key_that_cannot_be_used(machines: tuple[Machine, Machine]):
    gpu, _ = machines
    gpu.types("handrail keys new learner")
    (gpu.folder / "learner.key").chmod(0o644)
    assert f"unusable: {gpu.folder / 'learner.key'} has mode 0644: others may read it" in gpu.types(
        "handrail keys show"
    )


def test_revoking_says_how_to_undo_it(machines: tuple[Machine, Machine]):
    gpu, robot = machines
    gpu.types(line_in(robot.types(line_in(gpu.types("handrail keys new learner")))))
    said = gpu.types("handrail keys revoke robot-1")
    assert "puts it out within 5 s" in said
    assert AllowList(gpu.folder / ALLOWED).names == {}
    gpu.types(said.splitlines()[-1].partition(": ")[2])
    assert list(AllowList(gpu.folder / ALLOWED).names.values()) == ["robot-1"]


def test_a_second_robot_that_took_the_same_name_does_not_put_the_first_one_out(
    machines: tuple[Machine, Machine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    gpu, robot = machines
    to_robot = line_in(gpu.types("handrail keys new learner"))
    gpu.types(line_in(robot.types(to_robot)))
    other = line_in(Machine(tmp_path / "other", monkeypatch, capsys).types(to_robot))
    with pytest.raises(KeyProblem, match=r"robot-1 has another key already: .* or give this one another name"):
        gpu.types(other)


def test_a_robot_that_does_not_know_its_learner_is_told_how_to(machines: tuple[Machine, Machine]):
    gpu, robot = machines
    said = robot.types("handrail keys new robot-1")
    assert "run `handrail keys allow learner <public key>` here" in said
    gpu.types("handrail keys new learner")
    public = load_pair(gpu.folder, "learner").public
    robot.types(f"handrail keys allow learner {public}")
    assert actor_keys(robot.folder).learner == public


def test_allowing_where_there_is_no_learner_asks_whether_this_is_the_right_machine(machines: tuple[Machine, Machine]):
    _, robot = machines
    said = robot.types("handrail keys new robot-1")
    assert "did you mean to run this on the learner's?" in robot.types(line_in(said))


def test_help_shows_the_whole_story(machines: tuple[Machine, Machine]):
    for words in ("", " --help", " -h", " help", " new --help"):
        said = machines[0].types("handrail keys" + words)
        for verb in ("new", "allow", "revoke", "show"):
            assert f"\n  {verb} " in said
        assert max(map(len, said.splitlines())) <= 120


def settings_of(words: str, own: str | None = None) -> object:
    """What the room would be told; nothing is started."""
    from handrail import linking, settings, values
    from handrail.compose import compose_verb

    verb, *rest = words.split()
    config = compose_verb(verb, rest)
    if verb == "actor":
        judge = own or (config.reward if values.is_address(config.reward) else None)
        told = settings.actor_settings(config, learner=config.learner, outbox=Path("o"), judge=judge)
        return linking.with_actor_keys(told, config.link, own=own)
    told = settings.learner_settings(config, run=Path("r"), bind=config.bind, demos=None)
    return linking.with_learner_keys(told, config.link)


def test_rooms_are_told_where_the_keys_are_exactly_where_the_link_leaves_the_machine(
    machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
):
    gpu, robot = machines
    gpu.types(line_in(robot.types(line_in(gpu.types("handrail keys new learner")))))
    monkeypatch.setenv("HANDRAIL_KEYS", str(robot.folder))
    away = settings_of("actor learner=tcp://gpu:5555")
    assert (away.keys, away.key, away.insecure) == (str(robot.folder), "robot-1", False)  # type: ignore[attr-defined]
    here = settings_of("actor learner=tcp://127.0.0.1:5555")
    assert (here.keys, here.key, here.insecure) == (None, None, False)  # type: ignore[attr-defined]
    tunnelled = settings_of("actor learner=tcp://127.0.0.1:5555 reward=tcp://gpu:5556")
    assert (tunnelled.keys, tunnelled.key) == (str(robot.folder), "robot-1")  # type: ignore[attr-defined]
    beside = settings_of("actor learner=tcp://127.0.0.1:5555 reward=tcp://127.0.0.1:5556")
    assert beside.keys is None  # type: ignore[attr-defined]
    asked = settings_of(f"actor learner=tcp://127.0.0.1:5555 link.keys={robot.folder}")
    assert asked.keys == str(robot.folder)  # type: ignore[attr-defined]
    insecure = settings_of("actor learner=tcp://gpu:5555 link.insecure=true")
    assert (insecure.keys, insecure.insecure) == (None, True)  # type: ignore[attr-defined]
    monkeypatch.setenv("HANDRAIL_KEYS", str(gpu.folder))
    assert settings_of("learner bind=tcp://0.0.0.0:5555").keys == str(gpu.folder)  # type: ignore[attr-defined]
    assert settings_of("learner").keys is None  # type: ignore[attr-defined]


def test_a_link_that_stays_on_the_machine_has_no_keys_beside_one_that_leaves_it(
    machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
):
    gpu, robot = machines
    gpu.types(line_in(robot.types(line_in(gpu.types("handrail keys new learner")))))
    monkeypatch.setenv("HANDRAIL_KEYS", str(robot.folder))
    own, away, policy = "tcp://127.0.0.1:7001", "tcp://gpu:5555", "tcp://127.0.0.1:5557"
    assert settings_of(f"actor learner={away} reward=tcp://127.0.0.1:5556").keyed == (away,)  # type: ignore[attr-defined]
    assert settings_of(f"actor learner={away} reward=tcp://gpu:5556").keyed == (away, "tcp://gpu:5556")  # type: ignore[attr-defined]
    assert settings_of(f"actor learner={away}", own).keyed == (away,)  # type: ignore[attr-defined]
    tunnel = f"actor learner=tcp://127.0.0.1:5555 reward={policy} link.keys={robot.folder}"
    assert settings_of(tunnel).keyed == ("tcp://127.0.0.1:5555", policy), "keys that were named are of every link"  # type: ignore[attr-defined]
    named = settings_of(f"actor learner={away} link.keys={robot.folder}", own)
    assert named.keyed == (away,), "but not of the service that is started here"  # type: ignore[attr-defined]


def test_a_learner_that_nobody_may_reach_is_started_and_told_what_to_do_next(
    machines: tuple[Machine, Machine], capsys: pytest.CaptureFixture[str]
):
    to_robot = line_in(machines[0].types("handrail keys new learner"))
    settings_of("learner bind=tcp://0.0.0.0:5555")
    said = capsys.readouterr().err
    assert "No actor is allowed yet." in said
    assert line_in(said) == to_robot


def test_a_world_readable_key_stops_the_verb_with_the_cure(machines: tuple[Machine, Machine]):
    machines[0].types("handrail keys new learner")
    path = machines[0].folder / "learner.key"
    path.chmod(0o644)
    with pytest.raises(UserError, match=rf"has mode 0644: .* chmod 600 {path}; or set link\.insecure=true"):
        settings_of("learner bind=tcp://0.0.0.0:5555")


def test_the_room_itself_refuses_an_address_that_leaves_without_keys(tmp_path: Path):
    from wire.sockets import ActorSocket, LearnerSocket

    for make in (ActorSocket, LearnerSocket):
        with pytest.raises(LinkError, match="handrail keys new"):
            make("tcp://192.0.2.7:5555")
