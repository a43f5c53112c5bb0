"""Where LeRobotDataset v3.0 keeps what, and what we keep beside it so that nothing of an archive is lost.

The layout is documented in LeRobot's own `datasets` module (huggingface/lerobot, version 3.0 of the format). The folder
`handrail/` is ours, and LeRobot does not look into it: the record of every step, and of every episode the images that
were seen after its last action, for which LeRobot has no place.
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from learner.archive.formats.foreign import FormatError, needed
from wire.types import Step

VERSION = "v3.0"
INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEOS = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
CHUNK_FILES = 1000
DATA_BYTES = 100 << 20
VIDEO_BYTES = 200 << 20

STATE = "observation.state"
IMAGES = "observation.images."
ACTION = "action"
REWARD = "next.reward"
DONE = "next.done"
SUCCESS = "next.success"
HELPED = "complementary_info.is_intervention"

ABOUT = "handrail/about.json"
RECORDS = "handrail/records.parquet"
FINAL_FRAMES = "handrail/final_frames.parquet"
FORMAT = 1
"""Of the folder `handrail/`."""


def chunk_and_file(number: int) -> dict[str, int]:
    """The place of the nth file of a kind."""
    chunk, file = divmod(number, CHUNK_FILES)
    return {"chunk_index": chunk, "file_index": file}


def columns_of(steps: Sequence[Step], vectors: Sequence[str]) -> dict[str, np.ndarray]:
    """What a data set says of n steps besides images and counters: name -> (n, length) or (n,)."""
    columns = {
        ACTION: np.stack([step.action for step in steps]).astype(np.float32),
        REWARD: np.array([step.reward for step in steps], np.float32),
        DONE: np.array([step.ended for step in steps]),
        SUCCESS: np.array([step.success for step in steps]),
        HELPED: np.array([step.intervened for step in steps]),
    }
    looks = [[np.ravel(step.observation[name]).astype(np.float32) for name in vectors] for step in steps]
    return ({STATE: np.stack([np.concatenate(look) for look in looks])} if vectors else {}) | columns


def encode_png(image: np.ndarray) -> bytes:
    """A uint8 (height, width, 3) image without loss."""
    buffer = io.BytesIO()
    needed("PIL.Image").fromarray(image).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def decode_image(data: bytes, where: str) -> np.ndarray:
    """A PNG or JPEG as uint8 (height, width, 3); raises FormatError naming `where` it was."""
    image: Any = needed("PIL.Image")
    try:
        return np.asarray(image.open(io.BytesIO(data)).convert("RGB"))
    except (OSError, ValueError, SyntaxError, image.DecompressionBombError) as error:
        raise FormatError(f"{where} holds an image that cannot be decoded: {error}") from None


def tasks_table(tasks: Sequence[str]) -> Any:
    """The table of tasks, with the metadata by which pandas finds their texts to be its index."""
    pa = needed("pyarrow")
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "__index_level_0__": pa.array(tasks)})
    column = {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"}
    index = {"name": None, "field_name": "__index_level_0__", "pandas_type": "unicode", "numpy_type": "object"}
    about = {
        "index_columns": ["__index_level_0__"],
        "column_indexes": [],
        "columns": [column | {"metadata": None}, index | {"metadata": None}],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(about)})


def write_json(path: Path, value: Any) -> None:
    """Write a document; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=4) + "\n")
