"""Several devices compute the update that one computes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from learner.placement import Placement
from wire.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
_UPDATES = """
import json, sys
import jax, numpy as np
jax.config.update("jax_disable_most_optimizations", True)
from learning import SEEING, make_batch, make_sac, normaliser
from learner.placement import Placement

def states(devices):
    agent = make_sac(SEEING, utd=2, actor_period=2, layer_norm=True)
    placement = Placement(devices, batch_size=8)
    state = placement.whole(agent.init(0, normaliser(SEEING)))
    for block in range(2):
        batch = placement.shared(make_batch(SEEING, 2, seed=block))
        state, metrics = agent.update(state, batch)
    return state, batch

alone, _ = states(1)
shared, batch = states(4)
off = [float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(*map(jax.tree.leaves, (alone, shared)))]
front = batch["observation"]["front"]
print(json.dumps({
    "devices": jax.device_count(),
    "largest difference": max(off),
    "pieces": sorted(piece.data.shape[1] for piece in front.addressable_shards),
    "parameters on": len(shared.encoder["front"]["embed"]["w"].devices()),
}))
"""


@pytest.mark.process
def test_four_devices_share_each_minibatch_and_reach_the_state_that_one_reaches():
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-c", _UPDATES], env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["devices"] == facts["parameters on"] == 4
    assert facts["pieces"] == [2, 2, 2, 2]
    assert facts["largest difference"] < 2e-3


def test_more_devices_than_there_are_are_refused():
    with pytest.raises(UserError, match=r"learner\.devices=99, but JAX sees"):
        Placement(99, batch_size=8)


def test_one_device_leaves_everything_where_it_is():
    batch = {"reward": [1.0]}
    assert Placement(1, batch_size=7).shared(batch) is batch
