import subprocess
import sys

import pytest
from experience import make_spec

from envs.config import TASKS, EnvConfig
from wire.specs import SpecMismatch


def test_the_command_line_reads_the_config_without_loading_a_simulator():
    heavy = "{'mujoco', 'gymnasium', 'jax'}"
    code = f"import sys, envs.config; sys.exit(', '.join({heavy} & sys.modules.keys()))"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True).stderr.strip() == ""
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"task": "pick_cub"}, "must be one of pick_cube, reach, peg_insert, got pick_cub; did you mean pick_cube"),
        ({"scene": "varid"}, "scene must be one of plain, varied, got varid; did you mean varied"),
        ({"obs": "pixel"}, "obs must be one of state, pixels, proprio, got pixel; did you mean pixels"),
        ({"env": "zzz"}, "env must be one of sim, ros, gym, got zzz$"),
        ({"env": "gym"}, "needs id="),
        ({"id": "Pendulum-v1"}, "goes with env=gym only"),
        ({"task": "peg_insert", "clearance_mm": 5.0}, "clearance_mm must be one of 2, 1, 0.5, got 5; did you mean 2"),
        ({"task": "peg_insert", "clearance_mm": 0.05}, "got 0.05; did you mean 0.5"),
        ({"task": "peg_insert", "clearance_mm": 0.0}, "clearance_mm must be one of 2, 1, 0.5, got 0$"),
        ({"clearance_mm": 1.0}, "clearance_mm=1 goes with task=peg_insert only, got env=sim task=pick_cube"),
        ({"task": "peg_insert", "env": "ros", "clearance_mm": 1.0}, "is the simulated robot's to know"),
        ({"reset_every": -1}, "reset_every must be >= 0 attempts, got -1"),
        ({"reset_every": 5, "task": "reach"}, "reset_every=5 goes with the simulated task=pick_cube, .* task=reach"),
        ({"reset_every": 5, "realtime": True}, "got env=sim task=pick_cube realtime=true"),
        ({"reset_every": 5, "env": "ros"}, "got env=ros task=pick_cube"),
        ({"image_size": 4}, "image_size must be 16 to 512 pixels, got 4"),
    ],
)
def test_a_wrong_field_is_answered_with_what_was_got_and_what_is_wanted(fields, words):
    with pytest.raises(ValueError, match=words):
        EnvConfig(**fields)


def test_every_task_of_the_config_exists_and_no_other():
    from envs.tasks import TASKS as BUILT

    assert set(TASKS) == BUILT.keys()


def test_steps_of_another_environment_are_refused_with_both_sides_keys():
    spec = make_spec(task="reach")
    EnvConfig(task="reach", obs="pixels", image_size=16).require_fitting(make_spec(size=16), whose="the actor")
    with pytest.raises(SpecMismatch) as refused:
        EnvConfig(task="pick_cube", obs="proprio").require_fitting(spec, whose="the actor")
    assert str(refused.value) == (
        "the actor is of env=sim task=reach obs=pixels env.image_size=8, this run is of env=sim task=pick_cube "
        "obs=proprio; set the same keys for both"
    )
