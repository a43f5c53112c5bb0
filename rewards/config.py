"""Settings of the rewards room; nothing heavy is imported here, because the command line reads this file too."""

from dataclasses import dataclass, field

from envs.config import EnvConfig, one_of
from rewards.vlm.config import VlmConfig
from wire.errors import require, require_untouched

REWARD = "classifier-1"
"""Name and version of the reward's definition in a spec: 1, and the end, where a success classifier says so; else 0."""


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """`handrail rewards collect`: frames of success and of what only looks like it, by a clumsy script."""

    out: str
    env: EnvConfig = field(default_factory=lambda: EnvConfig(obs="pixels"))
    positives: int = 200
    """Frames of success at which to stop."""
    linger: int = 3
    """Control periods to go on after a success, for more frames of it."""
    driver: str = "clumsy"
    """clumsy: a script that does it, well and badly; random: one that only wanders about."""
    episodes: int | None = None
    """Episodes at which to stop, whatever they hold; None: at `positives`."""
    objects: bool = False
    """Keep what the simulation knows of the things beside the frames, for obs=state to learn from the same file."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        require(self.positives >= 1, f"positives must be >= 1, got {self.positives}")
        require(self.linger >= 0, f"linger must be >= 0, got {self.linger}")
        require(self.seed >= 0, f"seed must be >= 0, got {self.seed}")
        if self.episodes is not None:
            require_untouched(self, ("positives",), f"is no end where episodes={self.episodes} is one")
        one_of("driver", self.driver, ("clumsy", "random"))
        require(self.episodes is None or self.episodes >= 1, f"episodes must be >= 1, got {self.episodes}")
        require(
            self.driver == "clumsy" or self.episodes is not None,
            "driver=random may never succeed, so say when to stop: set episodes=",
        )
        # No watchdog stands beside the script, and the labels are what a simulation knows of its own state.
        got = f"env={self.env.env}" + " env.realtime=true" * self.env.realtime
        require(
            self.env.env == "sim" and not self.env.realtime,
            f"a clumsy script drives a simulated cell alone, whose time stands still: set env=sim env.realtime=false, "
            f"got {got}; on a robot, drive it with handrail actor human=spacemouse, say, and mark its frames with "
            "handrail rewards label run=<run>",
        )
        require(
            self.env.obs in ("pixels", "state"),
            f"a classifier looks at frames, and a written reward at states: set obs=pixels or obs=state, got "
            f"obs={self.env.obs}",
        )


@dataclass(frozen=True, kw_only=True)
class PreferConfig:
    """`handrail rewards prefer`: which of two pictures is nearer to a goal, asked of a model, a person or a script."""

    runs: list[str]
    out: str
    """File of the answers; what is in it already is not asked again."""
    question: str = ""
    """The goal in words, best as what is to grow less or more: 'minimise the distance between gripper and cube'."""
    answerer: str = "vlm"
    """vlm; person: a page on this machine; script: a simulation that knows, and errs as often as it is told."""
    pairs: int = 1000
    segment: int = 0
    """Compare so many steps on end, by what was done in them, for agent=cpl; 0: moments, by how well they stand."""
    cameras: list[str] | None = None
    """Which of the runs' cameras to show; None: all."""
    both_orders: bool = False
    """Ask a vlm twice, the pictures exchanged, and drop what it then contradicts: twice the cost, no bias of place."""
    accuracy: list[float] = field(default_factory=lambda: [0.42, 0.80])
    """Of the script: its share of right answers for the pairs most and least alike, and in between by their rank."""
    abstain: float = 0.3
    """Of the script: its share of no answer for the pairs most alike, falling to none for those least alike."""
    who: str = ""
    """Name under which a person answers; empty: the one they are logged in by."""
    port: int = 8010
    seed: int = 0
    vlm: VlmConfig = field(default_factory=VlmConfig)

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        require(len(self.runs) > 0, "runs must name at least one run: runs=[runs/<run>]")
        one_of("answerer", self.answerer, ("vlm", "person", "script"))
        require(self.pairs >= 1, f"pairs must be >= 1, got {self.pairs}")
        require(0 <= self.segment <= 1000, f"segment must be in 0..1000 steps, got {self.segment}")
        require(0 <= self.port <= 65535, f"port must be in 0..65535, got {self.port}")
        require(self.seed >= 0, f"seed must be >= 0, got {self.seed}")
        good = len(self.accuracy) == 2 and all(0 <= share <= 1 for share in self.accuracy)
        require(
            good, f"accuracy must be two shares in 0..1, for the least and the greatest difference: {self.accuracy}"
        )
        require(0 <= self.abstain <= 1, f"abstain must be in 0..1, got {self.abstain}")
        require(
            self.answerer == "script" or bool(self.question.strip()),
            "question must say what the goal is: question='minimise the distance between the gripper and the cube'",
        )
        require(
            self.answerer != "vlm" or bool(self.vlm.model),
            "answerer=vlm needs vlm.model, and vlm.endpoint where a server has it; or set answerer=person",
        )


KINDS = ("success", "vlm", "preference")
_OF_CLASSIFIERS = ("goals", "max_fpr", "k", "n", "gate", "only", "margin", "per_episode", "validation", "hard_share")
"""Keys of `rewards train` that a reward from preferences has no use for."""
_OF_AUGMENTATION = ("shift_pixels", "colour")
"""Those that a frozen trunk, which sees every frame once and as it is, has none for."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """`handrail rewards train`: a success classifier from judged frames, or a reward from preferences."""

    runs: list[str]
    out: str
    kind: str = "success"
    """success: a small network of its own; vlm: a head on what a frozen vision-language model thinks of a question;
    preference: no classifier but a reward, which says how well things stand, learned from `preferences`."""
    preferences: str | None = None
    """With kind=preference, the file that handrail rewards prefer has written of these runs."""
    members: int = 3
    """Of the ensemble, with kind=preference."""
    trunk: str | None = None
    """With kind=preference: file of a frozen trunk (`handrail trunk train`) that looks at the frames, instead of nets
    that are trained with the reward; from few preferences one over a trunk that knows the task's things is better."""
    model: str | None = None
    """With kind=vlm: folder of the vision-language model, as transformers saves them."""
    question: str | None = None
    """With kind=vlm: what it is asked of each picture, e.g. "is the cube lifted?"; the answer is yes or no."""
    cameras: list[str] | None = None
    """Which of the runs' cameras to look at; None: all."""
    goals: str | None = None
    """Folder of pictures of success; what nobody judged in the runs then counts as none (VICE)."""
    max_fpr: float = 0.005
    """Share of the validation frames without success that may count as one."""
    k: int = 2
    n: int = 3
    """Success is k of the last n frames above the threshold."""
    gate: str | None = None
    """What must be so besides, e.g. proprio[10]>0.08."""
    only: str | None = None
    """Which episodes count, by their first state after a step, e.g. goal[0]>0.5: those in which the cube was to be
    lifted."""
    margin: int = 2
    """Frames before an episode's success that count as neither."""
    per_episode: int = 16
    """At most so many frames without success of each episode."""
    validation: float = 0.25
    """Share of the episodes held out."""
    iterations: int = 600
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    shift_pixels: int = 4
    colour: float = 1.0
    """Strength of the colour augmentation; 0 is off."""
    hard_share: float = 0.25
    """Of a batch's frames without success: so many at least are ones that a person refused, where there are any."""
    threads: int = 1
    """More are faster where cores are idle, and far slower where they are not."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        require(len(self.runs) > 0, "runs must name at least one run: runs=[runs/<run>]")
        self._check_kind()
        require(0 <= self.max_fpr < 1, f"max_fpr must be in 0..1 (1 excluded), got {self.max_fpr}")
        require(1 <= self.k <= self.n <= 100, f"k and n must be 1 <= k <= n <= 100, got k={self.k} n={self.n}")
        require(0 < self.validation < 1, f"validation must be in 0..1 (both excluded), got {self.validation}")
        for key in ("per_episode", "batch_size", "threads", "members"):
            require(getattr(self, key) >= 1, f"{key} must be >= 1, got {getattr(self, key)}")
        # The learning rate rises over a tenth of them.
        require(self.iterations >= 20, f"iterations must be >= 20, got {self.iterations}")
        for key in ("margin", "shift_pixels", "colour", "weight_decay", "seed"):
            require(getattr(self, key) >= 0, f"{key} must be >= 0, got {getattr(self, key)}")
        require(self.learning_rate > 0, f"learning_rate must be > 0, got {self.learning_rate}")
        require(0 <= self.hard_share <= 1, f"hard_share must be in 0..1, got {self.hard_share}")

    def _check_kind(self) -> None:
        one_of("kind", self.kind, KINDS)
        require(
            (self.kind == "preference") == (self.preferences is not None),
            "kind=preference goes with preferences=<file of handrail rewards prefer>, and the other kinds without one",
        )
        require(
            self.trunk is None or self.kind == "preference",
            f"trunk={self.trunk} goes with kind=preference, got kind={self.kind}; drop it",
        )
        if self.kind == "preference":
            require_untouched(self, _OF_CLASSIFIERS, "goes with kind=success and kind=vlm, got kind=preference")
        else:
            require_untouched(self, ("members",), f"goes with kind=preference, got kind={self.kind}")
        if self.trunk is not None:
            require_untouched(self, _OF_AUGMENTATION, f"does nothing with trunk={self.trunk}, which stays as it is")
        for key in ("model", "question"):
            got = getattr(self, key)
            require(self.kind == "vlm" or got is None, f"{key}={got} goes with kind=vlm, got kind={self.kind}; drop it")
            require(
                self.kind != "vlm" or bool(got and got.strip()),
                'kind=vlm asks a model a question: set model=<folder> and question="is the cube lifted?", say',
            )


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """`handrail rewards audit`: how often a model is right about runs that it has not seen."""

    model: str
    runs: list[str]
    json: str | None = None
    """File to write the figures to."""
    report: str | None = None
    """Folder for a report with pictures."""
    only: str | None = None
    """Which episodes count, as in `rewards train`."""
    margin: int = 2

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        require(len(self.runs) > 0, "runs must name at least one run: runs=[runs/<run>]")
        require(self.margin >= 0, f"margin must be >= 0, got {self.margin}")


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """`handrail rewards pair`: two classifiers as one model, for a task that goes there and back without resets."""

    forward: str
    """Model that judges where the observation `goal` wants the way there: lifting."""
    backward: str
    """Model that judges the way back."""
    out: str


@dataclass(frozen=True, kw_only=True)
class RelabelConfig:
    """`handrail rewards relabel`: a model's word for every step of runs, appended beside their archives."""

    model: str
    runs: list[str]

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        require(len(self.runs) > 0, "runs must name at least one run: runs=[runs/<run>]")


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """`handrail rewards label`: a page of frames on this machine, on which a person marks them."""

    run: str
    who: str = ""
    model: str | None = None
    """Whose doubtful frames to show first."""
    port: int = 8010
    frames: int = 400

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        require(0 <= self.port <= 65535, f"port must be in 0..65535, got {self.port}")
        require(self.frames >= 1, f"frames must be >= 1, got {self.frames}")


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """`handrail rewards serve`: scores over the wire, in a process of its own."""

    model: str
    bind: str = "tcp://127.0.0.1:5556"
    run: str | None = None
    """A learner's run on this machine: steps that were recorded without a score get their labels there, and all steps
    their rewards, of a model that gives those."""
    label: str = "unscored"
    """Which steps of that run: unscored, or all, whose scores learner.shaping needs."""
    insecure: bool = False
    keys: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError naming the key, what was got and what is wanted."""
        one_of("label", self.label, ("unscored", "all"))
        require(
            self.label == "unscored" or self.run is not None,
            "label=all scores the steps of a run: name the learner's, run=runs/<run>, or drop it",
        )
