"""Read every step and every frame of archive files and check their sums."""

from pathlib import Path
from typing import Any

from learner.archive.episodes import Episodes, open_intact
from learner.archive.facts import run_name
from wire.labels import labels_since
from wire.store import StoreError


def verify_file(path: Path) -> dict[str, Any]:
    """What is intact in a file: name, intact, damaged, steps, episodes, unfinished_steps, damage (lines), problem."""
    report: dict[str, Any] = {"name": run_name(path), "path": str(path), "problem": "", "damage": []}
    report |= {"intact": False, "steps": 0, "damaged": 0, "episodes": 0, "unfinished_steps": 0}
    try:
        with open_intact(path) as store:
            episodes = Episodes(store)
            report["episodes"] = sum(1 for _ in episodes)
            report["steps"] = store.count() - store.damaged
            report["damaged"] = store.damaged
            report["damage"] = store.damage
            report["unfinished_steps"] = episodes.unfinished
            report["broken_episodes"] = len(episodes.broken)
            report["problem"] = store.repaired
            report["labels"] = len(labels_since(path)[0])
    except StoreError as error:
        report["problem"] = str(error)
    report["intact"] = not report["damaged"] and not report["problem"]
    return report
