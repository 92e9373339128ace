"""Waits in slices: after each slice the engine checks whether the guest may continue.

The engine cannot interrupt a function of WASI that waits. So a guest that imports such functions becomes a component
inside another one, the outer component, which has the same imports and exports. It passes to the guest what it imports,
except that functions that wait come from a third component (`slicing_code`), which waits for a slice at a time. The
third component needs functions that the guest may not import, so these are imported once more, in another version.

In: a component. Out: the outer component.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import wasmtime

from .definitions import (
    ALIAS,
    CANON,
    COMPONENT,
    CORE_INSTANCE,
    CORE_MODULE,
    CORE_TYPE,
    CUSTOM,
    EXPORT,
    IMPORT,
    TYPE,
    Definition,
    Origin,
    Space,
)
from .index_spaces import indices
from .obstacles import Obstacle
from .outer_component import Item, OuterComponent
from .sections import Section, is_component, sections
from .slicing_code import Slicing
from .slicing_imports import after_type, poll_type, subscribe_type
from .types import ASYNC_RESOURCE, RESOURCE
from .waiting_imports import Waiting, unused_version, waiting_imports

#: Every component that imports a function that waits contains this.
_SIGN = b"wasi:io/"
#: The sections that imports do not depend on.
_APART = (CUSTOM, CORE_MODULE, COMPONENT, CORE_INSTANCE, CANON)


@dataclass(frozen=True, slots=True)
class Sliced:
    """A component whose waits can be interrupted; before the guest, `helpers` other components with a memory start."""

    wasm: bytes
    helpers: int = 0


def slice_waits(wasm: bytes) -> Sliced:
    """Let a guest wait in slices. Raises `Obstacle` if that is not possible, and `InvalidComponent`."""
    if not is_component(wasm) or _SIGN not in wasm:
        return Sliced(wasm)
    parts = [part for part in sections(wasm) if part.parent is None]
    last = max((number for number, part in enumerate(parts) if part.id == IMPORT), default=-1)
    begin = parts[: last + 1]
    found = indices(wasm, begin)
    versions = waiting_imports(found)
    if not versions:
        return Sliced(wasm)
    start = _start(wasm, begin)
    outer = OuterComponent(start.content, start.spaces)
    unused = unused_version(found)
    replaced: dict[int, int] = {}
    for number, instances in enumerate(versions.values()):
        replaced |= _sliced(outer, b"@0.2.%d" % (unused + number), instances)
    guest = outer.instance(outer.nested(memoryview(wasm)), [_replaced(item, replaced) for item in start.imports])
    _export(outer, guest, wasm, [part for part in parts if part.id == EXPORT])
    return Sliced(outer.wasm(), len(versions))


def _replaced(item: Item, instances: Mapping[int, int]) -> Item:
    name, space, index = item
    return name, space, instances.get(index, index) if space == Space.INSTANCE else index


def _export(outer: OuterComponent, guest: int, wasm: bytes, parts: Sequence[Section]) -> None:
    exported = [(each.name, each.space) for _, each in indices(wasm, parts).all]
    items = [(name, space, outer.alias(guest, name, space)) for name, space in exported]
    for item in items:
        outer.export(item)


# --- the start of the outer component ---


@dataclass(frozen=True, slots=True)
class _Start:
    """The sections that the imports need, the space of each definition in them, and the imports."""

    content: list[bytes | memoryview] = field(default_factory=list)
    spaces: list[Space] = field(default_factory=list)
    imports: list[Item] = field(default_factory=list)


def _start(wasm: bytes, begin: Sequence[Section]) -> _Start:
    """Copy the imports and everything that they depend on. Raises `Obstacle` if that is in an unfamiliar order."""
    start = _Start()
    for part in begin:
        defined = [each for _, each in indices(wasm, [part]).all]
        if not _is_needed(part, defined):
            continue
        start.content.append(memoryview(wasm)[part.start : part.end])
        for each in defined:
            if each.origin == Origin.IMPORT:
                start.imports.append((each.name, each.space, start.spaces.count(each.space)))
            start.spaces.append(each.space)
    return start


def _is_needed(part: Section, defined: Sequence[Definition]) -> bool:
    """Return whether imports may depend on a section. Raises `Obstacle` if the section cannot be copied."""
    core = [each.origin == Origin.ALIAS_CORE_EXPORT for each in defined]
    if part.id in _APART or (part.id == ALIAS and all(core)):
        return False
    kinds = {each.type.kind for each in defined if each.type is not None}
    if part.id not in (TYPE, CORE_TYPE, ALIAS, IMPORT) or any(core) or kinds & {RESOURCE, ASYNC_RESOURCE}:
        raise Obstacle("it defines other things before its last import")
    return True


# --- the functions that wait ---


def _sliced(outer: OuterComponent, version: bytes, instances: Mapping[bytes, Waiting]) -> dict[int, int]:
    """Add the component that waits, for one version; return its instance, by those that it takes the place of."""
    functions = [name for each in instances.values() for name in each.functions]
    slicing = Slicing(functions, [name for each in instances.values() for name in each.types])
    given = _polling(outer, version, instances)
    if slicing.sides:
        given += _streaming(outer, version, slicing, instances[b"streams"], given[0])
    for name, full_name in slicing.raw.items():
        [owner] = [each for each in instances.values() if full_name in each.functions]
        given.append((name.encode(), Space.FUNC, outer.alias(owner.index, full_name.encode(), Space.FUNC)))
    instance = outer.instance(outer.nested(_binary(slicing.text())), given)
    return {each.index: instance for each in instances.values()}


@cache
def _binary(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def _polling(outer: OuterComponent, version: bytes, instances: Mapping[bytes, Waiting]) -> list[Item]:
    """Return the resource `pollable`, and the functions that wait for several and for a while."""
    known = [each.index for each in instances.values() if b"pollable" in each.declared.exports]
    pollable = outer.alias(known[0], b"pollable", Space.TYPE) if known else None
    polling = outer.imported(b"wasi:io/poll" + version, poll_type(pollable))
    if pollable is None:
        pollable = outer.alias(polling, b"pollable", Space.TYPE)
    clock = outer.imported(b"wasi:clocks/monotonic-clock" + version, after_type(pollable))
    return [
        (b"pollable", Space.TYPE, pollable),
        (b"poll", Space.FUNC, outer.alias(polling, b"poll", Space.FUNC)),
        (b"after", Space.FUNC, outer.alias(clock, b"subscribe-duration", Space.FUNC)),
    ]


def _streaming(outer: OuterComponent, version: bytes, slicing: Slicing, streams: Waiting, pollable: Item) -> list[Item]:
    """Return the types, and the functions that return pollables for streams."""
    resources = {side.encode(): resource.encode() for side, resource in slicing.sides.items()}
    types = {name: _type(outer, streams, name) for name in (*map(str.encode, slicing.types), *resources.values())}
    owners = {resource: types[resource] for resource in resources.values()}
    again = outer.imported(b"wasi:io/streams" + version, subscribe_type(pollable[2], owners))
    return [
        *((name, Space.TYPE, index) for name, index in types.items()),
        *(
            (b"subscribe-" + side, Space.FUNC, outer.alias(again, b"[method]" + resource + b".subscribe", Space.FUNC))
            for side, resource in resources.items()
        ),
    ]


def _type(outer: OuterComponent, streams: Waiting, name: bytes) -> int:
    if name not in streams.declared.exports:
        raise Obstacle(f"its import wasi:io/streams has functions, but no type {name.decode()}")
    return outer.alias(streams.index, name, Space.TYPE)
