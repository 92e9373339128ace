"""The attributes of a TorchScript module that a computation may change, derived from its graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

import torch

from wasi_nn_torch.pytorch.graphs.computing.state import STATISTICS, updates_statistics
from wasi_nn_torch.pytorch.inspecting.script_graph import IF, LOOP, SET, Path, find, nodes_of, path_of

#: Operations that may change attributes without showing it in the graph.
_UNSEEN = frozenset({"prim::CallMethod", "prim::CallFunction", "prim::fork"})
#: Operations whose result shares or contains the memory of their inputs.
_PASSING = frozenset(
    """prim::unchecked_cast prim::unchecked_unwrap_optional aten::__getitem__ prim::TupleUnpack prim::ListUnpack
    prim::TupleIndex prim::TupleSlice prim::TupleConstruct prim::ListConstruct prim::DictConstruct""".split()
)
_FRESH = frozenset({"prim::Constant"})


def changed_attributes(module: torch.jit.ScriptModule, graph: torch._C.Graph) -> tuple[str, ...] | None:
    """The paths of the attributes that are set or written to; None if that cannot be determined.

    `graph` is the inlined graph. Branches that a fixed attribute such as `training` rules out are ignored.
    """
    try:
        changed = set(_Analysis(module, graph).changes(graph.nodes()))
    except _Undetermined:
        return None
    return tuple(sorted(".".join(path) for path in changed))


class _Undetermined(Exception):
    """The graph does not show whose memory is written to."""


class _Analysis:
    def __init__(self, module: torch.jit.ScriptModule, graph: torch._C.Graph) -> None:
        self._module = module
        self._inputs = {value.debugName() for value in graph.inputs()}
        self._set = {path for node in nodes_of(graph.nodes()) for path in _targets(node)}
        self._carried = {name: values for node in nodes_of(graph.nodes()) for name, values in _carried(node)}

    def changes(self, nodes: Iterable[torch._C.Node]) -> Iterator[Path]:
        """The attributes that nodes, and the nodes in their blocks, change; raises _Undetermined."""
        for node in nodes:
            if node.kind() in _UNSEEN:
                raise _Undetermined
            yield from _targets(node)
            for value in _written(node):
                yield from self._origins(value)
            for block in self._taken(node):
                yield from self.changes(block.nodes())

    def _taken(self, node: torch._C.Node) -> list[torch._C.Block]:
        """The blocks of a node that may be computed."""
        blocks = list(node.blocks())
        condition = self._constant(node.input()) if node.kind() == IF else None
        return blocks if condition is None else [blocks[0 if condition else 1]]

    def _constant(self, value: torch._C.Value) -> bool | None:
        """The value that a condition always has, or None."""
        node = value.node()
        path = path_of(value)
        if path and path not in self._set:
            found = find(self._module, path)
        elif node.kind() == "prim::Constant":
            found = value.toIValue()
        elif node.kind() == "aten::__not__":
            inner = self._constant(node.input())
            found = None if inner is None else not inner
        elif node.kind() == IF:
            outcomes = {self._constant(list(block.outputs())[value.offset()]) for block in self._taken(node)}
            found = outcomes.pop() if len(outcomes) == 1 else None
        else:
            found = None
        return found if isinstance(found, bool) else None

    def _origins(self, value: torch._C.Value) -> Iterator[Path]:
        """The attributes whose memory a value may share; raises _Undetermined."""
        seen: set[str] = set()
        pending = [value]
        while pending:
            each = pending.pop()
            path = path_of(each)
            if path:
                yield path
            elif each.debugName() not in seen:
                seen.add(each.debugName())
                pending += self._sources(each)

    def _sources(self, value: torch._C.Value) -> Iterable[torch._C.Value]:
        """The values whose memory a value may share; raises _Undetermined."""
        node, name = value.node(), value.debugName()
        if name in self._carried:
            return self._carried[name]
        if node.kind() == IF:
            return [list(block.outputs())[value.offset()] for block in self._taken(node)]
        if node.kind() in _PASSING:
            return node.inputs()
        if node.kind().startswith("aten::"):
            return _aliased(node)
        if name in self._inputs or node.kind() in _FRESH:
            return ()
        raise _Undetermined


def _carried(node: torch._C.Node) -> Iterator[tuple[str, list[torch._C.Value]]]:
    """The names of the values that a loop carries between iterations or returns, each with its possible sources."""
    if node.kind() != LOOP:
        return
    [block] = node.blocks()
    within, first = list(block.inputs())[1:], list(node.inputs())[2:]  # before these are counts and conditions
    turned, last = list(block.outputs())[1:], list(node.outputs())
    for inner, start, end, outer in zip(within, first, turned, last, strict=True):
        yield inner.debugName(), [start, end]
        yield outer.debugName(), [start, end]


def _targets(node: torch._C.Node) -> Iterator[Path]:
    """The path of the attribute that a node sets, unless the computation made the object; raises _Undetermined."""
    if node.kind() != SET:
        return
    owner = node.inputsAt(0)
    path = path_of(owner)
    if path is not None:
        yield (*path, node.s("name"))
    elif owner.node().kind() != "prim::CreateObject":
        raise _Undetermined


def _written(node: torch._C.Node) -> Iterator[torch._C.Value]:
    """The arguments that an operator writes to."""
    if "!" in node.schema():
        writes = [argument.alias_info is not None and argument.alias_info.is_write for argument in _arguments(node)]
        yield from (value for value, is_written in zip(node.inputs(), writes, strict=False) if is_written)
    elif updates_statistics(node):
        yield from map(node.inputsAt, STATISTICS)


def _aliased(node: torch._C.Node) -> Iterator[torch._C.Value]:
    """The arguments whose memory the result of an operator may share."""
    for value, argument in zip(node.inputs(), _arguments(node), strict=False):
        if argument.alias_info is not None:
            yield value


def _arguments(node: torch._C.Node) -> list[torch._C.Argument]:
    return _parsed(node.schema()).arguments


@cache
def _parsed(schema: str) -> torch._C.FunctionSchema:
    return torch._C.parse_schema(schema)
