"""Changing the code of a TorchScript module, before it first runs, where it names a device, prints or warns.

A trace keeps the device that it was made on: `x.device` becomes `torch.device("cpu")`. And what a model prints would
go to standard output, which belongs to the guest.
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
#: Where a device comes from that is not that of a tensor.
_SOURCES = (
    _CONSTANT,
    "aten::device",
    "prim::GetAttr",
    "prim::TupleIndex",
    "prim::TupleUnpack",
    "aten::__getitem__",
    "prim::unchecked_cast",
)
#: What takes a device and puts nothing there.
_COMPARING = frozenset({"aten::eq", "aten::ne", "aten::__is__", "aten::__isnot__", "aten::str", "aten::format"})
#: Which of their inputs must be in the host's memory, wherever the others are.
_ON_HOST = {"aten::_pack_padded_sequence": 1}
_MOST_STEPS = 16
_CPU = "cpu"
#: Tensors that are there have no data.
_META = "meta"
#: How a graph is printed that may have something to change.
_SUBJECT = re.compile(r" : Device = (?!prim::device\()|prim::Print\(|aten::(?:warn|_print|cuda)\b|prim::CallMethod\[")

#: Where a value is used: by a node, as which of its inputs.
_Use = tuple[torch._C.Node, int]


def prepare(module: torch.jit.ScriptModule, method: str, device: torch.device, name: str) -> None:
    """Let a method name no device but `device`, and neither print nor warn; none of it may have run before.

    A method that has nothing of this is left as it is; into another one goes the code of what it calls. In a module
    that names an accelerator besides the CPU, the CPU is meant, and stays.
    """
    graph = _graph(module, method)
    if _SUBJECT.search(str(_inlined(graph.copy()))) is None:
        return
    graphs = [*_parts(_inlined(graph))]
    if any(_find(part, _CALL) for part in graphs):  # a method of an interface: any submodule may have it
        others = [part for part in module.modules() if part is not module and isinstance(part, torch.jit.ScriptModule)]
        for part in others:
            for other in part._c._method_names():
                graphs += _parts(_inlined(_graph(part, other)))
    quiet = sum(map(_silence, graphs))
    if quiet:
        logger.info("%s prints or warns in its code (%d times), which is left out", name, quiet)
    named = {kind for each in graphs for kind in _named(each)}
    keeps_cpu = device.type != _CPU and not named <= {_CPU, _META}
    for each in graphs:
        _move(each, device, keeps_cpu)


def _graph(module: torch.jit.ScriptModule, method: str) -> torch._C.Graph:
    graph: torch._C.Graph = module._c._get_method(method).graph
    return graph


def _find(graph: torch._C.Graph, kind: str) -> list[torch._C.Node]:
    """Return the nodes of a kind, those in blocks included; in C++, since a graph may have many thousands."""
    return list(graph.findAllNodes(kind))  # type: ignore[attr-defined]  # the stub lacks it


def _inlined(graph: torch._C.Graph) -> torch._C.Graph:
    """Put the code of what is called into a graph, and into what it forks; returns the graph."""
    torch._C._jit_pass_inline(graph)
    for node in _find(graph, _FORK):
        _inlined(node.g(_FORKED))
    return graph


def _parts(graph: torch._C.Graph) -> Iterator[torch._C.Graph]:
    """Yield a graph and those of what it forks."""
    yield graph
    for node in _find(graph, _FORK):
        yield from _parts(node.g(_FORKED))


def _silence(graph: torch._C.Graph) -> int:
    """Take out what prints and warns; returns at how many places."""
    saying = [node for kind in _SAYING for node in _find(graph, kind)]
    for node in saying:
        node.destroy()
    return len(saying)


# --- devices ---


def _move(graph: torch._C.Graph, device: torch.device, keeps_cpu: bool) -> None:
    """Give the device to whatever uses another one."""
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
    """Yield the devices that are in the code or in attributes, rather than those of tensors."""
    for kind in _SOURCES:
        for node in _find(graph, kind):
            yield from (value for value in node.outputs() if _is_device(value))


def _is_device(value: torch._C.Value) -> bool:
    return value.type().kind() == "DeviceObjType"


def _named(graph: torch._C.Graph) -> Iterator[str]:
    """Yield the kinds of devices that a graph names."""
    if _find(graph, _TO_CUDA):
        yield "cuda"
    for source in _sources(graph):
        named = _spelled(source)
        if named is not None:
            yield named


def _spelled(value: torch._C.Value) -> str | None:
    """Return the kind of device that a value is, where the code says so."""
    node = value.node()
    if node.kind() == "aten::device":
        node = node.inputsAt(0).node()
    return str(node.output().toIValue()).partition(":")[0] if node.kind() == _CONSTANT else None


def _kept_on_host(graph: torch._C.Graph) -> set[_Use]:
    """Return where the CPU is named for what must be in the host's memory."""
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
    """Return the tensors that a value may be made from."""
    node = value.node()
    if node.kind() == "prim::If":
        return [list(block.outputs())[value.offset()] for block in node.blocks()]
    is_made = node.kind().startswith("aten::") or node.kind() == "prim::unchecked_cast"
    return [node.inputsAt(0)] if is_made and node.inputsSize() else []


def _constant(graph: torch._C.Graph, device: torch.device) -> torch._C.Value:
    """Begin a graph with a constant."""
    node = graph.create(_CONSTANT, [], 1)
    node.s_("value", str(device))
    node.output().setType(torch._C.DeviceObjType.get())
    graph.prependNode(node)
    return node.output()


def _replace(graph: torch._C.Graph, node: torch._C.Node, device: torch._C.Value) -> None:
    """Move a tensor to the device, instead of to the current one of CUDA."""
    none, no = graph.create(_CONSTANT, [], 1), graph.create(_CONSTANT, [], 1)
    none.output().setType(torch._C.NoneType.get())
    no.i_("value", 0)
    no.output().setType(torch._C.BoolType.get())
    move = graph.create("aten::to", [node.input(), device, none.output(), no.output(), no.output()], 1)
    for each in (none, no, move):
        each.insertBefore(node)
    node.output().replaceAllUsesWith(move.output())
    node.destroy()
