"""A limit on the size of a TorchScript archive's code after PyTorch has inlined all calls.

PyTorch inlines calls when it loads and computes a model. If each of several functions calls the next one twice, a few
lines grow exponentially, and inlining cannot be interrupted.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property

from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pytorch.graphs.vetting.definitions import Program, dotted, prefix_of, refused
from wasi_nn_torch.pytorch.graphs.vetting.receivers import Receivers

#: PyTorch takes some seconds for so many nodes. A scripted EfficientNet has 16,000, and a large transformer ten times
#: as many.
_MOST_NODES = 1_000_000


def check_expansion(trees: Mapping[str, ast.Module], program: Program) -> None:
    """Check that all code has a bounded size after inlining. Raises NnError `security`, also for recursion.

    `program` was collected from exactly these `trees`, which are known to call only what they define.
    """
    bodies: dict[str, _Body] = {}
    for body in _bodies(trees, program):
        bodies[body.name] = body
    methods: dict[str, list[str]] = {}
    for name, body in bodies.items():
        if body.owner is not None:
            methods.setdefault(body.node.name, []).append(name)

    sizes: dict[str, int] = {}
    for name in bodies:
        _measure(name, bodies, methods, sizes)


class _Body:
    """One function or method."""

    def __init__(self, path: str, name: str, owner: str | None, node: ast.FunctionDef, program: Program) -> None:
        self.path = path
        self.name = name
        self.owner = owner
        self.node = node
        self._program = program

    @cached_property
    def size(self) -> int:
        """The number of syntax nodes."""
        return sum(1 for _ in ast.walk(self.node))

    def callees(
        self, bodies: Mapping[str, object], methods: Mapping[str, list[str]], active: Collection[str]
    ) -> Iterator[list[str]]:
        """For each call of code in the archive, the possible callees; `active` are those that are being measured."""
        for node in ast.walk(self.node):
            if not isinstance(node, ast.Call):
                continue
            functions = [name for name in self._names(node.func) if name in bodies]
            if functions:
                yield functions
            elif isinstance(node.func, ast.Attribute) and node.func.attr in methods:
                owned = [f"{owner}.{node.func.attr}" for owner in self._receivers.classes_of(node.func.value)]
                # For an unknown class it is one of those methods, but not one that is being measured already.
                yield [name for name in owned if name in bodies] or [
                    name for name in methods[node.func.attr] if name not in active
                ]

    @cached_property
    def _receivers(self) -> Receivers:
        return Receivers(self.node, self.owner, self._program)

    @cached_property
    def _assigned(self) -> dict[str, list[ast.expr]]:
        """The values that are assigned to each variable, anywhere."""
        found: dict[str, list[ast.expr]] = {}
        for node in ast.walk(self.node):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    found.setdefault(name, []).append(value)
        return found

    def _names(self, called: ast.expr) -> list[str]:
        """The names of the functions that a called expression stands for."""
        values = self._assigned.get(called.id, []) if isinstance(called, ast.Name) else [called]
        return [name for name in map(dotted, values) if name is not None]


def _bodies(trees: Mapping[str, ast.Module], program: Program) -> Iterator[_Body]:
    for path, tree in trees.items():
        prefix = prefix_of(path)
        for node in tree.body:
            name = f"{prefix}.{getattr(node, 'name', '')}"
            if isinstance(node, ast.FunctionDef):
                yield _Body(path, name, None, node, program)
            elif isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, ast.FunctionDef):
                        yield _Body(path, f"{name}.{item.name}", name, item, program)


def _measure(name: str, bodies: Mapping[str, _Body], methods: Mapping[str, list[str]], sizes: dict[str, int]) -> None:
    """Add the inlined sizes of a function and of all its callees to `sizes`; this is itself not recursive."""
    calls: dict[str, list[list[str]]] = {}
    pending = [name]
    while pending:
        each = pending[-1]
        if each in sizes:
            pending.pop()
        elif each not in calls:
            calls[each] = []
            calls[each] = list(bodies[each].callees(bodies, methods, calls.keys() - sizes.keys()))
            missing = [callee for callees in calls[each] for callee in callees if callee not in sizes]
            for callee in missing:
                if callee in calls:
                    body = bodies[each]
                    raise refused(body.path, body.node, f"{quote(body.name)} may call itself")
            pending += missing
        else:
            size = bodies[each].size + sum(
                max((sizes[callee] for callee in callees), default=0) for callees in calls[each]
            )
            if size > _MOST_NODES:
                body = bodies[each]
                raise refused(body.path, body.node, f"{quote(body.name)} becomes too large when its calls are inlined")
            sizes[each] = size
            pending.pop()
