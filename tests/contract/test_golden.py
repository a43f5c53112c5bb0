"""Wire v1 is read for ever: the bytes in tests/golden were written once and are neither read nor written otherwise."""

import contextlib
import sqlite3
from pathlib import Path

import msgspec
import numpy as np
import pytest
from experience import STREAM, assert_same_step, make_spec, make_step

from wire import link
from wire.actor_link import ActorLink
from wire.codec import DecodeError, decode_spec, encode_spec
from wire.learner_link import LearnerLink
from wire.store import StepStore
from wire.weights import Weights, decode_weights, encode_weights

GOLDEN = Path(__file__).parents[1] / "golden"
SPEC = msgspec.structs.replace(make_spec(size=8), return_bounds=(0.0, 1.0))
SPEC_TEXT = (GOLDEN / "spec_v1.json").read_text()
CREDIT = {"credit_records": 32, "credit_bytes": 8 << 20}
TO_LEARNER: dict[str, link.ToLearner] = {
    "hello": link.Hello(protocol=1, stream=STREAM, spec=SPEC_TEXT, software="0.1.0"),
    "record": link.Record(after=6, seq=2**20 + 7, body=b"a step's bytes"),
    "ready": link.Ready(version=41),
    "ping": link.Ping(),
    "goodbye": link.Goodbye(),
}
TO_ACTOR: dict[str, link.ToActor] = {
    "welcome": link.Welcome(run="runs/2026-11-21-reach-1", last_seq=7, **CREDIT),
    "refused": link.Refused(reason="start both with the same task"),
    "not_now": link.NotNow(reason="the disk is full"),
    "ack": link.Ack(last_seq=2**53, backlog=300, **CREDIT),
    "rejected": link.Rejected(seq=9, reason="it fails its checksum"),
    "weights_set": link.WeightsSet(version=42, body=b"a weight set's bytes"),
    "finished": link.Finished(reason="the budget is spent"),
    "who_are_you": link.WhoAreYou(),
}
WEIGHTS = Weights(
    version=42,
    fingerprint="0123456789abcdef",
    architecture='{"hidden":[2]}',
    tensors={
        "policy/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": np.array([0.5, -1], np.float16),
        "steps": np.array(3, np.int64),
        "mask": np.array([True, False]),
    },
)


def golden(name: str) -> bytes:
    return (GOLDEN / "link_v1" / f"{name}.bin").read_bytes()


@pytest.mark.parametrize("name", TO_LEARNER)
def test_what_an_actor_says_is_read_and_written_as_in_v1(name: str):
    assert link.decode_from_actor(golden(name)) == TO_LEARNER[name]
    assert link.encode(TO_LEARNER[name]) == golden(name)


@pytest.mark.parametrize("name", TO_ACTOR)
def test_what_a_learner_says_is_read_and_written_as_in_v1(name: str):
    assert link.decode_from_learner(golden(name)) == TO_ACTOR[name]
    assert link.encode(TO_ACTOR[name]) == golden(name)


def test_every_kind_of_message_has_golden_bytes():
    said = {type(message) for message in (*TO_LEARNER.values(), *TO_ACTOR.values())}
    assert said == {*link.ToLearner.__args__, *link.ToActor.__args__}
    assert {path.stem for path in (GOLDEN / "link_v1").iterdir()} == {*TO_LEARNER, *TO_ACTOR}


@pytest.mark.parametrize("name", [*TO_LEARNER, *TO_ACTOR])
def test_no_side_takes_the_others_words_for_its_own(name: str):
    decode = link.decode_from_learner if name in TO_LEARNER else link.decode_from_actor
    with pytest.raises(DecodeError):
        decode(golden(name))


def test_a_spec_is_read_and_written_as_in_v1_and_keeps_its_fingerprint():
    assert decode_spec(SPEC_TEXT) == SPEC
    assert encode_spec(SPEC) == SPEC_TEXT
    assert SPEC.fingerprint() == (GOLDEN / "fingerprint_v1.txt").read_text().strip()


def test_weights_are_read_as_in_v1_and_written_as_in_v1():
    data = (GOLDEN / "weights_v1.bin").read_bytes()
    found = decode_weights(data, fingerprint=WEIGHTS.fingerprint)
    assert (found.version, found.architecture, found.tensors.keys()) == (42, '{"hidden":[2]}', WEIGHTS.tensors.keys())
    for name, tensor in WEIGHTS.tensors.items():
        assert (found.tensors[name].dtype, found.tensors[name].shape) == (tensor.dtype, tensor.shape)
        np.testing.assert_array_equal(found.tensors[name], tensor)
    assert encode_weights(WEIGHTS) == data


ARCHIVE_SPEC = make_spec(size=2, state=2)


def test_an_archive_of_v1_is_read_and_continued(tmp_path: Path):
    """Its file was written before `began` was kept: what is not there is empty, and appending goes on."""
    path = tmp_path / "steps.sqlite"
    path.write_bytes((GOLDEN / "archive_v1.bin").read_bytes())
    with StepStore.read(path) as store:
        assert (store.spec, store.began, store.info) == (ARCHIVE_SPEC, "", {"agent": "rlpd", "seed": "0"})
        rows = list(store.rows())
        assert [(row.stream, row.seq) for row in rows] == [(STREAM, n + 1) for n in range(12)]
        for n, row in enumerate(rows):
            assert_same_step(row.step, make_step(ARCHIVE_SPEC, n))
        assert [episode.length for episode in store.episodes()] == [5, 5]
        assert store.claim(STREAM, "") == "robot-1"
    with StepStore.open(path, ARCHIVE_SPEC) as store:
        assert store.insert(STREAM, 13, make_step(ARCHIVE_SPEC, 12))
        store.commit()
        assert store.last_row() == 13


def test_an_archive_is_of_format_1_with_the_tables_of_v1_but_the_one_that_nothing_wrote_to(tmp_path: Path):
    StepStore.open(tmp_path / "new.sqlite", ARCHIVE_SPEC).close()
    (tmp_path / "old.sqlite").write_bytes((GOLDEN / "archive_v1.bin").read_bytes())
    found = []
    for name in ("new", "old"):
        with contextlib.closing(sqlite3.connect(tmp_path / f"{name}.sqlite")) as db:
            schema = db.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
            found.append((db.execute("PRAGMA user_version").fetchone(), dict(schema)))
    (version, tables), (old_version, old_tables) = found
    assert version == old_version == (1,)
    old_tables.pop("labels")  # Labels lie beside the archive.
    assert tables == old_tables


def refusal(hello: link.Hello) -> str:
    """What a learner of SPEC tells an actor, as the actor shows it."""
    learner = LearnerLink("run", SPEC, lambda stream, spec: 0)
    actor = ActorLink(hello, None)  # type: ignore[arg-type]
    for data in actor.step(100.0):
        learner.receive(b"peer", data, 100.0)
    for _, data in learner.step(100.0):
        actor.receive(data, 100.0)
    assert actor.state == "refused"
    assert learner.refused == 1
    return actor.detail


@pytest.mark.parametrize("protocol", [0, 2, 99])
def test_another_protocol_is_refused_and_both_versions_are_named(protocol: int):
    hello = msgspec.structs.replace(TO_LEARNER["hello"], protocol=protocol, software="9.9")
    text = refusal(hello)
    assert f"link protocol 1, the actor {protocol} (Handrail 9.9)" in text
    assert "install the same version on both sides" in text


def test_another_spec_is_refused_and_both_sides_are_named():
    spec = msgspec.structs.replace(SPEC, task="pick", rate_hz=10.0)
    text = refusal(msgspec.structs.replace(TO_LEARNER["hello"], spec=encode_spec(spec)))
    for words in ("the learner (here)", "the actor (there)", "task: reach here, pick there", "rate_hz", "Start both"):
        assert words in text
