"""`handrail rewards prefer`: draw pairs, have them answered, keep every answer at once."""

import contextlib
import getpass
import threading
from collections.abc import Callable
from pathlib import Path

from rewards.answerers import Said, ask_pairs, script_answers, true_gains, true_progress
from rewards.config import PreferConfig
from rewards.page import show_page
from rewards.pair_sheet import PairSheet
from rewards.preferences import (
    NEITHER,
    Pair,
    Pictures,
    Preference,
    PreferenceFile,
    counts,
    draw_pairs,
    pictures_of,
    read_preferences,
)
from rewards.vlm.client import opened

_AT_ONCE = 32
"""Pairs between two writes: what an interruption loses of a model's answers, though its cache does not."""


def prefer(
    config: PreferConfig,
    say: Callable[[str], None],
    tell: Callable[[int, int], None] = lambda done, of: None,
    stopped: threading.Event | None = None,
) -> None:
    """Have the pairs of a seed answered that are not answered yet, until all are, the budget is spent, or `stopped`.

    Raises:
        ModelError: The runs do not suffice.
        VlmError: The model cannot be asked.
        StoreError: The file of answers is something else, or another process has it.
    """
    path = Path(config.out)
    with contextlib.closing(PreferenceFile(path)) as file:
        pairs = draw_pairs(config.runs, config.pairs, config.seed, config.segment)
        known = read_preferences(path, config.segment)
        new = [pair for pair in pairs if pair not in known]
        if config.answerer == "script":
            # It looks at no picture, so the runs need not hold any.
            file.append(_kept(config, new, _script(config, new)))
            _say_what_there_is(config, path, say)
            return
        moments = {moment for pair in pairs for moment in pair}
        pictures = pictures_of(config.runs, moments, config.cameras, config.segment)
        alike = [pair for pair in new if pictures.alike(pair)]
        file.append(_kept(config, alike, [Said(NEITHER, "the pictures are the same")] * len(alike)))
        new = [pair for pair in new if pair not in set(alike)]
        if alike:
            say(f"{len(alike)} pairs look the same: nobody is asked about those")
        if config.answerer == "person":
            _ask_person(config, file, pictures, pairs, say, stopped or threading.Event())
        else:
            _ask_model(config, file, pictures, new, say, tell)
    _say_what_there_is(config, path, say)


def _script(config: PreferConfig, pairs: list[Pair]) -> list[Said]:
    known = true_gains(config.runs, config.segment) if config.segment else true_progress(config.runs)
    return script_answers(pairs, known, config.accuracy, config.abstain, config.seed)


def _say_what_there_is(config: PreferConfig, path: Path, say: Callable[[str], None]) -> None:
    found = counts(read_preferences(path, config.segment))
    runs = f"[{','.join(config.runs)}]"
    learn = f"handrail rewards train kind=preference runs={runs} preferences={path} out=<folder>"
    if config.segment:
        learn = f"handrail learner mode=offline agent=cpl archive={runs} preferences={path}"
    say(
        f"{sum(found.values())} pairs are answered in {path}: left {found['left']}, right {found['right']}, neither "
        f"{found['neither']}\nlearn from them: {learn}"
    )


def _ask_model(
    config: PreferConfig,
    file: PreferenceFile,
    pictures: Pictures,
    pairs: list[Pair],
    say: Callable[[str], None],
    tell: Callable[[int, int], None],
) -> None:
    unanswered: list[str] = []
    with opened(config.vlm) as vlm:
        try:
            for start in range(0, len(pairs), _AT_ONCE):
                part = pairs[start : start + _AT_ONCE]
                said = ask_pairs(vlm, config.question, pictures, part, both_orders=config.both_orders)
                file.append(_kept(config, part, said))
                unanswered += [each.words for each in said if each.answer is None]
                tell(start + len(part), len(pairs))
                if vlm.spent:
                    say("the budget is spent; with a greater one the same command goes on from here")
                    break
        finally:
            say(str(vlm.bill))
    if unanswered:
        say(f"{len(unanswered)} pairs had no answer and may be asked again, the last because {unanswered[-1]}")


def _ask_person(
    config: PreferConfig,
    file: PreferenceFile,
    pictures: Pictures,
    pairs: list[Pair],
    say: Callable[[str], None],
    stopped: threading.Event,
) -> None:
    who = config.who or getpass.getuser()
    asked = [pair for pair in pairs if not pictures.alike(pair)]
    sheet = PairSheet(Path(config.out), file, pictures, asked, question=config.question, who=who)
    show_page(sheet, config.port, say, stopped)


def _kept(config: PreferConfig, pairs: list[Pair], said: list[Said]) -> list[Preference]:
    who = config.vlm.model if config.answerer == "vlm" else config.who
    return [
        Preference(pair, each.answer, config.answerer, who, config.question, each.words, config.segment)
        for pair, each in zip(pairs, said, strict=True)
        if each.answer is not None
    ]
