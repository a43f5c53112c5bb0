"""The doctor: real probes of this machine, and folders laid out like /sys and /dev for the devices it has not."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from actor.spacemice import MODELS, UDEV_RULE, VENDOR
from handrail import doctor
from handrail.doctor import Finding, Mark, Places
from wire.allowed import ALLOWED, AllowList
from wire.keys import make_pair

RULE = Path(__file__).resolve().parents[2] / "ros2_ws/src/handrail_bringup/udev/70-handrail-spacemouse.rules"


@pytest.fixture
def places(tmp_path):
    for folder in ("sys", "dev", "runs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "mounts").write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path}/far nfs4 rw 0 0\n")
    return Places(
        sys=tmp_path / "sys", dev=tmp_path / "dev", mounts=tmp_path / "mounts", runs=tmp_path / "runs" / "today"
    )


def plug_in_hid(places, vendor, product, node="hidraw0"):
    entry = places.sys / "class/hidraw" / node / "device"
    entry.mkdir(parents=True)
    (entry / "uevent").write_text(f"DRIVER=hid-generic\nHID_ID=0003:0000{vendor}:0000{product}\nHID_NAME=x\n")
    (places.dev / node).touch()
    return places.dev / node


def plug_in_usb(places, vendor, product, speed, name="Intel(R) RealSense(TM) 435I"):
    entry = places.sys / "bus/usb/devices/2-1"
    entry.mkdir(parents=True)
    for file, text in (("idVendor", vendor), ("idProduct", product), ("speed", speed), ("product", name)):
        (entry / file).write_text(text + "\n")


def test_an_old_python_fails_and_a_new_one_does_not():
    assert doctor.check_python((3, 10, 14)).mark is Mark.FAIL
    assert doctor.check_python((3, 11, 0)).mark is Mark.OK
    assert doctor.check_python().mark is Mark.OK


def test_missing_packages_are_named_with_the_command_that_brings_them():
    finding = doctor.check_packages(("numpy", "no_such_package_here"))
    assert finding.mark is Mark.FAIL
    assert "no_such_package_here" in finding.found
    assert "numpy" not in finding.found
    assert "pip install" in finding.do


def test_jax_is_asked_in_a_process_of_its_own(places):
    finding = doctor.check_gpu(places)
    assert finding.mark is Mark.OK, finding


def test_a_broken_import_is_a_line_and_not_a_crash():
    works, answer = doctor._python("import no_such_package_here")
    assert not works
    assert answer.startswith("ModuleNotFoundError")
    works, answer = doctor._python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert not works


def test_a_hanging_import_is_given_up():
    assert doctor._python("import time; time.sleep(60)", timeout_s=0.2) == (False, "no answer within 0 s")


def test_without_devices_nothing_is_wrong(places):
    for check in (doctor.check_spacemouse, doctor.check_gamepad, doctor.check_realsense):
        assert check(places).mark is Mark.ABSENT


@pytest.mark.parametrize(("vendor", "product"), [*MODELS, (VENDOR, 0xC6FF)])
def test_whatever_the_driver_takes_is_found_by_its_ids(places, vendor, product):
    node = plug_in_hid(places, f"{vendor:04X}", f"{product:04X}")
    finding = doctor.check_spacemouse(places)
    assert finding.mark is Mark.OK
    assert str(node) in finding.found


def test_the_rule_it_prints_is_the_one_that_is_shipped():
    lines = [line for line in RULE.read_text().splitlines() if not line.startswith("#")]
    assert list(UDEV_RULE) == lines


def test_the_doctor_needs_nothing_that_may_be_missing():
    code = "import sys, handrail.doctor; print(*sorted({'numpy', 'msgspec', 'rich', 'hid'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_ordinary_mouse_is_no_spacemouse(places):
    plug_in_hid(places, "046D", "C077")
    assert doctor.check_spacemouse(places).mark is Mark.ABSENT


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_spacemouse_without_permission_comes_with_the_udev_rule(places):
    plug_in_hid(places, "256F", "C635").chmod(0)
    finding = doctor.check_spacemouse(places)
    assert finding.mark is Mark.WARN
    assert 'ATTRS{idVendor}=="256f"' in finding.do


def test_a_spacemouse_whose_node_is_gone_comes_with_the_udev_rule(places):
    plug_in_hid(places, "256F", "C635").unlink()
    finding = doctor.check_spacemouse(places)
    assert finding.mark is Mark.WARN
    assert 'ATTRS{idVendor}=="256f"' in finding.do


def test_a_gamepad_is_found_with_its_name(places):
    (places.dev / "input").mkdir()
    (places.dev / "input/js0").touch()
    (places.sys / "class/input/js0/device").mkdir(parents=True)
    (places.sys / "class/input/js0/device/name").write_text("Pad of the lab\n")
    finding = doctor.check_gamepad(places)
    assert finding.mark is Mark.OK
    assert "Pad of the lab" in finding.found


def test_a_realsense_on_usb_2_is_told_to_move(places):
    plug_in_usb(places, "8086", "0b3a", "480")
    finding = doctor.check_realsense(places)
    assert finding.mark is Mark.WARN
    assert "USB 3" in finding.do


def test_a_realsense_on_usb_3_is_not_told_to_move(places):
    plug_in_usb(places, "8086", "0b3a", "5000")
    assert "USB 3" not in doctor.check_realsense(places).do


@pytest.mark.parametrize(
    ("said", "cure"),
    [
        ("ImportError: libusb-1.0.so.0: cannot open shared object file", "apt install libusb-1.0-0"),
        ("ModuleNotFoundError: No module named 'pyrealsense2'", "pip install -e '.[cameras]' -c constraints.txt"),
    ],
)
def test_a_realsense_without_its_driver_says_what_to_install(places, monkeypatch, said, cure):
    plug_in_usb(places, "8086", "0b3a", "5000")
    monkeypatch.setattr(doctor, "_python", lambda code: (False, said))
    finding = doctor.check_realsense(places)
    assert finding.mark is Mark.WARN
    assert said in finding.found
    assert finding.do == cure


def test_other_intel_devices_are_no_cameras(places):
    plug_in_usb(places, "8086", "7ae0", "480", "xHCI Host Controller")
    assert doctor.check_realsense(places).mark is Mark.ABSENT


def test_a_run_folder_on_a_network_file_system_is_a_warning(places, tmp_path):
    (tmp_path / "far").mkdir()
    far = Places(sys=places.sys, dev=places.dev, mounts=places.mounts, runs=tmp_path / "far" / "runs")
    assert doctor.file_system(far.runs, places.mounts) == "nfs4"
    assert doctor.file_system(places.runs, places.mounts) == "ext4"
    finding = doctor.check_disk(far)
    assert finding.mark is Mark.WARN
    assert "SQLite" in finding.do


def test_a_local_run_folder_that_does_not_exist_yet_is_looked_up_by_its_parent(places):
    finding = doctor.check_disk(places)
    assert "ext4" in finding.found
    assert not places.runs.exists()


def test_a_port_in_use_is_a_warning():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert doctor.check_port(other.getsockname()[1]).mark is Mark.WARN


def test_keys_are_found_judged_and_never_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("HANDRAIL_KEYS", str(tmp_path / "keys"))
    finding = doctor.check_keys()
    assert (finding.mark, finding.found) == (Mark.ABSENT, f"none in {tmp_path / 'keys'}")
    learner = make_pair(tmp_path / "keys", "learner")
    finding = doctor.check_keys()
    assert finding.mark is Mark.WARN
    assert "no actor is allowed yet" in finding.do
    robot = make_pair(tmp_path / "keys", "robot-1")
    AllowList(tmp_path / "keys" / ALLOWED).add("robot-1", robot.public)
    finding = doctor.check_keys()
    assert finding.mark is Mark.OK
    assert "learner, robot-1 in" in finding.found
    assert "lets in robot-1" in finding.found
    (tmp_path / "keys" / "robot-1.key").chmod(0o644)
    (tmp_path / "keys" / "learner.pub").unlink()
    (tmp_path / "keys" / ALLOWED).chmod(0o666)
    finding = doctor.check_keys()
    assert finding.mark is Mark.WARN
    for words in ("has mode 0644", "chmod 600", "has mode 0666", "there is no", "handrail keys allow learner"):
        assert words in finding.do
    for pair in (learner, robot):
        assert pair.private not in str(finding)


def test_one_working_back_end_is_enough(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    works = Finding(Mark.OK, "Rendering, osmesa", "draws")
    broken = Finding(Mark.ABSENT, "Rendering, egl", "its library is not installed")
    assert doctor.judge_rendering([broken, works]).mark is Mark.OK
    assert doctor.judge_rendering([broken]).mark is Mark.WARN
    monkeypatch.setenv("MUJOCO_GL", "egl")
    assert doctor.judge_rendering([broken, works]).do == "export MUJOCO_GL=osmesa"


def test_only_a_failure_keeps_the_simulation_from_running():
    fine = [Finding(mark, "x", "y") for mark in (Mark.OK, Mark.WARN, Mark.ABSENT)]
    assert doctor.can_simulate(fine)
    assert not doctor.can_simulate([*fine, Finding(Mark.FAIL, "x", "y")])


@pytest.mark.parametrize("as_json", [True, False])
def test_the_doctor_says_yes_on_the_machine_that_runs_the_tests(as_json, tmp_path):
    code = f"import sys; from handrail.doctor import run_doctor; sys.exit(run_doctor({as_json}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if as_json:
        document = json.loads(done.stdout)
        assert document["simulation"] is True
        assert {"mark", "what", "found", "do"} == set(document["findings"][0])
    else:
        assert "The simulation can run here." in done.stdout
        assert "SpaceMouse" in done.stdout
