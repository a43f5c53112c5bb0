"""What a written reward may consist of, and what its process cannot do however the list is got round."""

import math
import subprocess
import sys

import numpy as np
import pytest

from rewards.written import child, grammar

GOOD = '''
"""How near."""
import numpy as np
import math

SCALE_M, STEPS = 0.1, (1, 2.5)


def near(offset: np.ndarray, scale=1.0) -> float:
    return 1 - np.tanh(np.linalg.norm(offset) / (scale * SCALE_M))


def reward(object, proprio):
    """From -1 to 0."""
    total = -1.0
    for weight, part in zip(STEPS, [object[:3], object[3:6]]):
        if weight > 1 and part[0] > -math.inf:
            total += 0.1 * weight * near(part, scale=2.0)
    return float(min(total + sum(abs(x) for x in proprio[:2]), 0.0))
'''


def test_arithmetic_on_observations_is_allowed():
    function, parameters = child.loaded(GOOD)
    assert parameters == ("object", "proprio")
    said = function(object=np.full(8, 0.1), proprio=np.zeros(3))
    near = 1 - math.tanh(math.sqrt(3) / 2)
    assert said == pytest.approx(-1 + 0.25 * near)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os\ndef reward(a): return 0", "line 1: import os is not allowed"),
        ("import numpy\ndef reward(a): return 0", "line 1: import numpy is not allowed"),
        ("from math import pi\ndef reward(a): return pi", "line 1: from math import pi is not allowed"),
        ("def reward(a):\n    import os\n    return 0", "line 2: import os is not allowed"),
        ("def reward(a):\n    return a.__class__", "line 2: .__class__ is not allowed"),
        ("def reward(a): return np.load(a)", r"\.load is not allowed"),
        ("def reward(a): return np.linalg.svd(a)", r"\.svd is not allowed"),
        ("def reward(a): return a.tofile(1)", r"\.tofile is not allowed"),
        ("def reward(a): return __import__", "the name __import__ begins with an underscore"),
        ("def reward(a): return a[0](_x=1)", "the name _x begins with an underscore"),
        ("def reward(a): return 'secret'", "'secret' is not allowed"),
        ("def reward(a): return f'{a}'", "is not allowed"),
        ("def reward(a): return b'x'", "is not allowed"),
        ("def reward(a): return 1j", "1j is not allowed"),
        ("def reward(a):\n    while True: pass", "line 2: while True: is not allowed"),
        ("def reward(a): return (lambda: 1)()", "is not allowed"),
        ("def reward(a):\n    try:\n        return 0\n    except ValueError:\n        return 1", "try: is not allowed"),
        ("def reward(a):\n    with a: return 0", "is not allowed"),
        ("def reward(a):\n    def inner(): return 0\n    return inner()", "is not allowed"),
        ("def reward(a):\n    global b\n    b = 1\n    return b", "global b is not allowed"),
        ("def reward(a): return (b := 1)", "is not allowed"),
        ("def reward(a): return {1: 2}[1]", "is not allowed"),
        ("def reward(a): return max(*a)", r"\*a is not allowed"),
        ("def reward(a): return max(**a)", r"\*\* is not allowed"),
        ("def reward(a):\n    reward.sum = 1\n    return 0", "line 2: .sum is not allowed"),
        ("def reward(a):\n    yield 0", "is not allowed"),
        ("async def reward(a): return 0", "is not allowed"),
        ("@max\ndef reward(a): return 0", "undecorated"),
        ("def reward(*a): return 0", "plain parameters"),
        ("def reward(a, /): return 0", "plain parameters"),
        ("def reward(a=1): return 0", "without defaults"),
        ("def reward(): return 0", "one observation at least"),
        ("def near(a, b=[]): return b\ndef reward(a): return 0", "defaults that are numbers"),
        ("memory = []\ndef reward(a): return 0", "outside of functions only numbers"),
        ("memory = np.zeros(3)\ndef reward(a): return 0", "outside of functions only numbers"),
        ("a = b.sum = 1\ndef reward(a): return 0", r"line 1: \.sum is not allowed"),
        ("a[0] = 1\ndef reward(a): return 0", "outside of functions only numbers"),
        ("a += 1\ndef reward(a): return 0", "outside of functions only constants"),
        ("if True:\n    b = 1\ndef reward(a): return 0", "outside of functions only constants"),
        ("class reward: pass", "outside of functions only constants"),
        ("def cost(a): return 0", "one function named reward, got 0"),
        ("def reward(a): return 0\ndef reward(a): return 1", "one function named reward, got 2"),
        ("", "got 0"),
        ("def reward(a:", "line 1: this is no Python"),
        ("def reward(a): return \0", "holds a zero|this is no Python"),
        ("def reward(a): return " + "-" * 5000 + "1", "nested too deeply"),
        ("(" * 3000, "nested"),
        ("#" * 10_001, "10001 characters, wanted 10000 at most"),
        ("def reward(a): return 0" + "+1" * 2000, "too long"),
    ],
)
def test_everything_else_is_refused_with_its_line(text: str, said: str):
    with pytest.raises(grammar.NotAllowedError, match=said):
        grammar.parse(text)


def test_what_runs_has_no_name_but_those_of_numbers():
    function, _ = child.loaded("def reward(a): return 0")
    space = function.__globals__
    assert set(space) == {"__builtins__", "np", "math", "reward"}
    assert set(space["__builtins__"]) == grammar.BUILTINS
    assert not {"eval", "exec", "open", "getattr", "type", "vars", "print", "input"} & grammar.BUILTINS
    assert set(vars(space["np"])) == grammar.NUMPY | {"linalg"}


def test_its_process_can_open_write_and_start_nothing():
    tries = """
import os, socket, sys
from rewards.written import child
child.confine(1 << 30)
def fails(act):
    try:
        act()
    except (OSError, MemoryError):
        return 1
    return 0
found = [fails(lambda: open("/etc/hostname")), fails(socket.socket), fails(os.pipe), fails(lambda: bytearray(2 << 30))]
found.append(fails(lambda: os.open("/tmp", os.O_TMPFILE | os.O_RDWR)))
os.write(1, repr(found).encode())
"""
    done = subprocess.run([sys.executable, "-I", "-c", tries], capture_output=True, check=True)
    assert done.stdout == b"[1, 1, 1, 1, 1]", done.stderr
