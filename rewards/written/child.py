"""`python -I -m rewards.written.child`: the process in which a written reward runs, and nothing else does.

The one module of Handrail that runs a text which came from elsewhere. What guards the machine from it, each by itself:
the list of what it may consist of (`grammar`); a name space with numbers and functions of numbers alone; a process
without environment, whose limits are set before the text is looked at: no file or socket can be opened, nothing
written, no process started, and processor time and memory end. It talks in lines of JSON over its two pipes.
"""

import json
import math
import os
import resource
import sys
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from rewards.written import grammar

_NAME = "<reward>"
_builtins: Any = __builtins__
_BUILTINS = vars(_builtins) if not isinstance(_builtins, dict) else _builtins


def main() -> int:
    """Answer one line for every line, until nobody asks any more."""
    cpu_s, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    # Nothing of it can be shown: what matters of a warning is the value that comes of it.
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    confine(memory_bytes)
    function: Callable[..., Any] | None = None
    for line in sys.stdin.buffer:
        allow(cpu_s)
        asked = json.loads(line)
        try:
            if function is None:
                function, parameters = loaded(asked["source"])
                answer: dict[str, Any] = {"parameters": parameters}
            else:
                answer = {"values": values(function, asked["columns"])}
        except Exception as error:
            answer = {"problem": told(error)}
        sys.stdout.buffer.write(json.dumps(answer, allow_nan=False).encode() + b"\n")
        sys.stdout.buffer.flush()
    return 0


def confine(memory_bytes: int) -> None:
    """Give up, for good, what a reward does not need."""
    limits = {
        resource.RLIMIT_NOFILE: 3,  # Those that are open. Sockets have numbers too.
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_AS: memory_bytes,
    }
    for which, limit in limits.items():
        resource.setrlimit(which, (limit, limit))


def allow(cpu_s: int) -> None:
    """Let the system end this process when it has computed for so long again."""
    used = os.times()
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = math.ceil(used.user + used.system) + cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def loaded(source: str) -> tuple[Callable[..., Any], tuple[str, ...]]:
    """The function that a text defines, and its parameters.

    Raises:
        NotAllowedError: The text is none that is run.
    """
    tree, parameters = grammar.parse(source)
    numpy = {name: getattr(np, name) for name in grammar.NUMPY}
    space: dict[str, Any] = {
        "__builtins__": {name: _BUILTINS[name] for name in grammar.BUILTINS},
        "np": SimpleNamespace(**numpy, linalg=SimpleNamespace(norm=np.linalg.norm)),
        "math": SimpleNamespace(**{name: getattr(math, name) for name in grammar.MATH}),
    }
    exec(compile(tree, _NAME, "exec"), space)  # noqa: S102 - what this process is for; see the module.
    return space[grammar.FUNCTION], parameters


def values(function: Callable[..., Any], columns: dict[str, list[list[float]]]) -> list[float]:
    """What a function says of every state of `columns`, name -> (n, m); raises ValueError where that is no number."""
    arrays = {name: np.array(column, np.float64) for name, column in columns.items()}
    found = []
    for index in range(len(next(iter(arrays.values())))):
        state = {name: column[index].copy() for name, column in arrays.items()}
        value = np.asarray(function(**state))
        if value.size != 1 or value.dtype.kind not in "fiub":
            kind = "None" if value.dtype.kind == "O" and value.size == 1 else f"an array of shape {value.shape}"
            raise ValueError(f"it returned {kind} in state {index}, wanted one number")
        found.append(float(value.item()))
        if not math.isfinite(found[-1]):
            raise ValueError(f"it returned {found[-1]} in state {index}, wanted a finite number")
    return found


def told(error: Exception) -> str:
    """What went wrong, for whoever wrote the text, with the line of it."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _NAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    if line is None and isinstance(error, ValueError):
        return str(error)
    where = "" if line is None else f"line {line}: "
    return f"{where}{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
