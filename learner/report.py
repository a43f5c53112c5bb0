"""`report.md` and `report.png`: when the human helped in a run, what came after, and what that says about helping now.

It is made of the archive alone, so it works for a run that is under way, that has ended, or that crashed.
"""

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from learner.coach import (
    LONG,
    STOP_AT,
    Phase,
    Rate,
    advise,
    all_spells,
    alone,
    drove_it,
    find_phases,
    human_share,
    next_alone,
)
from learner.plots import plot_help
from learner.progress import WINDOW, EpisodeResult, Progress
from learner.run import ARCHIVE
from wire.database import explained
from wire.errors import UserError, run_main
from wire.files import write_atomically
from wire.parent import end_with_parent
from wire.specs import EnvSpec
from wire.store import StepStore

REPORT, PICTURE = "report.md", "report.png"


def read_progress(archive: Path) -> tuple[Progress, EnvSpec, int]:
    """Count a run's steps; returns what came of them, their spec, and how many were damaged and left out."""
    progress = Progress()
    with StepStore.read(archive) as store:
        for row in store.rows(frames=False):
            progress.add(row.stream, row.step)
        return progress, store.spec, store.damaged


def write_report(folder: Path, progress: Progress, spec: EnvSpec, title: str, notes: Sequence[str] = ()) -> str:
    """Write the report and its picture into `folder`; returns the report's text.

    Raises:
        StoreError: The folder cannot be written.
    """
    text = compose_report(progress, spec, title, notes)
    with explained(folder, "write"):
        plot_help(progress, folder / PICTURE, title, spec.rate_hz)
        write_atomically(folder / REPORT, text.encode())
    return text


def compose_report(progress: Progress, spec: EnvSpec, title: str, notes: Sequence[str] = ()) -> str:
    """The report as Markdown; `notes` are further lines of its head."""
    episodes, rate_hz = progress.episodes, spec.rate_hz
    sections = {
        "": [*head(progress, rate_hz), *notes],
        "What this says about intervening now": [_sentence(str(advise(episodes)))],
        "When the human intervened": when(episodes, rate_hz),
        "How success moved": movement(episodes, rate_hz),
        "Short or long": length(episodes, rate_hz),
    }
    lines = [f"# {title}", "", f"![Success alone, interventions and human share over the run]({PICTURE})", ""]
    for name, sentences in sections.items():
        if sentences:
            lines += [f"## {name}", ""] if name else []
            lines += [f"- {sentence}" for sentence in sentences] + [""]
    return "\n".join(lines)


def facts(progress: Progress, spec: EnvSpec) -> dict[str, Any]:
    """The report's numbers, for scripts."""
    episodes, advice = progress.episodes, advise(progress.episodes)
    spells = all_spells(episodes)
    return {
        "task": spec.task,
        "rate_hz": spec.rate_hz,
        "env_steps": progress.env_steps,
        "episodes": len(episodes),
        "human_steps": progress.human_steps,
        "human_minutes": progress.human_minutes(spec.rate_hz),
        "interventions": len(spells),
        "median_intervention_s": statistics.median(s.length for s in spells) / spec.rate_hz if spells else None,
        "longest_intervention_s": max(s.length for s in spells) / spec.rate_hz if spells else None,
        "human_share": human_share(episodes),
        "success_alone": _rate_facts(alone(episodes[-WINDOW:])),
        "phases": [_phase_facts(phase, spec.rate_hz) for phase in find_phases(episodes)],
        "next_alone_after_short": _rate_facts(next_alone(episodes, driven=False)),
        "next_alone_after_long": _rate_facts(next_alone(episodes, driven=True)),
        "advice": {"do": advice.do.value, "why": advice.why},
    }


def head(progress: Progress, rate_hz: float) -> list[str]:
    """What the run was, in two lines."""
    episodes, steps = progress.episodes, progress.env_steps
    lines = [
        f"{_n(len(episodes), 'episode')}, {_n(steps, 'step')}: {steps / rate_hz / 60:.1f} minutes of the robot's time "
        f"at {rate_hz:g} Hz."
    ]
    if episodes:
        lines.append(
            f"Success alone, last {min(WINDOW, len(episodes))} episodes: {alone(episodes[-WINDOW:])}. "
            "Intervals are 95 % (Wilson); an episode with help is no success of the policy's."
        )
    if progress.held_steps:
        lines.append(f"The robot was held in {_n(progress.held_steps, 'step')}, which are never trained on.")
    return lines


def when(episodes: Sequence[EpisodeResult], rate_hz: float) -> list[str]:
    """When somebody intervened, and for how long."""
    spells = all_spells(episodes)
    if not spells:
        return ["Nobody intervened." if episodes else "No episode has ended yet."]
    steps = [spell.length for spell in spells]
    total = sum(episode.length for episode in episodes)
    middle, longest = statistics.median(steps) / rate_hz, max(steps) / rate_hz
    lines = [
        f"{_n(len(spells), 'intervention')} in {sum(episode.helped for episode in episodes)} of "
        f"{_n(len(episodes), 'episode')}: {sum(steps)} of {total} steps ({sum(steps) / total:.0%}), "
        f"{sum(steps) / rate_hz / 60:.1f} human minutes.",
        f"The median one lasted {middle:.1f} s, the longest {longest:.1f} s.",
    ]
    last = max(index for index, episode in enumerate(episodes) if episode.helped)
    lines.append(
        f"The first began at step {spells[0].at_step}, the last at step {spells[-1].at_step}; "
        f"{_n(len(episodes) - 1 - last, 'episode')} without help followed."
    )
    if len(episodes) >= 8:
        quarters = [episodes[len(episodes) * i // 4 : len(episodes) * (i + 1) // 4] for i in range(4)]
        shares = ", ".join(f"{human_share(quarter):.0%}" for quarter in quarters)
        lines.append(f"Share of the steps that the human drove, by quarter of the episodes: {shares}.")
    return lines


def movement(episodes: Sequence[EpisodeResult], rate_hz: float) -> list[str]:
    """How success alone stood before and after each phase of help, and how sure that is."""
    phases = find_phases(episodes)
    if not phases:
        halves = alone(episodes[:WINDOW]), alone(episodes[-WINDOW:])
        return [_moved("From the first episodes to the last", *halves)] if len(episodes) >= 2 * WINDOW else []
    lines = []
    for phase in phases:
        what = (
            f"Steps {phase.from_step} to {phase.to_step}, {_n(len(phase.spells), 'intervention')} in "
            f"{_n(phase.helped, 'episode')}, {phase.human_steps / rate_hz:.0f} s"
        )
        lines.append(_moved(what, phase.before, phase.after))
    lines.append(
        "Learning went on meanwhile, so what rose after help did not rise by help alone: only runs without it, from "
        "the same seed, could tell."
    )
    return lines


def _moved(what: str, before: Rate, after: Rate) -> str:
    if not before.n and not after.n:
        return f"{what}: nothing before or after it to compare."
    if not after.n:
        return f"{what}: success alone before it {before}; nothing came after it yet."
    if not before.n:
        return f"{what}: success alone after it {after}; nothing came before it to compare with."
    if before.apart_from(after):
        verdict = "more than chance explains"
    else:
        verdict = "the intervals overlap, so this is weak evidence"
    return f"{what}: success alone before it {before}, after it {after}; {verdict}."


def length(episodes: Sequence[EpisodeResult], rate_hz: float) -> list[str]:
    """Whether the human corrected or drove, and what the next episode alone was like after either."""
    helped = [episode for episode in episodes if episode.helped]
    if not helped:
        return []
    driven = [episode for episode in helped if drove_it(episode)]
    finished = sum(episode.finished_by_human for episode in helped)
    lines = [
        f"In {len(driven)} of {_n(len(helped), 'episode')} with help one intervention was more than {LONG:.0%} of the "
        f"episode; in {finished} the human's hand was on it when it succeeded."
    ]
    short, long = next_alone(episodes, driven=False), next_alone(episodes, driven=True)
    if short.n and long.n:
        verdict = (
            "The two differ by more than chance explains, though short help may also have come at better times."
            if short.apart_from(long)
            else "The intervals overlap: this run does not tell the two apart."
        )
        lines.append(
            f"The next episode without help, at most 5 later, succeeded after short corrections in {short}, after "
            f"long ones in {long}. {verdict}"
        )
    lines.append(
        f"What is known elsewhere (HIL-SERL): short corrections, early and often; none that drive all the way; fewer "
        f"as success rises. Here hands off is advised from {STOP_AT:.0%} on."
    )
    return lines


def describe_run(run: Path, spec: EnvSpec) -> tuple[str, list[str]]:
    """A run's title, and what its evaluation found, as far as its folder tells."""
    told = _json(run / "learner_config.json")
    agent = told.get("agent")
    parts = [spec.task, str(agent.get("name", "")) if isinstance(agent, dict) else ""]
    parts += [f"seed {told['seed']}"] if "seed" in told else []
    judged = _json(run / "eval.json")
    notes = []
    if {"successes", "episodes"} <= judged.keys():
        rate = Rate(int(judged["successes"]), int(judged["episodes"]))
        notes = [f"The final policy, alone on fresh episodes: {rate}."]
    return ", ".join(part for part in parts if part), notes


def report(run: Path, out: Path, json_path: str | None) -> int:
    """Write a run's report into `out` and print it, or its numbers where `json_path` is -."""
    archive = run / ARCHIVE
    if not run.is_dir():
        raise UserError(f"there is no run in {run}; check run=<folder>")
    if not archive.is_file():
        raise UserError(f"{run} holds no steps yet ({ARCHIVE} is missing); wait for the first, or check run=<folder>")
    progress, spec, damaged = read_progress(archive)
    title, notes = describe_run(run, spec)
    if damaged:
        notes.append(f"{_n(damaged, 'step')} in {archive} are damaged and were left out.")
    with explained(out, "write"):
        out.mkdir(parents=True, exist_ok=True)
    text = write_report(out, progress, spec, title, notes)
    document = json.dumps(facts(progress, spec), indent=2) + "\n"
    if json_path == "-":
        sys.stdout.write(document)
        return 0
    if json_path is not None:
        with explained(Path(json_path), "write"):
            write_atomically(Path(json_path), document.encode())
    sys.stdout.write("\n".join(line for line in text.splitlines() if not line.startswith("![")).replace("\n\n\n", "\n"))
    sys.stdout.write(f"\n\nreport: {out / REPORT}\npicture: {out / PICTURE}\n")
    return 0


def _phase_facts(phase: Phase, rate_hz: float) -> dict[str, Any]:
    return {
        "from_step": phase.from_step,
        "to_step": phase.to_step,
        "episodes_helped": phase.helped,
        "interventions": len(phase.spells),
        "human_s": phase.human_steps / rate_hz,
        "before": _rate_facts(phase.before),
        "after": _rate_facts(phase.after),
    }


def _rate_facts(rate: Rate) -> dict[str, Any]:
    return {"rate": rate.value if rate.n else None, "n": rate.n, "ci95": list(rate.ci95)}


def _json(path: Path) -> dict[str, Any]:
    """What a file of the run's folder says; nothing where it is missing or half written."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _n(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def main() -> int:
    """`python -m learner.report <config.json>`."""
    told = json.loads(Path(sys.argv[1]).read_text())
    return report(Path(told["run"]), Path(told["out"]), told["json"])


if __name__ == "__main__":
    end_with_parent()
    sys.exit(run_main(main))
