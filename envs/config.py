"""Which environment is wanted. Imports nothing heavy: the command line reads this before anything else runs."""

import difflib
import math
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import msgspec

from wire.specs import EnvSpec, SpecMismatch

ENVS = ("sim", "ros", "gym")
TASKS = ("pick_cube", "reach", "peg_insert")
CLEARANCES_MM = (2.0, 1.0, 0.5)
"""Of peg_insert: what is to spare between peg and socket, both sides together; the first is the default."""
OBSERVATIONS = ("state", "pixels", "proprio")
SCENES = ("plain", "varied")


@dataclass(frozen=True, kw_only=True)
class EnvConfig:
    """What `make_env` builds."""

    env: str = "sim"
    """sim: a simulated workcell; ros: a workcell over ROS 2 topics; gym: any registered Gymnasium environment, named by
    `id`."""
    task: str = "pick_cube"
    """Of a workcell: pick_cube, reach or peg_insert."""
    obs: str = "state"
    """Of a workcell: pixels (two cameras, no object poses), state (object poses instead, so no GL library is
    needed), or proprio (neither: a control that must fail)."""
    scene: str = "plain"
    """Of the simulated cell: plain, or varied (shades, light, camera shift and distractors anew in every episode)."""
    clearance_mm: float | None = None
    """Of task=peg_insert in simulation: 2, 1 or 0.5 mm between peg and socket, both sides together; None: 2."""
    reset_every: int | None = None
    """Of task=pick_cube in simulation: lift the cube and put it back in turns, with a reset before every so many
    attempts and where the cube is out of reach; 0: there only. None: lift it, with a reset before each."""
    image_size: int = 64
    """Width and height of the images that the policy sees, pixels."""
    realtime: bool = False
    """Of the simulated cell: in real time, in a process of its own, as a robot is, with a watchdog beside it."""
    robot: str = "sim"
    """With env=ros: whose file names its topics: sim, fr3, panda, ur5e, or the path of your own .yaml."""
    namespace: str = ""
    """With env=ros: of the cell's topics, e.g. /left."""
    remap: list[str] = field(default_factory=list)
    """With env=ros: ROS's remapping rules for this process, from:=to."""
    id: str | None = None
    """Gymnasium id, also module:Id-v0; with env=gym only."""

    def __post_init__(self) -> None:
        """Raise ValueError, with what was got, what is wanted and the near miss, where the fields make no sense."""
        one_of("env", self.env, ENVS)
        one_of("task", self.task, TASKS)
        one_of("obs", self.obs, OBSERVATIONS)
        one_of("scene", self.scene, SCENES)
        self._check_clearance()
        self._check_reset_every()
        if not 16 <= self.image_size <= 512:
            raise ValueError(f"image_size must be 16 to 512 pixels, got {self.image_size}")
        for rule in self.remap:
            if not all(rule.partition(":=")[::2]):
                raise ValueError(f"remap takes rules of the form from:=to, got {rule}")
        if self.env == "gym" and not self.id:
            raise ValueError("env=gym needs id=<Gymnasium id>, e.g. id=Pendulum-v1 or id=module:Id-v0")
        if self.env != "sim" and self.realtime:
            raise ValueError(
                f"realtime goes with the simulated cell only, got env={self.env}; set env=sim or drop realtime"
            )
        if self.env == "ros" and self.scene != "plain":
            raise ValueError(f"scene={self.scene} is the simulated robot's to know; with env=ros drop scene")
        if self.env != "gym" and self.id is not None:
            raise ValueError(f"id={self.id} goes with env=gym only, got env={self.env}; set env=gym or drop id")

    def _check_clearance(self) -> None:
        if self.clearance_mm is None:
            return
        said = f"clearance_mm={self.clearance_mm:g}"
        if self.task != "peg_insert" or self.env == "gym":
            got = f"env={self.env} task={self.task}"
            raise ValueError(f"{said} goes with task=peg_insert only, got {got}; set it, or drop clearance_mm")
        if self.env == "ros":
            raise ValueError(f"{said} is the simulated robot's to know; with env=ros drop clearance_mm")
        if self.clearance_mm not in CLEARANCES_MM:
            wanted = ", ".join(f"{clearance:g}" for clearance in CLEARANCES_MM)
            got = self.clearance_mm
            near = min(CLEARANCES_MM, key=lambda each: abs(math.log(each / got))) if 0 < got < math.inf else None
            hint = "" if near is None else f"; did you mean {near:g}?"
            raise ValueError(f"clearance_mm must be one of {wanted}, got {got:g}{hint}")

    def _check_reset_every(self) -> None:
        got = self.reset_every
        if got is None:
            return
        if got < 0:
            raise ValueError(f"reset_every must be >= 0 attempts, got {got}; 0 resets only what is out of reach")
        if self.task != "pick_cube" or self.env != "sim" or self.realtime:
            here = f"env={self.env} task={self.task}" + " realtime=true" * self.realtime
            raise ValueError(
                f"reset_every={got} goes with the simulated task=pick_cube, whose time stands still between attempts, "
                f"got {here}; drop one of them"
            )

    def reset_every_time(self) -> "EnvConfig":
        """The same, with a reset before every attempt: how policies are judged, all of them from where people begin."""
        return self if self.reset_every is None else replace(self, reset_every=1)

    @property
    def in_real_time(self) -> bool:
        """Whether its control periods are those of a clock, whatever the loop does."""
        return self.realtime or self.env == "ros"

    def seen_of(self, spec: EnvSpec) -> EnvSpec:
        """A simulated cell's spec without what `obs` does not observe: a file may hold frames and poses too."""
        if self.env != "sim" or spec.env != "sim":
            return spec
        frames = {name for name, array in spec.observation.items() if array.is_frame}
        seen = {"pixels": frames, "state": {"object"}, "proprio": set()}[self.obs] | {"proprio"}
        if not seen <= spec.observation.keys():
            return spec
        return msgspec.structs.replace(spec, observation={name: spec.observation[name] for name in sorted(seen)})

    def require_fitting(self, spec: EnvSpec, whose: str) -> None:
        """Raise SpecMismatch, naming both sides' keys, where `whose` steps are plainly of another environment.

        What else differs, down to units and bounds, the handshake of the link will say.
        """
        here = f"env={self.env} task={self.id if self.env == 'gym' else self.task}"
        there = f"env={spec.env} task={spec.task}"
        if self.env == spec.env == "sim":
            here += f" obs=pixels env.image_size={self.image_size}" if self.obs == "pixels" else f" obs={self.obs}"
            there += f" {_observations(spec)}"
            here += " env.reset_every=<n>" * (self.reset_every is not None)
            there += " env.reset_every=<n>" * ("goal" in spec.observation)
        if there != here:
            raise SpecMismatch(f"{whose} is of {there}, this run is of {here}; set the same keys for both")


def _observations(spec: EnvSpec) -> str:
    """The keys that give a simulated cell these observations."""
    sizes = {array.shape[0] for array in spec.observation.values() if array.is_frame}
    if sizes:
        return f"obs=pixels env.image_size={max(sizes)}"
    return f"obs={'state' if 'object' in spec.observation else 'proprio'}"


def one_of(name: str, got: str, wanted: Collection[str]) -> None:
    """Raise ValueError unless `got` is among the `wanted` names."""
    if got not in wanted:
        near = difflib.get_close_matches(str(got), wanted, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"{name} must be one of {', '.join(wanted)}, got {got}{hint}")
