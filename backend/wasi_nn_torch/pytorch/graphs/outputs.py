"""What a model takes or returns, flattened: every part under the name that the structure gives it."""

from collections.abc import Iterator

import torch

from wasi_nn_torch.errors import ErrorCode, NnError, quote

_SINGLE = "output"


def flatten(result: object) -> list[tuple[str, torch.Tensor]]:
    """Return a model's outputs by name: dict keys, fields of a NamedTuple, positions; nested ones by path, "aux.0".

    A single tensor is "output". Numbers and booleans become tensors of one element in the host's memory: U8, I64, FP64.
    None, an output that the model left out, is left out. Each tensor is a new object on the storage of the one in
    `result`: once the result is gone, a storage that has another owner shows by its reference count.

    Raises NnError `unsupported-operation` for anything else, such as a string.
    """
    return [(".".join(path) or _SINGLE, _as_tensor(path, leaf)) for path, leaf in leaves(result)]


def leaves(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield what is neither a container nor None, with its path; NamedTuples are tuples with `_fields`."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        fields = getattr(value, "_fields", range(len(value)))
        for field, item in zip(fields, value, strict=True):
            yield from leaves(item, (*path, str(field)))
    elif value is not None:
        yield path, value


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
