"""What `handrail archive` may be asked: one frozen class for each sub-verb, and the words for its keys.

Nothing heavy is imported here, because the command line reads this file too.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from wire.errors import require

FORMATS_IN = ("lerobot", "minari", "robomimic", "hilserl", "mcap")
FORMATS_OUT = ("lerobot", "minari", "mcap")
INTERVENTIONS = ("none", "some", "only")
KINDS = ("run", "demonstrations")
SORTS = ("name", "began", "steps", "success", "size")
CODECS = ("h264", "png")


def _one_of(name: str, got: str | None, wanted: Sequence[str]) -> None:
    if got is not None and got not in wanted:
        raise ValueError(f"{name} must be one of {', '.join(wanted)}, got {got}{near(got, wanted)}")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which runs, and which of their episodes."""

    task: str | None = None
    """Runs of this task."""
    robot: str | None = None
    """Runs on this robot."""
    reward: str | None = None
    """Runs whose reward has this definition and version, e.g. sparse-1."""
    action: str | None = None
    """Runs with this action space, as `list` shows it, e.g. base:x,y,z,gripper."""
    calibration: str | None = None
    """Runs whose cameras have this calibration, as `show` prints it: its name, 8 hex digits, or none."""
    agent: str | None = None
    """Runs of this agent."""
    kind: str | None = None
    """run or demonstrations."""
    like: str | None = None
    """Runs whose steps fit those of this run: same robot, task, observations, actions, rate and reward."""
    success: bool | None = None
    """Episodes that succeeded, or that did not."""
    intervention: str | None = None
    """Episodes in which nobody helped (none), somebody helped (some), or somebody drove throughout (only)."""
    min_return: float | None = None
    """Episodes with at least this return."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        _one_of("kind", self.kind, KINDS)
        _one_of("intervention", self.intervention, INTERVENTIONS)

    @property
    def of_episodes(self) -> bool:
        """Whether it chooses among the episodes of a run."""
        return (self.success, self.intervention, self.min_return) != (None, None, None)

    @property
    def chooses(self) -> bool:
        """Whether it leaves anything out at all."""
        return any(getattr(self, each.name) is not None for each in fields(Selection))


@dataclass(frozen=True, kw_only=True)
class ListConfig(Selection):
    """`handrail archive list [folder]`: all runs in a folder, at a glance."""

    paths: list[str] = field(default_factory=lambda: ["runs"])
    json: bool = False
    sort: str = "began"
    """name, began, steps, success or size."""
    limit: int | None = None
    """Show only so many, the last ones of the order."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        super().__post_init__()
        _one_of("sort", self.sort, SORTS)
        require(self.limit is None or self.limit >= 1, f"limit must be >= 1, got {self.limit}")


@dataclass(frozen=True, kw_only=True)
class ShowConfig:
    """`handrail archive show <run>`: everything about one run, with a picture."""

    paths: list[str]
    json: bool = False
    picture: str = "auto"
    """Where the picture goes: a .png file, none, or auto: overview.png in the run's folder."""
    episodes: int = 20
    """How many of the last episodes are listed."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        _require_one_path("show", self.paths)
        _require_png("picture", self.picture, ("auto", "none"))
        require(self.episodes >= 0, f"episodes must be >= 0, got {self.episodes}")


@dataclass(frozen=True, kw_only=True)
class FilterConfig(Selection):
    """`handrail archive filter [folder] key=value ...`: which runs fit, and why the others do not."""

    paths: list[str] = field(default_factory=lambda: ["runs"])
    json: bool = False
    out: str | None = None
    """Write the chosen episodes into this new run."""


@dataclass(frozen=True, kw_only=True)
class StatsConfig(Selection):
    """`handrail archive stats [folder or runs]`: what the data is worth, and what to do with it."""

    paths: list[str] = field(default_factory=lambda: ["runs"])
    json: bool = False
    picture: str = "auto"
    """Where the picture goes: a .png file, none, or auto: stats.png in the (first) folder."""
    reference: list[str] = field(default_factory=list)
    """Runs that stand for what can be reached: returns and coverage are measured against them; default: all chosen."""
    random_return: float | None = None
    """Return of a random policy; default: the lowest that the reward makes possible, or the lowest seen."""
    best_return: float | None = None
    """Return of the best policy; default: the best 20 episodes in a row of the reference."""
    bins: int = 5
    """Bins per dimension for the coverage of states and actions."""
    policy: str | None = None
    """A run whose policy would be fine-tuned: with its eval.json the report says whether to keep this data."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        super().__post_init__()
        _require_png("picture", self.picture, ("auto", "none"))
        require(2 <= self.bins <= 255, f"bins must be 2 to 255, got {self.bins}")
        if self.random_return is not None and self.best_return is not None:
            require(
                self.best_return > self.random_return,
                f"best_return must be above random_return ({self.random_return:g}), got {self.best_return:g}",
            )


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """`handrail archive verify <runs or folder>`: read every step and frame and check its sum."""

    paths: list[str] = field(default_factory=lambda: ["runs"])
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class MergeConfig(Selection):
    """`handrail archive merge <runs> out=<dir>`: several runs in one file, each step once."""

    paths: list[str]
    json: bool = False
    out: str

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        super().__post_init__()
        require(bool(self.paths), "merge takes runs: handrail archive merge <run> <run> out=<dir>")


@dataclass(frozen=True, kw_only=True)
class PruneConfig(Selection):
    """`handrail archive prune <folder> key=value ...`: delete whole runs; only says which until yes=true."""

    paths: list[str]
    json: bool = False
    yes: bool = False
    """Do it. Without this nothing is deleted."""
    max_steps: int | None = None
    """Runs with at most so many steps and nothing trained: 0 are those that never got any."""
    older_than_days: float | None = None
    """Runs that nobody has written for so long."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        super().__post_init__()
        require(bool(self.paths), "prune takes a folder of runs: handrail archive prune runs max_steps=0")
        require(
            not self.of_episodes,
            "prune deletes whole runs, so success=, intervention= and min_return= say nothing to it; "
            "write the episodes to keep to a new run: handrail archive filter <run> success=true out=<dir>",
        )
        require(
            self.chooses or self.max_steps is not None or self.older_than_days is not None,
            "prune must be told which runs: e.g. max_steps=0, older_than_days=30 or task=reach",
        )
        for key in ("max_steps", "older_than_days"):
            value = getattr(self, key)
            require(value is None or value >= 0, f"{key} must be >= 0, got {value}")


@dataclass(frozen=True, kw_only=True)
class DescribeConfig:
    """`handrail archive describe <run> key=value ...`: keep facts with a run that its steps do not tell."""

    paths: list[str]
    json: bool = False
    calibration: str | None = None
    """A .json or .yaml file with the cameras' calibration: camera -> anything."""
    agent: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        _require_one_path("describe", self.paths)
        given = (self.calibration, self.agent, self.note)
        require(given != (None, None, None), "describe takes calibration=<file>, agent=<name> or note=<text>")


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """`handrail archive import <path> format=... out=<run> task=...`: a run made of somebody else's data."""

    paths: list[str]
    json: bool = False
    format: str
    """lerobot, minari, robomimic, hilserl or mcap."""
    out: str
    """Folder of the new run."""
    task: str | None = None
    """The task's name here; default: what the data says."""
    robot: str | None = None
    """The robot's name here; default: what the data says."""
    env: str | None = None
    """Kind of environment: sim, gym or ros; default: gym for minari, else ros."""
    like: str | None = None
    """A run with the spec that the steps must have, so that both can be mixed."""
    rename: list[str] = field(default_factory=list)
    """Names of arrays there and here, theirs:ours,theirs:ours."""
    rate_hz: float | None = None
    """Control rate; default: what the data says. With mcap it is the rate at which the topics are sampled."""
    image_size: int | None = None
    """Scale images to this width and height, pixels."""
    rewards: str = "given"
    """given, success (1 at the end of each episode that succeeded) or last (1 at the end of every episode)."""
    action: str | None = None
    """With mcap: topic of the actions."""
    topics: list[str] = field(default_factory=list)
    """With mcap: topics of the observation; default: all that can be read as numbers or pictures."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        _require_one_path("import", self.paths)
        _one_of("format", self.format, FORMATS_IN)
        _one_of("env", self.env, ("sim", "gym", "ros"))
        _one_of("rewards", self.rewards, ("given", "success", "last"))
        require(self.rate_hz is None or self.rate_hz > 0, f"rate_hz must be > 0, got {self.rate_hz}")
        size = self.image_size
        require(size is None or 16 <= size <= 512, f"image_size must be 16 to 512 pixels, got {size}")
        for pair in self.rename:
            require(all(pair.partition(":")[::2]), f"rename takes theirs:ours pairs, got {pair}")
        if self.format != "mcap":
            require(self.action is None and not self.topics, "action= and topics= go with format=mcap")


@dataclass(frozen=True, kw_only=True)
class ExportConfig(Selection):
    """`handrail archive export <run> format=... out=<dir>`: a run in a format that other tools read."""

    paths: list[str]
    json: bool = False
    format: str
    """lerobot, minari or mcap."""
    out: str
    """A new folder."""
    codec: str = "h264"
    """Of lerobot's images: h264, which loses a little, or png, which loses nothing."""
    quality: int = 18
    """Of lerobot's videos, H.264's constant rate factor: lower is better and larger."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        super().__post_init__()
        require(bool(self.paths), "export takes a run: handrail archive export <run> format=lerobot out=<dir>")
        _one_of("format", self.format, FORMATS_OUT)
        _one_of("codec", self.codec, CODECS)
        require(0 <= self.quality <= 51, f"quality must be 0 to 51, got {self.quality}")


VERBS: dict[str, type] = {
    "list": ListConfig,
    "show": ShowConfig,
    "stats": StatsConfig,
    "filter": FilterConfig,
    "verify": VerifyConfig,
    "merge": MergeConfig,
    "prune": PruneConfig,
    "describe": DescribeConfig,
    "import": ImportConfig,
    "export": ExportConfig,
}


def near(got: str, wanted: Sequence[str]) -> str:
    """A suggestion, where a word was nearly right."""
    close = difflib.get_close_matches(got, wanted, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _require_one_path(verb: str, paths: list[str]) -> None:
    require(
        len(paths) == 1, f"{verb} takes one path, got {' '.join(paths) or 'none'}; see handrail archive {verb} --help"
    )


def _require_png(name: str, value: str, words: tuple[str, ...]) -> None:
    require(value in words or value.endswith(".png"), f"{name} must be {', '.join(words)} or a .png file, got {value}")
