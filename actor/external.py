"""A policy that is served elsewhere as one that drives the robot: asked with a deadline, steered by critics of ours.

Value-guided policy steering (V-GPS; Nakamoto et al. 2024, arXiv 2410.13816): the policy proposes several actions, a
critic that learned from other data says which of them to carry out.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from actor.config import ExternalConfig
from actor.policy_link import PolicyLink
from actor.steering import Steerer
from wire.keys import ActorKeys
from wire.proposing import Declined, Offer, PolicyMisfit, misfit
from wire.specs import EnvSpec
from wire.types import Action, Observation

log = logging.getLogger(__name__)

_SAY_S = 5.0
_POLL_S = 0.05


class ExternalPolicy:
    """Proposals of others in the place of a policy. Where none comes in time the action is None, and the robot holds.

    Of what is proposed one chunk is carried out, or its first `execute` actions; then it is asked anew. The first
    proposal is taken, or the one that the critics choose.
    """

    def __init__(
        self,
        link: PolicyLink,
        spec: EnvSpec,
        *,
        deadline_s: float,
        patience_s: float,
        candidates: int = 1,
        execute: int | None = None,
        steerer: Steerer | None = None,
        patient: bool = False,
    ) -> None:
        """Drive what `spec` describes.

        Args:
            link: A started one.
            spec: Of the environment.
            deadline_s: How long an answer is waited for.
            patience_s: After so long without any the episode is to end; see `trouble`.
            candidates: How many proposals to ask for.
            execute: Actions of a chunk to carry out; None: all of them.
            steerer: Who chooses; None: the first is taken.
            patient: Wait as long for a policy that is not heard any more: time stands still meanwhile.
        """
        self._link, self._spec, self._steerer = link, spec, steerer
        self._deadline_s, self._patience_s = deadline_s, patience_s
        self._candidates = candidates if steerer is not None else 1
        self._execute, self._patient = execute, patient
        self._plan: list[Action] = []
        self._begins = True
        self._fits: Offer | None = None
        """The offer that was last found to fit."""
        self._silent_since_s: float | None = None
        self.trouble = ""
        """Why the episode is to end; empty while it may go on."""
        self.missed = 0
        """Control periods in which no answer came in time."""

    @property
    def version(self) -> int:
        """Of the critics; 0 where there are none."""
        return 0 if self._steerer is None else self._steerer.version

    @property
    def name(self) -> str:
        """What is served, for people."""
        offer = self._link.offer
        return "" if offer is None else offer.name

    def reset(self) -> None:
        """Drop the rest of a chunk: the next action is asked for anew, and the policy is told so."""
        self._plan, self._begins = [], True

    def act(self, observation: Observation) -> tuple[Action | None, int]:
        """The action for one observation, None where the robot must hold, and the version of the critics."""
        if not self._plan:
            self._plan = self._decide(observation)
        return (self._plan.pop(0) if self._plan else None), self.version

    def offer(self, data: bytes) -> bool:
        """Take weights of the learner's: they are of another policy, so nothing is done with them."""
        return True

    def wait(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Wait until the policy is there, and fits; whether it is, before it was `stopped`.

        Raises:
            PolicyMisfit: It looks at what is not here, or acts otherwise.
        """
        said_s = time.monotonic() - _SAY_S / 2
        while self._link.away or (offer := self._link.offer) is None:
            if stopped():
                return False
            if time.monotonic() - said_s >= _SAY_S:
                said_s = time.monotonic()
                log.warning("waiting for the policy at %s: %s; the robot holds", self._link.address, self._link.detail)
            time.sleep(_POLL_S)
        new, problem = offer is not self._fits, self._problem(offer)
        if new and problem is None:
            log.info("driven by %s at %s", offer.name, self._link.address)
        if problem is not None:
            raise PolicyMisfit(f"the policy {offer.name} at {self._link.address} does not fit: {problem}")
        if self._steerer is not None:
            self._steerer.refresh()
        self.trouble, self._silent_since_s = "", None
        self.reset()
        return True

    def _decide(self, observation: Observation) -> list[Action]:
        offer = self._link.offer
        problem = "" if offer is None else self._problem(offer)
        if problem:
            self.trouble = f"the policy has changed, and does not fit any more: {problem}"
            return []
        found = self._link.propose(
            observation,
            candidates=self._candidates,
            begins=self._begins,
            timeout_s=self._deadline_s,
            patient=self._patient,
        )
        if found is None or isinstance(found, Declined):
            self._miss(found)
            return []
        self._begins, self._silent_since_s = False, None
        chosen = 0 if self._steerer is None else self._steerer.choose(observation, found)
        return list(found[chosen][: self._execute])

    def _problem(self, offer: Offer) -> str | None:
        if offer is self._fits:
            return None
        problem = misfit(offer, self._spec)
        if problem is not None:
            return f"{problem}; serve one for {self._spec.task}, or set task, obs and env as that policy has them"
        if self._steerer is not None and offer.chunk < self._steerer.length:
            return (
                f"it proposes chunks of {offer.chunk} actions, and the critics of steer= judge {self._steerer.length}; "
                "steer by critics of shorter chunks"
            )
        self._fits = offer
        return None

    def _miss(self, found: Declined | None) -> None:
        now_s = time.monotonic()
        self.missed += 1
        if self._silent_since_s is None:
            self._silent_since_s = now_s - self._deadline_s
            why = "no answer" if found is None else found.reason
            log.warning("the robot holds: the policy gave no action within %.3g s: %s", self._deadline_s, why)
        if now_s - self._silent_since_s >= self._patience_s:
            detail = found.reason if found is not None else self._link.detail
            self.trouble = (
                f"the policy at {self._link.address} has given no action for {self._patience_s:g} s ({detail}); "
                f"start it again, or raise external.deadline_s, now {self._deadline_s:.3g}, if it is only slow"
            )


@contextlib.contextmanager
def external(
    config: ExternalConfig,
    spec: EnvSpec,
    *,
    in_real_time: bool,
    seed: int,
    keys: ActorKeys | None = None,
    insecure: bool = False,
) -> Iterator[ExternalPolicy]:
    """The policy that a configuration names, for the block; nobody has been heard yet.

    Raises:
        UserError: The critics that shall steer are not there, or not for this environment.
        LinkError: The address cannot be used.
    """
    steerer = None
    if config.steer is not None:
        source, chosen = Path(config.steer), {"candidates": config.candidates, "temperature": config.temperature}
        steerer = Steerer(source, spec, seed=seed, **chosen)
    link = PolicyLink(config.address, keys=keys, insecure=insecure)
    link.start()
    with contextlib.closing(link):
        policy = ExternalPolicy(
            link,
            spec,
            deadline_s=config.deadline_for(spec.rate_hz, in_real_time=in_real_time),
            patience_s=config.patience_s,
            candidates=config.candidates,
            execute=config.execute,
            steerer=steerer,
            patient=not in_real_time,
        )
        yield policy
        if policy.missed:
            log.warning("policy at %s: periods without an answer in time=%d", config.address, policy.missed)
