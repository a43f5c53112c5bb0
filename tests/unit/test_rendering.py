"""Rendering: the file that set-up writes says the same to `sh` and to Python, and a probe tells the truth."""

import subprocess

import pytest

from handrail import rendering


@pytest.fixture
def prefix(tmp_path):
    folder = tmp_path / "an environment's folder"
    folder.mkdir()
    rendering.write_env(
        folder / rendering.ENV_FILE, {"MUJOCO_GL": "osmesa", "LD_LIBRARY_PATH": f"{folder}/lib", "LP_NUM_THREADS": "0"}
    )
    return folder


def test_without_set_up_nothing_is_added_and_trying_is_allowed(tmp_path):
    assert rendering.rendering_env(tmp_path, base={}) == {}
    assert rendering.can_render(tmp_path)


def test_the_shell_reads_what_python_reads(prefix):
    script = f'set -a; . "{prefix}/rendering.env"; printf "%s\\n" "$MUJOCO_GL" "$LD_LIBRARY_PATH" "$LP_NUM_THREADS"'
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    env = rendering.rendering_env(prefix, base={})
    assert said == [env["MUJOCO_GL"], env["LD_LIBRARY_PATH"], env["LP_NUM_THREADS"]]


def test_what_the_user_has_set_wins(prefix):
    assert "MUJOCO_GL" not in rendering.rendering_env(prefix, base={"MUJOCO_GL": "egl"})


def test_the_users_library_path_is_kept_behind_ours_and_never_doubled(prefix):
    ours = f"{prefix}/lib"
    once = rendering.rendering_env(prefix, base={"LD_LIBRARY_PATH": "/theirs"})
    assert once["LD_LIBRARY_PATH"] == f"{ours}:/theirs"
    assert rendering.rendering_env(prefix, base=once)["LD_LIBRARY_PATH"] == f"{ours}:/theirs"


def test_state_only_is_remembered(tmp_path):
    rendering.write_env(tmp_path / rendering.ENV_FILE, {rendering.STATE_ONLY: "none"})
    assert not rendering.can_render(tmp_path)


def test_a_gpu_puts_egl_first(tmp_path):
    without = rendering.backends(tmp_path)
    (tmp_path / "nvidiactl").touch()
    assert rendering.has_nvidia_gpu(tmp_path)
    assert sorted(without) == sorted(rendering.backends(tmp_path))
    assert rendering.backends(tmp_path)[0] in ("egl", "cgl")


def test_a_back_end_that_does_not_exist_fails_with_a_reason():
    result = rendering.probe("no-such-thing")
    assert not result.works
    assert result.reason


def test_a_driver_that_hangs_is_given_up():
    result = rendering.probe("osmesa", timeout_s=0.01)
    assert not result.works
    assert result.reason == "no picture within 0 s"


def test_what_set_up_chose_does_draw():
    env = rendering.rendering_env(base={})
    if "MUJOCO_GL" not in env:
        pytest.skip("set-up chose no back end for this environment: make setup")
    result = rendering.probe(env["MUJOCO_GL"], env)
    assert result.works, result.reason
