"""The tensors of an exported program: raw bytes in files, and a table with the place of each tensor in them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from wasi_nn_torch.pytorch.graphs.vetting.archive import Archive
from wasi_nn_torch.pytorch.graphs.vetting.exported.program import path, tensor
from wasi_nn_torch.pytorch.graphs.vetting.exported.shape import (
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

#: The sizes of elements in bytes, by the number of the dtype in PyTorch's schema.
_ITEM_SIZES = {
    **dict.fromkeys((1, 2, 12, 29, 30, 31, 32, 33), 1),
    **dict.fromkeys((3, 6, 13, 28), 2),
    **dict.fromkeys((4, 7, 9, 34), 4),
    **dict.fromkeys((5, 8, 10, 35), 8),
    11: 16,
}

#: A size, stride or offset within a file, which PyTorch adds and multiplies without checking for overflow.
_size = union(as_int=integer(0, 1 << 62))
_payload = record(
    path_name=text(r"(?:weight|tensor)_[0-9]{1,9}"),
    is_param=boolean,
    use_pickle=one_of(False),
    tensor_meta=tensor(_size),
)
_table = record(config=mapping(path, _payload))


def tensors_within(archive: Archive, directory: str) -> Shape:
    """Pass the table of the tensors in a directory, "weights" or "constants", if all lie within their files."""

    def shape(value: object) -> object:
        table = _table(value)
        kinds: dict[str, object] = {}
        for name, payload in _payloads(table):
            file, meta = payload["path_name"], payload["tensor_meta"]
            try:
                _require_within(meta, archive.size(f"data/{directory}/{file}"))
                if kinds.setdefault(file, meta["dtype"]) != meta["dtype"]:
                    raise Misfit("its file has elements of another type")
            except Misfit as misfit:
                misfit.where += [name, "config"]
                raise
        return table

    return shape


def paths_in(table: object, directory: str) -> list[str]:
    """The paths of all files that a table, which has passed, names."""
    return sorted({f"data/{directory}/{payload['path_name']}" for _, payload in _payloads(table)})


def _payloads(table: Any) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401  # it has passed, so its shape is known
    yield from table["config"].items()


def _require_within(meta: dict[str, Any], held: int | None) -> None:
    item = _ITEM_SIZES.get(meta["dtype"])
    sizes, strides = ([size["as_int"] for size in meta[key]] for key in ("sizes", "strides"))
    if held is None or item is None or held % item or len(sizes) != len(strides):
        raise Misfit("the file with its elements is missing, or does not match its dtype or sizes")
    elements, count = held // item, math.prod(sizes)
    steps = ((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    last = meta["storage_offset"]["as_int"] + sum(steps)
    if count > elements or (count > 0 and last >= elements):
        raise Misfit(f"the sizes {sizes[:8]} and strides {strides[:8]} exceed the {elements} elements of its file")
