"""The number and the nesting of the parts of a model, counted before it is parsed.

A part of two bytes takes more than a hundred when it is parsed. So the serialized form is read first, which needs no
memory: https://protobuf.dev/programming-guides/encoding. Which fields have parts of their own follows from the
definition of the format, as the `onnx` package has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import onnx

from wasi_nn_torch.onnx.vetting.refusal import damaged, refusal

#: The most fields of a model; a network of 10,000 nodes has about 200,000.
MOST_FIELDS: Final = 500_000
#: The deepest nesting of parts; a graph within a graph is three levels deeper.
DEEPEST: Final = 32

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


def require_bounded(model: memoryview) -> None:
    """Raise NnError: `security` for too many or too deeply nested parts, `invalid-encoding` if they do not add up."""
    pending = [(0, len(model), onnx.ModelProto.DESCRIPTOR.full_name, 1)]
    fields = 0
    while pending:
        at, end, kind, depth = pending.pop()
        if depth > DEEPEST:
            raise refusal(f"its parts are nested more than {DEEPEST} deep")
        layout = _layouts()[kind]
        while at < end:
            fields += 1
            if fields > MOST_FIELDS:
                raise refusal(f"it has more than {MOST_FIELDS:,} fields")
            tag, at = _varint(model, at, end)
            if tag & 7 == _LENGTH:
                size, at = _varint(model, at, end)
                part = layout.parts.get(tag >> 3)
                if part is not None:
                    pending.append((at, at + size, part, depth + 1))
                elif tag >> 3 in layout.texts:
                    _require_text(model[at : at + size])
                at += size
            else:
                at = _past(model, at, end, tag & 7)
            if at > end:
                raise damaged("a field is longer than what it is in")


def _past(model: memoryview, at: int, end: int, kind: int) -> int:
    if kind == _VARINT:
        return _varint(model, at, end)[1]
    if kind in (_FIXED32, _FIXED64):
        return at + (4 if kind == _FIXED32 else 8)
    raise damaged(f"it has a field of the unknown kind {kind}")


def _varint(model: memoryview, at: int, end: int) -> tuple[int, int]:
    """A number and where it ends."""
    number = 0
    for shift in range(_LONGEST_VARINT):
        if at >= end:
            break
        byte = model[at]
        at += 1
        number |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return number, at
    raise damaged("a number in it does not end")


def _require_text(text: memoryview) -> None:
    try:
        str(text, "utf-8")
    except UnicodeDecodeError:
        error = damaged("a text in it is not UTF-8")
    else:
        return
    raise error


@dataclass(frozen=True)
class _Layout:
    """The fields of one kind of part, by number: those that have parts, with their kinds, and those that are texts."""

    parts: Mapping[int, str]
    texts: frozenset[int]


@cache
def _layouts() -> Mapping[str, _Layout]:
    """The layout of each kind of part."""
    found: dict[str, _Layout] = {}
    pending: list[Any] = [onnx.ModelProto.DESCRIPTOR]
    while pending:
        message = pending.pop()
        if message.full_name not in found:
            inner = [field for field in message.fields if field.message_type is not None]
            found[message.full_name] = _Layout(
                {field.number: field.message_type.full_name for field in inner},
                frozenset(field.number for field in message.fields if field.type == field.TYPE_STRING),
            )
            pending += [field.message_type for field in inner]
    return found
