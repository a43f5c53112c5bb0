"""Settings of the rewards room that cannot be, or would have no effect, are refused by their names."""

import re
from typing import Any

import pytest

from envs.config import EnvConfig
from handrail import settings, verbs
from handrail.compose import compose_verb
from rewards.config import CollectConfig, TrainConfig
from rewards.vlm.config import VlmConfig
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


OF_CLASSIFIERS = {
    "goals": "pictures",
    "max_fpr": 0.1,
    "k": 1,
    "n": 4,
    "gate": "proprio[0]>1",
    "only": "goal[0]>1",
    "margin": 3,
    "per_episode": 2,
    "validation": 0.5,
    "hard_share": 0.5,
}


@pytest.mark.parametrize(("key", "value"), OF_CLASSIFIERS.items())
def test_a_reward_from_preferences_takes_no_key_of_a_classifier(key: str, value: Any):
    assert getattr(TrainConfig(runs=["r"], out="o", **{key: value}), key) == value
    with pytest.raises(ValueError, match=f"^{key}={re.escape(str(value))} goes with .*, got kind=preference; drop it$"):
        TrainConfig(runs=["r"], out="o", kind="preference", preferences="p", **{key: value})


@pytest.mark.parametrize("told", [{}, {"kind": "vlm", "model": "m", "question": "is it?"}])
def test_a_classifier_has_no_members(told: dict[str, Any]):
    with pytest.raises(ValueError, match="members=5 goes with kind=preference, got kind="):
        TrainConfig(runs=["r"], out="o", members=5, **told)
    assert TrainConfig(runs=["r"], out="o", kind="preference", preferences="p", members=5).members == 5


@pytest.mark.parametrize("key", ["shift_pixels", "colour"])
def test_what_a_frozen_trunk_sees_is_not_augmented(key: str):
    told: Any = {"runs": ["r"], "out": "o", "kind": "preference", "preferences": "p", key: 2}
    assert getattr(TrainConfig(**told), key) == 2
    with pytest.raises(ValueError, match=f"{key}=2 does nothing with trunk=t"):
        TrainConfig(**told, trunk="t")


def test_frames_are_collected_until_there_are_enough_or_so_many_episodes_not_both():
    with pytest.raises(ValueError, match="positives=50 is no end where episodes=10 is one; drop it"):
        CollectConfig(out="o", positives=50, episodes=10)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"runs": ["r"], "episodes": 90}, "episodes=90 is of the episodes that a script records"),
        ({"runs": ["r"], "seed": 3}, "seed=3 is of the episodes that a script records"),
        ({"runs": ["r"], "env": EnvConfig(task="reach")}, "task=reach is of the episodes that a script records"),
        ({"source": "reward.py", "attempts": 2}, "attempts=2 is a language model's, and source=reward.py a person's"),
    ],
)
def test_a_written_reward_takes_no_key_that_nothing_would_look_at(changes: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said):
        WriteConfig(**{"out": "o", "goal": "g", "vlm": VlmConfig(model="m")} | changes)


@pytest.mark.parametrize(
    "words",
    [
        "write out=o source=reward.py runs=[r]",
        "write out=o source=reward.py task=reach seed=1 episodes=12",
        "collect out=o episodes=5 driver=random",
        "train out=o runs=[r] kind=preference preferences=p trunk=t",
    ],
)
def test_what_the_command_line_leaves_untouched_is_never_refused(words: str):
    verb, *rest = words.split()
    verb = f"rewards {verb}"
    told = settings.reward_settings(verb.split()[1], compose_verb(verb, verbs.with_defaults(verb, rest)))
    assert told.out == "o"
