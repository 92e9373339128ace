"""What a model takes or returns, flattened: every part under the name that the structure gives it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from collections.abc import Set as AbstractSet

import torch
from torch.utils import _pytree as pytree

from wasi_nn_torch.contract.errors import ErrorCode, NnError, quote
from wasi_nn_torch.pytorch.graphs.structure import Path, keys_of

_SINGLE = "output"


def flatten(result: object) -> list[tuple[str, torch.Tensor]]:
    """Return a model's outputs by name: dict keys, fields, positions; nested ones by path, "aux.0".

    A single tensor is "output". Numbers and booleans become tensors of one element in the host's memory: U8, I64, FP64.
    None, an output that the model left out, is left out. Each tensor is a new object on the storage of the one in
    `result`: once the result is gone, a storage that has another owner shows by its reference count.

    Raises NnError `unsupported-operation` for anything else, such as a string.
    """
    found = result if isinstance(result, Flat) else leaves(result)
    return [(".".join(path) or _SINGLE, _as_tensor(path, leaf)) for path, leaf in found if leaf is not None]


class Flat(list[tuple[Path, object]]):
    """A result that is flat already: each part with its path."""


def leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Yield what is neither a container nor None, with its path; NamedTuples are tuples with `_fields`.

    Containers are also dataclasses, what PyTorch was told to take apart, and whatever else has a length and parts, as
    the caches of transformers.
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
    """Return the parts of any other container, each with its key; None for what is no container."""
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
        f"output {quote('.'.join(path) or _SINGLE)} is a {type(leaf).__name__}, which wasi-nn cannot express; "
        "let the model return tensors",
    )
