"""What a language model is told: the goal, what of the simulation it may look at, and what it may write."""

import inspect
import re

from envs.tasks import TASKS
from rewards.score import ModelError
from rewards.written import grammar
from rewards.written.model import HIGHEST, LOWEST, seen
from rewards.written.trials import Trials
from wire.specs import ArraySpec

_ASK = """Write a reward function for reinforcement learning, in Python, for a simulated robot.

Goal: {goal}
Task: {task}
The robot acts {rate:g} times a second with {actions}. An episode has {steps} steps at most.

The function `{function}` is called with the state after every step. Its parameters are the observations that it needs,
by these names, each a numpy array of float64:
{api}
Lengths are in metres and angles in radians unless said otherwise. In brackets: from where to where each went in {n}
episodes on which your function will be tested.

It returns one number from {low:g}, as far from the goal as can be, to {high:g}, the goal reached. It is dense: every
part of the way to the goal, in the order in which the robot has to go it, makes it rise a little, so that a policy that
knows nothing yet feels in which direction to go; and nothing but the goal itself may come near to {high:g}.

Rules: numpy is there as np and math as math; import nothing. Write functions, and constants that are numbers or tuples;
use arithmetic, if, for and comprehensions; no strings, classes, while, try or lambda, no names that begin with an
underscore, no attributes but these. Of np: {numpy}, and linalg.norm. Of math: {math}. Besides: {builtins}. At most
{longest} characters. The same state must always have the same reward: there is no memory.

Answer with the whole program in one block of code, ```python ... ```, and with as few words as you like beside it."""
_AGAIN = """

You have tried this before:
```python
{source}
```
It was not accepted: {problem}
Write it better."""
_NOTHING = """

You have answered before, but not with a block of code that could be found: {problem}
Answer as asked."""
_BLOCK = re.compile(r"```[ \t]*(?:python|py)?[ \t]*\r?\n(.*?)```", re.DOTALL | re.IGNORECASE)
_NUMBERED = re.compile(r"(.*?)(?: \[(\d{1,5})\])?")


def prompt(goal: str, trials: Trials) -> str:
    """What the model is asked first."""
    spec = trials.spec
    task = TASKS.get(spec.task)
    about = spec.task if task is None else f"{spec.task}. {inspect.cleandoc(task.__doc__ or '')}"
    return _ASK.format(
        goal=goal,
        task=about,
        rate=spec.rate_hz,
        actions=f"{', '.join(spec.action_names)} (each in -1..1, which is {spec.action.unit})",
        steps=spec.max_episode_steps,
        function=grammar.FUNCTION,
        api=api(trials),
        n=len(trials.episodes),
        low=LOWEST,
        high=HIGHEST,
        numpy=" ".join(sorted(grammar.NUMPY)),
        math=" ".join(sorted(grammar.MATH)),
        builtins=" ".join(sorted(grammar.BUILTINS)),
        longest=grammar.LONGEST,
    )


def again(first: str, source: str | None, problem: str) -> str:
    """What it is asked after an attempt that failed; `source` is what it wrote, None: nothing that could be found."""
    return first + (
        _NOTHING.format(problem=problem) if source is None else _AGAIN.format(source=source, problem=problem)
    )


def api(trials: Trials) -> str:
    """The observations that a function may take: name, shape, and of every part what it is and how far it went."""
    states, lines = trials.states(), []
    for name, shape in seen(trials.spec).items():
        lines.append(f"  {name}: shape {shape}")
        low, high = states[name].min(0), states[name].max(0)
        for start, stop, unit in parts(trials.spec.observation[name]):
            at = f"{start}" if stop == start + 1 else f"{start}:{stop}"
            went = ", ".join(f"{low[i]:.3g}..{high[i]:.3g}" for i in range(start, stop))
            lines.append(f"    {name}[{at}]  {unit or 'no unit is given'}  [{went}]")
    return "\n".join(lines)


def parts(array: ArraySpec) -> list[tuple[int, int, str]]:
    """(start, stop, what it is) of the parts that a vector's unit names; the last takes what is left over.

    As in `ArraySpec.element_units`, a number in brackets says of how many elements.
    """
    found, start, size = [], 0, array.shape[0]
    texts = [each.strip() for each in array.unit.split(",")]
    for index, text in enumerate(texts):
        match = _NUMBERED.fullmatch(text)
        count = int(match[2] or 1) if match else 1
        stop = size if index == len(texts) - 1 else min(size, start + count)
        if stop > start:
            found.append((start, stop, match[1] if match else text))
        start = stop
    return found


def program_in(answer: str) -> str:
    """The one block of code in an answer, or all of it where that is a program without words around it.

    Raises:
        ModelError: There is none, or more than one.
    """
    blocks = [each for each in _BLOCK.findall(answer) if f"def {grammar.FUNCTION}" in each]
    if not blocks and "```" not in answer and f"def {grammar.FUNCTION}" in answer:
        blocks = [answer]
    if len(blocks) != 1:
        raise ModelError(
            f"the answer holds {len(blocks)} blocks of code with a function {grammar.FUNCTION}, wanted one"
        )
    return blocks[0].strip() + "\n"
