"""Handrail's replay, filled step by step as a learner fills it; `variant`: how many transitions it holds."""

import itertools
from collections.abc import Callable

from blocks import Block
from synthetic import spec_of, steps_of
from worker import resident_bytes, serve

from learner.columns import keep_freed_memory
from learner.mixer import Mixer
from learner.replay import Replay


def prepare(block: Block, variant: str) -> Callable[[], dict[str, float]]:
    """One repetition is one minibatch, half of it prior data."""
    keep_freed_memory()
    count, before = int(variant), resident_bytes()
    replay = Replay(spec_of(block), count)
    for number, step in enumerate(steps_of(block, count)):
        replay.add("a", step, number)
    kept = (resident_bytes() - before) / count
    mixer = Mixer(replay, batch_size=block.batch, prior_share=0.5, min_online=1, seed=0)
    drawn = itertools.count()

    def run() -> dict[str, float]:
        mixer.sample(next(drawn), 1)
        return {"bytes_per_step": kept}

    run()
    return run


if __name__ == "__main__":
    serve(prepare)
