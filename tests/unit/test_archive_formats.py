"""The promises of import and export: what leaves comes back as it was, and what is wrong is named in a sentence."""

import json
import pickle
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from archives import SPEC, episode, rows_of, some_run, write_run
from experience import STREAM, assert_same_step

from envs.ros.bags import Bag, Offer, Recorded, StandardTypes
from learner.archive.config import ExportConfig, ImportConfig
from learner.archive.facts import read_facts
from learner.archive.formats.foreign import stream_of
from learner.archive.formats.incoming import import_run
from learner.archive.formats.lerobot_stats import ImageStats, VectorStats
from learner.archive.formats.outgoing import export_runs
from learner.archive.formats.video import VideoReader, VideoWriter, peak_signal_to_noise_db
from wire.codec import encode_step
from wire.errors import UserError
from wire.labels import Label, append_labels
from wire.specs import ArraySpec, EnvSpec
from wire.types import Source

SMOOTH = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8)
SPEC_32 = msgspec.structs.replace(
    SPEC,
    observation={
        name: msgspec.structs.replace(each, shape=(32, 32, 3)) if each.is_frame else each
        for name, each in SPEC.observation.items()
    },
)


def exported(run: Path, out: Path, **keys: Any) -> dict[str, Any]:
    return export_runs([read_facts(run)], ExportConfig(paths=["x"], out=str(out), **keys))


def imported(path: Path, out: Path, **keys: Any) -> dict[str, Any]:
    return import_run(ImportConfig(paths=[str(path)], out=str(out), **keys))


def smooth_run(path: Path) -> Path:
    """A run whose images are such as cameras see, and codecs can hold."""

    def seen(shift: int) -> dict[str, np.ndarray]:
        frame = np.stack([SMOOTH + 2 * shift, SMOOTH // 2, np.full_like(SMOOTH, 90)], -1).astype(np.uint8)
        return {"front": frame, "wrist": np.ascontiguousarray(frame[::-1])}

    episodes = []
    for number in range(2):
        steps = episode(SPEC_32, number, length=6, success=number == 0)
        steps = [msgspec.structs.replace(step, observation=step.observation | seen(step.t)) for step in steps]
        final = (steps[-1].final_observation or {}) | seen(6)
        episodes.append([*steps[:-1], msgspec.structs.replace(steps[-1], final_observation=final)])
    return write_run(path, episodes, spec=SPEC_32)


@pytest.mark.parametrize(
    ("name", "keys"), [("lerobot", {"codec": "png"}), ("minari", {}), ("mcap", {})], ids=["lerobot", "minari", "mcap"]
)
def test_what_is_exported_and_imported_again_is_equal_to_the_last_bit(tmp_path: Path, name: str, keys: dict):
    run = some_run(tmp_path / "run", info={"agent": "rlpd", "calibration": '{"front":1}'})
    told = exported(run, tmp_path / "out", format=name, **keys)
    assert (told["steps"], told["episodes"]) == (17, 4)
    back = imported(tmp_path / "out", tmp_path / "back", format=name)
    assert (back["exact"], back["steps"], back["successes"]) == (True, 17, 3)
    for got, wanted in zip(rows_of(tmp_path / "back"), rows_of(run), strict=True):
        assert (got.stream, got.seq) == (wanted.stream, wanted.seq)
        assert encode_step(got.step) == encode_step(wanted.step)
        assert_same_step(got.step, wanted.step)
    ours, theirs = read_facts(run), read_facts(tmp_path / "back" / "steps.sqlite")
    assert (theirs.spec, theirs.agent, theirs.calibration) == (ours.spec, ours.agent, ours.calibration)
    assert (theirs.episodes, theirs.human_steps) == (ours.episodes, ours.human_steps)


def test_an_export_says_that_labels_stay_at_home(tmp_path: Path):
    run = some_run(tmp_path / "run")
    append_labels(run, [Label(STREAM, 4, 0.0, source="person")])
    told = exported(run, tmp_path / "out", format="lerobot", codec="png")
    assert "1 labels stay beside the archive: these formats hold steps alone" in told["remarks"]


def test_a_video_codec_changes_the_images_by_what_is_said_and_nothing_else(tmp_path: Path):
    run = smooth_run(tmp_path / "run")
    told = exported(run, tmp_path / "out", format="lerobot")
    assert told["codec"] == "h264"
    back = imported(tmp_path / "out", tmp_path / "back", format="lerobot")
    assert any("video codec" in line for line in back["remarks"])
    worst = {"front": np.inf, "wrist": np.inf}
    for got, wanted in zip(rows_of(tmp_path / "back"), rows_of(run), strict=True):
        for camera in worst:
            psnr = peak_signal_to_noise_db(got.step.observation[camera], wanted.step.observation[camera])
            worst[camera] = min(worst[camera], psnr)
        frames = {name: wanted.step.observation[name] for name in worst}
        mended = msgspec.structs.replace(got.step, observation=got.step.observation | frames)
        assert_same_step(mended, wanted.step)
    assert min(worst.values()) >= 35.0
    assert told["psnr_db"] == pytest.approx(worst)


def test_a_lerobot_data_set_has_the_layout_of_v3(tmp_path: Path):
    import pyarrow.parquet as pq

    exported(smooth_run(tmp_path / "run"), tmp_path / "out", format="lerobot")
    info = json.loads((tmp_path / "out/meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["total_episodes"], info["total_frames"]) == ("v3.0", 20, 2, 12)
    assert info["features"]["observation.images.front"]["dtype"] == "video"
    data = pq.read_table(tmp_path / "out/data/chunk-000/file-000.parquet")
    assert data.column("index").to_pylist() == list(range(12))
    assert data.column("frame_index").to_pylist() == [*range(6), *range(6)]
    assert str(data.schema.field("action").type).startswith("fixed_size_list<")
    episodes = pq.read_table(tmp_path / "out/meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [row["dataset_to_index"] for row in episodes] == [6, 12]
    assert episodes[1]["videos/observation.images.front/from_timestamp"] == pytest.approx(6 / 20)
    tasks = pq.read_table(tmp_path / "out/meta/tasks.parquet")
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["__index_level_0__"]
    stats = json.loads((tmp_path / "out/meta/stats.json").read_text())
    assert np.shape(stats["observation.images.front"]["mean"]) == (3, 1, 1)
    assert stats["action"].keys() == {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}


def test_a_lerobot_data_set_of_others_needs_nothing_of_ours(tmp_path: Path):
    import shutil

    run = some_run(tmp_path / "run")
    exported(run, tmp_path / "out", format="lerobot", codec="png")
    shutil.rmtree(tmp_path / "out" / "handrail")
    told = imported(tmp_path / "out", tmp_path / "back", format="lerobot", robot="so101")
    assert told["exact"] is False
    facts = read_facts(tmp_path / "back" / "steps.sqlite")
    assert (facts.task, facts.robot, facts.rate_hz, facts.vectors) == ("reach", "so101", 20, {"state": 3})
    # The failed episode was only stopped, and lost its last step; the others ended, and their last image stands twice.
    assert (told["steps"], told["episodes"], told["successes"]) == (16, 4, 3)
    for got, wanted in zip(rows_of(tmp_path / "back"), rows_of(run), strict=False):
        np.testing.assert_array_equal(got.step.action, wanted.step.action)
        np.testing.assert_array_equal(got.step.observation["front"], wanted.step.observation["front"])
        assert got.step.reward == wanted.step.reward
        assert got.step.source == wanted.step.source or wanted.step.source is Source.POLICY
    assert rows_of(tmp_path / "back")[-1].step.truncated


def edited(out: Path, column: str, episode: int, value: Any) -> None:
    """Set a column of a LeRobot data set to a value in one of its episodes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = out / "data/chunk-000/file-000.parquet"
    table = pq.read_table(file)
    values = table.column(column).to_pylist()
    chosen = table.column("episode_index").to_pylist()
    values = [value if number == episode else old for number, old in zip(chosen, values, strict=True)]
    place = table.schema.get_field_index(column)
    pq.write_table(table.set_column(place, column, pa.array(values, table.schema.field(column).type)), file)


def test_data_that_was_edited_after_its_export_is_taken_as_it_is_now(tmp_path: Path):
    exported(some_run(tmp_path / "run"), tmp_path / "out", format="lerobot", codec="png")
    edited(tmp_path / "out", "next.reward", 0, 0.5)
    told = imported(tmp_path / "out", tmp_path / "back", format="lerobot")
    assert told["exact"] is False
    assert any("changed after it was exported" in line for line in told["remarks"])
    assert {row.step.reward for row in rows_of(tmp_path / "back") if row.step.episode == 0} == {0.5}


TWO_VECTORS = msgspec.structs.replace(
    SPEC,
    observation={
        **{name: each for name, each in SPEC.observation.items() if each.is_frame},
        "proprio": ArraySpec(shape=(3,), dtype="float32"),
        "object": ArraySpec(shape=(2,), dtype="float32"),
    },
)


@pytest.mark.parametrize(
    ("column", "value"),
    [("next.reward", 0.5), ("observation.state", [1.0, 2.0, 3.0, 4.0, 5.0]), ("next.success", True)],
)
def test_where_a_later_episode_was_edited_it_is_taken_as_it_is_and_the_others_as_they_were(
    tmp_path: Path, column: str, value: Any
):
    run = some_run(tmp_path / "run", spec=TWO_VECTORS)
    exported(run, tmp_path / "out", format="lerobot", codec="png")
    edited(tmp_path / "out", column, 1, value)
    told = imported(tmp_path / "out", tmp_path / "back", format="lerobot")
    assert (told["exact"], told["episodes"], told["steps"]) == (False, 4, 17)
    assert any("changed after it was exported" in line for line in told["remarks"])
    assert any("3 of 4 episodes are again what they were" in line for line in told["remarks"])
    got, wanted = rows_of(tmp_path / "back"), rows_of(run)
    for ours, theirs in zip(got[:4] + got[8:], wanted[:4] + wanted[8:], strict=True):
        assert (ours.stream, ours.seq) == (theirs.stream, theirs.seq)
        assert_same_step(ours.step, theirs.step)
    changed = [row.step for row in got[4:8]]
    assert [step.source for step in changed] == [row.step.source for row in wanted[4:8]]
    if column == "next.reward":
        assert [step.reward for step in changed] == [0.5] * 4
    if column == "observation.state":
        assert all(step.observation["proprio"].tolist() == [1.0, 2.0, 3.0] for step in changed)
        assert all(step.observation["object"].tolist() == [4.0, 5.0] for step in changed)
    else:
        np.testing.assert_array_equal(changed[2].observation["object"], wanted[6].step.observation["object"])


def robomimic(path: Path, **changes: Any) -> Path:
    import h5py

    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(
            {"env_name": "Lift", "env_kwargs": {"control_freq": 20, "robots": ["Panda"]}}
        )
        for number in (10, 2):
            demo = data.create_group(f"demo_{number}")
            demo["actions"] = np.full((5, 7), number / 100)
            demo["rewards"] = np.array([0, 0, 0, 0, float(number == 2)])
            demo["dones"] = np.array([0, 0, 0, 0, 1])
            for part in ("obs", "next_obs"):
                demo[f"{part}/eef_pos"] = rng.random((5, 3)) + (part == "next_obs")
                demo[f"{part}/agentview_image"] = rng.integers(0, 255, (5, 24, 24, 3), np.uint8)
            for name, value in changes.items():
                del demo[name]
                if value is not None:
                    demo[name] = value
    return path


def test_robomimic_demonstrations_become_a_run(tmp_path: Path):
    told = imported(robomimic(tmp_path / "demo.hdf5"), tmp_path / "run", format="robomimic", image_size=16)
    assert (told["steps"], told["episodes"], told["successes"]) == (10, 2, 1)
    facts = read_facts(tmp_path / "run" / "steps.sqlite")
    assert (facts.task, facts.robot, facts.env, facts.rate_hz, facts.kind) == (
        "Lift", "Panda", "sim", 20, "demonstrations",
    )  # fmt: skip
    assert facts.cameras == {"agentview_image": (16, 16)}
    rows = rows_of(tmp_path / "run")
    assert rows[0].step.action[0] == np.float32(0.02)  # demo_2 comes before demo_10.
    assert rows[4].step.terminated
    assert rows[4].step.final_observation is not None
    assert rows[4].step.final_observation["eef_pos"].min() >= 1
    assert rows[9].step.truncated
    assert all(row.step.source is Source.DEMO for row in rows)


def hilserl(path: Path, n: int = 5) -> Path:
    rng = np.random.default_rng(0)
    seen = [
        {"state": rng.random((1, 7)), "wrist_1": rng.integers(0, 255, (1, 16, 16, 3), np.uint8)} for _ in range(n + 1)
    ]
    demo = [
        {
            "observations": seen[t],
            "next_observations": seen[t + 1],
            "actions": rng.uniform(-1, 1, 7).astype(np.float32),
            "rewards": float(t == n - 1),
            "masks": 1.0 - (t == n - 1),
            "dones": t == n - 1,
            "infos": {"succeed": t == n - 1},
        }
        for t in range(n)
    ]
    path.write_bytes(pickle.dumps(demo + demo))
    return path


def test_hilserl_demonstrations_become_a_run(tmp_path: Path):
    path = hilserl(tmp_path / "demo.pkl")
    told = imported(path, tmp_path / "run", format="hilserl", task="ram", rate_hz=10)
    assert (told["steps"], told["episodes"], told["successes"]) == (10, 2, 2)
    facts = read_facts(tmp_path / "run" / "steps.sqlite")
    assert (facts.vectors, facts.cameras, facts.kind) == ({"state": 7}, {"wrist_1": (16, 16)}, "demonstrations")
    rows = rows_of(tmp_path / "run")
    wanted = pickle.loads(path.read_bytes())
    for row, transition in zip(rows, wanted, strict=True):
        np.testing.assert_array_equal(row.step.action, transition["actions"])
        np.testing.assert_array_equal(row.step.observation["wrist_1"], transition["observations"]["wrist_1"][0])
    assert rows[4].step.terminated


def test_an_import_has_the_same_stream_every_time_so_that_a_merge_finds_it_to_be_one(tmp_path: Path):
    path = hilserl(tmp_path / "demo.pkl")
    for name in ("one", "two"):
        imported(path, tmp_path / name, format="hilserl", task="ram", rate_hz=10)
    assert rows_of(tmp_path / "one")[0].stream == rows_of(tmp_path / "two")[0].stream == stream_of(path)


def test_a_recording_is_sampled_into_steps_that_pair_what_was_seen_with_what_was_then_asked_for(tmp_path: Path):
    run = some_run(tmp_path / "run")
    exported(run, tmp_path / "bags", format="mcap")
    keys = {"action": "/handrail/action", "topics": ["/handrail/observation/state", "/camera/front/image_raw"]}
    told = imported(tmp_path / "bags", tmp_path / "back", format="mcap", rate_hz=20, task="reach", **keys)
    assert told["exact"] is False
    assert "/handrail/action" in told["remarks"][0]
    theirs = {row.step.observation["state"].tobytes(): row.step for row in rows_of(run)}
    got = rows_of(tmp_path / "back")
    assert len(got) > 8
    for row in got:
        wanted = theirs[row.step.observation["handrail.observation.state"].tobytes()]
        np.testing.assert_array_equal(row.step.action, wanted.action)
        np.testing.assert_array_equal(row.step.observation["camera.front.image_raw"], wanted.observation["front"])


def recording(folder: Path) -> None:
    """What `recorder_node` leaves of two seconds: each message says when it was sent, in hundredths of a second."""
    stores = pytest.importorskip("rosbags.typesys")
    store = stores.get_typestore(stores.Stores.ROS2_JAZZY)
    kinds = store.types
    stamp = kinds["builtin_interfaces/msg/Time"](sec=0, nanosec=0)
    header = kinds["std_msgs/msg/Header"](stamp=stamp, frame_id="base")
    turn = kinds["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0)

    def pose(hundredths: int) -> Any:
        point = kinds["geometry_msgs/msg/Point"](x=float(hundredths), y=0.0, z=0.0)
        whole = kinds["geometry_msgs/msg/Pose"](position=point, orientation=turn)
        return kinds["geometry_msgs/msg/PoseStamped"](header=header, pose=whole)

    def image(hundredths: int) -> Any:
        size = {"height": 2, "width": 3, "step": 9, "is_bigendian": 0, "encoding": "bgr8"}
        pixels = np.tile(np.array([1, 2, hundredths], np.uint8), 6)
        return kinds["sensor_msgs/msg/Image"](header=header, data=pixels, **size)

    def state(hundredths: int) -> Any:
        return kinds["diagnostic_msgs/msg/DiagnosticStatus"](
            level=0, name="guard", message="", hardware_id="", values=[]
        )  # fmt: skip

    # Topic -> kind, message, first and every so many hundredths.
    topics = {
        "/current_pose": ("geometry_msgs/msg/PoseStamped", pose, 0, 2),
        "/camera/front/color/image_raw": ("sensor_msgs/msg/Image", image, 1, 3),
        "/guard/state": ("diagnostic_msgs/msg/DiagnosticStatus", state, 0, 10),
        "/guard/requested_pose": ("geometry_msgs/msg/PoseStamped", pose, 5, 10),
    }
    bag = Bag(folder, "20260101T000000.000000Z_episode_0001", StandardTypes())
    for topic, (kind, _, _, _) in topics.items():
        bag.offer(topic, Offer(kind))
    for hundredths in range(200):
        for topic, (kind, make, first, every) in topics.items():
            if hundredths >= first and (hundredths - first) % every == 0:
                data = bytes(store.serialize_cdr(make(hundredths), kind))
                at = 10**9 + hundredths * 10**7
                bag.write(Recorded(at, topic, 1, at, data))
    bag.finish({"ended": "the next episode began", "lost": "nothing"})


def test_what_our_recorder_leaves_is_sampled_at_the_control_rate(tmp_path: Path):
    recording(tmp_path / "recordings")
    told = imported(tmp_path / "recordings", tmp_path / "run", format="mcap", rate_hz=10, task="peg", robot="fr3")
    assert "actions are /guard/requested_pose" in told["remarks"][0]
    rows = rows_of(tmp_path / "run")
    assert len(rows) in (18, 19)
    for row in rows:
        # The first tick is at 0.01 s, when all topics had spoken.
        tick = 1 + 10 * row.step.t
        assert row.step.observation["current_pose"][0] == tick - tick % 2
        red, green, blue = row.step.observation["camera.front.color.image_raw"][0, 0]
        assert (red, green, blue) == (1 + 3 * ((tick - 1) // 3), 2, 1)
        assert row.step.action[0] == 5 + 10 * row.step.t
        assert row.step.reward == 0
    assert rows[-1].step.truncated


def test_imported_data_can_be_made_to_fit_a_run_of_ours(tmp_path: Path):
    like = EnvSpec(
        **{field: getattr(SPEC, field) for field in SPEC.__struct_fields__}
        | {
            "observation": {
                "wrist": msgspec.structs.replace(SPEC.observation["front"], shape=(16, 16, 3)),
                "proprio": msgspec.structs.replace(SPEC.observation["state"], shape=(7,)),
            },
            "action": msgspec.structs.replace(SPEC.action, shape=(7,)),
            "action_names": tuple("abcdefg"),
        }
    )
    ours = write_run(tmp_path / "ours", [episode(like, 0)], spec=like)
    told = {"format": "hilserl", "like": str(ours.parent)}
    path = hilserl(tmp_path / "demo.pkl")
    with pytest.raises(UserError, match=r"wrist is absent there.*they also have state, wrist_1.*rename="):
        imported(path, tmp_path / "run", **told)
    imported(path, tmp_path / "run", rename=["state:proprio", "wrist_1:wrist"], **told)
    assert read_facts(tmp_path / "run" / "steps.sqlite").env_spec() == like


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "gone": ({"format": "lerobot"}, "there is nothing at"),
    "no lerobot": ({"format": "lerobot"}, r"is no LeRobotDataset: it has no meta/info\.json"),
    "old lerobot": ({"format": "lerobot"}, r"is of LeRobotDataset v2\.1, wanted v3\.0; LeRobot itself converts it"),
    "torn lerobot": ({"format": "lerobot"}, r"file-000\.parquet is no intact parquet file"),
    "lerobot without a video": ({"format": "lerobot"}, r"there is no video .*file-000\.mp4"),
    "lerobot with a torn video": ({"format": "lerobot"}, r"file-000\.mp4 (cannot be decoded|ends before image)"),
    "no minari": ({"format": "minari"}, r"is no Minari data set: it has no metadata\.json"),
    "torn minari": ({"format": "minari"}, r"main_data\.hdf5 is no intact HDF5 file"),
    "arrow minari": ({"format": "minari"}, "has the data format arrow, wanted hdf5"),
    "discrete minari": ({"format": "minari"}, "has Discrete actions; wanted vectors"),
    "no robomimic": ({"format": "robomimic"}, "is no intact HDF5 file"),
    "robomimic without observations": ({"format": "robomimic"}, "has states but no observations"),
    "robomimic with NaN": ({"format": "robomimic"}, "episode 0 holds a NaN or an infinity in action at step 0"),
    "no list of transitions": ({"format": "hilserl", "task": "x"}, "holds a dict; wanted a list of transitions"),
    "transition without actions": ({"format": "hilserl", "task": "x"}, "transition 0 has no actions"),
    "hilserl without a rate": ({"format": "hilserl", "task": "x"}, "does not say its control rate; give it: rate_hz"),
    "hilserl without a task": ({"format": "hilserl", "rate_hz": 10.0}, "does not name its task; give it: task="),
    "no mcap": ({"format": "mcap", "rate_hz": 10.0}, r"holds no \.mcap file"),
    "torn mcap": ({"format": "mcap"}, r"is no intact MCAP file.*envs\.ros\.recover"),
    "unknown success": ({"format": "lerobot", "rewards": "success"}, "needs data that says which episodes succeeded"),
    "wrong rename": ({"format": "hilserl", "task": "x", "rate_hz": 10.0, "rename": ["a:b"]}, "rename= names a, and"),
}


def wrong(path: Path, name: str) -> None:
    """Make the data that a name of WRONG promises."""
    if "lerobot" in name or name == "unknown success":
        wrong_lerobot(path, name)
    elif "minari" in name:
        wrong_minari(path, name)
    elif name == "no robomimic":
        path.write_text("no HDF5")
    elif "robomimic" in name:
        change = {"obs": None} if "without" in name else {"actions": np.full((5, 7), np.nan)}
        robomimic(path, **change)
    elif "transition" in name:
        path.write_bytes(pickle.dumps({"a": 1} if "list" in name else [{"observations": {}, "next_observations": {}}]))
    elif "hilserl" in name or name == "wrong rename":
        hilserl(path)
    elif name == "no mcap":
        path.mkdir()
    elif name == "torn mcap":
        exported(some_run(path.parent / "run"), path, format="mcap")
        file = next(path.rglob("*.mcap"))
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def wrong_lerobot(path: Path, name: str) -> None:
    if name == "no lerobot":
        path.mkdir()
        return
    exported(smooth_run(path.parent / "run"), path, format="lerobot")
    info = path / "meta/info.json"
    video = next((path / "videos").rglob("*.mp4"))
    if name == "old lerobot":
        info.write_text(info.read_text().replace("v3.0", "v2.1"))
    elif name == "torn lerobot":
        data = path / "data/chunk-000/file-000.parquet"
        data.write_bytes(data.read_bytes()[:-100])
    elif name == "lerobot without a video":
        video.unlink()
    elif name == "lerobot with a torn video":
        video.write_bytes(video.read_bytes()[:200])
    else:
        document = json.loads(info.read_text())
        del document["features"]["next.success"]
        info.write_text(json.dumps(document))


def wrong_minari(path: Path, name: str) -> None:
    if name == "no minari":
        path.mkdir()
        return
    exported(some_run(path.parent / "run"), path, format="minari")
    about = path / "data/metadata.json"
    document = json.loads(about.read_text())
    if name == "torn minari":
        file = path / "data/main_data.hdf5"
        file.write_bytes(file.read_bytes()[:3000])
    elif name == "arrow minari":
        about.write_text(json.dumps(document | {"data_format": "arrow"}))
    else:
        about.write_text(json.dumps(document | {"action_space": '{"type": "Discrete", "n": 3}'}))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_data_is_refused_in_a_sentence_and_no_run_is_left(tmp_path: Path, name: str):
    keys, said = WRONG[name]
    path = tmp_path / "data.x"
    wrong(path, name)
    with pytest.raises(UserError, match=said) as refused:
        imported(path, tmp_path / "new", **keys)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "new").exists()


def test_an_hdf5_that_points_to_another_file_is_refused(tmp_path: Path):
    import h5py

    path = robomimic(tmp_path / "demo.hdf5")
    robomimic(tmp_path / "secret.hdf5")
    with h5py.File(path, "a") as file:
        del file["data/demo_2/actions"]
        file["data/demo_2/actions"] = h5py.ExternalLink(str(tmp_path / "secret.hdf5"), "data/demo_2/actions")
    with pytest.raises(UserError, match="lies in another file"):
        imported(path, tmp_path / "run", format="robomimic")


def test_a_dataset_without_rewards_says_what_can_still_be_done_with_it(tmp_path: Path):
    path = robomimic(tmp_path / "demo.hdf5", rewards=None)
    told = imported(path, tmp_path / "run", format="robomimic")
    assert any("imitation (agent=bc) needs none" in line for line in told["remarks"])
    assert read_facts(tmp_path / "run" / "steps.sqlite").reward == "none"
    told = imported(path, tmp_path / "taken", format="robomimic", rewards="last")
    assert (told["successes"], read_facts(tmp_path / "taken" / "steps.sqlite").reward) == (2, "sparse-1")


def test_an_export_never_writes_over_anything(tmp_path: Path):
    run = some_run(tmp_path / "run")
    with pytest.raises(UserError, match="is there already"):
        exported(run, tmp_path / "run", format="minari")
    with pytest.raises(UserError, match="there is no finished episode to export"):
        exported(run, tmp_path / "out", format="minari", min_return=5.0)
    assert not (tmp_path / "out").exists()


def test_only_the_chosen_episodes_are_exported_and_those_thrown_away_never(tmp_path: Path):
    steps = episode(SPEC, 0)
    thrown = [*steps[:-1], msgspec.structs.replace(steps[-1], discarded=True)]
    run = write_run(tmp_path / "run", [thrown, episode(SPEC, 1), episode(SPEC, 2, success=False)])
    told = exported(run, tmp_path / "out", format="minari", success=True)
    assert told["episodes"] == 1
    assert any("threw away" in line for line in told["remarks"])


def test_a_video_gives_back_each_image_at_its_place(tmp_path: Path):
    images = [np.full((16, 16, 3), 10 * n, np.uint8) for n in range(9)]
    writer = VideoWriter(tmp_path / "v.mp4", 10, 30, (16, 16))
    for image in images:
        writer.append(image)
    writer.close()
    reader = VideoReader(tmp_path / "v.mp4", 30)
    assert np.abs(reader.take(2, 3).astype(int) - np.stack(images[2:5])).max() <= 3
    assert np.abs(reader.take(7, 2).astype(int) - np.stack(images[7:9])).max() <= 3


def test_the_videos_of_others_may_be_av1():
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    images = [np.stack([ramp + 10 * n, ramp // 2, np.full_like(ramp, 90)], -1).astype(np.uint8) for n in range(4)]
    reader = VideoReader(Path(__file__).parents[1] / "golden" / "av1.mp4", 30)
    assert peak_signal_to_noise_db(reader.take(1, 3), np.stack(images[1:])) >= 35.0


def test_statistics_are_those_of_numpy():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (7, 6, 5, 3)).astype(np.uint8)
    stats = ImageStats()
    for part in (images[:3], images[3:]):
        stats.add(part)
    found, flat = stats.result(), images.reshape(-1, 3) / 255
    np.testing.assert_allclose(np.ravel(found["mean"]), flat.mean(0))
    np.testing.assert_allclose(np.ravel(found["std"]), flat.std(0))
    np.testing.assert_allclose(np.ravel(found["q50"]), np.quantile(flat, 0.5, axis=0, method="inverted_cdf"))
    vectors = VectorStats()
    vectors.add(flat)
    np.testing.assert_allclose(vectors.result()["q90"], np.quantile(flat, 0.9, axis=0))
