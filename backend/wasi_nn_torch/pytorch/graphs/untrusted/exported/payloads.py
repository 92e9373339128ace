"""The tensors of an exported program: raw bytes in files, and a table that says which tensor is which part of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from wasi_nn_torch.pytorch.graphs.untrusted.archive import Archive
from wasi_nn_torch.pytorch.graphs.untrusted.exported.program import path, tensor
from wasi_nn_torch.pytorch.graphs.untrusted.exported.shape import (
    Misfit,
    Shape,
    boolean,
    integer,
    mapping,
    one_of,
    record,
    text,
    union,
)

#: By the number that the schema of PyTorch gives to a dtype.
_ITEM_SIZES = {
    **dict.fromkeys((1, 2, 12, 29, 30, 31, 32, 33), 1),
    **dict.fromkeys((3, 6, 13, 28), 2),
    **dict.fromkeys((4, 7, 9, 34), 4),
    **dict.fromkeys((5, 8, 10, 35), 8),
    11: 16,
}

#: No operator's argument, but a place in a file: PyTorch adds and multiplies these without a look at the 64th bit.
_size = union(as_int=integer(0, 1 << 62))
_payload = record(
    path_name=text(r"(?:weight|tensor)_[0-9]{1,9}"),
    is_param=boolean,
    use_pickle=one_of(False),
    tensor_meta=tensor(_size),
)
_table = record(config=mapping(path, _payload))


def tensors_within(archive: Archive, folder: str) -> Shape:
    """Pass the table of the tensors in a folder, "weights" or "constants", if all of them lie within their files."""

    def shape(value: object) -> object:
        table = _table(value)
        kinds: dict[str, object] = {}
        for name, payload in _payloads(table):
            file, meta = payload["path_name"], payload["tensor_meta"]
            try:
                _require_within(meta, archive.size(f"data/{folder}/{file}"))
                if kinds.setdefault(file, meta["dtype"]) != meta["dtype"]:
                    raise Misfit("its file holds elements of another type")
            except Misfit as misfit:
                misfit.where += [name, "config"]
                raise
        return table

    return shape


def paths_in(table: object, folder: str) -> list[str]:
    """Return the paths of all files that a table which passed names."""
    return sorted({f"data/{folder}/{payload['path_name']}" for _, payload in _payloads(table)})


def _payloads(table: Any) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401  # it has passed: its shape is known
    yield from table["config"].items()


def _require_within(meta: dict[str, Any], held: int | None) -> None:
    item = _ITEM_SIZES.get(meta["dtype"])
    sizes, strides = ([size["as_int"] for size in meta[key]] for key in ("sizes", "strides"))
    if held is None or item is None or held % item or len(sizes) != len(strides):
        raise Misfit("there is no file with its elements")
    elements, count = held // item, math.prod(sizes)
    steps = ((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    last = meta["storage_offset"]["as_int"] + sum(steps)
    if count > elements or (count > 0 and last >= elements):
        raise Misfit(f"sizes {sizes[:8]} and strides {strides[:8]} are more than the {elements} elements of its file")
