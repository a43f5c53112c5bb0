"""Write the corpus anew: `PYTHONPATH=.:tests python tests/fuzz/make_corpus.py`.

Inputs that once failed lie in the corpus under `crash-*` names; this leaves them alone. A change of what it writes
changes a format: format 1 must be read for ever, so golden inputs are then added, never replaced.
"""

import json
import sqlite3
import struct
import tempfile
from pathlib import Path

import msgspec
import numpy as np
from experience import STREAM, make_spec, make_step
from fuzzing import CORPUS
from msgspec.msgpack import Ext

from wire import link, scoring
from wire.codec import encode_observation, encode_spec, encode_step, seal
from wire.store import StepStore
from wire.weights import Weights, encode_weights, seal_weights

SPEC = make_spec(size=2)
STEP = encode_step(make_step(SPEC, 4))


def _evil_step(**fields: object) -> bytes:
    record = msgspec.msgpack.decode(STEP[1:-4], ext_hook=lambda code, data: Ext(code, bytes(data)))
    return seal(msgspec.msgpack.encode(record | fields))


def _array(nbytes: int, *dims: int, code: int = 11) -> Ext:
    return Ext(1, bytes(nbytes) + struct.pack(f"<{len(dims)}I", *dims) + bytes((len(dims), code)))


def steps() -> dict[str, bytes]:
    """Golden steps and specs, and the frames that broke others."""
    fields = ",".join(["b"] * 20_000)
    return {
        "golden-last": STEP,
        "golden-first": encode_step(make_step(SPEC, 0)),
        "golden-scalars": _evil_step(action=_array(4), policy_action=None),
        "golden-spec": encode_spec(SPEC).encode(),
        "evil-object-dtype": _evil_step(action={"dtype": "|O", "shape": [1], "data": bytes(8)}),
        "evil-many-fields": _evil_step(action={"dtype": fields, "shape": [1], "data": b""}),
        "evil-shape-minus-one": _evil_step(action=_array(16, 0xFFFFFFFF)),
        "evil-shape-overflow": _evil_step(action=_array(16, *(0xFFFFFFFF,) * 5)),
        "evil-shape-wraps": _evil_step(action=_array(16, 1 << 31, 1 << 31, 4)),
        "evil-nesting": seal(b"\x81\xa6action" + b"\x91" * 4000),
        "evil-nested-maps": seal(b"\x81\xa6action" + b"\x81\xa1x" * 3000),
        "evil-map-4g": seal(b"\xdf\xff\xff\xff\xff"),
        "evil-observation-4g": seal(b"\x81\xabobservation\xdf\xff\xff\xff\xff"),
        "evil-array-4g": seal(b"\x81\xa6action\xc9\xff\xff\xff\xff\x01"),
        "evil-text-4g": seal(b"\x81\xdb\xff\xff\xff\xff"),
        "evil-not-utf8": seal(b"\x81\xa2\xff\xfe\x01"),
        "evil-long-key": seal(b"\x81\xda\x10\x00" + b"A" * 4096 + b"\xc0"),
        "evil-spec-absurd": encode_spec(SPEC).replace('"rate_hz":20', '"rate_hz":-1e308').encode(),
        "evil-spec-nesting": b'{"env":' + b"[" * 4000,
        "evil-pickle": b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94.",
    }


def messages() -> dict[str, bytes]:
    """One golden message of each kind, and evil ones."""
    hello = link.Hello(protocol=1, stream=STREAM, spec=encode_spec(SPEC), software="0.1.0")
    credit = {"credit_records": 32, "credit_bytes": 1 << 20}
    golden = [
        hello,
        link.Record(after=3, seq=4, body=STEP),
        link.Ready(version=1),
        link.Ping(),
        link.Goodbye(),
        link.Welcome(run="run", last_seq=3, **credit),
        link.Refused(reason="no"),
        link.NotNow(reason="the disk is full"),
        link.Ack(last_seq=3, backlog=1, **credit),
        link.Rejected(seq=4, reason="it is damaged"),
        link.WeightsSet(version=1, body=b"weights"),
        link.Finished(reason="10 steps are done"),
        link.WhoAreYou(),
    ]
    evil = {
        "evil-long-tag": link.seal(b"\x81\xa4type\xda\x10\x00" + b"A" * 4096),
        "evil-screen": link.seal(b"\x82\xa4type\xa7Refused\xa6reason\xd9\x20" + b"\x1b[2J\r\n\x07\x00" * 4),
        "evil-nesting": link.seal(b"\x82\xa4type\xa4Ping\xa1x" + b"\x91" * 4000),
        "evil-body-4g": link.seal(b"\x82\xa4type\xa6Record\xa4body\xc6\xff\xff\xff\xff"),
        "evil-no-end": link.seal(b"\xdf\xff\xff\xff\xff\xa4type\xa4Ping"),
        "evil-credit": link.encode(link.Ack(last_seq=3, backlog=1, credit_records=2**53, credit_bytes=2**53)),
        "evil-long-spec": link.encode(msgspec.structs.replace(hello, spec='{"env":"' + "x" * 8000 + '"}')),
        "evil-empty": b"",
    }
    return {f"golden-{type(message).__name__.lower()}": link.encode(message) for message in golden} | evil


def weights() -> dict[str, bytes]:
    """A golden set, and sets whose header lies."""
    tensors = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, np.float16), "n": np.array([3])}
    golden = Weights(version=7, fingerprint=SPEC.fingerprint(), architecture='{"hidden":[2]}', tensors=tensors)

    def evil(header: object, data: bytes = b"") -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        body = struct.pack("<Q", len(text)) + text + data
        record = {"version": 1, "fingerprint": "", "architecture": "{}", "body": body}
        return seal_weights(msgspec.msgpack.encode(record))

    def tensor(*shape: int, dtype: str = "F32", end: int = 4) -> dict[str, object]:
        return {"t": {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}

    return {
        "golden": encode_weights(golden),
        "golden-scalar": evil(tensor(), bytes(4)),
        "evil-rank-65": evil(tensor(*(1,) * 65), bytes(4)),
        "evil-empty-and-huge": evil(tensor(0, 2**63, end=0)),
        "evil-empty-and-large": evil(tensor(0, 2**62, end=0)),
        "evil-nan": evil(tensor(1), b"\xff" * 4),
        "evil-bool": evil(tensor(4, dtype="BOOL"), b"\x02" * 4),
        "evil-screen": evil({"\x1b[2J\n": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        "evil-nesting": evil(b"[" * 4000),
        "evil-header-2g": seal_weights(msgspec.msgpack.encode({"body": b"\xff\xff\xff\x7f\0\0\0\0{}"})),
    }


def archives() -> dict[str, bytes]:
    """A golden archive, one whose last row has a number beyond any file, one with a query in the place of a table."""
    return {
        "golden": _archive(""),
        "evil-row-number": _archive(f"UPDATE steps SET id = {2**62} WHERE id = 6"),
        "evil-view": _archive(
            "DROP TABLE steps; CREATE VIEW steps AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) "
            "SELECT id, '' AS stream, 1 AS seq, x'' AS body, 0 AS crc FROM n"
        ),
    }


def _archive(sql: str) -> bytes:
    """Six steps in pages of 512 bytes, so that the file is small and mostly structure, with some SQL run over it."""
    with tempfile.TemporaryDirectory() as folder:
        path, small = Path(folder) / "steps.sqlite", Path(folder) / "small.sqlite"
        with StepStore.open(path, SPEC, {"run": "golden"}) as store:
            for number in range(6):
                store.insert(STREAM, number + 1, make_step(SPEC, number))
            store.commit()
        db = sqlite3.connect(path)
        db.executescript(sql)
        db.execute("PRAGMA page_size = 512")
        db.execute("VACUUM INTO ?", (str(small),))
        db.close()
        data = small.read_bytes()
    # As the original says: with a write-ahead log.
    return data[:18] + b"\x02\x02" + data[20:]


def scores() -> dict[str, bytes]:
    """One golden message of each kind between a robot and a reward service, and evil ones."""
    inputs = {"front": (2, 2, 3)}
    gate = scoring.Gate("proprio", 10, low=0.1)
    ask = scoring.Ask(number=1, body=encode_observation({"front": np.zeros((2, 2, 3), np.uint8)}))
    serving = scoring.Serving(protocol=1, version="success-1", inputs=inputs, rule=scoring.Rule(0.5, 2, 3, gate))
    golden = [
        scoring.Introduce(protocol=1),
        ask,
        serving,
        scoring.Scored(number=1, value=0.5, confidence=0.0, version="success-1"),
        scoring.Unscored(number=1, reason="no"),
    ]
    told = msgspec.msgpack.decode(msgspec.msgpack.encode(serving))
    nan = {"type": "Scored", "number": 1, "value": float("nan"), "confidence": 1.0, "version": "v"}
    evil = {
        "evil-nan": scoring.seal(msgspec.msgpack.encode(nan)),
        "evil-rule": scoring.seal(msgspec.msgpack.encode(told | {"rule": [float("nan"), 0, 10**9, None]})),
        "evil-inputs": scoring.seal(msgspec.msgpack.encode(told | {"inputs": {"": [2**63 - 1] * 99}})),
        "evil-nesting": scoring.seal(b"\x82\xa4type\xa3Ask\xa1x" + b"\x91" * 4000),
        "evil-body-4g": scoring.seal(b"\x82\xa4type\xa3Ask\xa4body\xc6\xff\xff\xff\xff"),
        "evil-screen": scoring.seal(
            msgspec.msgpack.encode({"type": "Unscored", "number": 1, "reason": "\x1b[2J\r\n\x07" * 9})
        ),
        "evil-empty": b"",
    }
    return {f"golden-{type(message).__name__.lower()}": scoring.encode(message) for message in golden} | evil


def main() -> None:
    """Write all of it."""
    inputs = {"codec": steps(), "link": messages(), "weights": weights(), "store": archives(), "scoring": scores()}
    for target, named in inputs.items():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        for name, data in named.items():
            (CORPUS / target / f"{name}.bin").write_bytes(data)


if __name__ == "__main__":
    main()
