"""`handrail <verb> [key=value ...]`: the command line."""

import difflib
import sys

from handrail import verbs
from handrail.archive import run_archive
from handrail.compose import GROUPS, compose_verb, keys_of
from handrail.conf.schema import VERBS
from handrail.demos import run_demos, run_report
from handrail.keys import run_keys
from handrail.local import stop_on_sigterm
from handrail.suited import with_suited
from wire.errors import UserError, run_main

_USAGE = """usage: handrail <verb> [key=value ...]

  sim            learner, actor and a scripted human here, in simulation, to success
  learner        learn from the steps that actors send: handrail learner bind=tcp://127.0.0.1:5555
  collect-infer  train offline, judge, collect with the best, in rounds: handrail collect-infer demos=script:20
  actor          drive the robot: handrail actor learner=tcp://127.0.0.1:5555
  eval           judge a trained policy: handrail eval run=runs/<run> episodes=100
  teleop         drive the simulated arm by hand, to check an instrument's axes: handrail teleop human=spacemouse
  archive        all runs so far: list, judge, merge, import and export them: handrail archive --help
  demos record   record demonstrations: handrail demos record --script out=demos.sqlite
  demos show     a picture of recorded episodes, or a video: handrail demos show demos.sqlite
  demos check    judge them: handrail demos check demos.sqlite
  rewards        learn what success looks like: handrail rewards collect|label|prefer|train|write|...
  report         when the human helped in a run, and what that did: handrail report runs/<run>
  policy serve   a trained policy, to robots elsewhere: handrail policy serve run=runs/<run>
  trunk train    train a frozen trunk on renders, for agent.encoder=trunk: handrail trunk train task=pick_cube
  keys           who may speak on a link that leaves the machine: handrail keys new|allow|revoke|show
  doctor         what of this machine can be used

handrail <verb> --help lists the keys with their defaults; --cfg job prints the resolved configuration.
"""

_EXAMPLES = {
    "sim": (
        "handrail sim",
        "handrail sim task=reach obs=state steps=1000",
        "handrail sim env=gym env.id=Pendulum-v1 demos=none human=none agent=sac",
        "handrail sim archive=runs                   # with what earlier runs experienced; or archive=[<run>,<run>]",
        "handrail sim init=runs/<run>                # with what an earlier run learned",
        "handrail sim run=runs/<run> resume=true",
        "handrail sim obs=state human=none demos=script:40 env.reset_every=25    # lift and put back, without resets",
        "handrail sim reward=classifier:models/lifted    # success as a classifier sees it; see docs/rewards.md",
    ),
    "learner": (
        "handrail learner bind=tcp://127.0.0.1:5555 demos=demos.sqlite steps=20000",
        "handrail learner mode=offline agent=iql archive=runs steps=20000    # from past runs alone",
        "handrail learner bind=tcp://0.0.0.0:5555    # for robots elsewhere; once: handrail keys --help",
    ),
    "collect-infer": (
        "handrail collect-infer demos=script:20 rounds=3 candidates=2",
        "handrail collect-infer archive=runs agent=calql episodes=50",
    ),
    "actor": (
        "handrail actor learner=tcp://127.0.0.1:5555 task=pick_cube obs=pixels human=script",
        "handrail actor learner=tcp://gpu:5555       # on another machine; once: handrail keys --help",
        "handrail actor policy=external policy_address=tcp://127.0.0.1:5557 steer=runs/<run>    # docs/steering.md",
    ),
    "eval": (
        "handrail eval run=runs/<run> episodes=100",
        "handrail eval run=runs/<run> video=eval.mp4",
        "handrail eval policy=external policy_address=tcp://127.0.0.1:5557 steer=runs/<run> json=steered.json",
    ),
    "policy": (
        "handrail policy serve run=runs/<run>",
        "handrail policy serve run=runs/<run> noise=0.5    # a worse one, to try steering with",
    ),
    "teleop": (
        "handrail teleop human=spacemouse dry=true    # what the instrument says, and what that would mean",
        "handrail teleop human=spacemouse             # drive the simulated arm",
        "handrail teleop human=leader                 # with another arm's pose, over ROS 2 (docs/human.md)",
        "handrail teleop human=spacemice human.left=L7 human.right=R8 dry=true    # two of them, for two arms",
        "handrail teleop                              # with the keys of this terminal, also over ssh",
    ),
    "rewards collect": (
        "handrail rewards collect out=frames.sqlite scene=varied    # a clumsy script succeeds and fails",
    ),
    "rewards label": (
        "handrail rewards label run=runs/<run>                      # open the address that it prints",
        "handrail rewards label run=runs/<run> model=models/lifted  # what that model doubts first",
    ),
    "rewards prefer": (
        "handrail rewards prefer runs=[runs/<run>] out=a.sqlite question=lift_the_cube vlm.model=qwen3-vl",
        "handrail rewards prefer runs=[runs/<run>] out=a.sqlite question=lift_the_cube answerer=person",
        "handrail rewards prefer runs=[frames.sqlite] out=a.sqlite answerer=script    # a simulation knows",
    ),
    "rewards train": (
        "handrail rewards train runs=[frames.sqlite] out=models/lifted",
        "handrail rewards train runs=[frames.sqlite,runs/<run>] out=models/lifted-2",
        "handrail rewards train runs=[runs/<run>] goals=pictures out=models/lifted",
        "handrail rewards train kind=preference runs=[runs/<run>] preferences=a.sqlite out=models/nearer",
        'handrail rewards train kind=vlm model=smolvlm question="is it lifted?" runs=[frames.sqlite] out=models/asked',
    ),
    "rewards write": (
        "handrail rewards write goal=lift_the_cube vlm.model=qwen3 vlm.endpoint=http://gpu:8000/v1 out=models/lift",
        "handrail rewards write task=reach source=reward.py out=models/mine    # a person's, tested in the same way",
    ),
    "rewards pair": ("handrail rewards pair forward=models/lifted backward=models/returned out=models/both",),
    "rewards audit": ("handrail rewards audit model=models/lifted runs=[runs/<run>] json=audit.json",),
    "rewards relabel": ("handrail rewards relabel model=models/lifted-2 runs=[runs/<run>]",),
    "rewards serve": (
        "handrail rewards serve model=models/lifted",
        "handrail rewards serve model=models/lifted run=runs/<run>  # and label late what could not be asked",
    ),
    "demos": (
        "handrail demos record --script task=pick_cube obs=pixels episodes=20 out=demos.sqlite",
        "handrail demos record human=spacemouse task=pick_cube obs=pixels out=demos.sqlite",
        "handrail demos record human=keyboard task=reach out=demos.sqlite resume=true    # add to the file",
        "handrail demos show demos.sqlite    # look at them",
        "handrail demos check demos.sqlite   # judge them",
    ),
    "trunk": (
        "handrail trunk train task=pick_cube env.image_size=64 out=trunk.safetensors",
        "handrail trunk convert weights=resnet18.safetensors env.image_size=128 out=resnet18-128.safetensors",
        "handrail trunk convert weights=dinov2-small env.image_size=128 resolution=140 out=dinov2-128.safetensors",
        "handrail sim agent.encoder=trunk agent.trunk=trunk.safetensors",
    ),
}


_SUBVERBS = {"demos": ("record",), "trunk": ("train", "convert"), "policy": ("serve",)}


def main() -> None:
    """Entry point; exits 0 done, 2 the user's input was wrong, 1 anything else."""
    sys.exit(run_main(lambda: run(sys.argv[1:])))


def run(words: list[str]) -> int:
    """Carry out one command line; returns the exit code."""
    stop_on_sigterm()
    if not words or words[0] in ("--help", "-h", "help"):
        sys.stdout.write(_USAGE)
        return 0
    verb, rest = words[0], words[1:]
    if verb in _OWN:
        return _OWN[verb](rest)
    # Of these two some sub-verbs are like the other verbs: composed.
    looked = run_demos(rest) if verb == "demos" else _rewards_help(rest) if verb == "rewards" else None
    if looked is not None:
        return looked
    if verb == "rewards":
        verb, rest = _rewards_verb(rest)
    if verb not in VERBS:
        raise UserError(f"handrail has no verb {verb}{_near(verb)}\n\n{_USAGE.rstrip()}")
    if "--help" in rest or "-h" in rest:
        sys.stdout.write(_help(verb))
        return 0
    rest = _without_subverb(verb, rest) if verb in _SUBVERBS else rest
    rest, show = _take_show(rest)
    rest = with_suited(verb, rest)
    config = compose_verb(verb, verbs.with_defaults(verb, rest))
    if show:
        from omegaconf import OmegaConf

        sys.stdout.write(OmegaConf.to_yaml(config))
        return 0
    return verbs.RUN[verb](config, rest)


def _doctor(words: list[str]) -> int:
    from handrail.doctor import run_doctor

    unknown = [word for word in words if word != "--json"]
    if unknown:
        raise UserError(f"handrail doctor takes --json only, got {unknown[0]}")
    return run_doctor("--json" in words)


def _without_subverb(verb: str, words: list[str]) -> list[str]:
    """The words after it; --script is short for human=script."""
    got, wanted = words[0] if words else "nothing", _SUBVERBS[verb]
    if got not in wanted:
        raise UserError(f"handrail {verb} takes the sub-verb {' or '.join(wanted)}, got {got}")
    converts = any(word.startswith("weights=") for word in words)
    if verb == "trunk" and converts != (got == "convert"):
        raise UserError("weights=<file or folder> goes with handrail trunk convert, and with nothing else")
    return ["human=script" if word == "--script" else word for word in words[1:]]


def _rewards_verb(words: list[str]) -> tuple[str, list[str]]:
    """`rewards train ...` as the verb `rewards train`."""
    known = [verb.partition(" ")[2] for verb in VERBS if verb.startswith("rewards ")]
    if words[0] in known:
        return f"rewards {words[0]}", words[1:]
    close = difflib.get_close_matches(words[0], known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise UserError(f"handrail rewards takes one of {', '.join(known)}, got {words[0]}{hint}")


def _rewards_help(words: list[str]) -> int | None:
    """Print the sub-verbs where none was given; None: one was."""
    if words and words[0] not in ("--help", "-h"):
        return None
    lines = [f"  {VERBS[verb].__doc__}" for verb in VERBS if verb.startswith("rewards ")]
    sys.stdout.write("\n".join(["What success looks like, learned from frames; see docs/rewards.md.", "", *lines, ""]))
    return 0


def _take_show(words: list[str]) -> tuple[list[str], bool]:
    if "--cfg" not in words:
        return words, False
    at = words.index("--cfg")
    if words[at + 1 : at + 2] != ["job"]:
        raise UserError("--cfg takes job, as in handrail sim --cfg job")
    return words[:at] + words[at + 2 :], True


def _help(verb: str) -> str:
    lines = [f"  {key}={'' if value is None else value}" for key, value in sorted(keys_of(verb).items())]
    has = verb_keys(verb)
    options = [f"  {key}={'|'.join(names)}" for key, names in GROUPS.items() if key in has]
    examples = [f"  {example}" for example in _EXAMPLES[verb]]
    return "\n".join(
        [f"{VERBS[verb].__doc__}", "", "examples:", *examples, "", "choices:", *options, "", "keys:", *lines, ""]
    )


def verb_keys(verb: str) -> set[str]:
    """The top-level keys of a verb."""
    return {key.partition(".")[0] for key in keys_of(verb)}


def _near(verb: str) -> str:
    close = difflib.get_close_matches(verb, [*VERBS, *_OWN, "rewards"], n=1)
    return f"; did you mean {close[0]}?" if close else ""


_OWN = {"archive": run_archive, "doctor": _doctor, "keys": run_keys, "report": run_report}
"""Verbs that read their own words."""


if __name__ == "__main__":
    main()
