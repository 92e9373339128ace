"""What a model remembers between computations: each context has its own, while the weights are shared."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch

from wasi_nn_torch.pytorch.sharing import size_of

#: A model that is ready to be called with its parameters as keyword arguments.
Model = Callable[..., object]

#: The method that a module computes unless another one is chosen.
FORWARD = "forward"

#: Whatever may write where the graph cannot see it: an attribute, or code that is not inlined.
UNSEEN = frozenset({"prim::SetAttr", "prim::CallMethod", "prim::CallFunction", "prim::fork"})

#: Where these have running statistics among their inputs, and what says whether to update them: no schema tells.
STATISTICS, _TRAINING = (3, 4), 5
_NORMS = frozenset(
    """aten::batch_norm aten::instance_norm aten::native_batch_norm aten::cudnn_batch_norm aten::miopen_batch_norm
    aten::_batch_norm_impl_index""".split()
)


def instances_of(module: torch.jit.ScriptModule, method: str = FORWARD) -> tuple[Callable[[], Model], int]:
    """Return what makes a model for one more context, and what that takes, in bytes.

    What a model computes is `method`. It is `module` itself if it remembers nothing, else a copy.

    Afterwards `module` belongs to the callee. Copies share the storage of its parameters, and have buffers and other
    attributes of their own, as they were loaded.
    """
    if _may_remember(module._c._get_method(method).inlined_graph.nodes()):
        return _Skeleton(module, method).instance, size_of(module.buffers())
    model = bound(module, method)
    return lambda: model, 0


def bound(module: torch.nn.Module, method: str) -> Model:
    """Return what computes a method of a module, with the hooks of the module where that is `forward`."""
    if method == FORWARD:
        return module
    model: Model = getattr(module, method)
    return model


def _may_remember(nodes: Iterable[torch._C.Node]) -> bool:
    """Whether any operation sets an attribute or writes in place, be it to an activation: to copy too often is safe."""
    return any(
        node.kind() in UNSEEN
        or "!" in node.schema()  # how a schema marks an argument that is written to
        or updates_statistics(node)
        or any(_may_remember(block.nodes()) for block in node.blocks())
        for node in nodes
    )


def updates_statistics(node: torch._C.Node) -> bool:
    """Whether a normalization may write to statistics, as it does while training."""
    if node.kind() not in _NORMS:
        return False
    statistics = node.inputsAt(STATISTICS[0]).node()
    has_none = statistics.kind() == "prim::Constant" and statistics.output().toIValue() is None
    return not has_none and not _is_off(node.inputsAt(_TRAINING))


def _is_off(flag: torch._C.Value) -> bool:
    """Whether a flag is false in a module in evaluation mode; a module that sets attributes is not asked for."""
    node = flag.node()
    if node.kind() == "prim::Constant":
        return bool(flag.toIValue()) is False
    if node.kind() == "prim::GetAttr":
        return str(node.s("name")) == "training"
    if node.kind() != "prim::If":
        return False
    on, off = (list(block.outputs())[flag.offset()] for block in node.blocks())
    return _is_off(off) and (_is_off(node.input()) or _is_off(on))


class _Skeleton:
    """A module whose parameters were taken out, so that copying it copies only what may change."""

    def __init__(self, module: torch.jit.ScriptModule, method: str) -> None:
        self._module = module
        self._method = method
        self._weights = [parameter.detach() for parameter in module.parameters()]
        for parameter in module.parameters():
            parameter.data = torch.empty(0, dtype=parameter.dtype, device=parameter.device)

    def instance(self) -> Model:
        """Return a copy with the shared parameters put back."""
        module = copy.deepcopy(self._module)
        for parameter, weight in zip(module.parameters(), self._weights, strict=True):
            parameter.data = weight
        return bound(module, self._method)
