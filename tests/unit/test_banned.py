"""What may not appear in the rooms at all: ways in which received bytes could run as code.

Linters catch most of these by name. This reads the syntax tree, so it also sees aliases and methods, and a `noqa`
does not silence it.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("wire", "envs", "networks", "rewards", "actor", "learner", "handrail")
# The contenders of the benchmarks do as others do, and some of those unpickle: they run nowhere else.
PLACES = (*ROOMS, "scripts", "benchmarks")
SOURCES = sorted(path for place in PLACES for path in (ROOT / place).rglob("*.py") if "contenders" not in path.parts)
TESTS = sorted((ROOT / "tests").rglob("*.py"))

READER = ROOT / "learner/archive/formats/demo_pickle.py"
"""The one file that may name pickle: it reads arrays out of other people's demonstrations and looks up no name."""

CONFINED = ROOT / "rewards/written/child.py"
"""The one file that may run a text: its process has no files, no environment, and hardly a name to call (see there)."""

MODULES = {"pickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle"}
BUILTINS = {"eval", "exec", "__import__"}  # `compile` alone runs nothing, and re.compile is everywhere.
CALLS = {
    "torch.load",
    "yaml.load",
    "yaml.full_load",
    "yaml.unsafe_load",
    "yaml.load_all",
    "yaml.full_load_all",
    "yaml.unsafe_load_all",
    "torch.hub.load",
    "torch.jit.load",
    "pandas.read_pickle",
    "runpy.run_path",
    "hydra.utils.instantiate",
    "hydra.utils.call",
    "hydra.utils.get_class",
    "hydra.utils.get_method",
    "builtins.eval",
    "builtins.exec",
}
METHODS = {"recv_pyobj", "send_pyobj", "instantiate", "read_pickle"}
MOCKS = {"unittest.mock", "mock", "pytest_mock"}


def imported_names(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for: `import hydra.utils as u` makes u stand for hydra.utils."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.split(".")[0]
                names[local] = alias.name if alias.asname else local
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    """The full name of `a.b.c`, with imports resolved; empty for anything else."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        base = dotted(node.value, names)
        return f"{base}.{node.attr}" if base else ""
    return ""


def imported_modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def allows_pickle(call: ast.Call) -> bool:
    """Anything but a literal False: a variable could be true."""
    return any(
        keyword.arg == "allow_pickle" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
        for keyword in call.keywords
    )


def offences(source: str) -> Iterator[str]:
    """Every banned import, use and call in a module, with its line."""
    tree = ast.parse(source)
    names = imported_names(tree)
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for module in imported_modules(node):
            if module.split(".")[0] in MODULES or module in CALLS or module.rpartition(".")[2] in METHODS:
                yield f"{line}: import of {module}"
        if isinstance(node, ast.Name | ast.Attribute) and dotted(node, names) in CALLS:
            yield f"{line}: {dotted(node, names)}"
        if isinstance(node, ast.Attribute) and node.attr in METHODS:
            yield f"{line}: .{node.attr}"
        if isinstance(node, ast.Name) and names.get(node.id, node.id) in BUILTINS:
            yield f"{line}: {node.id}"
        if isinstance(node, ast.Call) and allows_pickle(node):
            yield f"{line}: allow_pickle"
        if isinstance(node, ast.Call) and dotted(node.func, names) == "importlib.import_module":
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and str(first.value).split(".")[0] in MODULES:
                yield f"{line}: import of {first.value}"


def mocks(source: str) -> Iterator[str]:
    """Every import of a mocking library: fakes are code, and are written as such."""
    for node in ast.walk(ast.parse(source)):
        for module in imported_modules(node):
            if module in MOCKS or module.startswith("unittest.mock."):
                yield f"{getattr(node, 'lineno', 0)}: import of {module}"


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_no_room_can_run_received_bytes(path):
    found = [text.partition(": ")[2] for text in offences(path.read_text())]
    assert found == {READER: ["import of pickle"], CONFINED: ["exec"]}.get(path, [])


def test_the_one_module_that_runs_a_text_is_imported_by_nobody_and_started_isolated():
    name = "rewards.written.child"
    says = re.compile(r"written\.child|written import .*\bchild\b")
    naming = [path for path in SOURCES if path != CONFINED and says.search(path.read_text())]
    assert naming == [ROOT / "rewards/written/sandbox.py"]
    assert f'sys.executable, "-I", "-B", "-m", "{name}"' in naming[0].read_text()


def test_the_reader_of_pickles_takes_nothing_of_it_but_the_interpreter_of_opcodes():
    tree = ast.parse(READER.read_text())
    used = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and dotted(node.value, {}) == "pickle"
    }
    assert used == {"_Unpickler", "UnpicklingError"}


@pytest.mark.parametrize("path", TESTS, ids=[str(path.relative_to(ROOT)) for path in TESTS])
def test_no_test_uses_mocks(path):
    assert list(mocks(path.read_text())) == []


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle",
        "import pickle as harmless",
        "from pickle import loads",
        "def f():\n    import cloudpickle.compat",
        "import dill, json",
        "from marshal import loads as decode",
        "import importlib\nimportlib.import_module('pickle')",
        "__import__('os')",
        "eval('1')",
        "run = exec",
        "import builtins\nbuiltins.exec('1')",
        "import torch\ntorch.load('x', weights_only=True)",
        "from torch import load as restore\nrestore('x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', allow_pickle=flag)",
        "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)",
        "socket.recv_pyobj()",
        "self.link.socket.send_pyobj(step)",
        "import hydra\nhydra.utils.instantiate(config)",
        "from hydra.utils import instantiate",
        "from hydra import utils as u\nu.instantiate(config)",
        "from hydra._internal.instantiate._instantiate2 import instantiate",
        "from mmengine.registry import build as b\nb.instantiate(config)",
        "import pandas as pd\npd.read_pickle('x')",
        "import torch\ntorch.hub.load('x', 'y')",
        "import yaml\nyaml.load_all(text, yaml.SafeLoader)",
    ],
)
def test_a_planted_offence_is_found(planted):
    assert list(offences(planted))


@pytest.mark.parametrize(
    "innocent",
    [
        "import re\nre.compile('x')",
        "import yaml\nyaml.safe_load(text)",
        "import numpy as np\nnp.load('x', allow_pickle=False)",
        "model.eval()",
        "import json\njson.load(file)",
        "from safetensors.numpy import load\nload(data)",
        "'never pickle'  # nor eval(x)",
        "from wire import codec\ncodec.load(data)",
    ],
)
def test_innocent_code_is_left_alone(innocent):
    assert list(offences(innocent)) == []


@pytest.mark.parametrize(
    "planted", ["from unittest import mock", "import unittest.mock", "from unittest.mock import patch", "import mock"]
)
def test_a_planted_mock_is_found(planted):
    assert list(mocks(planted))


def test_there_is_something_to_look_at():
    assert len(SOURCES) > 10
    assert Path(__file__).resolve() in TESTS
