"""The Python expressions in an exported program that PyTorch evaluates: sizes and guards.

Sizes are evaluated by `sympy.sympify`, guards by `exec`. Only arithmetic on known names passes. It is printed again
from its syntax tree, so that PyTorch reads exactly what was checked.
"""

from __future__ import annotations

import ast
import math
import re

from wasi_nn_torch.pytorch.graphs.vetting.exported.shape import Misfit, spell
from wasi_nn_torch.pytorch.graphs.vetting.numbers import is_int64

_LONGEST = 2000
_DEEPEST = 40
_TEXT = re.compile(r"[A-Za-z0-9_(),'=<>!. +*/%\[\]-]*", re.ASCII)
_SYMBOL = re.compile(r"[suz][a-z]{0,3}[0-9]{1,6}", re.ASCII)
_UNBACKED = re.compile(r"z?uf?[0-9]{1,4}", re.ASCII)
_FLOAT = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{0,40})?(?:e[+-]?[0-9]{1,3})?", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .-]*", re.ASCII)

#: The functions that sympy and PyTorch print; each computes a number or a truth value from its arguments.
_FUNCTIONS = frozenset(
    """Add And CeilDiv CeilToInt CleanDiv Equality Eq FloatTrueDiv FloorDiv FloorToInt GreaterThan Ge Gt Identity
    IntTrueDiv Integer Le LessThan Lt Max Min Mod ModularIndexing Mul Ne Not Or Piecewise PythonMod Rational RoundToInt
    StrictGreaterThan StrictLessThan ToFloat TruncToInt Unequality Where ceiling floor""".split()
)
_POWERS = frozenset({"Pow", "PowByNatural"})
_MOST_POWERS, _LARGEST_POWER = 2, 8
_ASSUMPTIONS = frozenset({"integer", "negative", "nonnegative", "nonzero", "positive", "real"})
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_METHODS = frozenset({"size", "stride", "storage_offset", "numel", "dim"})
_IN_GUARDS = frozenset({"Max", "Min", "Mod", "FloorDiv", "PythonMod", "max", "min"})


def is_symbol(name: object) -> bool:
    """Whether a text names a size that may vary; the numbers in names that PyTorch counts up to are bounded."""
    return isinstance(name, str) and bool(_UNBACKED.fullmatch(name) if "u" in name else _SYMBOL.fullmatch(name))


def size(text: object) -> object:
    """Pass expressions of sizes."""
    tree = _parse(text)
    powers = sum(isinstance(node, ast.Call) and _name(node.func) in _POWERS for node in ast.walk(tree))
    if powers > _MOST_POWERS or not _is_size(tree):
        raise Misfit(f"{spell(text)} is not an expression of a size")
    return ast.unparse(tree)


def guard(text: object) -> object:
    """Pass conditions on the inputs, such as `L['x'].size()[0] % 2 == 0`."""
    tree = _parse(text)
    if not _is_guard(tree):
        raise Misfit(f"{spell(text)} is not a condition on sizes")
    return ast.unparse(tree)


def _parse(text: object) -> ast.expr:
    if not isinstance(text, str) or len(text) > _LONGEST or not _TEXT.fullmatch(text):
        raise Misfit(f"{spell(text)} is not an expression that PyTorch writes")
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Misfit(f"{spell(text)} is not an expression") from None
    level: list[ast.AST] = [tree]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return tree.body
    raise Misfit("an expression is nested too deeply")


def _name(node: ast.expr) -> str | None:
    return node.id if isinstance(node, ast.Name) else None


def _is_number(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=int(value)):
            return is_int64(value)
        case ast.UnaryOp(
            op=ast.USub(), operand=ast.Constant(value=int(value))
        ):  # only the negated value of the smallest integer fits
            return is_int64(-value)
        case ast.Constant(value=float(value)):
            return math.isfinite(value)
        case ast.Call(func=ast.Name(id="Float"), args=[ast.Constant(value=str(text))], keywords=[precision]):
            # A factor by which sizes grow; sympy keeps as many digits as the precision says.
            return bool(_FLOAT.fullmatch(text)) and ast.unparse(precision) == "precision=53"
    return False


def _is_size(node: ast.expr) -> bool:
    if _is_number(node):
        return True
    match node:
        case ast.Name(id=name):
            return is_symbol(name) or name in ("true", "false")
        case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=name)], keywords=keywords):
            return is_symbol(name) and all(
                keyword.arg in _ASSUMPTIONS and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
                for keyword in keywords
            )
        case ast.Call(func=ast.Name(id=name), args=[base, power], keywords=[]) if name in _POWERS:
            return _is_size(base) and _is_power(power)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return all(map(_is_size, args))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _is_size(operand)
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _OPERATORS):
            return _is_size(left) and _is_size(right)
        case ast.Compare(left=left, ops=ops, comparators=others) if all(isinstance(op, _COMPARISONS) for op in ops):
            return all(map(_is_size, (left, *others)))
    return False


def _is_power(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="Integer"), args=[inner], keywords=[]):
            return _is_power(inner)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant() as inner) | (ast.Constant() as inner):
            return isinstance(inner.value, int) and abs(inner.value) <= _LARGEST_POWER
    return False


def _is_guard(node: ast.expr) -> bool:
    if _is_number(node):
        return True
    match node:
        case ast.BoolOp(values=values):
            return all(map(_is_guard, values))
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            return _is_guard(operand)
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _OPERATORS):
            return _is_guard(left) and _is_guard(right)
        case ast.Compare(left=left, ops=ops, comparators=others) if all(isinstance(op, _COMPARISONS) for op in ops):
            return all(map(_is_guard, (left, *others)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _IN_GUARDS:
            return all(map(_is_guard, args))
        case ast.Call(func=ast.Attribute(value=of, attr=method), args=[], keywords=[]) if method in _METHODS:
            return _is_input(of)
        case ast.Subscript(value=ast.Call() as of, slice=ast.Constant(value=int())):
            return _is_guard(of)
    return _is_input(node)


def _is_input(node: ast.expr) -> bool:
    """Whether an expression names an input, `L['x']`, or a part of one, `L['x'][0]['key']`."""
    match node:
        case ast.Subscript(value=ast.Name(id="L"), slice=ast.Constant(value=str(name))):
            return name.isidentifier()
        case ast.Subscript(value=of, slice=ast.Constant(value=int() | str() as key)):
            return _is_input(of) and (isinstance(key, int) or bool(_KEY.fullmatch(key)))
    return False
