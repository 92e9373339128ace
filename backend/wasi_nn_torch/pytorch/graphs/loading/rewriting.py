"""Rewriting the code of a TorchScript module before it first runs: devices are replaced, and output is removed.

A trace keeps the device that it was made on: `x.device` becomes `torch.device("cpu")`. And a model that prints would
write to standard output, which belongs to the guest.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import torch

logger = logging.getLogger(__name__)

_CONSTANT, _FORK, _CALL, _FORKED = "prim::Constant", "prim::fork", "prim::CallMethod", "Subgraph"
_SAYING = ("prim::Print", "aten::warn", "aten::_print")
_TO_CUDA = "aten::cuda"
#: The operations that return a device other than that of a tensor.
_SOURCES = (
    _CONSTANT,
    "aten::device",
    "prim::GetAttr",
    "prim::TupleIndex",
    "prim::TupleUnpack",
    "aten::__getitem__",
    "prim::unchecked_cast",
)
#: The operations that take a device but do not place anything on it.
_COMPARING = frozenset({"aten::eq", "aten::ne", "aten::__is__", "aten::__isnot__", "aten::str", "aten::format"})
#: The position of the input that must be in the host's memory, wherever the others are.
_ON_HOST = {"aten::_pack_padded_sequence": 1}
_MOST_STEPS = 16
_CPU = "cpu"
#: The device of tensors without data.
_META = "meta"
#: Matches the printed form of a graph that may need changes.
_SUBJECT = re.compile(r" : Device = (?!prim::device\()|prim::Print\(|aten::(?:warn|_print|cuda)\b|prim::CallMethod\[")

#: A use of a value: the node, and the position among its inputs.
_Use = tuple[torch._C.Node, int]


def prepare(module: torch.jit.ScriptModule, method: str, device: torch.device, name: str) -> None:
    """Rewrite a method so that it names no device but `device`, and neither prints nor warns; it must not have run yet.

    A method that needs no changes is left as it is; in others, calls are inlined. If a module names an accelerator as
    well as the CPU, the CPU is intended, and is kept.
    """
    graph = _graph(module, method)
    if _SUBJECT.search(str(_inlined(graph.copy()))) is None:
        return
    graphs = [*_parts(_inlined(graph))]
    if any(_find(part, _CALL) for part in graphs):  # a method of an interface: any submodule may implement it
        others = [part for part in module.modules() if part is not module and isinstance(part, torch.jit.ScriptModule)]
        for part in others:
            for other in part._c._method_names():
                graphs += _parts(_inlined(_graph(part, other)))
    quiet = sum(map(_silence, graphs))
    if quiet:
        logger.info("removed %d print and warning statements from %s", quiet, name)
    named = {kind for each in graphs for kind in _named(each)}
    keeps_cpu = device.type != _CPU and not named <= {_CPU, _META}
    for each in graphs:
        _move(each, device, keeps_cpu)


def _graph(module: torch.jit.ScriptModule, method: str) -> torch._C.Graph:
    graph: torch._C.Graph = module._c._get_method(method).graph
    return graph


def _find(graph: torch._C.Graph, kind: str) -> list[torch._C.Node]:
    """The nodes of a kind, including those in blocks; found in C++, since a graph may have many thousands."""
    return list(graph.findAllNodes(kind))  # type: ignore[attr-defined]  # the stub lacks it


def _inlined(graph: torch._C.Graph) -> torch._C.Graph:
    """Inline all calls in a graph, and in the graphs that it forks; returns the graph."""
    torch._C._jit_pass_inline(graph)
    for node in _find(graph, _FORK):
        _inlined(node.g(_FORKED))
    return graph


def _parts(graph: torch._C.Graph) -> Iterator[torch._C.Graph]:
    """A graph, and the graphs that it forks."""
    yield graph
    for node in _find(graph, _FORK):
        yield from _parts(node.g(_FORKED))


def _silence(graph: torch._C.Graph) -> int:
    """Remove the nodes that print and warn; returns how many there were."""
    saying = [node for kind in _SAYING for node in _find(graph, kind)]
    for node in saying:
        node.destroy()
    return len(saying)


# --- devices ---


def _move(graph: torch._C.Graph, device: torch.device, keeps_cpu: bool) -> None:
    """Replace other devices by `device` wherever they are used."""
    on_host = _kept_on_host(graph)
    sources = list(_sources(graph))
    moves = _find(graph, _TO_CUDA)
    own = _constant(graph, device)
    for source in sources:
        named = _spelled(source)
        for use in source.uses():
            stays = named == _META or (named == _CPU and (keeps_cpu or (use.user, use.offset) in on_host))
            if not stays and use.user.kind() not in _COMPARING:
                use.user.replaceInput(use.offset, own)
    for node in moves:
        _replace(graph, node, own)


def _sources(graph: torch._C.Graph) -> Iterator[torch._C.Value]:
    """The devices that come from the code or from attributes, rather than from tensors."""
    for kind in _SOURCES:
        for node in _find(graph, kind):
            yield from (value for value in node.outputs() if _is_device(value))


def _is_device(value: torch._C.Value) -> bool:
    return value.type().kind() == "DeviceObjType"


def _named(graph: torch._C.Graph) -> Iterator[str]:
    """The types of devices that a graph names."""
    if _find(graph, _TO_CUDA):
        yield "cuda"
    for source in _sources(graph):
        named = _spelled(source)
        if named is not None:
            yield named


def _spelled(value: torch._C.Value) -> str | None:
    """The type of a device, or None if the code does not show it."""
    node = value.node()
    if node.kind() == "aten::device":
        node = node.inputsAt(0).node()
    return str(node.output().toIValue()).partition(":")[0] if node.kind() == _CONSTANT else None


def _kept_on_host(graph: torch._C.Graph) -> set[_Use]:
    """The uses of a device for values that must be in the host's memory."""
    kept: set[_Use] = set()
    pending = [node.inputsAt(at) for kind, at in _ON_HOST.items() for node in _find(graph, kind)]
    for _ in range(_MOST_STEPS * len(pending)):
        if not pending:
            break
        node = (value := pending.pop()).node()
        uses = [(node, index) for index, each in enumerate(node.inputs()) if _is_device(each)]
        kept.update(uses)
        pending += [] if uses else _origins(value)
    return kept


def _origins(value: torch._C.Value) -> list[torch._C.Value]:
    """The tensors that a value may be made from."""
    node = value.node()
    if node.kind() == "prim::If":
        return [list(block.outputs())[value.offset()] for block in node.blocks()]
    is_made = node.kind().startswith("aten::") or node.kind() == "prim::unchecked_cast"
    return [node.inputsAt(0)] if is_made and node.inputsSize() else []


def _constant(graph: torch._C.Graph, device: torch.device) -> torch._C.Value:
    """Insert a constant at the start of a graph."""
    node = graph.create(_CONSTANT, [], 1)
    node.s_("value", str(device))
    node.output().setType(torch._C.DeviceObjType.get())
    graph.prependNode(node)
    return node.output()


def _replace(graph: torch._C.Graph, node: torch._C.Node, device: torch._C.Value) -> None:
    """Replace a move to the current CUDA device by a move to `device`."""
    none, no = graph.create(_CONSTANT, [], 1), graph.create(_CONSTANT, [], 1)
    none.output().setType(torch._C.NoneType.get())
    no.i_("value", 0)
    no.output().setType(torch._C.BoolType.get())
    move = graph.create("aten::to", [node.input(), device, none.output(), no.output(), no.output()], 1)
    for each in (none, no, move):
        each.insertBefore(node)
    node.output().replaceAllUsesWith(move.output())
    node.destroy()
