"""Only whole, verified weights of this environment act; whatever else comes, the last good ones go on."""

import dataclasses

import msgspec
import numpy as np
import pytest
from acting import toy_env, toy_weights

from actor.policy import PolicySlot
from networks.architecture import Architecture, architecture_for
from wire.weights import Weights, decode_weights, encode_weights

SPEC = toy_env().wire_spec
SEEN = {"state": np.zeros(2, np.float32)}
GOOD = toy_weights(SPEC, 0.5, version=3)


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def with_nan() -> bytes:
    # The codec refuses to write such a set, so it is forged: the last tensor's last bytes, and the digest over them.
    import hashlib

    payload = bytearray(GOOD[32:])
    payload[-4:] = np.array([np.nan], "<f4").tobytes()
    return hashlib.sha256(payload).digest() + bytes(payload)


def altered(**changes: object) -> bytes:
    return encode_weights(Weights(**msgspec.structs.asdict(decode_weights(GOOD, fingerprint=None)) | changes))


def missing_a_tensor() -> bytes:
    tensors = dict(decode_weights(GOOD, fingerprint=None).tensors)
    tensors.popitem()
    return altered(tensors=tensors)


BAD = {
    "empty": b"",
    "torn": GOOD[:-1],
    "flipped": flipped(GOOD),
    "with a NaN": with_nan(),
    "of another spec": toy_weights(SPEC, fingerprint="0" * 16),
    "without a tensor": missing_a_tensor(),
    "of no architecture": altered(architecture="{}"),
    "of another observation": toy_weights(
        SPEC, arch=Architecture(frames={}, vectors={"other": 2}, action_dim=2, hidden=(4,))
    ),
    "of another action": toy_weights(
        SPEC, arch=Architecture(frames={}, vectors={"state": 2}, action_dim=3, hidden=(4,))
    ),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_weights_that_are_not_acceptable_are_refused_and_the_last_good_ones_act_on(bad: bytes):
    slot = PolicySlot(SPEC, explores=False)
    assert slot.offer(GOOD)
    before = slot.act(SEEN)
    assert not slot.offer(bad)
    after = slot.act(SEEN)
    np.testing.assert_array_equal(before[0], after[0])
    assert before[1] == after[1] == slot.version == 3
    assert slot.refused == 1


def test_refused_weights_do_not_count_as_the_first_ones():
    slot = PolicySlot(SPEC)
    assert not slot.offer(GOOD[:-1])
    assert not slot.wait(0.0)
    assert slot.version == 0
    with pytest.raises(RuntimeError, match="no weights yet"):
        slot.act(SEEN)
    slot.offer(GOOD)
    assert slot.wait(0.0)


def test_the_action_and_its_version_are_of_one_set():
    slot = PolicySlot(SPEC, explores=False)
    for version, action in ((1, 0.5), (2, -0.5)):
        slot.offer(toy_weights(SPEC, action, version=version))
        got, by = slot.act(SEEN)
        np.testing.assert_allclose(got, np.tanh([action, action]), rtol=1e-5)
        assert (got.dtype, by) == (np.float32, version)


def test_weights_of_a_learner_that_went_back_to_its_checkpoint_are_taken():
    slot = PolicySlot(SPEC)
    slot.offer(toy_weights(SPEC, 0.5, version=40))
    assert slot.offer(toy_weights(SPEC, 0.1, version=30))
    assert slot.version == 30


def test_a_network_of_another_size_is_swapped_in_with_its_own_function():
    slot = PolicySlot(SPEC, explores=False)
    slot.offer(GOOD)
    slot.offer(toy_weights(SPEC, -0.5, arch=architecture_for(SPEC, hidden=(7, 5))))
    np.testing.assert_allclose(slot.act(SEEN)[0], np.tanh([-0.5, -0.5]), rtol=1e-5)


def test_exploration_varies_with_every_call_and_repeats_with_the_seed():
    def three(seed: int) -> list[list[float]]:
        slot = PolicySlot(SPEC, seed=seed)
        slot.offer(toy_weights(SPEC, 0.0))
        return [slot.act(SEEN)[0].tolist() for _ in range(3)]

    assert three(1) == three(1) != three(2)
    assert len({tuple(action) for action in three(1)}) == 3


def test_a_loaded_set_cannot_be_changed():
    slot = PolicySlot(SPEC)
    slot.offer(GOOD)
    assert slot._loaded is not None
    with pytest.raises(dataclasses.FrozenInstanceError):
        slot._loaded.version = 9
