"""Components rewritten so that lists of fixed length are tuples.

In: the bytes of a component. Out: bytes that this version of Wasmtime accepts. Wasmtime's C API cannot enable lists of
fixed length, but `list<T, N>` and the tuple of N times T have the same size, alignment and core values in the canonical
ABI. So each list becomes such a tuple, and the guest's core code stays the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import chain

from .binary import InvalidComponent, encoded
from .sections import TYPE, Edit, Section, edited, is_component, sections
from .types import FIXED_LENGTH_LIST, TUPLE, Type, types, walk

#: The engine's limit for the elements of one tuple.
LONGEST = 10_000
#: The most elements of all such tuples; a few bytes of a guest must not make the host allocate gigabytes.
MOST = 1 << 20
#: The most bytes of types that are read; a large guest has about eleven thousand.
TYPE_BYTES = 1 << 17

_log = logging.getLogger(__name__)


def replace_fixed_length_lists(wasm: bytes) -> bytes:
    """Return `wasm` with a tuple for each `list<T, N>`, or `wasm` itself if there is none.

    A component that cannot be read stays as it is, so that the engine reports the error; the log has the reason. Raises
    `InvalidComponent` for a list that is longer than the engine's tuples can be, or for too many of them.
    """
    if not is_component(wasm):
        return wasm
    try:
        parts = sections(wasm)
        lists = _fixed_length_lists(wasm, parts)
    except InvalidComponent as error:
        _log.info("the component is left as it is: %s", error)
        return wasm
    if not lists:
        return wasm
    _check(lists.values())
    return edited(wasm, parts, {index: [_as_tuple(wasm, each) for each in found] for index, found in lists.items()})


def _fixed_length_lists(wasm: bytes, parts: Sequence[Section]) -> dict[int, list[Type]]:
    """Return the lists of fixed length by the index of the section that defines them, without invalid empty ones."""
    found: dict[int, list[Type]] = {}
    left = TYPE_BYTES
    for index, part in enumerate(parts):
        if part.id != TYPE:
            continue
        left -= part.end - part.body
        if left < 0:
            raise InvalidComponent(f"types take more than {TYPE_BYTES} bytes", part.start)
        definitions = chain.from_iterable(map(walk, types(wasm, part.body, part.end)))
        lists = [each for each in definitions if each.kind == FIXED_LENGTH_LIST and _length(each)]
        if lists:
            found[index] = lists
    return found


def _check(lists: Iterable[Iterable[Type]]) -> None:
    total = 0
    for each in chain.from_iterable(lists):
        if _length(each) > LONGEST:
            raise InvalidComponent(f"a list of fixed length {_length(each)} is longer than {LONGEST}", each.start)
        total += _length(each)
        if total > MOST:
            raise InvalidComponent(f"lists of fixed length have more than {MOST} elements in all", each.start)


def _length(definition: Type) -> int:
    return definition.parts[1].value


def _as_tuple(wasm: bytes, definition: Type) -> Edit:
    element, length = definition.parts
    return Edit(
        definition.start,
        definition.end,
        bytes([TUPLE]) + encoded(length.value) + wasm[element.start : element.end] * length.value,
    )
