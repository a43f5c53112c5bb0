"""How often a success classifier is right about runs it has not seen, and how well a reward ranks their states."""

import json
import logging
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rewards.answerers import true_progress
from rewards.calibration import rates, spearman
from rewards.config import AuditConfig
from rewards.dataset import Frames, Seen, Stretch, gather
from rewards.decide import decide
from rewards.episodes import archive_of, episodes_of, labels_of, truth
from rewards.models import TRAINED_ON, load_model, read_description
from rewards.report import write_report
from rewards.score import Gate, ModelError, RewardModel, parse_gate, require_spec, stack
from rewards.success import SuccessClassifier
from wire.files import write_atomically
from wire.statistics import wilson_interval
from wire.store import StepStore

log = logging.getLogger(__name__)


def audit(config: AuditConfig) -> dict[str, Any]:
    """The figures of a model on runs; written to `config.json` and `config.report` where these are given.

    Raises:
        ModelError: The model is missing, nothing in the runs is judged, or their true progress is not known.
    """
    model = load_model(Path(config.model))
    figures = _audit_success(model, config) if isinstance(model, SuccessClassifier) else _audit_reward(model, config)
    if config.json is not None:
        path = Path(config.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(figures, indent=2) + "\n").encode())
    return figures


def _audit_success(model: SuccessClassifier, config: AuditConfig) -> dict[str, Any]:
    only = parse_gate(config.only, "only")
    frames = gather(
        config.runs,
        list(model.inputs),
        margin=config.margin,
        per_episode=None,
        seed=0,
        gate=model.rule.gate,
        only=only,
    )
    _warn_of_known(Path(config.model), frames)
    figures = {"model": model.version, "runs": list(config.runs), "margin": config.margin}
    figures |= rates(model.score(frames.inputs).value * frames.open, frames.truth, model.rule.threshold)
    figures["episodes"] = episode_rates(model, config.runs, only=only)
    if config.report is not None:
        write_report(Path(config.report), model, frames, {"runs": list(config.runs)})
    return figures


def _warn_of_known(folder: Path, frames: Frames) -> None:
    """Say how many of the episodes the model knows, of which it is right more often than of others."""
    told = read_description(folder).get("facts", {}).get(TRAINED_ON, [])
    try:
        trained_on = msgspec.convert(told, list[Stretch])
    except msgspec.ValidationError as error:
        raise ModelError(f"{folder} does not say what it was trained on: {error}; restore it from a copy") from None
    by_stream: dict[str, list[Stretch]] = {}
    for each in trained_on:
        by_stream.setdefault(each.stream, []).append(each)
    found = [each for each in frames.stretches.values() if any(map(each.meets, by_stream.get(each.stream, [])))]
    if found:
        log.warning(
            "%s was trained on %d of these %d episodes, so the figures flatter it: audit on other runs",
            folder,
            len(found),
            len(frames.stretches),
        )


def _audit_reward(model: RewardModel, config: AuditConfig) -> dict[str, Any]:
    """How a reward ranks states, against their true progress, which only a simulation knows."""
    if config.only is not None:
        raise ModelError(f"only={config.only} is for success classifiers, and {config.model} holds a reward; drop it")
    progress, rewards, truth, episodes = true_progress(config.runs), [], [], []
    for run in config.runs:
        path = archive_of(run)
        with StepStore.read(path) as store:
            require_spec(model, store.spec, whose=str(path))
            for episode in episodes_of(store):
                known = np.array([progress.get((episode.stream, int(seq)), np.nan) for seq in episode.seqs])
                value = model.score(stack(episode.states, list(model.inputs))).value
                rewards.append(value[~np.isnan(known)])
                truth.append(known[~np.isnan(known)])
                episodes.append(spearman(rewards[-1], truth[-1]))
    ranked = [each for each in episodes if each is not None]
    return {
        "model": model.version,
        "runs": list(config.runs),
        "n": int(sum(map(len, rewards))),
        "spearman": spearman(np.concatenate(rewards), np.concatenate(truth)),
        "spearman_within_episodes": float(np.median(ranked)) if ranked else None,
    }


def episode_rates(model: SuccessClassifier, runs: list[str], *, only: Gate | None = None) -> dict[str, Any]:
    """What the model's rule makes of whole episodes, of which every state is judged.

    `false`: it sees a success in an episode that has none; `early`: it sees one more than two steps before the first;
    `missed`: it sees none in an episode that has one.
    """
    counts = dict.fromkeys(("with_success", "without_success", "false", "early", "missed"), 0)
    gate = model.rule.gate
    names = [*model.inputs, *([gate.name] if gate is not None else [])]
    seen = Seen()
    for run in runs:
        path = archive_of(run)
        labels = labels_of(path)
        with StepStore.read(path) as store:
            for episode in episodes_of(store):
                if only is not None and not only.passes(episode.states[0]):
                    continue
                known = truth(episode, labels, margin=0)
                if episode in seen or (known < 0).any():
                    continue
                seen.add(episode)
                batch = stack(episode.states, list(dict.fromkeys(names)))
                said = decide(model.rule, model.score(batch).value, episode.states, cut=bool(known[-1]))
                first = int(known.argmax()) if known.any() else None
                when = int(said.argmax()) if said.any() else None
                counts["with_success" if first is not None else "without_success"] += 1
                counts["false"] += first is None and when is not None
                counts["early"] += first is not None and when is not None and when < first - 2
                counts["missed"] += first is not None and when is None
    wrong = counts["false"]
    return counts | {"false_ci95": list(wilson_interval(wrong, counts["without_success"]))}
