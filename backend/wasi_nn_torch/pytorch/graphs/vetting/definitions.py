"""The code of a TorchScript archive as syntax trees, and the names that it defines.

The dialect that PyTorch prints is a small part of Python's syntax, so Python's own parser reads it. Syntax that
PyTorch's lexer could read differently (comments, other quotes, continued lines, non-ASCII characters) is refused first:
PyTorch never prints it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pytorch.graphs.vetting.refusal import refusal

_STRING = rb"""(?>"(?>[ !#-\[\]-~]++|\\(?:[0-3][0-7]{2}|[abfnrtv\\'"]))*+"(?!"))"""
_TEXT = re.compile(rb"(?>[ ()+,\-.0-9:=>A-Z\[\]_a-z{}\n]++|" + _STRING + rb")*+")

#: PyTorch's lexer recurses for consecutive blank lines, and its compiler for each level of the syntax tree.
_BLANK_LINES = re.compile(rb"(?:\n *){16}\n")
_DEEPEST = 80

_CUSTOM_CLASSES = "__torch__.torch.classes"


@dataclass
class Program:
    """The names that the code of an archive defines, as the code spells them, starting with `__torch__`."""

    functions: set[str] = field(default_factory=set)
    #: By class: the attributes in the state of an object, with their types.
    classes: dict[str, dict[str, ast.expr]] = field(default_factory=dict)
    named_tuples: set[str] = field(default_factory=set)
    #: By enum: the members with their values.
    enums: dict[str, dict[str, object]] = field(default_factory=dict)
    #: By class: the names of the methods, except of NamedTuples, whose methods PyTorch does not read.
    methods_of: dict[str, frozenset[str]] = field(default_factory=dict)
    #: The names of all methods, and of all attributes; PyTorch's compiler checks which class has them.
    methods: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)


def parse(path: str, text: bytes) -> ast.Module:
    """The syntax tree of text that PyTorch could have printed. Raises NnError `security` for other text."""
    if not _TEXT.fullmatch(text) or _BLANK_LINES.search(text):
        raise refusal(path, "it contains text that PyTorch does not write, such as a comment")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise refusal(path, "it is not TorchScript that PyTorch writes") from None
    level: list[ast.AST] = [tree]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return tree
    raise refusal(path, "it is nested too deeply")


def collect(trees: Mapping[str, ast.Module]) -> Program:
    """The names that files define. Raises NnError `security` for names that are PyTorch's own or not unique."""
    program = Program()
    names: set[str] = set()
    for path, tree in trees.items():
        prefix = prefix_of(path)
        for node in tree.body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef):
                raise refused(path, node)
            name = f"{prefix}.{node.name}"
            if name in names or name.startswith(_CUSTOM_CLASSES):
                raise refused(path, node, f"{quote(name)} is defined twice, or is PyTorch's own name")
            names.add(name)
            if isinstance(node, ast.FunctionDef):
                program.functions.add(name)
            elif [dotted(base) for base in node.bases] == ["Enum"]:
                program.enums[name] = dict(_members(node))
                program.attributes.update({"name", "value"})
            elif not _collect_class(name, node, program):
                raise refused(path, node, f"{quote(name)} has two attributes with the same name")
    return program


def prefix_of(path: str) -> str:
    """The prefix of the names that a file defines: "__torch__.net" for "code/__torch__/net.py"."""
    return path.removeprefix("code/").removesuffix(".py").replace("/", ".")


def dotted(node: ast.expr) -> str | None:
    """The text "a.b.c" for such an expression, None for any other."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else None


def refused(path: str, node: ast.AST, what: str = "") -> NnError:
    """The error for a node, with its line; the default for `what` is that PyTorch does not write such a node there."""
    where = f"{path}:{node.lineno}" if isinstance(node, ast.stmt | ast.expr) else path
    return refusal(where, what or f"PyTorch does not write a node of the type {type(node).__name__} there")


def _collect_class(name: str, node: ast.ClassDef, program: Program) -> bool:
    """Add a class to `program`; return whether each of its attributes is declared once."""
    state = list(_state(node))
    program.classes[name] = dict(state)
    program.attributes.update(program.classes[name], _constants(node))
    methods = frozenset(item.name for item in node.body if isinstance(item, ast.FunctionDef))
    program.methods.update(methods)
    if [dotted(base) for base in node.bases] == ["NamedTuple"]:
        program.named_tuples.add(name)
    else:
        program.methods_of[name] = methods
    return len(program.classes[name]) == len(state)


def _state(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    """The attributes of a class: `weight : Tensor`, or `__annotations__["0"] = Tensor`."""
    for item in node.body:
        match item:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=None):
                yield name, kind
            case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=str(name)))], value=kind):
                yield name, kind


def _members(node: ast.ClassDef) -> Iterator[tuple[str, object]]:
    """The members of an enum: `RED = 1`."""
    for item in node.body:
        match item:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=int() | float() | str() as value)):
                yield name, value


def _constants(node: ast.ClassDef) -> Iterator[str]:
    """The constants of a class: `eps : Final[float] = 1e-05`."""
    for item in node.body:
        match item:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
                yield name
