"""Archives to test with: small runs of known contents."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from experience import STREAM, make_observation, make_spec

from wire.specs import EnvSpec
from wire.store import Row, StepStore
from wire.types import Source, Step

SPEC = msgspec.structs.replace(make_spec(size=8), return_bounds=(0.0, 1.0), action_names=("x", "y", "z", "gripper"))


def episode(
    spec: EnvSpec,
    number: int,
    *,
    length: int = 4,
    success: bool = True,
    helped: Sequence[int] = (),
    source: Source = Source.POLICY,
    seed: int = 0,
) -> list[Step]:
    """An episode whose last step ends it, with a success or by the time limit."""
    rng = np.random.default_rng([seed, number])
    return [
        Step(
            episode=number,
            t=t,
            observation=make_observation(spec, 1000 * seed + 100 * number + t),
            action=rng.uniform(-0.9, 0.9, spec.action.shape).astype(np.float32),
            policy_action=None if source is Source.DEMO else np.zeros(spec.action.shape, np.float32),
            source=Source.HUMAN if t in helped else source,
            reward=float(success and t == length - 1),
            terminated=success and t == length - 1,
            truncated=not success and t == length - 1,
            success=success and t == length - 1,
            final_observation=make_observation(spec, 7777 + number) if t == length - 1 else None,
            weights_version=number,
            stamps={"monotonic": 100.0 + t / spec.rate_hz},
        )
        for t in range(length)
    ]


def write_run(
    path: Path,
    episodes: Sequence[Sequence[Step]],
    *,
    spec: EnvSpec = SPEC,
    stream: str = STREAM,
    first: int = 1,
    info: Mapping[str, str] | None = None,
) -> Path:
    """A file of these episodes; the path is the run's folder, or a file where it ends in .sqlite."""
    file = path if path.suffix == ".sqlite" else path / "steps.sqlite"
    with StepStore.open(file, spec, info or {"agent": "rlpd", "seed": "0"}) as store:
        for seq, step in enumerate((step for each in episodes for step in each), start=first):
            assert store.insert(stream, seq, step)
        store.commit()
    return file


def some_run(path: Path, n: int = 3, **about: object) -> Path:
    """Episodes that succeed, the second with help, and then one that fails."""
    spec = about.pop("spec", SPEC)
    seed = int(about.pop("seed", 0))  # type: ignore[arg-type]
    made = [episode(spec, k, helped=[1] if k == 1 else [], seed=seed) for k in range(n)]  # type: ignore[arg-type]
    failed = episode(spec, n, success=False, length=5, seed=seed)  # type: ignore[arg-type]
    return write_run(path, [*made, failed], spec=spec, **about)  # type: ignore[arg-type]


def rows_of(path: Path) -> list[Row]:
    """All steps of a run."""
    with StepStore.read(path if path.suffix == ".sqlite" else path / "steps.sqlite") as store:
        return list(store.rows())
