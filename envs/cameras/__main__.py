"""A first look at the cameras: `python -m envs.cameras` lists them and takes one picture with each.

`python -m envs.cameras wrist=0123456789 front=/dev/v4l/by-id/...` looks at those alone, under the names they will have:
a serial number is a RealSense, anything else an ordinary camera.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from envs.cameras.camera import CameraError
from envs.cameras.config import CameraConfig
from envs.cameras.open import open_camera
from envs.cameras.opencv import cv2
from wire.errors import UserError, plain, run_main

_FIRST_S = 10.0
_LOOK_S = 1.0


def say(text: str) -> None:
    """One line for the person at the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def found(like: CameraConfig) -> list[CameraConfig]:
    """All cameras that are connected here, set like this one; the video devices of a RealSense are left out."""
    from envs.cameras import realsense, uvc

    configs = []
    try:
        for number, camera in enumerate(realsense.connected()):
            say(f"RealSense {camera}")
            configs.append(replace(like, name=f"realsense_{number}", serial=camera.serial))
    except CameraError as error:
        say(f"RealSense cameras are not looked for: {error}")
    for number, path in enumerate(uvc.connected()):
        if "RealSense" not in path.name:
            say(f"UVC {path}")
            configs.append(replace(like, name=f"uvc_{number}", source="uvc", device=str(path)))
    return configs


def named(text: str, like: CameraConfig) -> CameraConfig:
    """The camera that `name=serial`, `name=path` or `name=recording` means, set like this one."""
    name, equals, where = text.partition("=")
    if not equals or not where:
        raise UserError(f"got {plain(text)}, wanted <name>=<serial number, device or recording>")
    if Path(where).is_file():
        return replace(like, name=name, source="realsense" if where.endswith(".db3") else "uvc", playback=where)
    if where.isdigit() and len(where) > 3:  # Nobody has a thousand video devices.
        return replace(like, name=name, serial=where)
    return replace(like, name=name, source="uvc", device=where)


def look(config: CameraConfig, folder: Path) -> str:
    """Watch a camera for a second and keep its last picture; what there is to say of it. Raises CameraError."""
    camera = open_camera(config)
    try:
        first = frame = camera.wait(None, _FIRST_S)
        if first is None:
            raise CameraError(camera.trouble() or f"camera {config.name}: no frame within {_FIRST_S:g} s")
        count, lost, oldest_s, end_s = 0, 0, 0.0, time.monotonic() + _LOOK_S
        while time.monotonic() < end_s:
            new = camera.wait(frame, 0.01)
            oldest_s = max(oldest_s, camera.age_s())
            if new is not None and frame is not None:
                count, lost, frame = count + 1, lost + max(0, new.number - frame.number - 1), new
    finally:
        camera.close()
    file = folder / f"{config.name}.png"
    assert frame is not None
    folder.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(file), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)):
        raise UserError(f"cannot write {file}; choose another folder with --out")
    height, width = frame.image.shape[:2]
    rate = count / max(1e-9, frame.received_s - first.received_s)
    return (
        f"{config.name}: {width} x {height}, {rate:.1f} frames a second of {config.fps}, {lost} lost, at most "
        f"{1000 * oldest_s:.0f} ms old: {file}"
    )


def main() -> int:
    """List, look, and return 0 if every camera that was found or named showed a picture."""
    parser = argparse.ArgumentParser(prog="python -m envs.cameras", description="List cameras, and look at each.")
    parser.add_argument("cameras", nargs="*", metavar="name=serial|device|file", help="default: all that are connected")
    parser.add_argument("--out", type=Path, default=Path("cameras"), help="folder for the pictures (default: cameras)")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--fps", type=int, default=30)
    args = parser.parse_args()
    try:
        like = CameraConfig(name="camera", width=args.width, height=args.height, fps=args.fps)
        configs = [named(text, like) for text in args.cameras] if args.cameras else found(like)
    except ValueError as error:
        raise UserError(str(error)) from error
    if not configs:
        raise UserError("no camera is connected, wanted at least one; check the cables, then docs/cameras.md")
    troubled = False
    for config in configs:
        try:
            say(look(config, args.out))
        except CameraError as error:
            say(f"error: {error}")
            troubled = True
    return 2 if troubled else 0


if __name__ == "__main__":
    raise SystemExit(run_main(main))
