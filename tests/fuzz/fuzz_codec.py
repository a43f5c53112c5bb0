"""Fuzz the decoding of steps and specs. Under Atheris: `python tests/fuzz/fuzz_codec.py`."""

import contextlib

from fuzzing import assert_plain, main, parents
from mutator import Mutator

from wire.codec import DTYPES, LIMITS, DecodeError, decode_spec, decode_step, encode_spec, encode_step, seal
from wire.types import Step

WORDS = (*Step.__struct_fields__, "front", "wrist", "monotonic", "dtype", "shape", "data", "__class__")


def one(data: bytes) -> None:
    """Bytes are a step that can be read and sent on, or a DecodeError; the text of a spec likewise."""
    try:
        step = decode_step(data)
    except DecodeError as error:
        assert_plain(error)
    else:
        arrays = [*step.observation.values(), *(step.final_observation or {}).values(), step.action]
        assert sum(array.nbytes for array in arrays) <= len(data)
        assert all(array.dtype.name in DTYPES and array.ndim <= LIMITS.rank and array.size for array in arrays)
        decode_step(encode_step(step))
    if data[:1] == b"{":
        with contextlib.suppress(DecodeError):
            spec = decode_spec(data.decode(errors="replace"))
            assert decode_spec(encode_spec(spec)).fingerprint() == spec.fingerprint()


def mutator(seed: int) -> Mutator:
    """Mutants of the corpus, behind a right checksum mostly."""
    return Mutator(*parents("codec"), words=WORDS, unseal=lambda frame: frame[1:-4], seal=seal, seed=seed)


if __name__ == "__main__":
    main("codec", one, mutator(0))
