"""Probabilities that mean what they say, and thresholds that keep a promise: all from held-out logits."""

from typing import NamedTuple

import numpy as np

from wire.statistics import wilson_interval

_STEPS = 100
_BINS = 10


class Platt(NamedTuple):
    """p = 1 / (1 + exp(-(scale * logit + shift)))."""

    scale: float = 1.0
    shift: float = 0.0

    def log_odds(self, logits: np.ndarray) -> np.ndarray:
        """The calibrated log-odds, shape as given."""
        return self.scale * np.asarray(logits, np.float64) + self.shift


def sigmoid(log_odds: np.ndarray) -> np.ndarray:
    """Log-odds as probabilities, without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(log_odds, np.float64)))


def fit_platt(logits: np.ndarray, truth: np.ndarray) -> Platt:
    """Scale and shift by maximum likelihood (Platt 1999), by Newton's method with step halving.

    Platt's soft targets (n+ + 1) / (n+ + 2) and 1 / (n- + 2) keep the scale finite where the classes are separable. A
    scale that is not positive would turn the order round: then only the shift is fitted.

    Args:
        logits: Float (n,) of held-out moments.
        truth: Int (n,), 1 or 0.
    """
    x = np.asarray(logits, np.float64)
    positives, negatives = int((truth == 1).sum()), int((truth == 0).sum())
    target = np.where(truth == 1, (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0))
    features = np.stack([x, np.ones_like(x)], axis=1)
    w = np.array([1.0, 0.0])
    best = _cross_entropy(features @ w, target)
    for _ in range(_STEPS):
        p = sigmoid(features @ w)
        gradient = features.T @ (p - target)
        hessian = (features * (p * (1 - p))[:, None]).T @ features + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-6 and _cross_entropy(features @ (w - size * step), target) > best:
            size /= 2
        w = w - size * step
        loss = _cross_entropy(features @ w, target)
        if best - loss < 1e-10:
            break
        best = loss
    return Platt(float(w[0]), float(w[1])) if w[0] > 0 else Platt(1.0, float(np.log(positives / negatives)))


def threshold_for(probability: np.ndarray, truth: np.ndarray, max_false_positive_rate: float) -> float:
    """The lowest threshold, from even odds upwards, at which no more failures than stated count as success.

    Args:
        probability: Float (n,) of held-out moments.
        truth: Int (n,), 1 or 0.
        max_false_positive_rate: Share of the failures at or above the threshold.
    """
    failures = np.sort(probability[truth == 0])[::-1]
    allowed = int(max_false_positive_rate * len(failures))
    # At or above counts as success, so the threshold lies just above the first failure that is not allowed.
    strict = np.nextafter(failures[allowed], 1.0) if allowed < len(failures) else 0.5
    return float(min(max(0.5, strict), 1.0 - 1e-9))


def auc(score: np.ndarray, truth: np.ndarray) -> float:
    """Probability that a success scores above a failure, ties counting half (Mann-Whitney); NaN with one class."""
    positives, negatives = int((truth == 1).sum()), int((truth == 0).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = _ranks(score)
    return float((ranks[truth == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def spearman(one: np.ndarray, other: np.ndarray) -> float | None:
    """Rank correlation of two columns, ties sharing their mean rank; None where one of them does not vary."""
    ranks = [_ranks(column) for column in (one, other)]
    if len(one) < 2 or any(rank.std() == 0 for rank in ranks):
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def rates(probability: np.ndarray, truth: np.ndarray, threshold: float) -> dict[str, float | int | list[float] | None]:
    """The audit of a threshold: confusion, rates with 95 % intervals, AUC, calibration error. None: not known."""
    said, is_ = probability >= threshold, truth == 1
    tp, fp = int((said & is_).sum()), int((said & ~is_).sum())
    fn, tn = int((~said & is_).sum()), int((~said & ~is_).sum())
    n, area = len(truth), auc(probability, truth)
    return {
        "n": n,
        "positives": tp + fn,
        "threshold": threshold,
        "accuracy": (tp + tn) / n if n else None,
        "false_positive_rate": fp / (fp + tn) if fp + tn else None,
        "false_positive_ci95": list(wilson_interval(fp, fp + tn)),
        "false_negative_rate": fn / (fn + tp) if fn + tp else None,
        "false_negative_ci95": list(wilson_interval(fn, fn + tp)),
        "precision": tp / (tp + fp) if tp + fp else None,
        "auc": None if np.isnan(area) else area,
        "calibration_error": calibration_error(probability, truth),
        "true_positives": tp,
        "false_positives": fp,
        "true_negatives": tn,
        "false_negatives": fn,
    }


def reliability(probability: np.ndarray, truth: np.ndarray) -> list[tuple[float, float, int]]:
    """Ten equal bins of probability: (mean probability, share of successes, moments), the empty ones left out."""
    index = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    found = []
    for number in range(_BINS):
        inside = index == number
        if inside.any():
            found.append((float(probability[inside].mean()), float((truth[inside] == 1).mean()), int(inside.sum())))
    return found


def calibration_error(probability: np.ndarray, truth: np.ndarray) -> float:
    """Expected calibration error over those bins (Guo et al. 2017)."""
    n = max(len(truth), 1)
    return sum(count / n * abs(mean - share) for mean, share, count in reliability(probability, truth))


def _ranks(column: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def _cross_entropy(log_odds: np.ndarray, target: np.ndarray) -> float:
    return float(np.sum(np.logaddexp(0.0, log_odds) - target * log_odds))
