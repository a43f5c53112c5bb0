"""A trunk learns to tell what it is shown, and what is written is what was learned."""

import json
from pathlib import Path

import numpy as np
import pytest

from learner.config import TrunkConfig
from learner.pretrain import fit
from networks import parameters, trunk


@pytest.mark.learn
def test_a_trunk_learns_where_a_dot_is(tmp_path: Path):
    rng, count = np.random.default_rng(0), 600
    places = rng.integers(2, 14, (count, 2))
    pictures = {name: rng.integers(0, 60, (count, 16, 16, 3), np.uint8) for name in ("front", "wrist")}
    for i, (row, column) in enumerate(places):
        for each in pictures.values():
            each[i, row - 1 : row + 2, column - 1 : column + 2] = (220, 40, 40)
    labels = places.astype(np.float32) / 16
    config = TrunkConfig(image_size=16, pictures=count, epochs=12, features=16, batch_size=32)
    nets, facts = fit(pictures, labels, config)
    assert max(facts["rms_error"]) < 0.3 * labels.std()
    layout = trunk.Layout(family="small", image_size=16, cameras=("front", "wrist"))
    trunk.save(tmp_path / "dot.safetensors", layout, parameters.flatten(nets))
    found = trunk.load(tmp_path / "dot.safetensors")
    assert found.shape == (16,)
    assert json.loads(json.dumps(facts)) == facts


def test_without_epochs_a_trunk_stays_as_it_was_drawn():
    rng = np.random.default_rng(0)
    pictures = {"front": rng.integers(0, 256, (100, 16, 16, 3), np.uint8)}
    config = TrunkConfig(image_size=16, pictures=100, epochs=0, features=4)
    nets, facts = fit(pictures, rng.normal(size=(100, 2)).astype(np.float32), config)
    again, _ = fit(pictures, np.ones((100, 2), np.float32), config)
    assert facts["steps"] == 0
    np.testing.assert_array_equal(nets["front"]["embed"]["w"], again["front"]["embed"]["w"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pictures": 10}, "pictures must be >= 100, got 10"),
        ({"image_size": 60}, "must be a multiple of 8, at least 16, got 60"),
        ({"epochs": -1}, "epochs must be >= 0, got -1"),
    ],
)
def test_settings_that_make_no_trunk_are_refused(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        TrunkConfig(**changes)
