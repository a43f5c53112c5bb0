"""Keys as files: what is written, what is refused, and that every refusal names its cure."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import files, keys
from wire.allowed import AllowList, learner_keys
from wire.files import write_atomically
from wire.keys import PRIVATE, PUBLIC, KeyPair, KeyProblem, actor_keys, decode_key, encode_key, load_pair, make_pair

OTHER = encode_key(bytes(32), PUBLIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "keys"


@pytest.fixture
def pair(folder: Path) -> KeyPair:
    return make_pair(folder, "robot-1")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_pair_is_private_whatever_the_umask_and_is_read_back(folder: Path):
    before = os.umask(0)
    try:
        pair = make_pair(folder, "robot-1")
    finally:
        os.umask(before)
    assert load_pair(folder, "robot-1") == pair
    assert mode(folder / "robot-1.key") == 0o600
    assert mode(folder) == 0o700
    assert (folder / "robot-1.pub").read_text() == f"robot-1 {pair.public}\n"
    assert pair.private not in repr(pair)
    assert sorted(path.name for path in folder.iterdir()) == ["robot-1.key", "robot-1.pub"]


def test_two_pairs_differ_and_the_public_half_follows_from_the_private_one(folder: Path):
    first, second = make_pair(folder, "a"), make_pair(folder, "b")
    assert first.public != second.public
    (folder / "a.pub").unlink()
    assert load_pair(folder, "a") == first


def test_a_key_that_is_there_is_never_overwritten(folder: Path, pair: KeyPair):
    with pytest.raises(KeyProblem, match=r"robot-1 has a key already, in .*move the file away first"):
        make_pair(folder, "robot-1")
    assert load_pair(folder, "robot-1") == pair


@pytest.mark.parametrize("name", ["", "../learner", "Robot", "a b", "a/b", "-rf", "x" * 33, "robot\n"])
def test_a_name_that_is_no_file_name_is_refused(folder: Path, name: str):
    with pytest.raises(KeyProblem, match=r"small letters, digits, dots and dashes, e\.g\. robot-1"):
        make_pair(folder, name)
    assert not folder.exists()


@pytest.mark.parametrize("wrong", [0o604, 0o640, 0o644, 0o660, 0o777, 0o620, 0o601])
def test_a_private_key_that_others_may_touch_is_refused_with_the_command_that_mends_it(
    folder: Path, pair: KeyPair, wrong: int
):
    path = folder / "robot-1.key"
    path.chmod(wrong)
    with pytest.raises(KeyProblem) as refused:
        load_pair(folder, "robot-1")
    assert f"has mode {wrong:04o}: others may read it" in str(refused.value)
    assert str(refused.value).endswith(f"chmod 600 {path}")
    path.chmod(0o600)
    assert load_pair(folder, "robot-1") == pair


def test_a_key_in_a_folder_that_others_may_change_is_refused(folder: Path, pair: KeyPair):
    folder.chmod(0o777)
    with pytest.raises(KeyProblem, match=f"chmod go-w {folder}$"):
        load_pair(folder, "robot-1")


@pytest.mark.parametrize("kept", [0, 1, 40, 100])
def test_a_truncated_private_key_is_named_and_not_shown(folder: Path, pair: KeyPair, kept: int):
    path = folder / "robot-1.key"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(KeyProblem, match="holds no private key") as refused:
        load_pair(folder, "robot-1")
    assert "handrail keys new" in str(refused.value)
    assert pair.private[6:20] not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"\xff\x00" * 40, "got 0 in all"),
        (OTHER.encode(), "this is a public key"),
        (PRIVATE.encode() + b"A" * 48, "fails its checksum"),
        (PRIVATE.encode() + b"?" * 48, "fails its checksum"),
        (b"x" * (keys.LIST_BYTES + 1), "is larger than 65536 bytes"),
    ],
)
def test_a_file_that_holds_no_private_key_says_what_it_holds(folder: Path, pair: KeyPair, text: bytes, what: str):
    (folder / "robot-1.key").write_bytes(text)
    with pytest.raises(KeyProblem, match=what if text[:1] != b"\xff" else "holds no private key"):
        load_pair(folder, "robot-1")


def test_a_missing_key_names_the_command_that_makes_it(folder: Path):
    with pytest.raises(KeyProblem, match=r"there is no .*learner\.key: run handrail keys new learner$"):
        learner_keys(folder)
    with pytest.raises(KeyProblem, match="run handrail keys new learner on the learner's machine, then here what it"):
        actor_keys(folder)
    make_pair(folder, "robot-1")
    with pytest.raises(KeyProblem, match=r"there is no .*learner\.pub: run handrail keys allow learner <public key>"):
        actor_keys(folder)


def test_an_actor_of_several_has_to_say_which(folder: Path, pair: KeyPair):
    learner, second = make_pair(folder, "learner"), make_pair(folder, "robot-2")
    with pytest.raises(KeyProblem, match=r"holds the keys robot-1, robot-2: choose one with link\.name=$"):
        actor_keys(folder)
    assert actor_keys(folder, "robot-2") == keys.ActorKeys(second, learner.public)


def test_a_learners_public_key_that_is_none_is_refused(folder: Path, pair: KeyPair):
    for text in ("", "learner", f"learner {OTHER[:-1]}"):
        (folder / "learner.pub").write_text(text)
        with pytest.raises(KeyProblem, match=r"learner\.pub holds no public key"):
            actor_keys(folder)


def test_a_machine_with_a_learner_trusts_no_other_one_in_the_same_folder(folder: Path):
    learner = make_pair(folder, "learner")
    keys.trust_learner(folder, learner.public)
    with pytest.raises(KeyProblem, match="HANDRAIL_KEYS=<folder>"):
        keys.trust_learner(folder, OTHER)


@given(raw=st.binary(min_size=32, max_size=32), kind=st.sampled_from([PUBLIC, PRIVATE]), data=st.data())
def test_a_key_with_any_one_character_changed_lost_or_added_is_refused(raw: bytes, kind: str, data: st.DataObject):
    text = encode_key(raw, kind)
    assert decode_key(text, kind) == raw
    assert len(text) == 54
    at = data.draw(st.integers(0, len(text) - 1))
    new = data.draw(st.characters().filter(lambda c: c != text[at]))
    for wrong in (text[:at] + new + text[at + 1 :], text[:at] + text[at + 1 :], text[:at] + new + text[at:]):
        with pytest.raises(KeyProblem) as refused:
            decode_key(wrong, kind)
        assert wrong not in str(refused.value)


def test_the_list_keeps_names_comments_and_order_and_gives_up_what_is_revoked(folder: Path, pair: KeyPair):
    allowed = AllowList(folder / "allowed")
    assert allowed.names == {}
    assert allowed.add("robot-1", pair.public)
    assert not allowed.add("robot-1", pair.public)
    with allowed.path.open("a") as file:
        file.write("\n# the one by the window\n")
    assert allowed.add("robot-2", OTHER)
    allowed.refresh()
    assert allowed.names == {pair.public: "robot-1", OTHER: "robot-2"}
    assert mode(allowed.path) == 0o600
    assert allowed.remove("robot-1") == pair.public
    allowed.refresh()
    assert allowed.names == {OTHER: "robot-2"}
    assert "# the one by the window\n" in allowed.path.read_text()


def test_a_public_key_file_can_be_appended_to_the_list_by_hand(folder: Path, pair: KeyPair):
    (folder / "allowed").write_bytes((folder / "robot-1.pub").read_bytes())
    (folder / "allowed").chmod(0o600)
    assert AllowList(folder / "allowed").names == {pair.public: "robot-1"}


def test_a_name_or_a_key_is_allowed_once(folder: Path, pair: KeyPair):
    allowed = AllowList(folder / "allowed")
    allowed.add("robot-1", pair.public)
    with pytest.raises(KeyProblem, match="robot-1 has another key already: handrail keys revoke robot-1, or give this"):
        allowed.add("robot-1", OTHER)
    with pytest.raises(KeyProblem, match="that key is allowed already, as robot-1"):
        allowed.add("robot-2", pair.public)


def test_revoking_a_name_that_is_not_there_suggests_the_near_one(folder: Path, pair: KeyPair):
    allowed = AllowList(folder / "allowed")
    with pytest.raises(KeyProblem, match=r"allowed: nobody$"):
        allowed.remove("robot-1")
    allowed.add("robot-1", pair.public)
    with pytest.raises(KeyProblem, match=r"robto-1 is not in .*; did you mean robot-1\?$"):
        allowed.remove("robto-1")
    with pytest.raises(KeyProblem, match=r"allowed: robot-1$"):
        allowed.remove("quux")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("robot-2", "it has 1 words, wanted <name> <public key>"),
        (f"robot-2 {OTHER} x", "it has 3 words"),
        (f"Robot {OTHER}", "a key's name is"),
        (f"robot-2 {OTHER[:-1]}", "got 53 in all; copy the whole line"),
        (f"robot-2 {encode_key(bytes(32), PRIVATE)}", "this is a private key"),
        (f"robot-1 {OTHER}", "its name or its key stands there twice"),
        ("\udcff", "it has 1 words"),
    ],
)
def test_a_list_with_a_wrong_line_lets_nobody_in_and_names_the_line(folder: Path, pair: KeyPair, line: str, what: str):
    allowed = AllowList(folder / "allowed")
    allowed.add("robot-1", pair.public)
    good = allowed.path.read_text()
    allowed.path.write_bytes((good + line + "\n").encode(errors="surrogateescape"))
    with pytest.raises(KeyProblem, match=rf"nobody is let in: line 3 of .*allowed is wrong: .*{what}"):
        AllowList(allowed.path)
    allowed.refresh()
    assert allowed.names == {}
    assert what in allowed.problem
    allowed.path.write_text(good)
    allowed.refresh()
    assert allowed.names == {pair.public: "robot-1"}
    assert allowed.problem == ""


def test_a_list_that_others_may_write_lets_nobody_in(folder: Path, pair: KeyPair):
    allowed = AllowList(folder / "allowed")
    allowed.add("robot-1", pair.public)
    allowed.path.chmod(0o644)
    allowed.refresh()
    assert allowed.names
    allowed.path.chmod(0o664)
    allowed.refresh()
    assert allowed.names == {}
    assert allowed.problem.endswith(f"others may change it, so it is not used; chmod 600 {allowed.path}")


def test_a_list_that_was_deleted_lets_nobody_in(folder: Path, pair: KeyPair):
    allowed = AllowList(folder / "allowed")
    allowed.add("robot-1", pair.public)
    allowed.path.unlink()
    allowed.refresh()
    assert allowed.names == {}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyProblem, match=r"cannot use the folder .*; set HANDRAIL_KEYS=<folder>"):
        make_pair(tmp_path / "file" / "keys", "robot-1")


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("HANDRAIL_KEYS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert keys.keys_folder() == tmp_path / "handrail" / "keys"
    monkeypatch.setenv("HANDRAIL_KEYS", str(tmp_path / "mine"))
    assert keys.keys_folder() == tmp_path / "mine"


def failing_after(passes: int, call: Callable[..., object]) -> Callable[..., object]:
    """The call, which fails once `passes` of it have passed."""
    left = iter(range(passes))

    def fail_or_call(*words: object, **more: object) -> object:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return call(*words, **more)

    return fail_or_call


@pytest.mark.parametrize("call", ["chmod", "fsync", "open"])
def test_a_write_that_fails_at_any_call_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
):
    """Fail the first, second, third ... such call until the write passes untouched."""
    path = tmp_path / "file"
    path.write_text("old")
    failed = 0
    while True:
        with monkeypatch.context() as patch:
            patch.setattr(files.os, call, failing_after(failed, getattr(os, call)))
            try:
                write_atomically(path, b"new", mode=0o600)
                break
            except OSError:
                failed += 1
        assert path.read_text() in ("old", "new")
    assert failed > 0
    assert path.read_text() == "new"
    assert mode(path) == 0o600


def test_what_a_killed_writer_left_does_not_lend_its_permissions(tmp_path: Path):
    (tmp_path / "file.part").write_text("half")
    (tmp_path / "file.part").chmod(0o666)
    write_atomically(tmp_path / "file", b"whole", mode=0o600)
    assert mode(tmp_path / "file") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
