"""`handrail demos check`: whether a file of demonstrations, or a run, is fit to learn from, and what to do if not."""

import json
import sys
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from handrail.demos_contents import Contents, read_contents
from wire.errors import UserError
from wire.quality import LONG, ROUGH, remarks
from wire.specs import EnvSpec
from wire.statistics import wilson_interval
from wire.store import StepStore
from wire.types import Source

_ENOUGH = 10
_IDLE, _SATURATED, _HELD, _LATE = 0.2, 0.5, 0.02, 0.05
_WAITED_S = 1.0


class Verdict(StrEnum):
    """How a finding bears on learning from the file."""

    OK = "ok"
    LOOK = "look"  # Learning goes on with it, perhaps worse.
    BAD = "bad"  # It will mislead a learner, or means that something of the cell is broken.


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    verdict: Verdict
    what: str
    found: str
    do: str = ""


def check(path: Path, *, against: Path | None, as_json: bool, json_path: Path | None) -> int:
    """Print what is found in the file at `path`; returns 0, or 1 where something of it is bad."""
    contents = read_contents(path)
    findings = find(contents)
    if against is not None:
        with StepStore.read(against) as other:
            findings.insert(1, _against(contents.spec, other.spec, against))
    document = json.dumps(_document(path, contents, findings), indent=2) + "\n"
    if json_path is not None:
        _write(json_path, document)
    sys.stdout.write(document if as_json else _for_people(path, contents, findings))
    return 1 if any(finding.verdict is Verdict.BAD for finding in findings) else 0


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; name another file: json=<file>") from error


def find(contents: Contents) -> list[Finding]:
    """Every finding, in the order in which they matter."""
    found = [_what_it_is(contents.spec), _whole(contents), _enough(contents), _rate(contents)]
    if contents.qualities:
        found += [
            _success(contents),
            _who_drove(contents),
            *_shares(contents),
            _lengths(contents),
            _roughness(contents),
        ]
        found += [_duplicates(contents)]
    if any(array.is_frame for array in contents.spec.observation.values()):
        found += [_cameras(contents)]
    return found


def _what_it_is(spec: EnvSpec) -> Finding:
    seen = ", ".join(f"{name} {'x'.join(map(str, array.shape))}" for name, array in spec.observation.items())
    text = f"{spec.env} {spec.task} on {spec.robot} at {spec.rate_hz:g} Hz; sees {seen}; acts by "
    text += f"{', '.join(spec.action_names)} ({spec.action_frame}); fingerprint {spec.fingerprint()}"
    return Finding(Verdict.OK, "spec", text)


def _against(ours: EnvSpec, theirs: EnvSpec, path: Path) -> Finding:
    lines = ours.differences(theirs)
    if not lines:
        return Finding(Verdict.OK, "against", f"of the same spec as {path}")
    return Finding(
        Verdict.BAD, "against", f"differs from {path}: {'; '.join(lines)}", "use it with runs of its own keys"
    )


def _whole(contents: Contents) -> Finding:
    if contents.damaged:
        return Finding(
            Verdict.BAD,
            "whole",
            f"{contents.damaged} steps are damaged",
            "restore the file from a copy, or record anew",
        )
    if contents.unfinished:
        found = f"{contents.unfinished} episodes have no end: somebody stopped, or died, in their middle"
        return Finding(Verdict.LOOK, "whole", found, "nothing: their steps are whole, their last one is left out")
    return Finding(Verdict.OK, "whole", "every step passes its checksum, every episode has an end")


def _enough(contents: Contents) -> Finding:
    n, steps = len(contents.qualities), sum(quality.steps for quality in contents.qualities)
    text = f"{n} episodes, {steps} steps, {steps / contents.spec.rate_hz / 60:.1f} minutes"
    if n == 0:
        return Finding(Verdict.BAD, "amount", "there is no finished episode", "record some: handrail demos record")
    if n < _ENOUGH:
        return Finding(Verdict.LOOK, "amount", text, "record 20 or so; add with resume=true")
    return Finding(Verdict.OK, "amount", text)


def _rate(contents: Contents) -> Finding:
    if not contents.periods_s:
        return Finding(Verdict.LOOK, "rate", "no stamps to tell it by", "nothing, where you know how it was recorded")
    periods, wanted_s = np.array(contents.periods_s), 1.0 / contents.spec.rate_hz
    middle_s = float(np.median(periods))
    text = f"a step every {1000 * middle_s:.1f} ms, wanted {1000 * wanted_s:.1f} ms"
    if middle_s < 0.5 * wanted_s:
        return Finding(Verdict.OK, "rate", f"{text}: simulated faster than the robot's time, so it says nothing")
    if abs(middle_s / wanted_s - 1.0) > 0.1:
        if contents.spec.env != "ros":
            return Finding(
                Verdict.OK, "rate", f"{text}: simulated at another pace than the robot's, so it says nothing"
            )
        return Finding(Verdict.BAD, "rate", text, "find what keeps the loop: a camera's rate, a busy machine")
    late = float((periods > 1.5 * wanted_s).mean())
    text += f", {late:.1%} of them late by half a period or more"
    if late > _LATE:
        return Finding(Verdict.LOOK, "rate", text, "close what else runs on the robot's machine")
    return Finding(Verdict.OK, "rate", text)


def _success(contents: Contents) -> Finding:
    wins = sum(quality.success for quality in contents.qualities)
    n = len(contents.qualities)
    discarded = _which(contents, lambda quality: quality.discarded)
    low, high = wilson_interval(wins, n)
    text = f"{wins} of {n} episodes succeed (95 % interval {low:.0%} to {high:.0%})"
    text += f"; discarded, and never trained on: {discarded}" if discarded else ""
    if wins == 0:
        return Finding(Verdict.BAD, "success", text, "label successes: key y, or a button (docs/human.md)")
    if wins < n:
        return Finding(Verdict.LOOK, "success", text, "agent=bc imitates failures too; keep=success leaves them out")
    return Finding(Verdict.OK, "success", text)


def _who_drove(contents: Contents) -> Finding:
    total = sum(contents.sources.values())
    shares = {source: n / total for source, n in contents.sources.items() if n}
    text = ", ".join(f"{source.name.lower()} {share:.0%}" for source, share in sorted(shares.items()))
    driven = 1.0 - shares.get(Source.POLICY, 0.0)
    return Finding(Verdict.OK, "human share", f"{driven:.0%} of the steps were not the policy's ({text})")


def _shares(contents: Contents) -> list[Finding]:
    steps = np.array([quality.steps for quality in contents.qualities], float)

    def share(name: str) -> float:
        return float(np.average([getattr(quality, name) for quality in contents.qualities], weights=steps))

    waited = [quality.idle_at_start / contents.spec.rate_hz for quality in contents.qualities]
    idle = Finding(
        Verdict.LOOK if share("idle") > _IDLE or max(waited) > _WAITED_S else Verdict.OK,
        "idle steps",
        f"{share('idle'):.0%} of the steps ask for nothing; the longest wait at a start is {max(waited):.1f} s",
        "move at once and without stops: who imitates pauses learns to stand still",
    )
    saturated = Finding(
        Verdict.LOOK if share("saturated") > _SATURATED else Verdict.OK,
        "saturated",
        f"{share('saturated'):.0%} of the steps have a motion at its limit",
        "lower human.scale, or push more gently: at the limit nobody sees how much was meant",
    )
    held = Finding(
        Verdict.LOOK if share("held") > _HELD else Verdict.OK,
        "held",
        f"{share('held'):.1%} of the steps were held by the guard or a watchdog, and are never trained on",
        "see the log for why: stale senses, force, speed",
    )
    return [each if each.verdict is not Verdict.OK else _well(each) for each in (idle, saturated, held)]


def _well(finding: Finding) -> Finding:
    return Finding(finding.verdict, finding.what, finding.found)


def _lengths(contents: Contents) -> Finding:
    steps = [quality.steps for quality in contents.qualities]
    middle = float(np.median(steps))
    rate_hz = contents.spec.rate_hz
    text = f"{min(steps)} to {max(steps)} steps, median {middle:g} ({middle / rate_hz:.1f} s)"
    long = _which(contents, lambda quality: quality.steps > LONG * middle)
    if long:
        return Finding(
            Verdict.LOOK, "length", f"{text}; more than twice the median: {long}", "look: demos show; redo them"
        )
    return Finding(Verdict.OK, "length", text)


def _roughness(contents: Contents) -> Finding:
    values = [quality.roughness for quality in contents.qualities]
    middle = float(np.median(values))
    text = f"jerk of the actions {min(values):.2f} to {max(values):.2f}, median {middle:.2f}"
    rough = _which(contents, lambda quality: middle > 0 and quality.roughness > ROUGH * middle)
    if rough:
        return Finding(
            Verdict.LOOK, "smoothness", f"{text}; more than twice the median: {rough}", "redo them more calmly"
        )
    return Finding(Verdict.OK, "smoothness", text)


def _duplicates(contents: Contents) -> Finding:
    firsts: dict[int, int] = {}
    twins = [(firsts.setdefault(crc, number), number) for number, crc in enumerate(contents.prints)]
    twins = [pair for pair in twins if pair[0] != pair[1]]
    if not twins:
        return Finding(Verdict.OK, "duplicates", "no two episodes are the same")
    text = ", ".join(f"{a} and {b}" for a, b in twins[:5]) + (", and more" if len(twins) > 5 else "")
    return Finding(
        Verdict.BAD, "duplicates", f"byte for byte the same: episodes {text}", "leave one of them out: they count twice"
    )


def _cameras(contents: Contents) -> Finding:
    shares = {name: n / contents.moves for name, n in contents.frozen.items()} if contents.moves else {}
    frozen = [f"{name} in {share:.0%}" for name, share in sorted(shares.items()) if share > _LATE]
    if frozen:
        text = f"the picture is the one before although the robot moved: {', '.join(frozen)} of the steps"
        return Finding(Verdict.BAD, "cameras", text, "check the camera's rate and cable (docs/cameras.md); record anew")
    return Finding(Verdict.OK, "cameras", "every picture is a new one when the robot moves")


def _which(contents: Contents, holds: Any) -> str:
    pairs = zip(contents.names, contents.qualities, strict=True)
    found = [str(name) for name, quality in pairs if holds(quality)]
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    return f"episodes {', '.join(found[:8])}{more}" if found else ""


def _document(path: Path, contents: Contents, findings: list[Finding]) -> dict[str, Any]:
    worst = max((finding.verdict for finding in findings), key=list(Verdict).index)
    pairs = zip(contents.names, contents.qualities, strict=True)
    return {
        "path": str(path),
        "verdict": worst,
        "fingerprint": contents.spec.fingerprint(),
        "findings": [asdict(finding) for finding in findings],
        "episodes": [
            {"episode": name, **asdict(quality), "remarks": remarks(quality, contents.qualities)}
            for name, quality in pairs
        ],
    }


def _for_people(path: Path, contents: Contents, findings: list[Finding]) -> str:
    lines = [f"{path}:", ""]
    for finding in findings:
        lines.append(f"  {finding.verdict:4} {finding.what:11} {finding.found}")
        lines += [f"       {'':11} -> {finding.do}"] if finding.do else []
    if contents.qualities:
        lines += ["", *_table(contents)]
    return "\n".join(lines) + "\n"


def _table(contents: Contents) -> list[str]:
    best = min((quality.steps for quality in contents.qualities if quality.success), default=None)
    lines = ["  episode  steps  seconds  x best  success  idle  at limit  jerk  held  remarks"]
    for name, quality in zip(contents.names, contents.qualities, strict=True):
        times = f"{quality.steps / best:.1f}" if best else "-"
        lines.append(
            f"  {name:7}  {quality.steps:5}  {quality.seconds(contents.spec.rate_hz):7.1f}  {times:>6}  "
            f"{'yes' if quality.success else 'no':>7}  {quality.idle:4.0%}  {quality.saturated:8.0%}  "
            f"{quality.roughness:4.2f}  {quality.held:4.0%}  {', '.join(remarks(quality, contents.qualities))}".rstrip()
        )
    return lines
