"""Making TorchScript faster: its weights are turned into constants of its code, and laid out for the device."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import torch

from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.contract.frames import release_frames
from wasi_nn_torch.pytorch.graphs.computing.failures import gist, is_out_of_memory
from wasi_nn_torch.pytorch.graphs.computing.state import FORWARD
from wasi_nn_torch.pytorch.graphs.optimizing.layout import (
    CONVOLUTIONS,
    channels_last,
    follows_any_layout,
    is_kernel,
    unshared,
)
from wasi_nn_torch.pytorch.graphs.optimizing.steps import Steps
from wasi_nn_torch.pytorch.ownership import size_of

logger = logging.getLogger(__name__)

_CONSTANT, _VIEW, _RESHAPE = "prim::Constant", "aten::view", "aten::reshape"
_NORMALIZATION = "aten::batch_norm"
#: The operations on attributes that a frozen module keeps because they change.
_STATE = frozenset({"prim::GetAttr", "prim::SetAttr", "prim::CallMethod"})
#: The most memory that freezing may take unless it is required, relative to the weights.
_MOST_GROWTH = 1.01


def optimized(
    module: torch.jit.ScriptModule, steps: Steps, name: str, method: str = FORWARD
) -> tuple[torch.jit.ScriptModule, bool]:
    """The module to compute in place of `module`, and whether its weights are laid out with channels last.

    The module is changed, or replaced by a frozen copy. `method` is the method that is computed. Raises ModelError if
    freezing is required but impossible.
    """
    kinds = {node.kind() for node in _every(module._c._get_method(method).inlined_graph.nodes())}
    convolves = not kinds.isdisjoint(CONVOLUTIONS)
    if steps.freeze and (steps.required or (convolves and not kinds.isdisjoint({_NORMALIZATION, _VIEW}))):
        frozen = _frozen(module, steps, name, method)
        if frozen is not None:
            is_laid_out = steps.lay_out and convolves and _lay_out_constants(_graph(frozen, method))
            if steps.required or _never_loses(frozen, module, method, is_laid_out or _NORMALIZATION in kinds):
                return frozen, is_laid_out
    if not steps.lay_out or not convolves or _VIEW in kinds or not all(map(follows_any_layout, kinds)):
        return module, False
    for parameter in unshared(module.parameters()):
        if is_kernel(parameter):
            parameter.data = channels_last(parameter.data)
    return module, True


def size_of_module(module: torch.jit.ScriptModule) -> int:
    """The memory of a module's weights, buffers and constants, in bytes."""
    constants = [tensor for method in module._c._method_names() for tensor in _constants(_graph(module, method))]
    return size_of([*module.parameters(), *module.buffers(), *constants])


def _graph(module: torch.jit.ScriptModule, method: str) -> torch._C.Graph:
    graph: torch._C.Graph = module._c._get_method(method).graph
    return graph


def _frozen(module: torch.jit.ScriptModule, steps: Steps, name: str, method: str) -> torch.jit.ScriptModule | None:
    """A frozen copy, which shares what it can; None if freezing is impossible and not required."""
    try:
        with torch.no_grad():
            frozen: torch.jit.ScriptModule = torch.jit.freeze(module, None if method == FORWARD else [method])
            return frozen
    except Exception as error:  # PyTorch may raise anything, and freezing runs parts of the model
        if is_out_of_memory(error):
            raise
        reason = gist(error)
        release_frames(error)
    if steps.required:
        raise ModelError(f"{name} cannot be frozen ({reason}); leave out the option to optimize it")
    logger.debug("%s is not frozen: %s", name, reason)
    return None


def _never_loses(frozen: torch.jit.ScriptModule, module: torch.jit.ScriptModule, method: str, gains: bool) -> bool:
    """Whether freezing saves time, leaves no state that contexts could not share, and takes no more memory."""
    keeps_state = any(node.kind() in _STATE for node in _every(_graph(frozen, method).nodes()))
    return gains and not keeps_state and size_of_module(frozen) <= _MOST_GROWTH * size_of_module(module)


def _lay_out_constants(graph: torch._C.Graph) -> bool:
    """Lay out the weights of a frozen graph's convolutions with channels last; returns whether that was done."""
    if not _allow_any_layout(graph):
        return False
    for node in list(_every(graph.nodes())):
        weights = node.inputsAt(1).node() if node.kind() in CONVOLUTIONS else None
        if weights is not None and _is_tensor(weights) and is_kernel(weights.t("value")):
            weights.t_("value", channels_last(weights.t("value")))
    return True


def _allow_any_layout(graph: torch._C.Graph) -> bool:
    """Make a graph compute the same for every memory layout; returns whether it does."""
    if not all(follows_any_layout(node.kind()) for node in _every(graph.nodes())):
        return False
    views = [node for node in _every(graph.nodes()) if node.kind() == _VIEW]
    if not views:
        return True
    if any(view.inputsAt(1).type().kind() != "ListType" for view in views):  # reinterprets the bits as another dtype
        return False
    torch._C._jit_pass_remove_mutation(graph)
    if any("!" in node.schema() for node in _every(graph.nodes())):
        return False  # with writes in place, a view and a copy differ
    for view in views:
        _replace(graph, view)
    return True


def _replace(graph: torch._C.Graph, view: torch._C.Node) -> None:
    """Replace a view by a reshape, which is a view if possible."""
    reshape = graph.create(_RESHAPE, list(view.inputs()), 1)
    reshape.insertBefore(view)
    reshape.output().setType(view.output().type())
    view.output().replaceAllUsesWith(reshape.output())
    view.destroy()


def _constants(graph: torch._C.Graph) -> list[torch.Tensor]:
    return [node.t("value") for node in _every(graph.nodes()) if _is_tensor(node)]


def _is_tensor(node: torch._C.Node) -> bool:
    return node.kind() == _CONSTANT and node.hasAttribute("value") and node.kindOf("value") == "t"


def _every(nodes: Iterable[torch._C.Node]) -> Iterator[torch._C.Node]:
    """The nodes, and all nodes within their blocks."""
    for node in nodes:
        yield node
        for block in node.blocks():
            yield from _every(block.nodes())
