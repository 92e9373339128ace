"""The flattening of nested inputs and outputs: each part gets a name from its place in the structure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from collections.abc import Set as AbstractSet

import torch
from torch.utils import _pytree as pytree

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pytorch.graphs.inputs.structure import Path, keys_of

_SINGLE = "output"


def flatten(result: object) -> list[tuple[str, torch.Tensor]]:
    """The outputs of a model by name: dict keys, fields or positions; nested outputs by path, "aux.0".

    A single tensor is "output". Numbers and booleans become tensors of one element in the host's memory: U8, I64, FP64.
    None, which stands for an omitted output, is skipped. Each tensor is a new object on the storage of the one in
    `result`; once the result is released, the storage's reference count shows whether it has another owner.

    Raises NnError `unsupported-operation` for anything else, such as a string.
    """
    if isinstance(result, torch.Tensor):  # the usual case
        return [(_SINGLE, result.detach())]
    found = result if isinstance(result, Flat) else leaves(result)
    return [(".".join(path) or _SINGLE, _as_tensor(path, leaf)) for path, leaf in found if leaf is not None]


class Flat(list[tuple[Path, object]]):
    """A result that is already flat: each part with its path."""


def leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """The parts that are neither containers nor None, with their paths; the path of a NamedTuple's part has its field.

    Containers include dataclasses, classes registered with PyTorch's pytree, and other objects with a length and parts,
    such as the caches of transformers.
    """
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        fields = getattr(value, "_fields", range(len(value)))
        for field, item in zip(fields, value, strict=True):
            yield from leaves(item, (*path, str(field)))
    elif value is not None:
        parts = _parts(value)
        if parts is None:
            yield path, value
        for key, item in parts or ():
            yield from leaves(item, (*path, key))


def _parts(value: object) -> Sequence[tuple[str, object]] | None:
    """The parts of any other container, each with its key; None if the value is not a container."""
    if isinstance(value, int | float | str | bytes | AbstractSet):  # a set has no order
        return None
    node = pytree.SUPPORTED_NODES.get(type(value))
    if node is not None:
        items, context = node.flatten_fn(value)
        items = list(items)
        return list(zip(keys_of(context, len(items)), items, strict=True))
    if dataclasses.is_dataclass(value):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        return [(str(key), item) for key, item in value.items()]
    if isinstance(value, Sized) and isinstance(value, Iterable) and not hasattr(value, "__array__"):
        return [(str(position), item) for position, item in enumerate(value)]
    return None


def _as_tensor(path: tuple[str, ...], leaf: object) -> torch.Tensor:
    if isinstance(leaf, torch.Tensor):
        return leaf.detach()
    if isinstance(leaf, bool):
        return torch.tensor([leaf], dtype=torch.uint8)
    if isinstance(leaf, int):
        return torch.tensor([leaf], dtype=torch.int64)
    if isinstance(leaf, float):
        return torch.tensor([leaf], dtype=torch.float64)
    raise NnError(
        ErrorCode.UNSUPPORTED_OPERATION,
        f"output {quote('.'.join(path) or _SINGLE)} has the type {type(leaf).__name__}, which wasi-nn cannot express; "
        "let the model return tensors",
    )
