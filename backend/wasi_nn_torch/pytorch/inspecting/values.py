"""How inputs, outputs and weights of PyTorch are described, whatever the format."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from wasi_nn_torch.contract.description import ValueDescription, WeightsDescription
from wasi_nn_torch.pytorch.dtypes import ELEMENT_TYPES, spell
from wasi_nn_torch.pytorch.graphs.parameters import Parameter
from wasi_nn_torch.pytorch.graphs.signature import Signature
from wasi_nn_torch.pytorch.graphs.traced import Example


def describe_parameter(parameter: Parameter, example: Example | None = None) -> ValueDescription:
    """Describe one input; `example` is what the model was made with."""
    return ValueDescription(
        name=parameter.name,
        kind=parameter.kind.value,
        dtype=None if parameter.dtype is None else spell_dtype(parameter.dtype),
        shape=parameter.shape,
        example=None if example is None else example.shape,
        example_dtype=None if example is None else spell_dtype(example.dtype),
        optional=parameter.optional,
    )


def describe_left_out(signature: Signature) -> tuple[ValueDescription, ...]:
    """Describe what no guest can give."""
    return tuple(ValueDescription(each.name, each.kind, optional=True) for each in signature.left_out)


def describe_weights(tensors: Iterable[torch.Tensor]) -> tuple[WeightsDescription, ...]:
    """Add up what tensors take for each dtype, the most first; what several of them share is counted once."""
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


def spell_dtype(dtype: torch.dtype) -> str:
    """Return what wasi-nn calls a dtype, or what PyTorch does where wasi-nn has no name for it."""
    return ELEMENT_TYPES[dtype].spelling if dtype in ELEMENT_TYPES else spell(dtype)
