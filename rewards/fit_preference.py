"""Train a reward from preferences: a Bradley-Terry ensemble over frames (RL-VLM-F, Wang et al. 2024, section 4.2)."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional

from rewards.augmentation import coloured, shifted
from rewards.config import TrainConfig
from rewards.models import DESCRIPTION
from rewards.network import Architecture, Network
from rewards.preference import PreferenceReward, scaled
from rewards.preferences import NEITHER, RIGHT, counts, pictures_of, read_preferences
from rewards.score import ModelError
from rewards.trunk import load_nets

log = logging.getLogger(__name__)

_FEWEST = 20
"""Preferences below which a reward would be a guess."""
_LOOK = 20
"""Times that a member is judged, while it is trained, by the preferences that it does not see."""
_CHUNK = 256
_AVERAGE = 0.98
"""Of the weights' moving average, which is what is judged and kept."""


def train_preference(config: TrainConfig) -> PreferenceReward:
    """Train, scale, and write model and report to `config.out`.

    Raises:
        ModelError: There is a model already, there are too few preferences, frames that were compared are missing, or
            the trunk is not for them.
        StoreError: The file of preferences is missing or something else.
    """
    out, asked = Path(config.out), Path(str(config.preferences))
    if (out / DESCRIPTION).exists():
        raise ModelError(f"{out} holds a model already, and models never change; name another folder with out=")
    known = read_preferences(asked)
    kept = [each for each in known.values() if each.answer != NEITHER]
    if len(kept) < _FEWEST:
        raise ModelError(
            f"{asked} holds {len(kept)} answers that say which is nearer, of {len(known)}; wanted {_FEWEST} at least: "
            "ask on with handrail rewards prefer"
        )
    moments = list(dict.fromkeys(moment for each in kept for moment in each.pair))
    pictures = pictures_of(config.runs, moments, config.cameras)
    columns = {name: np.stack([pictures.of[moment][name] for moment in moments]) for name in pictures.inputs}
    row = {moment: index for index, moment in enumerate(moments)}
    worse_better = np.array([_ordered(row[each.pair.left], row[each.pair.right], each.answer) for each in kept])
    began_s = time.monotonic()
    examples = _Embedded(columns, Path(config.trunk)) if config.trunk is not None else _Frames(columns, config)
    members, unseen = zip(*(fit_member(examples, worse_better, config, n) for n in range(config.members)), strict=True)
    model = scaled(members, columns)
    figures = _figures(model, columns, worse_better, list(unseen))
    facts = {
        "runs": list(config.runs),
        "question": kept[-1].question,
        "answers": counts(known),
        "by": sorted({f"{each.source} {each.who}".strip() for each in kept}),
        "seconds": round(time.monotonic() - began_s, 1),
        "figures": figures,
    }
    out.mkdir(parents=True, exist_ok=True)
    _write_report(out, model, columns, facts)
    model.save(out, facts)
    return model


class Examples(Protocol):
    """The moments that were compared, as a network learns from them."""

    def network(self) -> Network:
        """A new one for them."""
        ...

    def outputs(self, network: Network, rows: np.ndarray, rng: torch.Generator | None = None) -> torch.Tensor:
        """What a network says of moments, shape (n,); with `rng` in training, where they may look another way."""
        ...


class _Frames:
    """Their frames, ever in another light and place."""

    def __init__(self, columns: Mapping[str, np.ndarray], config: TrainConfig) -> None:
        self._columns, self._config = columns, config

    def network(self) -> Network:
        return Network(Architecture(tuple(self._columns)))

    def outputs(self, network: Network, rows: np.ndarray, rng: torch.Generator | None = None) -> torch.Tensor:
        frames = network.prepared({name: column[rows] for name, column in self._columns.items()})
        if rng is not None:
            shift, colour = self._config.shift_pixels, self._config.colour
            frames = {name: coloured(shifted(image, shift, rng), colour, rng) for name, image in frames.items()}
        return network(frames)


class _Embedded:
    """What a frozen trunk makes of their frames, once and for all members."""

    def __init__(self, columns: Mapping[str, np.ndarray], trunk: Path) -> None:
        shape, self._nets = load_nets(trunk, {name: column.shape[1:] for name, column in columns.items()})
        # A small head: what there is to learn has been learned, and wrong answers shall not be.
        self._architecture = Architecture(tuple(columns), dropout=0.2, hidden=32, trunk=shape)
        network, n = self.network(), len(next(iter(columns.values())))
        with torch.inference_mode():
            chunks = ({name: each[i : i + _CHUNK] for name, each in columns.items()} for i in range(0, n, _CHUNK))
            parts = [network.embed(network.prepared(chunk)) for chunk in chunks]
        # Out of inference mode, whose tensors no gradient may pass by.
        self._embedded = torch.cat(parts).clone()

    def network(self) -> Network:
        network = Network(self._architecture)
        for name, net in self._nets.items():
            network.trunks[name].load_state_dict(net.state_dict())
        return network

    def outputs(self, network: Network, rows: np.ndarray, rng: torch.Generator | None = None) -> torch.Tensor:
        return network.judge(self._embedded[torch.from_numpy(rows)])


def fit_member(
    examples: Examples, worse_better: np.ndarray, config: TrainConfig, number: int
) -> tuple[Network, np.ndarray]:
    """One member of the ensemble, and which of the preferences it has not seen, bool (n,).

    Each is trained on a bootstrap sample, without which their disagreement would say nothing. The third that the sample
    leaves out says when to stop: labellers err, and a network that is trained for long enough learns their errors.
    """
    rng = np.random.default_rng([config.seed, 13, number])
    torch.manual_seed(int(rng.integers(2**31)))
    torch.set_num_threads(config.threads)
    sample = rng.integers(len(worse_better), size=len(worse_better))
    unseen = np.ones(len(worse_better), bool)
    unseen[sample] = False
    network, average, best = (examples.network() for _ in range(3))
    average.load_state_dict(network.state_dict())
    best.load_state_dict(network.state_dict())
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.iterations, pct_start=0.1
    )
    least = np.inf
    network.train()
    average.eval()
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    looks = torch.Generator().manual_seed(int(rng.integers(2**31)))
    for step in range(1, config.iterations + 1):
        pairs = worse_better[sample[rng.integers(len(sample), size=config.batch_size)]]
        worse, better = examples.outputs(network, pairs.T.ravel(), looks).chunk(2)
        # -log p(better > worse) with p = exp(R+) / (exp(R+) + exp(R-)) (Bradley and Terry 1952).
        loss = functional.softplus(worse - better).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        _follow(average, network, min(_AVERAGE, step / (step + 10.0)))
        if step % max(1, config.iterations // _LOOK) == 0 and unseen.any():
            held_out = _loss(average, examples, worse_better[unseen])
            if held_out < least:
                least = held_out
                best.load_state_dict(average.state_dict())
    log.info("member %d: loss on unseen preferences %.4f", number, least)
    return best.eval(), unseen


def _follow(average: Network, network: Network, weight: float) -> None:
    """Move the average by what is left beside its own weight."""
    with torch.no_grad():
        for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            kept.lerp_(new, 1.0 - weight)


def _ordered(left: int, right: int, answer: int) -> tuple[int, int]:
    return (left, right) if answer == RIGHT else (right, left)


def _loss(network: Network, examples: Examples, worse_better: np.ndarray) -> float:
    with torch.inference_mode():
        rows = np.unique(worse_better)
        found = np.empty(int(rows.max()) + 1)
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            found[part] = examples.outputs(network, part).numpy()
    return float(np.logaddexp(0.0, found[worse_better[:, 0]] - found[worse_better[:, 1]]).mean())


def _figures(
    model: PreferenceReward, columns: Mapping[str, np.ndarray], worse_better: np.ndarray, unseen: list[np.ndarray]
) -> dict[str, Any]:
    """Agreement with each preference, of those members alone that have not been trained on it."""
    outputs = (model.outputs(columns) - np.array(model.scale.mean)[:, None]) / np.array(model.scale.std)[:, None]
    gap = outputs[:, worse_better[:, 1]] - outputs[:, worse_better[:, 0]]
    judges = np.stack(unseen)
    judged = judges.any(0)
    mean = (gap * judges).sum(0)[judged] / judges.sum(0)[judged]
    return {"preferences": len(worse_better), "unseen": int(judged.sum()), "agreement": float((mean > 0).mean())}


def _write_report(
    folder: Path, model: PreferenceReward, columns: Mapping[str, np.ndarray], facts: dict[str, Any]
) -> None:
    """report.md, and ranked.png: frames from the worst to the best, as the reward has it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    reward = model.score(columns).value
    rows = np.argsort(reward, kind="stable")[np.linspace(0, len(reward) - 1, 12).round().astype(int)]
    figure, grid = pyplot.subplots(
        len(columns), len(rows), figsize=(1.1 * len(rows), 1.3 * len(columns)), squeeze=False
    )
    for line, column in zip(grid, columns.values(), strict=True):
        for axes, index in zip(line, rows, strict=True):
            axes.imshow(column[index])
            axes.axis("off")
    for axes, index in zip(grid[0], rows, strict=True):
        axes.set_title(f"{reward[index]:.2f}", fontsize=7)
    figure.savefig(folder / "ranked.png", dpi=100)
    pyplot.close(figure)
    figures = facts["figures"]
    lines = [
        f"# {model.version}",
        "",
        f"Learned from {figures['preferences']} preferences. Of {figures['unseen']} of them, judged only by members "
        f"that had not seen them, it agrees with {figures['agreement']:.1%}; a labeller who errs cannot be agreed with "
        "more often than they are right.",
        "",
        *(f"- {key}: {value}" for key, value in facts.items() if key != "figures"),
        "",
        "![Frames from the worst to the best, with their rewards](ranked.png)",
        "",
    ]
    (folder / "report.md").write_text("\n".join(lines))
