"""How large the code of a TorchScript archive is once PyTorch has put the body of each function in place of its calls.

PyTorch does that when it loads and computes a model, and a function that calls another one twice, which calls another
one twice, and so on, makes a few lines grow beyond all bounds. Nothing interrupts it.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property

from wasi_nn_torch.contract.errors import quote
from wasi_nn_torch.pytorch.graphs.untrusted.definitions import Program, dotted, prefix_of, refused
from wasi_nn_torch.pytorch.graphs.untrusted.receivers import Receivers

#: Some seconds of PyTorch's time. A scripted EfficientNet has 16,000, a large transformer ten times as many.
_MOST_NODES = 1_000_000


def check_expansion(trees: Mapping[str, ast.Module], program: Program) -> None:
    """Return if all code, once it is expanded, is of bounded size. Raises NnError `security`, also for recursion.

    `trees` are known to be all that `program` was collected from, and that they call only what is defined there.
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
        """Yield, for each call of something in the archive, what it may be; `active` is what is being expanded."""
        for node in ast.walk(self.node):
            if not isinstance(node, ast.Call):
                continue
            functions = [name for name in self._names(node.func) if name in bodies]
            if functions:
                yield functions
            elif isinstance(node.func, ast.Attribute) and node.func.attr in methods:
                owned = [f"{owner}.{node.func.attr}" for owner in self._receivers.classes_of(node.func.value)]
                # Of whatever class it is called on, it is one of those, but not one that is being expanded already.
                yield [name for name in owned if name in bodies] or [
                    name for name in methods[node.func.attr] if name not in active
                ]

    @cached_property
    def _receivers(self) -> Receivers:
        return Receivers(self.node, self.owner, self._program)

    @cached_property
    def _assigned(self) -> dict[str, list[ast.expr]]:
        """What is assigned to each variable, anywhere."""
        found: dict[str, list[ast.expr]] = {}
        for node in ast.walk(self.node):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    found.setdefault(name, []).append(value)
        return found

    def _names(self, called: ast.expr) -> list[str]:
        """The names of functions that an expression in front of a call stands for."""
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
    """Put the expanded size of a function, and of all that it calls, into `sizes`; without recursion of our own."""
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
                    raise refused(body.path, body.node, f"{quote(body.name)} may come to call itself")
            pending += missing
        else:
            size = bodies[each].size + sum(
                max((sizes[callee] for callee in callees), default=0) for callees in calls[each]
            )
            if size > _MOST_NODES:
                body = bodies[each]
                raise refused(
                    body.path, body.node, f"{quote(body.name)} becomes too large where its calls are expanded"
                )
            sizes[each] = size
            pending.pop()
