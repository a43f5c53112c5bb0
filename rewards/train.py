"""Train a success classifier: frames in, a calibrated model with a promised false-positive rate out."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from rewards.augmentation import coloured, shifted
from rewards.calibration import fit_platt, rates, sigmoid, threshold_for
from rewards.config import TrainConfig
from rewards.dataset import Frames, gather, goals, join, split
from rewards.models import DESCRIPTION, TRAINED_ON
from rewards.network import Architecture, Network, as_floats
from rewards.report import write_report
from rewards.score import Gate, ModelError, Rule, parse_gate
from rewards.success import SuccessClassifier
from rewards.vlm_success import VlmClassifier, VlmNetwork, ask, fit_head

log = logging.getLogger(__name__)

_AVERAGE = 0.99
"""Of the weights' moving average, which is what is kept."""


def train(config: TrainConfig) -> SuccessClassifier:
    """Train, calibrate, choose the threshold, and write model and report to `config.out`.

    Raises:
        ModelError: There is a model already, or the frames do not suffice; the text says what is missing.
    """
    out = Path(config.out)
    if (out / DESCRIPTION).exists():
        raise ModelError(f"{out} holds a model already, and models never change; name another folder with out=")
    gate = parse_gate(config.gate)
    frames = _frames(config, gate)
    training, held_out = split(frames, config.validation, config.seed)
    log.info("frames: training=%s validation=%s", training.counts(), held_out.counts())
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    network = fit_vlm(training, config) if config.kind == "vlm" else fit(training, config)
    model, figures = calibrated(network, held_out, config, gate)
    facts = {
        "runs": list(config.runs),
        "goals": config.goals,
        "training": training.counts(),
        "validation": held_out.counts(),
        "max_fpr": config.max_fpr,
        "seconds": round(time.monotonic() - began_s, 1),
        "cpu_seconds": round(time.process_time() - began_cpu_s, 1),
        "figures": figures,
    }
    write_report(out, model, held_out, facts)
    model.save(out, facts | {TRAINED_ON: list(frames.stretches.values())})
    return model


def fit(frames: Frames, config: TrainConfig) -> Network:
    """The network after `iterations` balanced batches; the same frames, settings and threads give the same weights."""
    torch.manual_seed(config.seed)
    torch.set_num_threads(config.threads)
    network = Network(Architecture(tuple(frames.inputs)))
    average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.iterations, pct_start=0.1
    )
    network.train()
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    for images, truth in _batches(frames, config):
        loss = functional.binary_cross_entropy_with_logits(network(images), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            for name, tensor in network.state_dict().items():
                average[name].lerp_(tensor, 1.0 - _AVERAGE)
    network.load_state_dict(average)
    return network.eval()


def fit_vlm(frames: Frames, config: TrainConfig) -> VlmNetwork:
    """The head after `iterations` balanced batches of what the model thinks: of every frame as it is, and augmented."""
    assert config.model is not None
    assert config.question is not None
    torch.manual_seed(config.seed)
    torch.set_num_threads(config.threads)
    network = ask(Path(config.model), config.question, tuple(frames.inputs))
    rng = torch.Generator().manual_seed(config.seed)
    altered = {name: _altered(column, config, rng) for name, column in frames.inputs.items()}
    thoughts = torch.cat([network.think(frames.inputs), network.think(altered)])
    draw = np.random.default_rng([config.seed, 8])
    rows = ((each + len(frames) * draw.integers(2, size=len(each)), truth) for each, truth in _rows(frames, config))
    return fit_head(network, thoughts, rows, rate=config.learning_rate, decay=config.weight_decay)


def _altered(images: np.ndarray, config: TrainConfig, rng: torch.Generator) -> np.ndarray:
    """The images, uint8 (n, height, width, 3), shifted and in another light."""
    floats = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.0
    floats = coloured(shifted(floats, config.shift_pixels, rng), config.colour, rng)
    return (floats.clamp(0.0, 1.0) * 255.0).round().byte().permute(0, 2, 3, 1).contiguous().numpy()


def calibrated(
    network: Network | VlmNetwork, held_out: Frames, config: TrainConfig, gate: Gate | None
) -> tuple[SuccessClassifier, dict[str, Any]]:
    """The classifier with probabilities and threshold from episodes that the network has not seen, and its figures."""
    shapes = {name: column.shape[1:] for name, column in held_out.inputs.items()}
    classifier: Any = VlmClassifier if isinstance(network, VlmNetwork) else SuccessClassifier
    raw = classifier(network, shapes, fit_platt(np.zeros(2), np.array([0, 1])), Rule(0.5))
    logits = raw.logits(held_out.inputs)
    platt = fit_platt(logits, held_out.truth)
    # What the gate shuts out is no success whatever its picture, so it may leave the threshold lower.
    probability = sigmoid(platt.log_odds(logits)) * held_out.open
    threshold = threshold_for(probability, held_out.truth, config.max_fpr)
    model = classifier(network, shapes, platt, Rule(threshold, config.k, config.n, gate))
    return model, rates(probability, held_out.truth, threshold)


def _frames(config: TrainConfig, gate: Gate | None) -> Frames:
    frames = gather(
        config.runs,
        config.cameras,
        margin=config.margin,
        per_episode=config.per_episode,
        seed=config.seed,
        negatives_too=config.goals is not None,
        gate=gate,
        only=parse_gate(config.only, "only"),
    )
    if config.goals is None:
        return frames
    shapes = {name: column.shape[1:] for name, column in frames.inputs.items()}
    return join([frames, goals(Path(config.goals), shapes, int(frames.episode.max()) + 1)])


def _rows(frames: Frames, config: TrainConfig) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Batches, half of them successes; of the others a share that people refused, where there are any."""
    draw = np.random.default_rng([config.seed, 7])
    positive, negative = np.flatnonzero(frames.truth == 1), np.flatnonzero(frames.truth == 0)
    hard = np.flatnonzero(frames.hard)
    half = max(1, config.batch_size // 2)
    n_hard = round(config.hard_share * half) if len(hard) else 0
    truth = torch.cat([torch.ones(half), torch.zeros(half)])
    for _ in range(config.iterations):
        rows = np.concatenate([draw.choice(positive, half), draw.choice(negative, half - n_hard)])
        if n_hard:
            rows = np.concatenate([rows, draw.choice(hard, n_hard)])
        yield rows, truth


def _batches(frames: Frames, config: TrainConfig) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
    """The same, augmented."""
    rng = torch.Generator().manual_seed(config.seed)
    for rows, truth in _rows(frames, config):
        images = {name: as_floats(torch.from_numpy(column[rows])) for name, column in frames.inputs.items()}
        yield (
            {
                name: coloured(shifted(image, config.shift_pixels, rng), config.colour, rng)
                for name, image in images.items()
            },
            truth,
        )
