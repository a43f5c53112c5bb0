"""The policy that acts survives every corrupted weight set: none of them ever acts."""

import itertools
import logging
from collections.abc import Iterator

import fuzz_weights
import msgspec
import numpy as np
import pytest
import safetensors.numpy
from acting import toy_env, toy_weights
from counts import count

from actor.policy import PolicySlot

SPEC = toy_env().wire_spec
GOOD = toy_weights(SPEC, 0.5, version=3)
SEEN = {"state": np.zeros(2, np.float32)}
SETS = count(ci=10_000, nightly=100_000)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def whole(data: bytes) -> bool:
    """Whether a set is as good as GOOD though its bytes differ: judged by the libraries alone, not by our code."""
    try:
        record, wanted = msgspec.msgpack.decode(data[32:]), msgspec.msgpack.decode(GOOD[32:])
        # Of the rest of it only what fits the tensors' shapes can be built, or what no camera needs.
        arch, known = (msgspec.json.decode(text["architecture"]) for text in (record, wanted))
        tensors, original = safetensors.numpy.load(record["body"]), safetensors.numpy.load(wanted["body"])
    except Exception:
        return False
    return (
        record["fingerprint"] == wanted["fingerprint"]
        and all(arch[name] == known[name] for name in ("frames", "vectors", "action_dim"))
        and tensors.keys() == original.keys()
        and all(tensors[name].shape == value.shape for name, value in original.items())
        and all(np.isfinite(value.astype(np.float64)).all() for value in tensors.values())
    )


@pytest.mark.timeout(3600)
def test_no_corrupted_weight_set_is_ever_swapped_in():
    slot = PolicySlot(SPEC, explores=False)
    assert slot.offer(GOOD)
    before, _ = slot.act(SEEN)
    refused = other = 0
    for data in itertools.islice(iter(fuzz_weights.mutator(5, [GOOD]).mutant, None), 2 * SETS):
        if slot.offer(data):
            # A digest is no signature: whoever can make one can also change a version, or a number in a tensor.
            assert whole(data), data
            other += 1
            assert slot.offer(GOOD)
            continue
        refused += 1
        if refused % 500 == 0:
            action, version = slot.act(SEEN)
            assert version == 3
            np.testing.assert_array_equal(action, before)
        if refused == SETS:
            break
    assert refused == slot.refused == SETS
    print(f"S7: {SETS} corrupted weight sets, 0 swaps; {other} mutants were whole, finite and of this spec")
