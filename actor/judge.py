"""Judge the policies that an offline learner leaves behind, one after the other, in a process of its own."""

import json
import logging
import time
from pathlib import Path

from actor.config import JudgeConfig
from actor.evaluate import report, run_alone
from actor.runs import load_policy
from envs.make import make_env

log = logging.getLogger(__name__)

_POLICIES = "policies"
_LAST = "last"
_EVALUATIONS = "evaluations.jsonl"
"""These three are the learner's to name: see learner/offline.py."""
_POLL_S = 0.2


def judge(config: JudgeConfig) -> int:
    """Evaluate every policy in the order of their leaving, until the learner says that no other comes.

    Each adds a line to the run's evaluations.jsonl: gradient_steps, and the facts of eval.json. Those that have one
    already, from before a restart, are not judged again.
    """
    run = Path(config.run)
    env = make_env(config.env)
    try:
        done = {line["gradient_steps"] for line in _read(run / _EVALUATIONS)}
        while True:
            ended = (run / _POLICIES / _LAST).exists()  # Asked before the list, which is complete then.
            waiting = [path for path in sorted((run / _POLICIES).glob("*.weights")) if int(path.stem) not in done]
            for path in waiting:
                policy = load_policy(path, run, env.wire_spec, explores=False)
                scores = [run_alone(env, policy, seed=config.seed + i) for i in range(config.episodes)]
                facts = {"gradient_steps": int(path.stem), **report(scores, env.wire_spec.rate_hz)}
                with (run / _EVALUATIONS).open("a") as file:
                    file.write(json.dumps(facts) + "\n")
                log.info("policy of %d gradient steps: success=%s", facts["gradient_steps"], facts["rate"])
                done.add(facts["gradient_steps"])
            if ended:
                return 0
            time.sleep(_POLL_S)
    finally:
        env.close()


def _read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
