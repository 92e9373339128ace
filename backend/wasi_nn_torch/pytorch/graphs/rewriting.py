"""Changing the code of a TorchScript module, before it first runs, where it names a device, prints or warns.

A trace keeps the device that it was made on: `x.device` becomes `torch.device("cpu")`. And what a model prints would
go to standard output, which belongs to the guest.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import torch

logger = logging.getLogger(__name__)

_CONSTANT, _GET_DEVICE = "prim::Constant", "prim::device"
_FORKED = "Subgraph"
_SAYING = frozenset({"prim::Print", "aten::warn", "aten::_print"})
_TO_CUDA = "aten::cuda"
#: What takes a device and puts nothing there.
_COMPARING = frozenset({"aten::eq", "aten::ne", "aten::__is__", "aten::__isnot__", "aten::str", "aten::format"})
#: Which of their inputs must be in the host's memory, wherever the others are.
_ON_HOST = {"aten::_pack_padded_sequence": 1}
_MOST_STEPS = 16
_CPU = "cpu"
#: Tensors that are there have no data.
_META = "meta"

_Use = tuple[torch._C.Node, int]
"""Where a value is used: by a node, as which of its inputs."""


def prepare(module: torch.jit.ScriptModule, method: str, device: torch.device, name: str) -> None:
    """Let a method name no device but `device`, and neither print nor warn; none of it may have run before.

    A method that has nothing of this is left as it is; into another one goes the code of what it calls. In a module
    that names an accelerator besides the CPU, the CPU is meant, and stays.
    """
    graph = _graph(module, method)
    if not any(map(_is_subject, _parts(_inlined(graph.copy())))):
        return
    graphs = [*_parts(_inlined(graph))]
    if _calls(graph):  # a method of an interface: any submodule may have it
        others = [part for part in module.modules() if part is not module and isinstance(part, torch.jit.ScriptModule)]
        for part in others:
            for other in part._c._method_names():
                graphs += _parts(_inlined(_graph(part, other)))
    quiet = sum(map(_silence, graphs))
    if quiet:
        logger.info("%s prints or warns at %d places in its code, which is left out", name, quiet)
    named = {kind for each in graphs for node in _every(each) for kind in _named(node)}
    keeps_cpu = device.type != _CPU and not named <= {_CPU, _META}
    for each in graphs:
        _move(each, device, keeps_cpu)


def _graph(module: torch.jit.ScriptModule, method: str) -> torch._C.Graph:
    graph: torch._C.Graph = module._c._get_method(method).graph
    return graph


def _inlined(graph: torch._C.Graph) -> torch._C.Graph:
    """Put the code of what is called into a graph, and into what it forks; returns the graph."""
    torch._C._jit_pass_inline(graph)
    for node in _every(graph):
        if node.hasAttribute(_FORKED):
            _inlined(node.g(_FORKED))
    return graph


def _parts(graph: torch._C.Graph) -> Iterator[torch._C.Graph]:
    """Yield a graph and those of what it forks."""
    yield graph
    for node in _every(graph):
        if node.hasAttribute(_FORKED):
            yield from _parts(node.g(_FORKED))


def _every(within: torch._C.Graph | torch._C.Block) -> Iterator[torch._C.Node]:
    """Yield all nodes, and those in their blocks; a node may be destroyed when it comes."""
    for node in list(within.nodes()):
        for block in node.blocks():
            yield from _every(block)
        yield node


def _is_subject(graph: torch._C.Graph) -> bool:
    """Whether there may be something to change."""
    return _calls(graph) or any(
        node.kind() in _SAYING or node.kind() == _TO_CUDA or any(True for _ in _devices(node)) for node in _every(graph)
    )


def _calls(graph: torch._C.Graph) -> bool:
    return any(node.kind() == "prim::CallMethod" for part in _parts(graph) for node in _every(part))


def _silence(graph: torch._C.Graph) -> int:
    """Take out what prints and warns; returns at how many places."""
    saying = [node for node in _every(graph) if node.kind() in _SAYING]
    for node in saying:
        node.destroy()
    return len(saying)


# --- devices ---


def _move(graph: torch._C.Graph, device: torch.device, keeps_cpu: bool) -> None:
    """Give the device to every operator that takes one."""
    on_host = _kept_on_host(graph)
    nodes = list(_every(graph))
    own = _constant(graph, device)
    for node in nodes:
        for index in list(_devices(node)):
            named = _spelled(node.inputsAt(index))
            if named == _META or (named == _CPU and (keeps_cpu or (node, index) in on_host)):
                continue
            node.replaceInput(index, own)
        if node.kind() == _TO_CUDA:
            _replace(graph, node, own)


def _devices(node: torch._C.Node) -> Iterator[int]:
    """Yield which inputs of an operator are devices where it puts something."""
    if node.kind().startswith("prim::") or node.kind() in _COMPARING:
        return
    for index, value in enumerate(node.inputs()):
        if value.type().kind() == "DeviceObjType" and value.node().kind() != _GET_DEVICE:
            yield index


def _named(node: torch._C.Node) -> Iterator[str]:
    """Yield the kinds of devices that a node names."""
    if node.kind() == _TO_CUDA:
        yield "cuda"
    for index in _devices(node):
        named = _spelled(node.inputsAt(index))
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
    pending = [node.inputsAt(_ON_HOST[node.kind()]) for node in _every(graph) if node.kind() in _ON_HOST]
    for _ in range(_MOST_STEPS * len(pending)):
        if not pending:
            break
        value = pending.pop()
        uses = [(value.node(), index) for index in _devices(value.node())]
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
