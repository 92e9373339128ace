"""The state that a model keeps between computations: each context has its own, while the weights are shared."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch

from wasi_nn_torch.pytorch.ownership import size_of

#: A model that can be called with its parameters as keyword arguments.
Model = Callable[..., object]

#: The method that a module computes unless another one is chosen.
FORWARD = "forward"

#: Operations whose writes the graph does not show: they set attributes, or call code that is not inlined.
UNSEEN = frozenset({"prim::SetAttr", "prim::CallMethod", "prim::CallFunction", "prim::fork"})

#: The positions of the running statistics among the inputs of normalizations, and of the flag that updates them. The
#: operators' schemas do not declare these writes.
STATISTICS, _TRAINING = (3, 4), 5
_NORMS = frozenset(
    """aten::batch_norm aten::instance_norm aten::native_batch_norm aten::cudnn_batch_norm aten::miopen_batch_norm
    aten::_batch_norm_impl_index""".split()
)


def instances_of(module: torch.jit.ScriptModule, method: str = FORWARD) -> tuple[Callable[[], Model], int]:
    """A function that makes the model of one more context, and the memory that each takes, in bytes.

    The model computes `method`. It is `module` itself if that keeps no state, and otherwise a copy.

    Afterwards the caller may not use `module` any more. Copies share the storage of its parameters, and have their own
    buffers and other attributes, as they were loaded.
    """
    if _may_remember(module._c._get_method(method).inlined_graph.nodes()):
        return _Skeleton(module, method).instance, size_of(module.buffers())
    model = bound(module, method)
    return lambda: model, 0


def bound(module: torch.nn.Module, method: str) -> Model:
    """A callable that computes a method of a module, with the hooks of the module if the method is `forward`."""
    if method == FORWARD:
        return module
    model: Model = getattr(module, method)
    return model


def _may_remember(nodes: Iterable[torch._C.Node]) -> bool:
    """Whether any operation sets an attribute or writes in place, even to an activation: an extra copy is safe."""
    return any(
        node.kind() in UNSEEN
        or "!" in node.schema()  # marks an argument that is written to
        or updates_statistics(node)
        or any(_may_remember(block.nodes()) for block in node.blocks())
        for node in nodes
    )


def updates_statistics(node: torch._C.Node) -> bool:
    """Whether a normalization may update its statistics, as it does during training."""
    if node.kind() not in _NORMS:
        return False
    statistics = node.inputsAt(STATISTICS[0]).node()
    has_none = statistics.kind() == "prim::Constant" and statistics.output().toIValue() is None
    return not has_none and not _is_off(node.inputsAt(_TRAINING))


def _is_off(flag: torch._C.Value) -> bool:
    """Whether a flag is false in a module in evaluation mode that does not set attributes."""
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
    """A module without its parameters, so that copying it copies only what may change."""

    def __init__(self, module: torch.jit.ScriptModule, method: str) -> None:
        self._module = module
        self._method = method
        self._weights = [parameter.detach() for parameter in module.parameters()]
        for parameter in module.parameters():
            parameter.data = torch.empty(0, dtype=parameter.dtype, device=parameter.device)

    def instance(self) -> Model:
        """A copy of the module with the shared parameters put back."""
        module = copy.deepcopy(self._module)
        for parameter, weight in zip(module.parameters(), self._weights, strict=True):
            parameter.data = weight
        return bound(module, self._method)
