"""The classes of the values in an archive's code, if they are certain.

PyTorch gives each value a type when it compiles the code, and a method of a class takes precedence over an operator
with the same name. So the call of a method is a call of the archive's own code if the receiver can only be an object of
a class that has the method: `self`, an attribute that is declared so, a variable that holds nothing else.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from wasi_nn_torch.pytorch.graphs.vetting.definitions import Program, dotted

_DEEPEST = 64
_UNKNOWN: frozenset[str] = frozenset()


class Receivers:
    """Determines the classes of the values in one function, or in one method of the class `owner`."""

    def __init__(self, node: ast.FunctionDef, owner: str | None, program: Program) -> None:
        self._program = program
        self._known: dict[str, frozenset[str]] = {}
        self._assigned: dict[str, list[ast.expr]] = {}
        stored: dict[str, int] = {}
        for name in _bound(node):
            stored[name] = stored.get(name, 0) + 1
        for each in ast.walk(node):
            match each:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._assigned.setdefault(name, []).append(value)
        for name, times in stored.items():
            if times != len(self._assigned.get(name, ())):  # a parameter, or bound by a tuple, a loop, a context
                self._known[name] = _UNKNOWN
        for position, parameter in enumerate(node.args.args):
            if stored[parameter.arg] == 1:
                self._known[parameter.arg] = self._declared(parameter, owner if position == 0 else None)

    def classes_of(self, value: ast.expr, depth: int = 0) -> frozenset[str]:
        """The names of all classes that a value may have; empty if they cannot be determined."""
        if depth > _DEEPEST:
            return _UNKNOWN
        match value:
            case ast.Name(id=name):
                return self._of_variable(name, depth)
            case (
                ast.Attribute(value=of, attr=str(name))
                | ast.Call(func=ast.Name(id="getattr"), args=[of, ast.Constant(value=str(name))], keywords=[])
            ):
                owners = self.classes_of(of, depth + 1)
                return self._all([self._class(self._program.classes[owner].get(name)) for owner in owners])
            case ast.Call(func=ast.Attribute(value=of, attr="__new__"), args=[kind], keywords=[]):
                return self._class(of) if dotted(of) == dotted(kind) else _UNKNOWN
        return _UNKNOWN

    def are_own(self, value: ast.expr, method: str) -> bool:
        """Whether a method that is called on a value can only be one that the archive defines."""
        classes = self.classes_of(value)
        return bool(classes) and all(method in self._program.methods_of.get(name, ()) for name in classes)

    def _of_variable(self, name: str, depth: int) -> frozenset[str]:
        if name not in self._known:
            self._known[name] = _UNKNOWN  # in the meantime, since it may be assigned to itself
            values = self._assigned.get(name, [])
            self._known[name] = self._all([self.classes_of(value, depth + 1) for value in values])
        return self._known[name]

    def _declared(self, parameter: ast.arg, owner: str | None) -> frozenset[str]:
        """The class of a parameter; PyTorch ignores the annotation of a method's first parameter."""
        declared = self._class(parameter.annotation)
        return declared if owner is None or declared == {owner} else _UNKNOWN

    def _class(self, kind: ast.expr | None) -> frozenset[str]:
        """The class that a type names; not a NamedTuple, which is a tuple on which PyTorch looks up operators."""
        name = dotted(kind) if kind is not None else None
        return frozenset({name} if name in self._program.methods_of else ())

    @staticmethod
    def _all(found: list[frozenset[str]]) -> frozenset[str]:
        return frozenset().union(*found) if found and all(found) else _UNKNOWN


def _bound(node: ast.FunctionDef) -> Iterator[str]:
    """Each name as often as the function binds it, including parameters."""
    for parameter in node.args.args:
        yield parameter.arg
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load):
            yield each.id
