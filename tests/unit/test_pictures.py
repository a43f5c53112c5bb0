"""Pictures of recorded episodes: sheets, videos and paths."""

from pathlib import Path

import numpy as np
import pytest
from devices import arm_spec
from experience import EPISODE_LENGTH, STREAM, make_spec, make_step
from test_demos_check import write
from test_quality import SPEC, episode

from actor.config import ShowConfig
from actor.show import show
from envs.pictures import Strip, contact_sheet, enlarged, side_by_side, write_video
from envs.trajectories import tool_path
from wire.errors import UserError
from wire.specs import ArraySpec
from wire.store import StepStore

RED, BLUE = np.array([255, 0, 0], np.uint8), np.array([0, 0, 255], np.uint8)


def plain(colour: np.ndarray, height: int = 8, width: int = 8) -> np.ndarray:
    return np.broadcast_to(colour, (height, width, 3)).copy()


def test_cameras_stand_side_by_side_at_the_height_of_the_highest():
    both = side_by_side([plain(RED, 8, 6), plain(BLUE, 4, 4)])
    assert both.shape == (8, 14, 3)
    assert (both[:, :6] == RED).all()
    assert (both[:, 6:] == BLUE).all()


def test_pictures_are_enlarged_by_whole_pixels():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = enlarged(image, 5)
    assert large.shape == (6, 6, 3)
    assert (large[::3, ::3] == image).all()
    assert enlarged(image, 1) is not None
    assert enlarged(image, 1).shape == (2, 2, 3)


def test_a_sheet_has_every_picture_under_the_colour_of_who_drove():
    first = Strip("one", ["a"], [plain(RED), plain(BLUE)], ["0", "1"], [(1, 2, 3), (4, 5, 6)])
    sheet = contact_sheet([first, Strip("two", [], [plain(BLUE)], ["0"], [(7, 8, 9)])], least_height=8)
    colours = {tuple(map(int, colour)) for colour in sheet.reshape(-1, 3)}
    assert {(255, 0, 0), (0, 0, 255), (1, 2, 3), (4, 5, 6), (7, 8, 9)} <= colours
    assert (sheet == RED).all(axis=2).sum() == 64
    assert (sheet == BLUE).all(axis=2).sum() == 128


def archive(path: Path, episodes: int = 3) -> Path:
    spec = make_spec()
    with StepStore.open(path, spec) as store:
        for number in range(episodes * EPISODE_LENGTH):
            store.insert(STREAM, number + 1, make_step(spec, number))
        store.commit()
    return path


def test_episodes_with_images_become_a_sheet_and_a_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    import av

    path = archive(tmp_path / "d.sqlite")
    video = tmp_path / "d.mp4"
    show(ShowConfig(path=str(path), out=str(tmp_path / "d.png"), video=str(video), episodes=2))
    assert capsys.readouterr().out.startswith(f"{path}: reach, 2 episodes of 3\n")
    with av.open(str(video)) as container:
        frames = sum(1 for _ in container.decode(video=0))
        assert container.streams.video[0].average_rate == 20
    # Every observation, and the end of each episode for half a second.
    assert frames == 2 * (EPISODE_LENGTH + 10)
    show(ShowConfig(path=str(path), out=str(tmp_path / "one.png"), episode=2))
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_episodes_without_images_become_paths(tmp_path: Path):
    path = write(
        tmp_path / "d.sqlite", episode([[0.5, 0.1, -0.2, 1.0]] * 5), episode([[0.1, 0.2, 0.3, -1.0]], number=1)
    )
    show(ShowConfig(path=str(path), out=str(tmp_path / "d.png")))
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"episode": 7}, r"holds episodes 0 to 0, got episode=7"),
        ({"video": "v.mp4"}, r"holds no images, so there is no video"),
        ({"out": "/proc/x.png"}, r"cannot write /proc/x.png: .*; name another file"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_sentence(tmp_path: Path, changes: dict, said: str):
    path = write(tmp_path / "d.sqlite", episode([[0.5, 0.1, -0.2, 1.0]] * 5))
    with pytest.raises(UserError, match=said):
        show(ShowConfig(**{"path": str(path), "out": str(tmp_path / "d.png")} | changes))


def test_an_empty_file_and_a_video_of_nothing_are_said(tmp_path: Path):
    with pytest.raises(UserError, match="holds no finished episode yet"):
        show(ShowConfig(path=str(write(tmp_path / "d.sqlite")), out=str(tmp_path / "d.png")))
    with pytest.raises(UserError, match="no pictures for people"):
        write_video(tmp_path / "v.mp4", iter(()), 10)


def test_the_tools_path_is_what_the_robot_measured_where_it_says():
    from envs.tabletop import proprio_spec

    steps = episode([[1.0, 0.0, 0.5, 1.0]] * 3)
    path = tool_path(SPEC, steps)
    assert path is not None
    assert not path.measured
    np.testing.assert_allclose(path.points, [[0, 0, 0], [1, 0, 0.5], [2, 0, 1]])
    import msgspec

    spec = msgspec.structs.replace(SPEC, observation={"proprio": proprio_spec(7)})
    seen = [np.arange(12, dtype=np.float32) + t for t in range(3)]
    steps = [msgspec.structs.replace(s, observation={"proprio": p}) for s, p in zip(steps, seen, strict=True)]
    path = tool_path(spec, steps)
    assert path is not None
    assert path.measured
    np.testing.assert_allclose(path.points[0], [8, 9, 10])


def test_no_path_is_made_up():
    assert tool_path(arm_spec("a0", "a1"), episode([[0, 0]] * 2)) is None
    spec = arm_spec("a0")
    assert spec.observation["state"] == ArraySpec(shape=(2,), dtype="float32")
