"""Making an exported program faster: normalizations are folded into convolutions, and weights laid out for the device.

No part of the program is run for this: the new weights are plain arithmetic on the old ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.fx import GraphModule, Node
from torch.nn.utils.fusion import fuse_conv_bn_weights

from wasi_nn_torch.pytorch.graphs.optimizing.layout import (
    CONVOLUTIONS,
    channels_last,
    follows_any_layout,
    is_compact,
    is_kernel,
    unshared,
)
from wasi_nn_torch.pytorch.graphs.optimizing.steps import Steps

_ATEN = torch.ops.aten
_NORMALIZATION = _ATEN.batch_norm.default
_FOLDABLE = frozenset({_ATEN.conv1d.default, _ATEN.conv1d.padding, _ATEN.conv2d.default, _ATEN.conv2d.padding})
#: The positions of the weights and the bias among the arguments of a convolution.
_WEIGHTS, _BIAS = 1, 2

#: The arguments of a program's code, one for each of its placeholders; None for an input.
Tensors = list[torch.Tensor | None]


def fold(code: GraphModule, tensors: Tensors, steps: Steps, writes: bool) -> bool:
    """Change the code of a program, and the tensors that it takes, so that it computes faster.

    `writes` is whether it may write to a tensor in place. Returns whether the weights of its convolutions are laid out
    with channels last.
    """
    own = {id(tensor) for tensor in unshared(tensor for tensor in tensors if tensor is not None)}
    placeholders = code.graph.find_nodes(op="placeholder")
    given = {node: place for place, node in enumerate(placeholders) if id(tensors[place]) in own}
    if steps.fold:
        for node in code.graph.find_nodes(op="call_function", target=_NORMALIZATION):
            _fold_into_convolution(node, given, tensors)
    is_laid_out = steps.lay_out and _allows_any_layout(code, writes)
    if is_laid_out:
        for node in code.graph.nodes:
            if node.target is _ATEN.view.default:
                node.target = _ATEN.reshape.default  # still a view if possible
            elif _kind(node) in CONVOLUTIONS:
                _lay_out(node.args[_WEIGHTS], given, tensors)
    code.recompile()
    return is_laid_out


def _fold_into_convolution(node: Node, given: dict[Node, int], tensors: Tensors) -> None:
    """Fold a normalization into the convolution before it, unless something else uses its result or its tensors.

    The new weights replace the old ones, and the new bias replaces the mean.
    """
    convolution, scale, shift, mean, variance, trains, _, epsilon, *_ = node.args
    if trains or not isinstance(convolution, Node) or convolution.target not in _FOLDABLE or len(convolution.users) > 1:
        return
    inputs, weights, *bias = convolution.args[: _BIAS + 1]
    parts = [weights, bias[0] if bias else None, mean, variance, scale, shift]
    places = [given[part] if isinstance(part, Node) and part in given else None for part in parts]
    if any(place is None and part is not None for place, part in zip(places, parts, strict=True)):
        return
    own = [None if place is None else tensors[place] for place in places]
    own_weights, own_bias, own_mean, own_variance, own_scale, own_shift = own
    if own_weights is None or own_mean is None or own_variance is None or not isinstance(epsilon, float):
        return
    if not _fit(own_weights, [own_bias, own_mean, own_variance, own_scale, own_shift]):
        return
    if any(len(part.users) > 1 for part in (weights, mean) if isinstance(part, Node)):
        return
    folded = fuse_conv_bn_weights(own_weights, own_bias, own_mean, own_variance, epsilon, own_scale, own_shift)
    convolution.args = (inputs, weights, mean, *convolution.args[_BIAS + 1 :])
    node.replace_all_uses_with(convolution)
    node.graph.erase_node(node)
    for part, place in zip(parts, places, strict=True):
        if isinstance(part, Node) and place is not None and not part.users:
            tensors[place] = torch.empty(0)  # no longer used
    for place, tensor in zip((places[0], places[2]), folded, strict=True):
        if place is not None:
            tensors[place] = tensor.detach()


def _fit(weights: torch.Tensor, vectors: Sequence[torch.Tensor | None]) -> bool:
    """Whether each vector has one element per output of a convolution; otherwise the product could be of any size."""
    return is_compact(weights) and all(
        vector is None or (vector.shape == weights.shape[:1] and is_compact(vector)) for vector in vectors
    )


def _allows_any_layout(code: GraphModule, writes: bool) -> bool:
    """Whether a program computes the same for every memory layout once its views may copy."""
    nodes = [node for node in code.graph.nodes if node.op == "call_function"]
    if len(list(code.children())) > 0 or (writes and any(node.target is _ATEN.view.default for node in nodes)):
        return False
    kinds = {_kind(node) for node in nodes if node.target is not _ATEN.view.default}
    return not kinds.isdisjoint(CONVOLUTIONS) and all(map(follows_any_layout, kinds)) and "aten::view" not in kinds


def _lay_out(weights: object, given: dict[Node, int], tensors: Tensors) -> None:
    place = given.get(weights) if isinstance(weights, Node) else None
    tensor = None if place is None else tensors[place]
    if place is not None and tensor is not None and is_kernel(tensor):
        tensors[place] = channels_last(tensor)


def _kind(node: Node) -> str:
    """The name of the operator that a node calls, such as "aten::relu"; "prim::python" for Python's own operators."""
    if isinstance(node.target, torch._ops.OpOverload):
        return str(node.target._schema.name)
    return "prim::python" if getattr(node.target, "__module__", "") == "_operator" else str(node.target)
