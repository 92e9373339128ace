"""The descriptions of inputs, outputs and weights that all formats share."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from wasi_nn_torch.contract.description import ValueDescription, WeightsDescription
from wasi_nn_torch.pytorch.dtypes import spell
from wasi_nn_torch.pytorch.graphs.inputs.signature import Signature


def describe_left_out(signature: Signature) -> tuple[ValueDescription, ...]:
    """The descriptions of the parameters that no guest can give."""
    return tuple(ValueDescription(each.name, each.kind, optional=True) for each in signature.left_out)


def describe_weights(tensors: Iterable[torch.Tensor]) -> tuple[WeightsDescription, ...]:
    """The memory of tensors for each dtype, the largest first; memory that several tensors share counts once."""
    storages: dict[int, tuple[torch.dtype, int]] = {}
    for tensor in tensors:
        storage = tensor.untyped_storage()
        if storage.nbytes():
            storages.setdefault(storage.data_ptr(), (tensor.dtype, storage.nbytes()))
    taken: dict[torch.dtype, int] = {}
    for dtype, nbytes in storages.values():
        taken[dtype] = taken.get(dtype, 0) + nbytes
    weights = (WeightsDescription(spell(dtype), nbytes // dtype.itemsize, nbytes) for dtype, nbytes in taken.items())
    return tuple(sorted(weights, key=lambda each: (-each.nbytes, each.dtype)))
