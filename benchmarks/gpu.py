"""Speed of learning on one GPU: update blocks in both precisions, pixels end to end, frames kept on host or device.

Everything is synthetic: no simulator, no renderer. It also runs on a CPU, slowly; `--tiny` only shows that it runs.

    python benchmarks/gpu.py --json gpu.json
"""

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import report

sys.path.append(str(Path(__file__).parent / "contenders"))
# First, for this folder's learner.py would be taken for the package.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import jax
import jax.numpy as jnp
import numpy as np
from blocks import BLOCKS, Block, batch_of, shrunk, to_json
from synthetic import spec_of, steps_of

from learner.agents.sac import Sac
from learner.config import RlpdConfig
from learner.features import FeatureCache
from learner.mixer import Mixer
from learner.replay import Replay
from networks import encoder, parameters, trunk
from networks.architecture import Architecture, Trunk

_IMAGE = Block("image", critics=2, hidden=(256, 256), batch=256, utd=4, cameras=2)


def measured(run: Callable[[], Any], *, least_s: float, least: int = 5) -> list[float]:
    """Milliseconds of each call, after two that compile and warm up; calls until both minima are reached."""
    for _ in range(2):
        jax.block_until_ready(run())
    found: list[float] = []
    while len(found) < least or (sum(found) < 1000 * least_s and len(found) < 1000):
        begun_s = time.perf_counter()
        jax.block_until_ready(run())
        found.append(1000 * (time.perf_counter() - begun_s))
    return found


def peaks(size: int, least_s: float) -> dict[str, float]:
    """GFLOP/s of a square matrix product in each precision: what the updates are held against."""
    found = {}
    for dtype in ("float32", "bfloat16"):
        a = jnp.ones((size, size), dtype)
        product = jax.jit(lambda x: x @ x)
        found[dtype] = 2e-6 * size**3 / min(measured(lambda a=a, f=product: f(a), least_s=least_s))
    return found


def config_of(block: Block, precision: str) -> RlpdConfig:
    """RLPD's settings for a block."""
    return RlpdConfig(
        utd=block.utd,
        actor_period=block.utd,
        batch_size=block.batch,
        critics=block.critics,
        subset=block.subset,
        hidden=list(block.hidden),
        embedding=block.embedding,
        precision=precision,
    )


def agent_of(block: Block, precision: str, over: Trunk | None = None) -> tuple[Sac, Any]:
    """An agent and its first state."""
    arch = Architecture(
        frames={f"camera_{i}": (block.image, block.image, 3) for i in range(block.cameras)},
        vectors={"state": block.vector},
        action_dim=block.action,
        hidden=block.hidden,
        channels=block.channels,
        embedding=block.embedding,
        trunk=over,
    )
    agent = Sac(config_of(block, precision), arch, (0.0, 1.0))
    scale = {"mean": np.zeros(block.vector, np.float32), "std": np.ones(block.vector, np.float32)}
    return agent, agent.init(0, scale)


class Updates:
    """An agent whose update is called again and again, on a batch that a function gives each time."""

    def __init__(self, agent: Sac, state: Any, batch: Callable[[], Any]) -> None:
        self._agent, self._state, self._batch = agent, state, batch

    def __call__(self) -> Any:
        """One block; returns what to wait for."""
        self._state, metrics = self._agent.update(self._state, self._batch())
        return metrics


def blocks(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The update blocks of benchmarks/learner.py, and the image block of 256, on batches that lie on the device."""
    peak = peaks(256 if arguments.tiny else 8192, arguments.seconds / 4)
    yield {"what": "peak", "gflop_per_s": {name: round(value) for name, value in peak.items()}}
    chosen = [shrunk(_IMAGE)] if arguments.tiny else [_IMAGE, *BLOCKS.values()]
    for block in chosen:
        for precision in ("float32", "bfloat16") if block.cameras else ("float32",):
            batch = jax.device_put(batch_of(block))
            times = measured(Updates(*agent_of(block, precision), lambda b=batch: b), least_s=arguments.seconds)
            wall = report.spread(times)
            yield {
                "what": "update block",
                "block": block.name,
                "precision": precision,
                "batch": block.batch,
                "utd": block.utd,
                "wall_ms": wall,
                "gradient_steps_per_s": round(1000 * block.utd / wall["median"], 1),
                "share_of_peak": round(block.gflop() / (wall["median"] / 1000) / peak[precision], 4),
            }
        if block.cameras:
            yield torch_row(block, arguments)


def torch_row(block: Block, arguments: argparse.Namespace) -> dict[str, Any]:
    """The same block in eager PyTorch on the same device, in a process of its own."""
    on = "@cuda" if jax.default_backend() == "gpu" else ""
    calls = 1 if arguments.tiny else 20
    told = json.dumps({"block": to_json(block), "variant": f"stacked{on}", "core": None, "calls": calls})
    command = [arguments.torch_python, str(Path(__file__).parent / "contenders" / "torch_twin.py"), told]
    done = subprocess.run(command, input="run\n" * 5, capture_output=True, text=True, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    row = {"what": "update block, torch eager", "block": block.name, "batch": block.batch, "utd": block.utd}
    if done.returncode or not answers or "absent" in answers[0]:
        return row | {"absent": (answers or [{}])[0].get("absent") or done.stderr[-300:]}
    wall = report.spread(answer["wall_ms"] for answer in answers[1:])
    return row | {"wall_ms": wall, "gradient_steps_per_s": round(1000 * block.utd / wall["median"], 1)}


def trunk_of(block: Block) -> trunk.FrozenTrunk:
    """A random small trunk: what it computes does not matter here."""
    names = [f"camera_{i}" for i in range(block.cameras)]
    shape = (block.image, block.image, 3)
    nets = {
        name: encoder.camera_init(key, shape, channels=(16, 32, 32), embedding=64)
        for name, key in zip(names, jax.random.split(jax.random.key(0), len(names)), strict=True)
    }
    layout = trunk.Layout(family="small", image_size=block.image, cameras=tuple(names))
    return trunk.FrozenTrunk(layout, parameters.nested(parameters.flatten(nets)), "0" * 64)


def end_to_end(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One environment step after the other: into the replay, batches drawn, updated; nothing is left out."""
    if arguments.tiny:
        small = replace(shrunk(_IMAGE), utd=1)
        for encoding in ("conv", "trunk"):
            yield step_row(small, encoding, "bfloat16", "device", arguments)
        return
    for image, encoding, precision, place in (
        *((64, "conv", precision, place) for precision in ("float32", "bfloat16") for place in ("host", "device")),
        *((64, "trunk", "float32", place) for place in ("host", "device")),
        *((128, "conv", "bfloat16", place) for place in ("host", "device")),
        (128, "trunk", "float32", "device"),
    ):
        yield step_row(replace(_IMAGE, image=image), encoding, precision, place, arguments)


def step_row(block: Block, encoding: str, precision: str, place: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """What an environment step costs with everything that the learner does for it."""
    spec, filled = spec_of(block), 100 if arguments.tiny else 2000
    cache = None
    if encoding == "trunk":
        cache = FeatureCache(trunk_of(block), spec, views=1, shift_pixels=4, colour_jitter=True, seed=0)
    replay = Replay(spec, 4 * filled, cache=cache, keep_on=place)
    arriving = iter(list(steps_of(block, filled + 1200)))
    for _ in range(filled):
        replay.add("a", next(arriving))
    mixer = Mixer(replay, batch_size=block.batch, prior_share=0.5, min_online=1, seed=0)
    agent, state = agent_of(block, precision, None if cache is None else cache.trunk.describe())
    drawn = iter(range(10**9))

    def batch() -> Any:
        replay.add("a", next(arriving))
        return mixer.sample(next(drawn), block.utd)

    wall = report.spread(measured(Updates(agent, state, batch), least_s=arguments.seconds))
    return {
        "what": "environment step, end to end",
        "encoder": encoding,
        "precision": precision,
        "frames kept on": place,
        "image": block.image,
        "batch": block.batch,
        "utd": block.utd,
        "wall_ms": wall,
        "gradient_steps_per_s": round(1000 * block.utd / wall["median"], 1),
    }


def scaling(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The image block against batch, UTD, critics and cameras, one at a time; the first row is the block itself."""
    base = shrunk(_IMAGE) if arguments.tiny else _IMAGE
    changes = {"batch": (64, 1024), "utd": (1, 16), "critics": (10,), "cameras": (1, 4)}
    swept = [] if arguments.tiny else [(name, value) for name, values in changes.items() for value in values]
    precision = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    for name, value in [("batch", base.batch), *swept]:
        block = replace(base, **{name: value})
        batch = jax.device_put(batch_of(block))
        times = measured(Updates(*agent_of(block, precision), lambda b=batch: b), least_s=arguments.seconds / 2)
        wall = report.spread(times)
        rate = round(1000 * block.utd / wall["median"], 1)
        yield {
            "what": "scaling",
            name: value,
            "precision": precision,
            "wall_ms": wall,
            "gradient_steps_per_s": rate,
        }


PARTS = {"blocks": blocks, "steps": end_to_end, "scaling": scaling}


def ratios_of(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How many times as fast: half precision, frames on the device, features in place of pictures."""
    step = {
        (row["image"], row["encoder"], row["precision"], row["frames kept on"]): row["wall_ms"]["median"]
        for row in rows
        if row["what"].startswith("environment step")
    }
    ratios = {}
    swept = [row for row in rows if row["what"] == "scaling"]
    for row in swept[1:]:
        name = next(key for key in ("batch", "utd", "critics", "cameras") if key in row)
        ratios[f"a block with {name} {row[name]} / the block"] = (
            row["wall_ms"]["median"] / swept[0]["wall_ms"]["median"]
        )
    twins = {row["block"]: row["wall_ms"]["median"] for row in rows if "torch" in row["what"] and "wall_ms" in row}
    for row in rows:
        if row["what"] == "update block" and row["block"] in twins:
            ratios[f"{row['block']}, {row['precision']}: torch eager, float32 / handrail"] = (
                twins[row["block"]] / row["wall_ms"]["median"]
            )
    for (image, encoding, precision, place), wall in step.items():
        on_host, in_full = (image, encoding, precision, "host"), (image, encoding, "float32", place)
        if place == "device" and on_host in step:
            ratios[f"{image} px, {encoding}, {precision}: kept on the host / on the device"] = step[on_host] / wall
        if precision == "bfloat16" and in_full in step:
            ratios[f"{image} px, {encoding}, {place}: float32 / bfloat16"] = step[in_full] / wall
        if encoding == "trunk":
            best = min(each for key, each in step.items() if key[:2] == (image, "conv"))
            ratios[f"{image} px, {place}: pictures at their best / cached features"] = best / wall
    return ratios


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--seconds", type=float, default=1.0, help="least time that every row is measured for")
    parser.add_argument("--budget", type=float, default=1200.0, help="seconds after which no further row is begun")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter that has torch, for the twin")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="what is measured")
    parser.add_argument("--tiny", action="store_true", help="only show that everything runs")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.seconds, arguments.budget = 0.0, float("inf")
        jax.config.update("jax_disable_most_optimizations", True)
    rows: list[dict[str, Any]] = []
    begun_s = time.perf_counter()
    device = jax.local_devices()[0]
    for row in itertools.chain(*(PARTS[name](arguments) for name in arguments.parts)):
        rows.append(row)
        print(f"{time.perf_counter() - begun_s:6.1f} s  {brief(row)}", flush=True)
        if time.perf_counter() - begun_s > arguments.budget:
            rows.append({"what": f"the rest is left out: {arguments.budget:g} s are over"})
            break
    report.write(arguments.json, "gpu", rows, ratios_of(rows), device=device.device_kind, backend=jax.default_backend())


def brief(row: dict[str, Any]) -> str:
    """A row in one line."""
    shown = {
        name: value["median"] if isinstance(value, dict) and "median" in value else value for name, value in row.items()
    }
    return "  ".join(f"{name}={value}" if name != "what" else str(value) for name, value in shown.items())


if __name__ == "__main__":
    main()
