"""What an earlier run left behind, ready for use in an environment: its policy, and its critics' origin."""

from pathlib import Path

from actor.loop import CellEnv
from actor.policy import PolicySlot
from networks.architecture import ArchitectureError
from networks.config import RUN_TRUNK
from wire.errors import UserError
from wire.specs import EnvSpec
from wire.store import StepStore
from wire.weights import WeightsRefused

_POLICY_FILE = "policy.weights"
_ARCHIVE_FILE = "steps.sqlite"


def load_run(run: Path, env: CellEnv, *, explores: bool) -> PolicySlot:
    """The policy that a run ended with, ready to act in `env`; raises UserError where there is none, or it cannot."""
    path = policy_file(run)
    return load_policy(path, run, env.wire_spec, explores=explores)


def policy_file(run: Path) -> Path:
    """The policy that a run ended with; raises UserError where there is none."""
    path = run / _POLICY_FILE
    if not path.exists():
        raise UserError(f"there is no policy in {run} ({_POLICY_FILE} is missing); check run=<folder>")
    return path


def load_policy(path: Path, run: Path, spec: EnvSpec, *, explores: bool) -> PolicySlot:
    """A policy of a run, ready to act in an environment; raises UserError where it cannot."""
    policy = PolicySlot(spec, explores=explores, trunk_file=run / RUN_TRUNK)
    try:
        policy.load(path.read_bytes(), trained_in=trained_in(run, spec))
    except (WeightsRefused, ArchitectureError) as error:
        raise UserError(
            f"the policy in {run} cannot run in this environment ({spec.task}, "
            f"{', '.join(spec.observation)}): {error}; set task, obs and env as the run had them"
        ) from error
    return policy


def trained_in(run: Path, here: EnvSpec) -> EnvSpec:
    """The spec of a run, which must sense and act as here: a robot for its simulation, say.

    Raises:
        WeightsRefused: It does not; every difference is named.
    """
    archive = run / _ARCHIVE_FILE
    if not archive.exists():
        return here
    with StepStore.read(archive) as store:
        trained = store.spec
    if lines := here.policy_differences(trained):
        raise WeightsRefused(f"this environment (here) and that of the run (there) differ: {'; '.join(lines)}")
    return trained
