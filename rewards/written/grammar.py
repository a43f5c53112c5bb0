"""What a written reward may consist of: a list of what is allowed, read from Python's own syntax tree.

Arithmetic on observations needs little of the language. Everything else is refused by not being on the list: imports,
attributes that are not here, strings, classes, loops without an end in sight, names that begin with an underscore. What
is left cannot keep anything from one call to the next either, so the same state always has the same reward.
"""

import ast

FUNCTION = "reward"
"""Name of the function that is called with every state."""
LONGEST = 10_000
"""Characters of a text."""
_MOST_NODES = 3_000

_OF_NUMPY = """abs absolute add all allclose any arange arccos arcsin arctan arctan2 argmax argmin array asarray ceil
clip concatenate cos cosh cross cumsum deg2rad degrees diff divide dot e exp expm1 fabs float64 floor fmax fmin full
heaviside hypot inf inner interp isclose isfinite isnan linspace log log10 log1p log2 logical_and logical_not
logical_or matmul max maximum mean median min minimum mod multiply negative ones ones_like outer pi power prod rad2deg
radians round sign sin sinh sort sqrt square stack std subtract sum tan tanh var where zeros zeros_like"""
_OF_MATH = """acos asin atan atan2 ceil copysign cos cosh degrees dist e exp expm1 fabs floor fmod hypot inf isclose
isfinite log log10 log1p log2 pi pow radians sin sinh sqrt tan tanh tau"""
_OF_PYTHON = "abs all any bool enumerate float int len list max min range round sum tuple zip"
_OF_ARRAYS = "T copy flatten item ndim ravel reshape shape size tolist"
NUMPY, MATH, BUILTINS = (frozenset(words.split()) for words in (_OF_NUMPY, _OF_MATH, _OF_PYTHON))
"""Of numpy, as `np`, where `np.linalg.norm` is too; of math; and of Python itself."""
_ATTRIBUTES = NUMPY | MATH | {*_OF_ARRAYS.split(), "linalg", "norm"}
"""Whatever they are of: none of these names does harm on an array either."""

_STATEMENTS = (
    *(ast.Return, ast.Assign, ast.AugAssign, ast.If, ast.For, ast.Break, ast.Continue, ast.Pass, ast.Expr),
    *(ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Call, ast.keyword, ast.Constant, ast.Name),
    *(ast.Attribute, ast.Subscript, ast.Slice, ast.Tuple, ast.List, ast.ListComp, ast.GeneratorExp),
    *(ast.comprehension, ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop),
)
"""Within a function."""
_CONSTANT = (
    *(ast.Assign, ast.Constant, ast.Tuple, ast.UnaryOp, ast.BinOp, ast.Name, ast.Attribute),
    *(ast.expr_context, ast.unaryop, ast.operator),
)
"""Outside of functions: what never changes."""
_IMPORTS = ("import numpy as np", "import math")
"""Harmless because they are dropped: both are there anyway, and people write them."""


class NotAllowedError(ValueError):
    """A text holds what a written reward may not; the message names the line and what stands there."""


def parse(text: str) -> tuple[ast.Module, tuple[str, ...]]:
    """The syntax tree of a reward, which may be compiled, and the names of the observations that it takes.

    Raises:
        NotAllowedError: It is no Python, or holds anything that is not on the list.
    """
    if len(text) > LONGEST:
        raise NotAllowedError(f"the text has {len(text)} characters, wanted {LONGEST} at most")
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise NotAllowedError(f"line {error.lineno}: this is no Python: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise NotAllowedError("the text cannot be read as Python: it is nested too deeply, or holds a zero") from None
    if sum(1 for _ in ast.walk(tree)) > _MOST_NODES:
        raise NotAllowedError(f"the text is too long: wanted {_MOST_NODES} names, numbers and signs at most")
    tree.body = [each for each in tree.body if not _is_dropped(each)]
    functions = [each for each in tree.body if isinstance(each, ast.FunctionDef)]
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            _check_function(statement)
        else:
            _check_constant(statement)
    named = [each for each in functions if each.name == FUNCTION]
    if len(named) != 1:
        raise NotAllowedError(f"wanted one function named {FUNCTION}, got {len(named)}")
    if named[0].args.defaults or not named[0].args.args:
        raise NotAllowedError(
            f"line {named[0].lineno}: {FUNCTION} takes one observation at least, each by its name, without defaults"
        )
    return tree, tuple(each.arg for each in named[0].args.args)


def _is_dropped(statement: ast.stmt) -> bool:
    return (isinstance(statement, ast.Import) and ast.unparse(statement) in _IMPORTS) or _is_docstring(statement)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _check_constant(statement: ast.stmt) -> None:
    if not isinstance(statement, ast.Assign):
        raise _refusal(statement, "outside of functions only constants")
    for node in ast.walk(statement):
        if not isinstance(node, _CONSTANT):
            raise _refusal(node, "outside of functions only numbers, tuples and arithmetic")
        _check_node(node)


def _check_function(function: ast.FunctionDef) -> None:
    _check_name(function, function.name)
    signature = function.args
    if function.decorator_list or signature.vararg or signature.kwarg or signature.kwonlyargs or signature.posonlyargs:
        raise _refusal(function, "functions with plain parameters, undecorated,")
    for each in signature.args:
        _check_name(each, each.arg)
        each.annotation = None  # Never evaluated.
    function.returns = None
    for default in signature.defaults:
        if not isinstance(default, ast.Constant):
            raise _refusal(default, "defaults that are numbers")
        _check_node(default)
    function.body = [each for each in function.body if not _is_docstring(each)] or [ast.Pass(lineno=1, col_offset=0)]
    for statement in function.body:
        for node in ast.walk(statement):
            if not isinstance(node, _STATEMENTS):
                raise _refusal(node, "arithmetic, if and for")
            _check_node(node)


def _check_node(node: ast.AST) -> None:
    """What a kind of node that is allowed may hold."""
    if isinstance(node, ast.Name):
        _check_name(node, node.id)
    elif isinstance(node, ast.Constant):
        if node.value is not None and not isinstance(node.value, bool | int | float):
            raise _refusal(node, "constants that are numbers")
    elif isinstance(node, ast.keyword):
        if node.arg is None:
            raise NotAllowedError("** is not allowed in a call: name the arguments")
        _check_name(node, node.arg)
    elif isinstance(node, ast.Attribute) and (node.attr not in _ATTRIBUTES or not isinstance(node.ctx, ast.Load)):
        raise NotAllowedError(
            f"line {node.lineno}: .{node.attr} is not allowed; the functions that are there were named"
        )


def _check_name(node: ast.AST, name: str) -> None:
    if name.startswith("_") and name != "_":
        raise NotAllowedError(f"line {getattr(node, 'lineno', '?')}: the name {name} begins with an underscore")


def _refusal(node: ast.AST, wanted: str) -> NotAllowedError:
    shown = ast.unparse(node).partition("\n")[0][:60]
    return NotAllowedError(f"line {getattr(node, 'lineno', '?')}: {shown} is not allowed: {wanted} may stand there")
