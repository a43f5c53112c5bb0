"""Keep facts with a run that its steps do not tell: the cameras' calibration, an agent's name, a note."""

from pathlib import Path
from typing import Any

import msgspec

from learner.archive.config import DescribeConfig, near
from learner.archive.facts import CALIBRATION
from wire.codec import LIMITS
from wire.errors import UserError, plain
from wire.specs import EnvSpec
from wire.store import StepStore


def described(path: Path, config: DescribeConfig) -> dict[str, str]:
    """Write the facts into the file, which nobody may be writing; returns what it now says of them.

    Raises:
        UserError: A calibration cannot be read or names other cameras than the run has.
        StoreError: Another process is writing the file.
    """
    with StepStore.read(path) as store:
        spec = store.spec
    info = {key: value for key in ("agent", "note") if (value := getattr(config, key)) is not None}
    for key, value in info.items():
        if not value.isprintable() or len(value) > LIMITS.text_bytes:
            raise UserError(f"{key} must be printable text of at most {LIMITS.text_bytes} bytes, got {plain(value)}")
    if config.calibration is not None:
        info[CALIBRATION] = read_calibration(Path(config.calibration), spec)
    StepStore.open(path, spec, info).close()
    return info


def read_calibration(path: Path, spec: EnvSpec) -> str:
    """A file's calibration as JSON that is equal wherever the calibrations are; raises UserError."""
    try:
        decode = msgspec.json.decode if path.suffix == ".json" else msgspec.yaml.decode
        values: Any = decode(path.read_bytes())
        text = msgspec.json.encode(values, order="deterministic").decode()
    except (OSError, msgspec.MsgspecError, UnicodeError, TypeError) as error:
        raise UserError(f"{path} is no calibration in JSON or YAML: {plain(error)}") from None
    cameras = [name for name, array in spec.observation.items() if array.is_frame]
    if not isinstance(values, dict) or not values:
        raise UserError(f"{path} must map cameras to their calibration, got a {type(values).__name__}")
    for name in values:
        if name not in cameras:
            raise UserError(f"{path} calibrates {plain(name)}, the run has {', '.join(cameras)}{near(name, cameras)}")
    if len(text.encode()) > LIMITS.text_bytes:
        raise UserError(f"{path} has {len(text)} bytes; a calibration has at most {LIMITS.text_bytes}")
    return text
