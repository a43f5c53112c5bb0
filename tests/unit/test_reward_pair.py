"""Two success classifiers as one model: each judges what is wanted of it, and both thresholds become even odds."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from rewarding import SIZE, episode, look, quick, record, spec, write

from rewards.audit import episode_rates
from rewards.calibration import Platt, sigmoid
from rewards.config import PairConfig
from rewards.dataset import gather
from rewards.models import load_model
from rewards.network import Architecture, Network
from rewards.pair import Pair, pair
from rewards.score import Gate, ModelError, Rule, parse_gate, stack
from rewards.success import SuccessClassifier
from rewards.train import train

INPUTS = dict.fromkeys(("front", "wrist"), (SIZE, SIZE, 3))
LIFT, BACK = np.array([1, 0, 0, 0], np.float32), np.array([0, 1, 0.1, 0], np.float32)


def classifier(threshold: float = 0.5, *, shift: float = 0.0, seed: int = 0, **rule: object) -> SuccessClassifier:
    torch.manual_seed(seed)
    network = Network(Architecture(tuple(INPUTS), channels=(4,), embedding=4))
    return SuccessClassifier(network, INPUTS, Platt(1.0, shift), Rule(threshold, **rule))  # type: ignore[arg-type]


def saved(folder: Path, model: SuccessClassifier) -> str:
    model.save(folder, {})
    return str(folder)


def test_each_judges_its_own_way_and_is_as_far_from_half_as_from_its_own_threshold():
    one, other = classifier(0.9, shift=3.0), classifier(0.6, shift=-2.0, seed=1)
    both = Pair(one, other)
    rng = np.random.default_rng(0)
    seen = [look(rng, n % 2 == 0) | {"goal": LIFT if n < 3 else BACK} for n in range(6)]
    batch = stack(seen, list(both.inputs))
    found = both.score(batch)
    for n, model in enumerate([one] * 3 + [other] * 3):
        alone = model.log_odds({name: column[n : n + 1] for name, column in batch.items()})[0]
        threshold = model.rule.threshold
        assert found.value[n] == pytest.approx(sigmoid(alone - np.log(threshold / (1 - threshold))), abs=1e-6)
        assert (found.value[n] >= both.rule.threshold) == (sigmoid(alone) >= threshold)  # type: ignore[union-attr]
    assert found.version == both.version
    assert both.inputs["goal"] == (4,)


def test_a_pair_on_disk_holds_both_and_is_the_same_when_it_is_loaded(tmp_path: Path):
    lifted, returned = saved(tmp_path / "a", classifier()), saved(tmp_path / "b", classifier(seed=1))
    made = pair(PairConfig(forward=lifted, backward=returned, out=str(tmp_path / "both")))
    again = load_model(tmp_path / "both")
    assert (again.kind, again.version) == ("pair", made.version)
    swapped = pair(PairConfig(forward=returned, backward=lifted, out=str(tmp_path / "swapped")))
    assert swapped.version != made.version
    with pytest.raises(ModelError, match="models never change"):
        pair(PairConfig(forward=lifted, backward=returned, out=str(tmp_path / "both")))
    saved(tmp_path / "both" / "backward", classifier(seed=2))
    with pytest.raises(ModelError, match="not those that were paired"):
        load_model(tmp_path / "both")


def test_two_that_cannot_be_one_are_refused(tmp_path: Path):
    with pytest.raises(ModelError, match=r"has a gate, and a pair has none"):
        Pair(classifier(gate=Gate("state", 0, low=0.5)), classifier())
    with pytest.raises(ModelError, match=r"k of n frames, but not the same: \(2, 3\) and \(1, 1\)"):
        Pair(classifier(k=2, n=3), classifier())
    both = saved(tmp_path / "a", classifier())
    pair(PairConfig(forward=both, backward=both, out=str(tmp_path / "both")))
    with pytest.raises(ModelError, match="kind pair; a pair is of two success classifiers"):
        pair(PairConfig(forward=str(tmp_path / "both"), backward=both, out=str(tmp_path / "more")))


def both_ways(path: Path, n: int = 24) -> Path:
    """Episodes of which `state[1]` says what was wanted: the bright square (0), which is the success, or none (1)."""
    rng = np.random.default_rng(0)
    episodes = []
    for number in range(n):
        back, success = number % 2, number % 4 < 2
        steps = episode(rng, number, success=success)
        for t, step in enumerate(steps):
            bright = bool(back) != (success and t == len(steps) - 1)
            after = {"observation": look(rng, bool(back)), "final_observation": look(rng, bright)}
            after = {key: seen | {"state": np.array([0, back], np.float32)} for key, seen in after.items()}
            after["final_observation"] = after["final_observation"] if t == len(steps) - 1 else None
            steps[t] = msgspec.structs.replace(step, **after)
        episodes.append(steps)
    return write(path, episodes, of=spec())


@pytest.mark.learn
def test_each_is_trained_and_audited_on_the_episodes_that_were_its_own(tmp_path: Path):
    run = both_ways(tmp_path / "steps.sqlite")
    lifting = parse_gate("state[1]<0.5", "only")
    frames = gather([str(run)], margin=2, per_episode=None, seed=0, only=lifting)
    assert len(np.unique(frames.episode)) == 12
    told = {"runs": [str(run)], "out": str(tmp_path / "m"), "only": "state[1]<0.5"}
    model = train(quick(**told))
    rng = np.random.default_rng(5)
    yes, no = model.score(stack([look(rng, True), look(rng, False)], ["front", "wrist"])).value
    assert yes > 0.5 > no
    own = episode_rates(model, [str(run)], only=lifting)
    assert (own["with_success"], own["without_success"], own["false"]) == (6, 6, 0)
    assert episode_rates(model, [str(run)])["false"] > 0  # Of the others it would be wrong.
    with pytest.raises(ModelError, match="only must look like"):
        train(quick(runs=[str(record(tmp_path / "other.sqlite"))], out=str(tmp_path / "n"), only="goal"))
