"""Every limit of the wire holds exactly: one less and the limit itself are taken, one more is refused."""

import dataclasses
import math
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from experience import STREAM, make_spec, make_step

from wire import codec, link, weights
from wire.codec import LIMITS, DecodeError, decode_spec, decode_step, encode_spec, encode_step, seal
from wire.specs import ArraySpec, EnvSpec
from wire.weights import Weights, WeightsRefused, decode_weights, encode_weights

SPEC = make_spec(size=2)
STEP = make_step(SPEC, 0)
VECTOR = ArraySpec(shape=(1,), dtype="float32")
SET = Weights(version=1, fingerprint="", architecture="{}", tensors={"w": np.ones(1, np.float32)})
CREDIT = {"credit_records": 1, "credit_bytes": 1}


def record_of(size: int) -> bytes:
    """A sealed record of exactly so many bytes."""

    def sealed(length: int) -> bytes:
        step = msgspec.structs.replace(STEP, action=np.zeros(length, np.uint8))
        return seal(codec._short_header(codec._ENCODER.encode(step)))

    return sealed(size - len(sealed(size)) + size)


def step_with(**fields: object) -> object:
    """Encoded without the checks of our own side, decoded with those of the other."""
    return decode_step(seal(codec._ENCODER.encode(msgspec.structs.replace(STEP, **fields))))


def stamped(name: str) -> object:
    return step_with(stamps={name: 1.0})


def named(count: int) -> dict[str, np.ndarray]:
    return {f"a{number}": np.zeros(1, np.uint8) for number in range(count)}


def spec_with(**fields: object) -> EnvSpec:
    return decode_spec(msgspec.json.encode(msgspec.structs.replace(SPEC, **fields)).decode())


def spec_text(size: int) -> str:
    """A spec of exactly so many bytes."""
    text = encode_spec(msgspec.structs.replace(SPEC, robot=""))
    return text.replace('"robot":""', f'"robot":"{"r" * (size - len(text))}"')


def spec_of_step(size: int) -> EnvSpec:
    """A spec whose last step, frames twice, has so many bytes."""
    action, fields = ArraySpec(shape=(1,), dtype="uint8"), ("x",)
    pixels = ArraySpec(shape=(size // 2 - 1,), dtype="uint8")
    return spec_with(observation={"pixels": pixels}, action=action, action_names=fields)


def set_with(**fields: object) -> Weights:
    return decode_weights(encode_weights(msgspec.structs.replace(SET, **fields)), fingerprint=None)


def up(message: link.ToLearner) -> object:
    return link.decode_from_actor(link.encode(message))


def down(message: link.ToActor) -> object:
    return link.decode_from_learner(link.encode(message))


def hello(**fields: object) -> object:
    return up(link.Hello(**({"protocol": 1, "stream": STREAM, "spec": "", "software": ""} | fields)))  # type: ignore[arg-type]


def tensors(count: int) -> dict[str, np.ndarray]:
    return {f"t{number}": np.ones(1, np.uint8) for number in range(count)}


BOUNDS: dict[str, tuple[int, Callable[[int], object]]] = {
    "bytes of a record": (LIMITS.record_bytes, lambda n: decode_step(record_of(n))),
    "arrays in an observation": (LIMITS.arrays, lambda n: step_with(observation=named(n))),
    "arrays in a final observation": (LIMITS.arrays, lambda n: step_with(final_observation=named(n))),
    "stamps": (LIMITS.arrays, lambda n: step_with(stamps={f"s{i}": 1.0 for i in range(n)})),
    "letters in a name": (LIMITS.name_bytes, lambda n: stamped("x" * n)),
    "bytes in a name": (LIMITS.name_bytes, lambda n: stamped("é" * 30 + "x" * (n - 60))),
    "episode": (LIMITS.count, lambda n: step_with(episode=n)),
    "t": (LIMITS.count, lambda n: step_with(t=n)),
    "version of the weights of a step": (LIMITS.count, lambda n: step_with(weights_version=n)),
    "rank in a spec": (LIMITS.rank, lambda n: spec_with(observation={"a": ArraySpec(shape=(1,) * n, dtype="uint8")})),
    "arrays in a spec, the action among them": (
        LIMITS.arrays,
        lambda n: spec_with(observation={f"a{i}": VECTOR for i in range(n - 1)}),
    ),
    "bytes of a name in a spec": (
        LIMITS.name_bytes,
        lambda n: spec_with(observation={"é" * 30 + "x" * (n - 60): VECTOR}),
    ),
    "bytes of a spec": (LIMITS.text_bytes, lambda n: decode_spec(spec_text(n))),
    "steps in an episode": (LIMITS.count, lambda n: spec_with(max_episode_steps=n)),
    "rate": (int(LIMITS.rate_hz), lambda n: spec_with(rate_hz=float(n))),
    "tensors": (LIMITS.tensors, lambda n: set_with(tensors=tensors(n))),
    "rank of a tensor": (LIMITS.tensor_rank, lambda n: set_with(tensors={"t": np.ones((1,) * n, np.uint8)})),
    "bytes of a tensor's name": (LIMITS.tensor_name_bytes, lambda n: set_with(tensors={"t" * n: np.ones(1)})),
    "bytes of an architecture": (LIMITS.text_bytes, lambda n: set_with(architecture="é" * 100 + "a" * (n - 200))),
    "version of a weight set": (LIMITS.count, lambda n: set_with(version=n)),
    "letters of a fingerprint": (64, lambda n: set_with(fingerprint="f" * n)),
    "protocol": (LIMITS.count, lambda n: hello(protocol=n)),
    "letters of a Hello's spec": (LIMITS.text_bytes, lambda n: hello(spec="s" * n)),
    "letters of a Hello's software": (64, lambda n: hello(software="s" * n)),
    "seq": (LIMITS.count, lambda n: up(link.Record(after=0, seq=n, body=b""))),
    "the seq before": (LIMITS.count, lambda n: up(link.Record(after=n, seq=1, body=b""))),
    "bytes of a Record's body": (LIMITS.record_bytes, lambda n: up(link.Record(after=0, seq=1, body=bytes(n)))),
    "version that an actor has": (LIMITS.count, lambda n: up(link.Ready(version=n))),
    "letters of a Welcome's run": (64, lambda n: down(link.Welcome(run="r" * n, last_seq=0, **CREDIT))),
    "a Welcome's seq": (LIMITS.count, lambda n: down(link.Welcome(run="", last_seq=n, **CREDIT))),
    "an Ack's seq": (LIMITS.count, lambda n: down(link.Ack(last_seq=n, backlog=0, **CREDIT))),
    "an Ack's backlog": (LIMITS.count, lambda n: down(link.Ack(last_seq=0, backlog=n, **CREDIT))),
    "an Ack's credit": (
        LIMITS.count,
        lambda n: down(link.Ack(last_seq=0, backlog=0, credit_records=n, credit_bytes=1)),
    ),
    "a rejected seq": (LIMITS.count, lambda n: down(link.Rejected(seq=n, reason=""))),
    "version of pushed weights": (LIMITS.count, lambda n: down(link.WeightsSet(version=n, body=b""))),
}
"""What is bounded, by how much, and something that has n of it."""


@pytest.mark.parametrize("name", BOUNDS)
def test_the_limit_is_taken_and_one_more_is_refused(name: str):
    limit, take = BOUNDS[name]
    take(limit - 1)
    take(limit)
    # Our own side will not send it either, where it is the one that makes it.
    with pytest.raises((DecodeError, WeightsRefused, ValueError), match=r".+"):
        take(limit + 1)


def test_a_step_of_the_largest_spec_travels_and_one_of_a_larger_does_not():
    limit = LIMITS.record_bytes - LIMITS.text_bytes
    pixels = spec_of_step(limit).observation["pixels"]
    image = np.zeros(pixels.shape, np.uint8)
    step = msgspec.structs.replace(STEP, observation={"pixels": image}, final_observation={"pixels": image})
    assert decode_step(encode_step(step)).final_observation is not None
    with pytest.raises(DecodeError, match=rf"a step of it has {limit + 2} bytes, the limit is {limit}"):
        spec_of_step(limit + 2)


def test_a_record_over_the_limit_is_not_written():
    overhead = len(record_of(100_000)) - 100_000 + len(record_of(LIMITS.record_bytes)) - LIMITS.record_bytes
    assert overhead == 0
    largest = decode_step(record_of(LIMITS.record_bytes))
    assert len(encode_step(largest)) == LIMITS.record_bytes
    longer = msgspec.structs.replace(largest, action=np.zeros(largest.action.size + 1, np.uint8))
    with pytest.raises(ValueError, match=r"cannot travel; the limit is 8388608"):
        encode_step(longer)


def test_a_weight_set_of_exactly_the_limit_is_taken(monkeypatch: pytest.MonkeyPatch):
    size = len(encode_weights(SET))
    for limit in (size, size + 1):
        monkeypatch.setattr(weights, "LIMITS", dataclasses.replace(LIMITS, weights_bytes=limit))
        decode_weights(encode_weights(SET), fingerprint=None)
    data = encode_weights(SET)
    monkeypatch.setattr(weights, "LIMITS", dataclasses.replace(LIMITS, weights_bytes=size - 1))
    with pytest.raises(WeightsRefused, match=rf"has {size} bytes, wanted 33 to {size - 1}"):
        decode_weights(data, fingerprint=None)
    with pytest.raises(ValueError, match="cannot travel"):
        encode_weights(SET)


@pytest.mark.parametrize("stream", ["", "0" * 31, "0" * 33, "0" * 31 + "g", "0" * 31 + "A", "0" * 32 + "\n", "é" * 32])
def test_a_stream_id_is_32_hex_digits_and_nothing_else(stream: str):
    with pytest.raises(DecodeError):
        hello(stream=stream)


@pytest.mark.parametrize("text", ["x" * 70_000, "\x1b[2J\x07\r\nWelcome", "\u202etxt", "no\x00"])
def test_a_reason_is_cut_and_made_printable_on_both_sides(text: str):
    for message in (link.Refused(reason=text), link.Rejected(seq=1, reason=text), link.Finished(reason=text)):
        raw = link.seal(msgspec.msgpack.encode({"type": type(message).__name__, "reason": text[:60_000], "seq": 1}))
        for reason in (message.reason, link.decode_from_learner(raw).reason, down(message).reason):  # type: ignore[attr-defined]
            assert len(reason) <= link.REASON_CHARS
            assert reason.isprintable()


ABSURD = {
    "no rate": {"rate_hz": 0.0},
    "a rate below none": {"rate_hz": -1e308},
    "episodes of less than no steps": {"max_episode_steps": -1},
    "episodes of more steps than numbers": {"max_episode_steps": 2**200},
    "an action without dimensions": {"action": ArraySpec(shape=(), dtype="float32"), "action_names": ()},
    "an action of two": {"action": ArraySpec(shape=(2, 2), dtype="float32")},
    "more names than actions": {"action_names": ("x",) * 2000},
    "an action of a million": {"action": ArraySpec(shape=(1_000_000,), dtype="float32")},
    "a dimension of none": {"observation": {"a": ArraySpec(shape=(0,), dtype="uint8")}},
    "a dimension beyond numbers": {"observation": {"a": ArraySpec(shape=(10**4000, 10**4000), dtype="uint8")}},
    "a camera called like nothing": {"observation": {"": VECTOR}},
    "a camera that clears the screen": {"observation": {"\x1b[2J": VECTOR}},
    "a task that clears the screen": {"task": "\x1b[2J\n"},
    "a unit that clears the screen": {"action": ArraySpec(shape=(4,), dtype="float32", unit="\x07")},
    "a lower bound above the upper": {"action": ArraySpec(shape=(4,), dtype="float32", low=1.0, high=-1.0)},
    "returns from best to worst": {"return_bounds": (1.0, 0.0)},
    "a task longer than a spec may be": {"task": "t" * 70_000},
    "arrays of another name for the action": {"observation": {f"a{i}": VECTOR for i in range(63)} | {"action": VECTOR}},
}


@pytest.mark.parametrize("fields", ABSURD.values(), ids=ABSURD.keys())
def test_an_absurd_spec_of_a_foreign_peer_is_refused_in_one_short_line(fields: dict[str, object]):
    with pytest.raises(DecodeError) as refused:
        spec_with(**fields)
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("bound", [math.inf, -math.inf, math.nan])
def test_a_spec_with_bounds_that_are_no_numbers_is_not_sent(bound: float):
    with pytest.raises(ValueError, match="wanted finite ones"):
        encode_spec(msgspec.structs.replace(SPEC, return_bounds=(bound, 1.0)))


def test_a_learner_refuses_a_spec_in_a_text_that_its_actor_can_read():
    """Two specs may differ in everything, in words of 60,000 letters: the refusal still fits the message."""
    theirs = msgspec.structs.replace(SPEC, task="t" * 30_000, robot="r" * 30_000)
    lines = SPEC.differences(decode_spec(encode_spec(theirs)))
    assert max(map(len, lines)) < 200
    assert len(down(link.Refused(reason="; ".join(lines))).reason) < link.REASON_CHARS  # type: ignore[attr-defined]
