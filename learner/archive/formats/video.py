"""Camera images as the videos of LeRobotDataset: all episodes of a camera one after the other in an MP4 file."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from learner.archive.formats.foreign import FormatError, needed
from wire.errors import plain

GOP = 2
"""Pictures from one key frame to the next: who reads single frames decodes two at most."""
ENCODER = "libx264"
"""Not SVT-AV1: run by root, it makes the thread that calls it real-time, before every watchdog, and leaves it so."""
PIXELS = "yuv420p"


class VideoWriter:
    """Encodes uint8 (height, width, 3) images, in order."""

    def __init__(self, path: Path, quality: int, rate_hz: float, size: tuple[int, int]) -> None:
        """Begin a file.

        Args:
            path: The file; its folder is made.
            quality: H.264's constant rate factor; lower is better.
            rate_hz: Images a second.
            size: Height and width in pixels, both even: chroma has half of each.
        """
        av = needed("av")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.frames = 0
        self.path = path
        self._av = av
        self._file = av.open(str(path), "w")
        options = {"crf": str(quality), "g": str(GOP)}
        self._stream = self._file.add_stream(ENCODER, Fraction(rate_hz).limit_denominator(1000), options=options)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = PIXELS

    def append(self, image: np.ndarray) -> None:
        """Encode the next image."""
        self._file.mux(self._stream.encode(self._av.VideoFrame.from_ndarray(image, format="rgb24")))
        self.frames += 1

    @property
    def bytes(self) -> int:
        """What is in the file so far; encoders hold a few images back."""
        return self.path.stat().st_size if self.path.exists() else 0

    def close(self) -> None:
        """Complete the file."""
        self._file.mux(self._stream.encode())
        self._file.close()


class VideoReader:
    """Decodes a file once, from its beginning to its end."""

    def __init__(self, path: Path, rate_hz: float) -> None:
        if not path.is_file():
            raise FormatError(f"there is no video {path}, which the data set names; copy it whole")
        self._path = path
        self._rate_hz = rate_hz
        self._frames = self._decoded()

    def take(self, first: int, count: int) -> np.ndarray:
        """The images `first` to `first + count`, uint8 (count, height, width, 3); raises FormatError where they end."""
        images: list[np.ndarray] = []
        for number, image in self._frames:
            if number < first:
                continue
            images.append(image)
            if len(images) == count:
                return np.stack(images)
        raise FormatError(f"{self._path} ends before image {first + count} that the data set names; copy it whole")

    def _decoded(self) -> Iterator[tuple[int, np.ndarray]]:
        av: Any = needed("av")
        try:
            with av.open(str(self._path)) as file:
                for frame in file.decode(video=0):
                    yield round(frame.time * self._rate_hz), frame.to_ndarray(format="rgb24")
        except (av.FFmpegError, OSError, IndexError) as error:
            raise FormatError(f"{self._path} cannot be decoded: {plain(error)}") from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the encoders' own words off the terminal."""
    logging = needed("av.logging")
    before = logging.get_level()
    logging.set_level(logging.FATAL)
    try:
        yield
    finally:
        logging.set_level(before)


def peak_signal_to_noise_db(got: np.ndarray, wanted: np.ndarray) -> float:
    """PSNR of uint8 images in dB; infinite where they are equal."""
    error = np.mean((got.astype(np.float64) - wanted.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))
