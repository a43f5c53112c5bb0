"""Success over environment steps, as runs of the front door had it: read from their archives, and drawn."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Before this folder, whose learner.py and wire.py would be taken for the packages of these names.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

Curve = list[tuple[int, float]]
_COLOURS = ("#444444", "#2166ac", "#d95f02", "#1b7837", "#762a83", "#a6761d")


def curve_of(run: Path) -> Curve:
    """(environment steps, success without help over the last 20 episodes) of a run, from its 20th episode on."""
    from learner.progress import Progress
    from wire.store import StepStore

    progress = Progress()
    with StepStore.read(run / "steps.sqlite") as store:
        for row in store.rows():
            progress.add(row.stream, row.step)
    return progress.curve()


def draw(path: Path, curves: Mapping[str, Sequence[Curve]]) -> None:
    """One colour for every row, one line for every seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.6))
    for colour, (name, seeds) in zip(_COLOURS * len(curves), curves.items(), strict=False):
        for index, curve in enumerate(seeds):
            steps, success = zip(*curve, strict=True) if curve else ((), ())
            axes.plot(steps, success, color=colour, linewidth=1.4, label=name if index == 0 else None)
    axes.set(ylim=(-0.03, 1.03), xlim=(0, None), xlabel="environment steps")
    axes.set_ylabel("success without help, last 20 episodes")
    axes.axhline(0.8, color="#bbbbbb", linewidth=0.8, zorder=0)
    axes.grid(alpha=0.2)
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
