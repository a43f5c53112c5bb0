"""`handrail rewards write`: have a reward written, test it on episodes, and say what was wrong until it passes.

Text2Reward (Xie et al. 2024, arXiv 2309.11489), with a test between the text and its use.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from envs.tasks import TASKS
from rewards.collect import collect
from rewards.config import CollectConfig
from rewards.models import DESCRIPTION
from rewards.score import ModelError
from rewards.vlm.client import opened
from rewards.vlm.question import Question
from rewards.written.config import WriteConfig
from rewards.written.model import WrittenReward, understood
from rewards.written.prompt import again, program_in, prompt
from rewards.written.sandbox import WrittenError
from rewards.written.trials import Trials, examine, read_trials
from wire.errors import plain
from wire.files import write_atomically
from wire.store import StepStore

EPISODES = "episodes.sqlite"
CONVERSATION = "conversation.json"


def write(
    config: WriteConfig, say: Callable[[str], None], tell: Callable[[int, int], None] = lambda done, of: None
) -> WrittenReward:
    """Have a reward written, by a model or a person, and put the first that passes its test into `config.out`.

    Raises:
        ModelError: None passed, there is a model in that folder already, or the episodes do not suffice.
        VlmError: The model cannot be asked.
    """
    out = Path(config.out)
    if (out / DESCRIPTION).exists():
        raise ModelError(f"{out} holds a model already, and models never change; name another folder with out=")
    source = None if config.source is None else _read(Path(config.source))
    runs = list(config.runs) or [str(_scripted(config, out, tell))]
    trials = read_trials(runs)
    session = _Session(config, trials, out, say)
    reward, figures = session.by_person(source) if source is not None else session.by_model()
    facts = {
        "goal": config.goal,
        "task": trials.spec.task,
        "by": config.vlm.model if source is None else str(config.source),
        "attempts": len(session.conversation),
        "tested_on": runs,
        "min_auc": config.min_auc,
        "figures": figures,
    }
    reward.save(out, facts)
    say(
        f"it tells success from failure with an AUC of {figures['auc']:.3f}, over {figures['successes']} episodes that "
        f"succeeded and {figures['failures']} that did not"
    )
    return reward


class _Session:
    """Attempts at one reward, each of which is kept as it is made."""

    def __init__(self, config: WriteConfig, trials: Trials, out: Path, say: Callable[[str], None]) -> None:
        self._config, self._trials, self._out, self._say = config, trials, out, say
        self.conversation: list[dict[str, Any]] = []

    def by_person(self, source: str) -> tuple[WrittenReward, dict[str, float | int]]:
        """Test a text that a person wrote; raises ModelError where it does not pass."""
        try:
            reward, figures = self._tested(source)
        except WrittenError as error:
            raise ModelError(f"{self._config.source} is not accepted: {error}") from None
        self._keep(prompt="", answer=source, problem="")
        return reward, figures

    def by_model(self) -> tuple[WrittenReward, dict[str, float | int]]:
        """Ask until one passes; what was wrong with the last goes back with the next question."""
        first = asked = prompt(self._config.goal, self._trials)
        problem, attempts = "", self._config.attempts
        with opened(self._config.vlm) as vlm:
            try:
                for attempt in range(1, attempts + 1):
                    [answer] = vlm.ask([Question(asked)])
                    source = None
                    try:
                        if answer.text is None:
                            raise ModelError(f"there was no answer: {answer.problem}")
                        source = program_in(answer.text)
                        reward, figures = self._tested(source)
                    except ModelError as error:
                        problem = str(error)
                        self._keep(asked, answer.text or "", problem)
                        self._say(f"attempt {attempt} of {attempts}: {problem}")
                        asked = again(first, source, problem)
                        if vlm.spent:
                            raise ModelError(
                                f"the budget is spent, and no reward has passed; the last: {problem}"
                            ) from None
                        continue
                    self._keep(asked, answer.text, "")
                    return reward, figures
            finally:
                self._say(str(vlm.bill))
        raise ModelError(
            f"none of {attempts} attempts was accepted, the last because: {problem}. See "
            f"{self._out / CONVERSATION}; say the goal in other words, raise attempts=, ask another model, or write it "
            "yourself: source=<file.py>"
        )

    def _tested(self, source: str) -> tuple[WrittenReward, dict[str, float | int]]:
        """The reward in a text; raises WrittenError where it is none or does not pass."""
        reward = understood(source, self._trials.spec)
        try:
            figures, problem = examine(reward, self._trials, self._config.min_auc)
        finally:
            reward.close()
        if problem:
            raise WrittenError(problem)
        return reward, figures

    def _keep(self, prompt: str, answer: str, problem: str) -> None:
        self.conversation.append({"prompt": prompt, "answer": answer, "problem": problem})
        self._out.mkdir(parents=True, exist_ok=True)
        write_atomically(self._out / CONVERSATION, (json.dumps(self.conversation, indent=2) + "\n").encode())


def _scripted(config: WriteConfig, out: Path, tell: Callable[[int, int], None]) -> Path:
    """Episodes of a clumsy script in simulation, beside the model; those of an earlier call that failed serve again."""
    path = out / EPISODES
    if path.exists():
        with StepStore.read(path) as store:
            if store.spec.task != config.env.task or len(store.episodes()) < config.episodes:
                raise ModelError(
                    f"{path} holds {len(store.episodes())} episodes of {store.spec.task}, wanted {config.episodes} of "
                    f"{config.env.task}; remove it, or name another folder with out="
                )
        return path
    if config.env.task not in TASKS:
        raise ModelError(f"there is no script for {config.env.task}; test on recorded runs: runs=[runs/<run>]")
    out.mkdir(parents=True, exist_ok=True)
    collect(CollectConfig(out=str(path), env=config.env, episodes=config.episodes, linger=0, seed=config.seed), tell)
    return path


def _read(path: Path) -> str:
    try:
        return path.read_bytes()[: 1 << 20].decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"source= names a file with a reward function, and {path} cannot be read: {plain(error)}"
        ) from None
