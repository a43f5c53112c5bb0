"""What tests of cameras share: settings of a camera that a recording stands in for, and ways to look at it."""

import threading

from recordings import FPS, HEIGHT, WIDTH

from envs.cameras import CameraConfig

WAIT_S = 20.0
"""Only a broken camera is waited for this long."""


def of_size(**fields):
    return CameraConfig(**{"name": "wrist", "width": WIDTH, "height": HEIGHT, "fps": FPS, **fields})


def eventually(condition):
    deadline = threading.Event()
    timer = threading.Timer(WAIT_S, deadline.set)
    timer.start()
    while not condition() and not deadline.wait(0.005):
        pass
    timer.cancel()
    return condition()


def number_of(frame):
    return None if frame is None else frame.number


def read_all(source, wanted):
    """`wanted` pictures, read as the reader thread does, without losing one to the newest."""
    source.open()
    pictures = []
    for _ in range(100 * wanted):
        read = source.read()
        if read is not None:
            pictures.append(read)
        if len(pictures) == wanted:
            break
    source.close()
    return pictures
