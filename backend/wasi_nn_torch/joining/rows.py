"""The rows of inputs and outputs, in dimension 0 of each."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from wasi_nn_torch.contract.text import quote


class NotByRows(Exception):
    """An output that does not have the rows of the inputs in dimension 0."""


def kind_of(values: Iterable[tuple[str, Hashable, Sequence[int] | None]]) -> tuple[Hashable, int]:
    """What requests that can be joined have in common, and the rows of one.

    A value is given by its name, its dtype and its shape; a number, which is the same for all rows, by its name, itself
    and None. The kind is None if there are no rows, or not the same number in all values.
    """
    rows = -1
    kind: list[Hashable] = []
    for name, what, shape in values:
        if shape is None:
            kind += (name, what, None)
            continue
        if not shape or (shape[0] != rows and rows >= 0):
            return None, 1
        rows = shape[0]
        kind += (name, what, tuple(shape[1:]))
    return (tuple(kind), rows) if rows > 0 else (None, 1)


def require_rows(name: str, shape: Sequence[int], rows: int) -> None:
    """Raise NotByRows if the output `name` does not have so many rows."""
    if not shape or shape[0] != rows:
        spelled = ", ".join(map(str, shape))
        text = f"its output {quote(name)} is [{spelled}] for {rows} rows of the inputs"
        raise NotByRows(f"{text}, which must be in dimension 0 of outputs, too")
