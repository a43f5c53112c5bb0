"""Frames with what is known of them, gathered from runs and from goal images, and split by episode."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rewards.episodes import UNKNOWN, Episode, archive_of, episodes_of, labels_of, require_frames, truth
from rewards.score import Gate, ModelError
from wire.errors import plain
from wire.labels import Label
from wire.specs import EnvSpec
from wire.store import StepStore

log = logging.getLogger(__name__)


class Stretch(NamedTuple):
    """The steps of an episode, by the names that never change, in whatever archive they lie."""

    stream: str
    first_seq: int
    last_seq: int

    def meets(self, other: "Stretch") -> bool:
        """Whether the two have a step in common."""
        return self.stream == other.stream and self.first_seq <= other.last_seq and other.first_seq <= self.last_seq


class Seen:
    """The episodes that were read already: an archive may be a copy of another, or a part of it, or be named twice."""

    def __init__(self) -> None:
        self._steps: set[tuple[str, int]] = set()

    def add(self, episode: Episode) -> None:
        """Know it again, whole or in part."""
        self._steps.update((episode.stream, int(seq)) for seq in episode.seqs)

    def __contains__(self, episode: Episode) -> bool:
        return any((episode.stream, int(seq)) in self._steps for seq in episode.seqs)


@dataclass(frozen=True)
class Frames:
    """n moments in columns."""

    inputs: dict[str, np.ndarray]
    """Name of the observation -> uint8 (n, height, width, 3)."""
    truth: np.ndarray
    """Int8 (n,): 1 success, 0 none."""
    episode: np.ndarray
    """Int64 (n,): equal for moments of one episode, which look alike and therefore stay together."""
    hard: np.ndarray
    """Bool (n,): a person said that this is none, where it may have looked like one."""
    open: np.ndarray
    """Bool (n,): the gate is open; where it is shut no picture is a success."""
    where: list[str]
    """Of each moment: archive, episode and step, for people."""
    stretches: dict[int, Stretch] = field(default_factory=dict)
    """Number of an episode -> its steps; goal pictures have none."""

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: np.ndarray) -> "Frames":
        """Some of the moments."""
        inputs = {name: column[rows] for name, column in self.inputs.items()}
        where = [self.where[row] for row in rows]
        episode = self.episode[rows]
        kept = set(episode.tolist())
        stretches = {number: each for number, each in self.stretches.items() if number in kept}
        return Frames(inputs, self.truth[rows], episode, self.hard[rows], self.open[rows], where, stretches)

    def counts(self) -> dict[str, int]:
        """How many moments, and of how many episodes, there are of each kind."""
        positive = self.truth == 1
        return {
            "positives": int(positive.sum()),
            "negatives": int((~positive).sum()),
            "episodes": len(np.unique(self.episode)),
            "episodes_with_success": len(np.unique(self.episode[positive])),
        }


def gather(
    runs: Sequence[str],
    cameras: Sequence[str] | None = None,
    *,
    margin: int,
    per_episode: int | None,
    seed: int,
    negatives_too: bool = False,
    gate: Gate | None = None,
    only: Gate | None = None,
) -> Frames:
    """The judged moments of runs; an episode that lies in several archives is taken from the first that judges it.

    Args:
        runs: Folders of runs, or files.
        cameras: Which frames; None: all that the first run has.
        margin: States before a success that count as neither.
        per_episode: At most so many moments without success of each episode, drawn at random; None: all.
        seed: Decides which.
        negatives_too: Take what nobody has judged for no success (VICE: policy frames against goal images).
        gate: What must be so besides.
        only: What must be so after an episode's first step for it to count.

    Raises:
        ModelError: A run is missing, has no frames or other ones, or nothing in it is judged.
    """
    rng = np.random.default_rng([seed, 5])
    parts: list[Frames] = []
    inputs: dict[str, tuple[int, ...]] = {}
    seen = Seen()
    for run in runs:
        path = archive_of(run)
        with StepStore.read(path) as store:
            inputs = inputs or camera_shapes(store.spec, cameras, str(path))
            require_frames(path, store, inputs)
            labels = labels_of(path)
            twice = 0
            for episode in episodes_of(store):
                if only is not None and not only.passes(episode.states[0]):
                    continue
                if episode in seen:
                    twice += 1
                    continue
                known, said_no = _judged(episode, labels, margin, negatives_too)
                rows = _chosen(known, said_no, per_episode, rng)
                if len(rows):
                    seen.add(episode)
                    hard = said_no & (known == 0)
                    opened = np.array([gate is None or gate.passes(episode.states[row]) for row in rows])
                    parts.append(_frames(episode, rows, known, hard, opened, list(inputs), len(parts)))
        if twice:
            # Else the same episode could be trained on and held out.
            log.warning("%d episodes of %s are in the runs named before it, and are left out here", twice, path)
    if not parts:
        raise ModelError(
            f"nothing in {', '.join(map(str, runs))} is judged: label some of it with handrail rewards label"
        )
    return join(parts)


def join(parts: Sequence[Frames]) -> Frames:
    """Several together; their episodes' numbers must differ already."""
    names = parts[0].inputs
    return Frames(
        {name: np.concatenate([part.inputs[name] for part in parts]) for name in names},
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.episode for part in parts]),
        np.concatenate([part.hard for part in parts]),
        np.concatenate([part.open for part in parts]),
        [where for part in parts for where in part.where],
        {number: each for part in parts for number, each in part.stretches.items()},
    )


def camera_shapes(spec: EnvSpec, cameras: Sequence[str] | None, whose: str) -> dict[str, tuple[int, ...]]:
    """The frames of a spec that are wanted, with their shapes; raises ModelError where they are not there."""
    there = {name: array.shape for name, array in spec.observation.items() if array.is_frame}
    for name in cameras or ():
        if name not in there:
            raise ModelError(
                f"{whose} has no camera {plain(name)}; it has {', '.join(there) or 'none'}: set cameras=[...]"
            )
    if not there:
        raise ModelError(
            f"{whose} has no frames, only {', '.join(sorted(spec.observation))}: record runs with obs=pixels"
        )
    return {name: there[name] for name in cameras or sorted(there)}


def goals(folder: Path, inputs: Mapping[str, tuple[int, ...]], first_episode: int) -> Frames:
    """Pictures of success, as `<anything>-<camera>.png` for every camera; each counts as an episode of its own.

    Raises:
        ModelError: There are none, one of a camera is missing, or one cannot be read.
    """
    from PIL import Image, UnidentifiedImageError

    first = next(iter(inputs))
    stems = sorted(path.name.removesuffix(f"-{first}.png") for path in folder.glob(f"*-{first}.png"))
    if not stems:
        raise ModelError(f"there are no goal images in {folder}; wanted <name>-{first}.png, and so on for every camera")
    columns: dict[str, list[np.ndarray]] = {name: [] for name in inputs}
    for stem in stems:
        for name, (height, width, _) in inputs.items():
            path = folder / f"{stem}-{name}.png"
            try:
                with Image.open(path) as image:
                    sized = image.convert("RGB").resize((width, height), Image.Resampling.BOX)
            except (OSError, UnidentifiedImageError) as error:
                raise ModelError(f"cannot read the goal image {path}: {plain(error)}") from None
            columns[name].append(np.asarray(sized))
    n = len(stems)
    ids = np.arange(first_episode, first_episode + n)
    pictures = {name: np.stack(column) for name, column in columns.items()}
    where = [f"{folder}/{stem}" for stem in stems]
    return Frames(pictures, np.ones(n, np.int8), ids, np.zeros(n, bool), np.ones(n, bool), where)


def split(frames: Frames, share: float, seed: int) -> tuple[Frames, Frames]:
    """Training and validation moments, no episode in both; episodes with a success are dealt apart from the others.

    Raises:
        ModelError: One class is missing, or there are too few episodes of one for both sides to have some.
    """
    found = frames.counts()
    if not found["positives"] or not found["negatives"]:
        missing = "success" if not found["positives"] else "failure"
        raise ModelError(
            f"there is no frame of {missing} among {len(frames)}: show both; label frames with handrail rewards label, "
            "collect some with handrail rewards collect, or give goal images with goals=<folder>"
        )
    rng = np.random.default_rng([seed, 6])
    succeeded = np.unique(frames.episode[frames.truth == 1])
    failed = np.setdiff1d(np.unique(frames.episode), succeeded)
    held_out: list[int] = []
    for group in (succeeded, failed):
        held_out += list(rng.permutation(group)[: round(share * len(group))])
    held = np.isin(frames.episode, held_out)
    parts = frames.take(np.flatnonzero(~held)), frames.take(np.flatnonzero(held))
    for name, part in zip(("training", "validation"), parts, strict=True):
        if not 0 < int((part.truth == 1).sum()) < len(part):
            raise ModelError(
                f"{len(succeeded)} episodes with a success and {len(failed)} without are too few: {name} would have "
                "only one kind of frame; wanted some ten of each"
            )
    return parts


def _judged(
    episode: Episode, labels: Mapping[tuple[str, int], Label], margin: int, negatives_too: bool
) -> tuple[np.ndarray, np.ndarray]:
    """What is known of each state, int8 (n,), as `truth` has it, and which of them a person refused, bool (n,)."""
    known = truth(episode, labels, margin=margin)
    if negatives_too:
        known = np.where(known == UNKNOWN, 0, known)
    said_no = np.array([_said_no(labels.get((episode.stream, int(seq)))) for seq in episode.seqs])
    last = episode.steps[-1]
    said_no[-1] |= last.terminated and not last.success
    return known, said_no


def _said_no(label: Label | None) -> bool:
    return label is not None and label.source == "person" and label.value < 0.5


def _chosen(known: np.ndarray, said_no: np.ndarray, per_episode: int | None, rng: np.random.Generator) -> np.ndarray:
    """All successes, all that a person refused, and of the rest as many as are wanted, in their order."""
    always = np.flatnonzero((known == 1) | (said_no & (known == 0)))
    rest = np.setdiff1d(np.flatnonzero(known == 0), always)
    if per_episode is not None and len(rest) > per_episode:
        rest = rng.choice(rest, per_episode, replace=False)
    return np.sort(np.concatenate([always, rest]))


def _frames(
    episode: Episode,
    rows: np.ndarray,
    known: np.ndarray,
    hard: np.ndarray,
    opened: np.ndarray,
    names: list[str],
    number: int,
) -> Frames:
    return Frames(
        {name: np.stack([episode.states[row][name] for row in rows]) for name in names},
        known[rows],
        np.full(len(rows), number, np.int64),
        hard[rows],
        opened,
        [f"{episode.archive} episode {episode.number} t {episode.steps[row].t}" for row in rows],
        {number: Stretch(episode.stream, int(episode.seqs[0]), int(episode.seqs[-1]))},
    )
