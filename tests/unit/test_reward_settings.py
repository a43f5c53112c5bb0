"""Settings of the rewards room that cannot be, or would have no effect, are refused by their names."""

import pytest

from envs.config import EnvConfig
from rewards.config import CollectConfig
from rewards.written.config import WriteConfig


@pytest.mark.parametrize(
    ("env", "got"),
    [
        (EnvConfig(env="ros", obs="pixels"), "got env=ros; "),
        (EnvConfig(env="gym", obs="pixels", id="Pendulum-v1"), "got env=gym; "),
        (EnvConfig(obs="pixels", realtime=True), "got env=sim env.realtime=true; "),
    ],
)
def test_the_clumsy_script_drives_no_robot_and_says_what_does(env: EnvConfig, got: str):
    with pytest.raises(ValueError, match=r"set env=sim env\.realtime=false") as caught:
        CollectConfig(out="o", env=env)
    assert got in str(caught.value)
    assert "handrail actor human=" in str(caught.value)
    assert "handrail rewards label run=" in str(caught.value)


def test_a_written_reward_is_tested_on_no_robot():
    for env in (EnvConfig(env="ros"), EnvConfig(realtime=True)):
        with pytest.raises(ValueError, match=r"env=sim obs=state, got .*runs=\[runs/<run>\]"):
            WriteConfig(out="o", source="reward.py", env=env)
        assert WriteConfig(out="o", source="reward.py", env=env, runs=["r"]).runs == ["r"]
