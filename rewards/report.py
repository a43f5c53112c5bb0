"""`report.md` and its pictures: what a model gets right, what its probabilities are worth, and its worst errors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rewards.calibration import rates, reliability
from rewards.dataset import Frames
from rewards.success import SuccessClassifier

_WORST = 16
_ERRORS = ("false successes", "missed successes")


def write_report(folder: Path, model: SuccessClassifier, frames: Frames, facts: Mapping[str, Any]) -> None:
    """Write report.md, reliability.png and errors.png: of these frames, which the model has not been trained on."""
    folder.mkdir(parents=True, exist_ok=True)
    probability = model.score(frames.inputs).value * frames.open
    figures = rates(probability, frames.truth, model.rule.threshold)
    _draw_reliability(folder / "reliability.png", probability, frames.truth, model.rule.threshold)
    worst = _worst(probability, frames.truth)
    listed = _draw_errors(folder / "errors.png", frames, probability, worst)
    (folder / "report.md").write_text(_text(model, figures, listed, facts))


def _text(model: SuccessClassifier, figures: Mapping[str, Any], listed: list[str], facts: Mapping[str, Any]) -> str:
    rule = model.rule
    low, high = figures["false_positive_ci95"]
    gate = "none" if rule.gate is None else str(rule.gate)
    lines = [
        f"# {model.version}",
        "",
        f"{figures['n']} frames of episodes that it was not trained on, {figures['positives']} of them successes.",
        "",
        "| | says success | says none |",
        "|---|---|---|",
        f"| is one | {figures['true_positives']} | {figures['false_negatives']} |",
        f"| is none | {figures['false_positives']} | {figures['true_negatives']} |",
        "",
        "| | |",
        "|---|---|",
        f"| accuracy | {_percent(figures['accuracy'])} |",
        f"| false-positive rate | {_percent(figures['false_positive_rate'])} (95 %: {low:.2%} to {high:.2%}) |",
        f"| false-negative rate | {_percent(figures['false_negative_rate'])} |",
        f"| AUC | {'unknown' if figures['auc'] is None else format(figures['auc'], '.4f')} |",
        f"| calibration error | {figures['calibration_error']:.3f} |",
        f"| threshold | {rule.threshold:.4f}, {rule.k} of the last {rule.n} frames, gate: {gate} |",
        "",
        *(f"- {key}: {value}" for key, value in facts.items() if key != "figures"),
        "",
        "![Share of successes over stated probability](reliability.png)",
        "",
    ]
    if listed:
        lines += ["Worst errors, each with its probability:", "", "![Worst errors](errors.png)", "", *listed, ""]
    else:
        lines += ["No error among them.", ""]
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2%}"


def _worst(probability: np.ndarray, truth: np.ndarray) -> list[np.ndarray]:
    """Rows of the false and of the missed successes, the surest errors first; those on the right side of 0.5 too."""
    false = np.flatnonzero((truth == 0) & (probability > 0.1))
    missed = np.flatnonzero((truth == 1) & (probability < 0.9))
    return [false[np.argsort(-probability[false])][:_WORST], missed[np.argsort(probability[missed])][:_WORST]]


def _draw_reliability(path: Path, probability: np.ndarray, truth: np.ndarray, threshold: float) -> None:
    figure, axes = _pyplot().subplots(figsize=(4, 4))
    bins = reliability(probability, truth)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.plot([mean for mean, _, _ in bins], [share for _, share, _ in bins], marker="o", color="#1b7837")
    for mean, share, count in bins:
        axes.annotate(str(count), (mean, share), textcoords="offset points", xytext=(4, -10), fontsize=7)
    axes.axvline(threshold, color="#d95f02", linestyle=":", linewidth=1)
    axes.set(xlabel="stated probability of success", ylabel="share of successes", xlim=(0, 1), ylim=(-0.02, 1.02))
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    _pyplot().close(figure)


def _draw_errors(path: Path, frames: Frames, probability: np.ndarray, worst: list[np.ndarray]) -> list[str]:
    """A contact sheet of the worst errors; returns a line for each."""
    if not sum(map(len, worst)):
        path.unlink(missing_ok=True)
        return []
    names = list(frames.inputs)
    columns = max(map(len, worst))
    figure, grid = _pyplot().subplots(
        2 * len(names), columns, figsize=(1.1 * columns + 0.6, 2.4 * len(names)), squeeze=False
    )
    for axes in grid.flat:
        axes.axis("off")
    lines = []
    for kind, (title, rows) in enumerate(zip(_ERRORS, worst, strict=True)):
        for column, row in enumerate(rows):
            for line, name in enumerate(names):
                grid[kind * len(names) + line][column].imshow(frames.inputs[name][row])
            grid[kind * len(names)][column].set_title(f"{probability[row]:.2f}", fontsize=7)
            lines.append(f"- {title}: {probability[row]:.3f} {frames.where[row]}")
    figure.suptitle(f"above: {_ERRORS[0]}; below: {_ERRORS[1]}", fontsize=8)
    figure.savefig(path, dpi=100)
    _pyplot().close(figure)
    return lines


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
