"""What each sub-verb does; all that takes long to import is imported where it is needed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from learner.archive import catalogue, views
from learner.archive.config import (
    DescribeConfig,
    ExportConfig,
    FilterConfig,
    ImportConfig,
    ListConfig,
    MergeConfig,
    PruneConfig,
    Selection,
    ShowConfig,
    StatsConfig,
    VerifyConfig,
)
from learner.archive.facts import RunFacts, read_facts
from learner.archive.select import fits, wanted_spec, why_not
from wire.errors import UserError
from wire.store import StepStore, StoreError

_ORDER: dict[str, Callable[[RunFacts], Any]] = {
    "name": lambda run: run.name,
    "began": lambda run: (run.began or run.changed, run.name),
    "steps": lambda run: run.steps,
    "success": lambda run: run.success_rate or 0.0,
    "size": lambda run: run.bytes,
}


def list_runs(config: ListConfig) -> int:
    """Show the runs that fit, one a line."""
    runs, _ = chosen(config.paths, config)
    runs = sorted(runs, key=_ORDER[config.sort])[-(config.limit or len(runs)) :]
    if config.json:
        views.write_json({"runs": [run.as_json() for run in runs]})
        return 0
    views.console().print(views.runs_table(runs))
    damaged = sum(bool(run.problem) for run in runs)
    views.say(
        f"{len(runs)} runs, {sum(run.steps for run in runs)} steps, {views.megabytes(sum(run.bytes for run in runs))}"
        + (f"; {damaged} cannot be read in full: handrail archive verify says more" if damaged else "")
    )
    return 0


def show(config: ShowConfig) -> int:
    """Everything about one run."""
    path = catalogue.resolve(Path(config.paths[0]))
    facts = read_facts(path)
    picture, said = "", ""
    episodes = []
    try:
        with StepStore.read(path) as store:
            episodes = store.episodes()
            picture, said = _picture(config.picture, store, facts)
    except StoreError as error:
        said = f"no picture: {error}"
    last = episodes[len(episodes) - config.episodes :] if config.episodes < len(episodes) else episodes
    if config.json:
        document = facts.as_json() | {"picture": picture or None, "remark": said}
        views.write_json(document | {"last_episodes": [each._asdict() for each in last]})
        return 0
    screen = views.console()
    screen.print(views.facts_table(facts))
    if last:
        views.say("", f"last {len(last)} of {facts.episodes} episodes:")
        screen.print(views.episodes_table(last))
    views.say(said or f"picture: {picture}")
    return 0


def filter_runs(config: FilterConfig) -> int:
    """Say which runs fit and why the others do not; write the chosen episodes where `out` is given."""
    runs, left_out = chosen(config.paths, config)
    if config.out is not None:
        from learner.archive.merge import merge

        if not runs:
            raise UserError(_none_fits(left_out))
        return _merged(merge([Path(run.path) for run in runs], Path(config.out), config), json=config.json)
    counted = [(run, *_chosen_episodes(run, config)) for run in runs]
    if config.json:
        found = [{"name": run.name, "episodes": count, "steps": steps} for run, count, steps in counted]
        views.write_json({"runs": found, "left_out": [{"name": run.name, "why": why} for run, why in left_out]})
        return 0
    for run, count, steps in counted:
        views.say(f"{run.name}: {count} of {run.episodes} episodes, {steps} steps")
    for run, why in left_out:
        views.say(f"left out: {run.name}: {why}")
    return 0


def verify(config: VerifyConfig) -> int:
    """Check every sum; 1 where anything is damaged."""
    from learner.archive.verify import verify_file

    paths = [Path(run.path) for run in catalogue.list_runs([Path(path) for path in config.paths])]
    reports = [verify_file(path) for path in paths]
    if config.json:
        views.write_json({"runs": reports})
    for report in [] if config.json else reports:
        intact = f"{report['steps']} steps in {report['episodes']} episodes are intact"
        lost = f"; {report['damaged']} are damaged" if report["damaged"] else ""
        views.say(f"{report['name']}: {intact}{lost}" + (f"; {report['problem']}" if report["problem"] else ""))
        views.say(*(f"  {line}" for line in report["damage"]))
    return 0 if all(report["intact"] for report in reports) else 1


def stats(config: StatsConfig) -> int:
    """Say what the chosen data is worth, and what to do with it."""
    from learner.archive import report, report_view

    runs, left_out = chosen(config.paths, config)
    if not runs:
        raise UserError(_none_fits(left_out))
    document, pools = report.report(runs, config)
    picture, said = "", "no picture was asked for"
    if config.picture != "none":
        first = Path(config.paths[0])
        path = Path(config.picture)
        if config.picture == "auto":
            path = first / "stats.png" if first.is_dir() else first.with_name(f"{first.stem}-stats.png")
        try:
            report_view.draw_report(document, pools, path)
            picture, said = str(path), f"picture: {path}"
        except OSError as error:
            said = f"no picture: {path} cannot be written: {error.strerror or error}"
    if config.json:
        views.write_json(document | {"picture": picture or None})
        return 0
    screen = views.console()
    screen.print(report_view.pool_table(document["pool"]))
    views.say("")
    screen.print(report_view.runs_table(document["runs"]))
    views.say("", *report_view.advice_lines(document), *document["remarks"], said)
    return 0


def merge_runs(config: MergeConfig) -> int:
    """Put the chosen runs into one."""
    from learner.archive.merge import merge

    runs, left_out = chosen(config.paths, config)
    if not runs:
        raise UserError(_none_fits(left_out))
    return _merged(merge([Path(run.path) for run in runs], Path(config.out), config), json=config.json)


def prune(config: PruneConfig) -> int:
    """Say what would be deleted, and delete it with yes=true."""
    from learner.archive import prune as pruning

    runs, _ = chosen(config.paths, config)
    doomed, kept = pruning.plan(runs, config)
    if config.yes:
        doomed, stayed = pruning.delete(doomed)
        kept += stayed
    total = sum(each.bytes for each in doomed)
    if config.json:
        entries = pruning.report(doomed)
        left = [{"name": run.name, "why": why} for run, why in kept]
        views.write_json({"deleted": config.yes, "runs": entries, "bytes": total, "kept": left})
        return 0
    verb = "deleted" if config.yes else "would delete"
    for each in doomed:
        whole = " with everything in it" if Path(each.facts.path) != each.target else ""
        views.say(f"{verb} {each.target}{whole}: {each.facts.steps} steps, {views.megabytes(each.bytes)}")
    views.say(*(f"kept {run.name}: {why}" for run, why in kept))
    views.say(f"{verb} {len(doomed)} runs, {views.megabytes(total)}")
    if doomed and not config.yes:
        views.say("Nothing was deleted. Add yes=true to do it.")
    return 0


def describe(config: DescribeConfig) -> int:
    """Keep facts with a run."""
    from learner.archive.describe import described

    path = catalogue.resolve(Path(config.paths[0]))
    info = described(path, config)
    if config.json:
        views.write_json({"name": str(path), "facts": info})
    else:
        views.say(f"{path} now says: {', '.join(f'{key}={value}' for key, value in info.items())}")
    return 0


def import_data(config: ImportConfig) -> int:
    """Make a run of somebody else's data."""
    from learner.archive.formats.incoming import import_run

    return _merged(import_run(config), json=config.json)


def export_data(config: ExportConfig) -> int:
    """Write a run in a format that other tools read."""
    from learner.archive.formats.outgoing import export_runs

    runs, left_out = chosen(config.paths, config)
    if not runs:
        raise UserError(_none_fits(left_out))
    return _merged(export_runs(runs, config), json=config.json)


def chosen(paths: list[str], selection: Selection) -> tuple[list[RunFacts], list[tuple[RunFacts, str]]]:
    """The runs at these paths that fit, and those left out, each with the reason."""
    like, runs, left_out = wanted_spec(selection), [], []
    for run in catalogue.list_runs([Path(path) for path in paths]):
        why = why_not(run, selection, like)
        if why:
            left_out.append((run, why))
        else:
            runs.append(run)
    return runs, left_out


def _chosen_episodes(run: RunFacts, selection: Selection) -> tuple[int, int]:
    """How many finished episodes of a run fit, and their steps."""
    if not selection.of_episodes:
        return run.episodes, run.episode_steps
    try:
        with StepStore.read(Path(run.path)) as store:
            lengths = [each.length for each in store.episodes() if fits(each, selection, run.kind)]
    except StoreError:
        return 0, 0
    return len(lengths), sum(lengths)


def _none_fits(left_out: list[tuple[RunFacts, str]]) -> str:
    if not left_out:
        return "there is no run at these paths; handrail archive list shows what is where"
    first = "; ".join(f"{run.name}: {why}" for run, why in left_out[:5])
    return f"none of the {len(left_out)} runs fits: {first}"


def _picture(wanted: str, store: StepStore, facts: RunFacts) -> tuple[str, str]:
    """Where the picture is, or why there is none."""
    if wanted == "none":
        return "", "no picture was asked for"
    from learner.archive.overview import draw_overview

    file = Path(facts.path)
    name = "overview.png" if facts.name != facts.path else f"{file.stem}-overview.png"
    path = file.with_name(name) if wanted == "auto" else Path(wanted)
    try:
        draw_overview(store, facts, path)
    except StoreError:
        raise
    except OSError as error:
        return "", f"no picture: {path} cannot be written: {error.strerror or error}"
    return str(path), ""


def _merged(report: dict[str, Any], *, json: bool) -> int:
    if json:
        views.write_json(report)
    else:
        views.say(*report["remarks"], report["text"])
    return 0


RUN: dict[str, Callable[[Any], int]] = {
    "list": list_runs,
    "show": show,
    "stats": stats,
    "filter": filter_runs,
    "verify": verify,
    "merge": merge_runs,
    "prune": prune,
    "describe": describe,
    "import": import_data,
    "export": export_data,
}
