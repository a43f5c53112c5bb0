"""Raw HID reports through the real driver: every model, no lag, and nothing from a device that is gone."""

import itertools
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from devices import COMPACT, WIRELESS, FakeHid, Plug, buttons, combined, split, turns, until

from actor.human.instrument import STILL
from actor.human.spacemouse import Decoder, SpaceMouse, choose, connected
from wire.errors import UserError

NEW_S = 0.1


@pytest.fixture
def plug(tmp_path: Path) -> Plug:
    return Plug(tmp_path / "hidraw0", serial="A1")


def decoded(*reports: bytes) -> list[float]:
    decoder = Decoder()
    for report in reports:
        decoder.feed(report, 1.0)
    return decoder.axes


def test_both_kinds_of_reports_give_all_six_axes_whatever_the_model():
    wanted = [0.2, -0.4, 0.6, -0.8, 1.0, -0.1]
    counts = [round(350 * value) for value in wanted]
    np.testing.assert_allclose(decoded(split(*counts[:3]), turns(*counts[3:])), wanted)
    np.testing.assert_allclose(decoded(combined(*counts)), wanted)


MODELS = {
    "SpaceNavigator": ((0x046D, 0xC626), "split"),
    "SpaceMouse Pro": ((0x046D, 0xC62B), "split"),
    "SpaceMouse Compact": ((0x256F, 0xC635), "split"),
    "SpaceMouse Wireless (cabled)": ((0x256F, 0xC62E), "combined"),
    "SpaceMouse Wireless (new)": ((0x256F, 0xC63A), "combined"),
    "SpaceMouse Pro Wireless": ((0x256F, 0xC632), "combined"),
    "SpaceMouse Pro Wireless (Bluetooth)": ((0x256F, 0xC638), "combined"),
    "SpaceMouse Enterprise": ((0x256F, 0xC633), "combined"),
    "Universal Receiver": ((0x256F, 0xC652), "combined"),
}
"""Their usual layouts; none is relied on."""
RULE = Path(__file__).resolve().parents[2] / "ros2_ws/src/handrail_bringup/udev/70-handrail-spacemouse.rules"


@pytest.mark.parametrize("name", MODELS)
def test_every_model_drives_all_six_axes_and_its_last_button_through_the_driver(tmp_path: Path, name: str):
    model, layout = MODELS[name]
    plug, counts = Plug(tmp_path / "hidraw0", model), (70, -140, 210, -280, 350, -35)
    mouse = SpaceMouse(hid=FakeHid(plug))
    try:
        assert mouse.name == name
        # An Enterprise has the most of them, 31.
        plug.say(*([split(*counts[:3]), turns(*counts[3:])] if layout == "split" else [combined(*counts)]), buttons(30))
        until(lambda: mouse.latest().down == {30})
        np.testing.assert_allclose(mouse.latest().axes, [count / 350 for count in counts])
        assert mouse.pressed() == [30]
    finally:
        mouse.close()
    vendor, product = (f"{number:04x}" for number in model)
    rule = RULE.read_text().lower()
    assert f'"{vendor}"' in rule
    assert vendor == "256f" or product in rule


def test_the_raw_axes_are_right_towards_the_person_and_down():
    raw = {1: [0, -1, 0], 2: [-1, 0, 0], 3: [0, 0, -1]}
    for axis, wanted in raw.items():
        body = bytearray(6)
        body[2 * (axis - 1) : 2 * axis] = (350).to_bytes(2, "little")
        np.testing.assert_array_equal(decoded(b"\x01" + body)[:3], wanted)
        np.testing.assert_array_equal(decoded(b"\x02" + body)[3:], wanted)


def test_more_than_full_scale_is_full_scale():
    assert decoded(split(500, -500, 32767))[:3] == [1.0, -1.0, 1.0]


def test_what_is_no_report_of_axes_or_buttons_changes_nothing():
    decoder = Decoder()
    decoder.feed(combined(35, 0, 0, 0, 0, 0), 1.0)
    before = list(decoder.axes)
    lengths = [bytes([kind]) + bytes(n) for kind in range(256) for n in range(0, 64, 5) if kind not in (1, 2, 3)]
    odd = [bytes([kind]) + b"\x7f" * n for kind in (1, 2) for n in (0, 1, 5, 7, 11, 13, 63)]
    for report in [b"", b"\x03", *lengths, *odd, b"\x02" + b"\x7f" * 12]:
        assert decoder.feed(report, 2.0) == []
    assert decoder.axes == before
    assert decoder.down == frozenset()


@pytest.mark.parametrize("size", [1, 2, 4, 6])
def test_buttons_are_bits_of_a_report_of_any_length_and_a_press_counts_once(size: int):
    decoder = Decoder()
    last = 8 * size - 1
    assert decoder.feed(b"\x03" + (1 | 1 << last).to_bytes(size, "little"), 0.0) == [0, last]
    assert decoder.down == {0, last}
    assert decoder.feed(b"\x03" + (1 << last).to_bytes(size, "little"), 0.0) == []
    assert decoder.feed(b"\x03" + (1 | 1 << last).to_bytes(size, "little"), 0.0) == [0]


def test_at_rest_it_lives_while_its_file_does_and_deflected_while_it_reports():
    decoder = Decoder(rest=0.1)
    assert decoder.alive_s(5.0) == 5.0
    decoder.feed(split(300), 6.0)
    decoder.feed(turns(0, 0, 20), 6.5)
    assert decoder.alive_s(7.0) == 6.0
    decoder.feed(turns(0, 0, 200), 6.7)
    decoder.feed(split(300), 6.8)
    assert decoder.alive_s(7.0) == 6.7
    decoder.feed(turns(), 6.9)
    decoder.feed(split(30), 6.9)
    assert decoder.alive_s(7.0) == 7.0


def test_whatever_piled_up_is_taken_in_at_once(plug: Plug):
    mouse = SpaceMouse(hid=FakeHid(plug))
    try:
        plug.say(*(split(count) for count in range(1, 200)), buttons(1), buttons(), buttons(0, 1), split(70))
        until(lambda: mouse.latest().axes[0] == pytest.approx(0.2))
        assert mouse.pressed() == [1, 0, 1]
        assert mouse.pressed() == []
        assert mouse.latest().down == {0, 1}
    finally:
        mouse.close()


def test_one_that_is_pulled_out_in_mid_motion_wants_nothing_from_then_on_and_is_picked_up_when_it_returns(plug: Plug):
    mouse = SpaceMouse(hid=FakeHid(plug))
    try:
        plug.say(split(350), buttons(0))
        until(lambda: mouse.latest().down)
        plug.pull()
        until(lambda: mouse.latest() is None, within_s=NEW_S)
        assert mouse.trouble == "was unplugged (read error); plug it in again"
        plug.put_back()
        until(lambda: mouse.latest() is not None)
        assert (mouse.connection, mouse.trouble, mouse.latest().down) == (2, "", frozenset())
        assert np.isnan(mouse.latest().axes).all()
        plug.say(split(0, 35))
        until(lambda: mouse.latest().axes[1] == pytest.approx(0.1))
    finally:
        mouse.close()
    assert mouse.latest() is None
    mouse.close()


def test_the_thread_ends_with_the_device(plug: Plug):
    before = set(threading.enumerate())
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    SpaceMouse(hid=FakeHid(plug)).close()
    assert set(threading.enumerate()) == before
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208


def test_of_two_one_is_chosen_by_serial_or_path_and_the_error_names_both(tmp_path: Path):
    hid = FakeHid(Plug(tmp_path / "a", COMPACT, "L7"), Plug(tmp_path / "b", WIRELESS, "R8"))
    found = connected(hid)
    with pytest.raises(UserError) as error:
        choose(found, None)
    assert str(error.value) == (
        f"there are 2 SpaceMice: SpaceMouse Compact (serial L7, path {tmp_path}/a), SpaceMouse Wireless (cabled) "
        f"(serial R8, path {tmp_path}/b); choose: human.device=<serial or path>"
    )
    assert choose(found, "R8").path == choose(found, str(tmp_path / "b")).path == str(tmp_path / "b")
    with pytest.raises(UserError, match="there is no SpaceMouse X; connected: SpaceMouse Compact"):
        choose(found, "X")


def test_one_that_returns_is_told_from_its_twin_by_its_serial(tmp_path: Path):
    mine, other = Plug(tmp_path / "a", serial="A1"), Plug(tmp_path / "b", serial="B2")
    other.there = False
    mouse = SpaceMouse(hid=FakeHid(mine, other))
    try:
        mine.pull()
        until(lambda: mouse.latest() is None)
        other.put_back()
        reads = mine.reads
        mine.put_back()
        until(lambda: mine.reads > reads)
        assert other.reads == 0
    finally:
        mouse.close()


def test_other_devices_and_other_interfaces_are_none(tmp_path: Path):
    plug = Plug(tmp_path / "a")
    facts = plug.facts()
    others = [
        facts | {"vendor_id": 0x046D, "product_id": 0xC077},
        facts | {"path": b"/dev/hidraw9", "usage": 1},
        facts | {"path": b"/dev/hidraw8", "usage_page": 0xFF00},
    ]
    hid = FakeHid()
    hid.enumerate = lambda: [*others, facts, facts]
    assert [found.path for found in connected(hid)] == [str(plug.path)]
    unknown = facts | {"product_id": 0xC6FF}
    hid.enumerate = lambda: [unknown]
    assert [found.name for found in connected(hid)] == ["3Dconnexion 256f:c6ff"]


def test_no_device_says_what_to_do():
    with pytest.raises(UserError, match=r"there is no SpaceMouse; plug one in .*or set human=keyboard"):
        SpaceMouse(hid=FakeHid())


def test_one_that_is_not_ours_to_open_names_the_udev_rule(plug: Plug):
    plug.path.chmod(0)
    was = os.geteuid()
    os.chmod(plug.path.parent, 0o755)  # noqa: PTH101
    try:
        if was == 0:
            os.seteuid(65534)
        with pytest.raises(UserError, match=r"permission denied; install the udev rule: sudo cp (\S+) /etc") as error:
            SpaceMouse(hid=FakeHid(plug))
    finally:
        os.seteuid(was)
    rule = Path(__file__).resolve().parents[2] / str(error.value).split("sudo cp ")[1].split()[0]
    assert 'ATTRS{idVendor}=="256f"' in rule.read_text()


def test_one_robot_at_a_time(plug: Plug):
    hid = FakeHid(plug)
    mouse = SpaceMouse(hid=hid)
    with pytest.raises(UserError, match=r"SpaceMouse Compact \(serial A1, .* drives another robot already"):
        SpaceMouse(hid=hid)
    mouse.close()
    SpaceMouse(hid=hid).close()


def test_one_that_is_there_but_does_not_open_says_so(plug: Plug, tmp_path: Path):
    hid = FakeHid(plug)
    hid.device = lambda: FakeHid().device()
    with pytest.raises(UserError, match=r"cannot open the SpaceMouse Compact .*: open failed"):
        SpaceMouse(hid=hid)
    plug.path.unlink()
    with pytest.raises(UserError, match=r"cannot open the SpaceMouse Compact .*: No such file"):
        SpaceMouse(hid=FakeHid(plug))


def test_what_was_never_heard_of_is_not_at_zero(plug: Plug):
    mouse = SpaceMouse(hid=FakeHid(plug))
    try:
        assert np.isnan(mouse.latest().axes).all()
        plug.say(split())
        until(lambda: mouse.latest().axes[:3] == STILL[:3])
        assert np.isnan(mouse.latest().axes[3:]).all()
    finally:
        mouse.close()


def test_reports_of_random_bytes_never_leave_the_range():
    rng, decoder = np.random.default_rng(0), Decoder()
    for number in itertools.count():
        if number == 20_000:
            break
        decoder.feed(rng.bytes(int(rng.integers(0, 16))), float(number))
    assert np.nanmax(np.abs(decoder.axes)) <= 1.0
