"""Pictures for people: camera images side by side, sheets of them, videos."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wire.errors import UserError

_PAD, _LABEL, _CAPTION = 4, 210, 20
_PAPER, _INK, _FAINT = (255, 255, 255), (30, 30, 30), (110, 110, 110)

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Strip:
    """A row of a sheet: what happened, in words and in pictures."""

    title: str
    lines: Sequence[str]
    """Below the title."""
    pictures: Sequence[np.ndarray]
    """Uint8 of shape (height, width, 3), all of one shape."""
    captions: Sequence[str]
    """One for each, below it."""
    edges: Sequence[Colour]
    """One for each: the colour of the line above it."""


def side_by_side(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images of several cameras as one, uint8 of shape (height, width, 3); smaller ones are enlarged to the highest."""
    height = max(image.shape[0] for image in images)
    return np.concatenate([_to_height(image, height) for image in images], axis=1)


def enlarged(image: np.ndarray, least_height: int) -> np.ndarray:
    """An image at a whole multiple of its size, as it is: what a policy sees shall not look better than it does."""
    times = max(1, -(-least_height // image.shape[0]))
    return image.repeat(times, axis=0).repeat(times, axis=1)


def contact_sheet(strips: Sequence[Strip], *, least_height: int = 96) -> np.ndarray:
    """Rows of pictures with their words at the left, uint8 of shape (height, width, 3).

    Args:
        strips: The rows, at least one; they may differ in how many pictures they have.
        least_height: Smaller pictures are enlarged to this or more, pixels.

    Raises:
        UserError: Pillow is not installed.
    """
    Image, ImageDraw = _pillow()
    rows = [[enlarged(picture, least_height) for picture in strip.pictures] for strip in strips]
    cell_h, cell_w = (max(p.shape[axis] for row in rows for p in row) for axis in (0, 1))
    step_x, step_y = cell_w + _PAD, cell_h + _PAD + _CAPTION
    width = _LABEL + max(len(row) for row in rows) * step_x + _PAD
    sheet = Image.new("RGB", (width, len(rows) * step_y + _PAD), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (strip, row) in enumerate(zip(strips, rows, strict=True)):
        top = _PAD + number * step_y
        draw.text((8, top + 2), strip.title, fill=_INK, font=_font(19))
        for line, text in enumerate(strip.lines):
            draw.text((8, top + 28 + 19 * line), text, fill=_FAINT, font=_font(15))
        for column, (picture, caption, edge) in enumerate(zip(row, strip.captions, strip.edges, strict=True)):
            left = _LABEL + column * step_x
            sheet.paste(Image.fromarray(picture), (left, top + 4))
            draw.rectangle((left, top, left + picture.shape[1] - 1, top + 3), fill=edge)
            draw.text((left + 2, top + 5 + picture.shape[0]), caption, fill=_FAINT, font=_font(13))
    return np.asarray(sheet)


def captioned(image: np.ndarray, text: str, edge: Colour, *, least_height: int = 256) -> np.ndarray:
    """A picture of a video: enlarged, a line of `text` below it and a coloured one between; even sides, as H.264 asks.

    Raises:
        UserError: Pillow is not installed.
    """
    Image, ImageDraw = _pillow()
    large = enlarged(image, least_height)
    height, width = large.shape[0] + 28, max(large.shape[1], 320)
    frame = Image.new("RGB", (width + width % 2, height + height % 2), _INK)
    frame.paste(Image.fromarray(large), ((width - large.shape[1]) // 2, 0))
    draw = ImageDraw.Draw(frame)
    draw.rectangle((0, large.shape[0], width, large.shape[0] + 4), fill=edge)
    draw.text((6, large.shape[0] + 8), text, fill=_PAPER, font=_font(13))
    return np.asarray(frame)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an image, uint8 of shape (height, width, 3); raises UserError where the folder cannot be written."""
    Image, _ = _pillow()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, format="PNG")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; name another file") from error


def write_video(path: Path, frames: Iterable[np.ndarray], rate_hz: float) -> None:
    """Write pictures, uint8 of one shape (height, width, 3), as H.264.

    Raises:
        UserError: There are none, PyAV is not installed, or the file cannot be written.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise UserError("this environment shows no pictures for people, so there is no video; drop video=")
    try:
        import av
    except ImportError as error:
        raise UserError("videos need PyAV, which is not installed; pip install 'handrail[pictures]'") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=round(rate_hz))
            stream.height, stream.width = first.shape[:2]
            stream.pix_fmt = "yuv420p"
            for picture in itertools.chain((first,), frames):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write {path}: {error}; name another file, ending in .mp4") from error


def _to_height(image: np.ndarray, height: int) -> np.ndarray:
    if image.shape[0] == height:
        return image
    rows = np.arange(height) * image.shape[0] // height
    columns = np.arange(round(image.shape[1] * height / image.shape[0])) * image.shape[0] // height
    return image[rows][:, np.minimum(columns, image.shape[1] - 1)]


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise UserError("pictures need Pillow, which is not installed; pip install 'handrail[pictures]'") from error
    return Image, ImageDraw
