"""Core WebAssembly between a guest and the functions that it imports.

The guest calls a *bridge* instead of a function whose type was changed; the bridge has the original type, and calls the
function. All bridges that are inserted at one place form one core module, which imports the functions that they call,
and the memory and the allocators of the guest if they need these.

In: the lowered functions, and the code of each bridge. Out: sections with the bridges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .binary import encoded
from .definitions import ALIAS, CORE_INSTANCE, CORE_MODULE
from .encoding import name, section, vector
from .shapes import I32

#: The start of a core module.
_PREAMBLE = b"\0asm\x01\0\0\0"
_TYPES, _IMPORTS, _FUNCTIONS, _EXPORTS, _CODE = 1, 2, 3, 7, 10
_FUNC, _MEMORY = b"\x00", b"\x02"
#: The limits of an imported memory of any size.
_ANY_SIZE = b"\x00\x00"


@dataclass(frozen=True, slots=True)
class Signature:
    """The core value types of the parameters and the results of a core function."""

    parameters: bytes
    results: bytes = b""

    def encoded(self) -> bytes:
        """Encode it as a type."""
        return b"\x60" + b"".join(encoded(len(each)) + each for each in (self.parameters, self.results))


#: The signature of the guest's allocator.
_REALLOC = Signature(I32 * 4, I32)


class Code(Protocol):
    """The code of a bridge."""

    @property
    def front(self) -> Signature:
        """The type of the function that the guest calls."""
        ...

    @property
    def back(self) -> Signature:
        """The type of the function that the bridge calls."""
        ...

    def body(self, lower: int, realloc: int) -> bytes:
        """Return locals and instructions; `lower` and `realloc` are the functions that they may call."""
        ...


@dataclass(frozen=True, slots=True)
class Bridge:
    """One bridge: the core function that it calls, and the guest's allocator, if it needs one."""

    lower: int
    realloc: int | None
    code: Code


@dataclass(frozen=True, slots=True)
class Site:
    """A place for bridges: the memory that they use, if any, and how many modules and instances come before it."""

    memory: int | None
    modules: int
    instances: int


def bridge_sections(bridges: Sequence[Bridge], site: Site) -> bytes:
    """Return a core module with the bridges, its instance, and aliases of its functions in the order of `bridges`."""
    indices = dict.fromkeys(each.realloc for each in bridges if each.realloc is not None)
    reallocs = {index: number for number, index in enumerate(indices)}
    bundle = [] if site.memory is None else [_bundled(b"m", _MEMORY, site.memory)]
    bundle += [_bundled(b"r%d" % number, _FUNC, index) for index, number in reallocs.items()]
    bundle += [_bundled(b"l%d" % number, _FUNC, each.lower) for number, each in enumerate(bridges)]
    bundled, instance = site.instances, site.instances + 1
    instances = [
        b"\x01" + vector(bundle),
        b"\x00" + encoded(site.modules) + b"\x01" + name(b"") + b"\x12" + encoded(bundled),
    ]
    aliases = [b"\x00\x00\x01" + encoded(instance) + name(b"b%d" % number) for number in range(len(bridges))]
    return (
        section(CORE_MODULE, _module(bridges, reallocs, site.memory is not None))
        + section(CORE_INSTANCE, vector(instances))
        + section(ALIAS, vector(aliases))
    )


def _module(bridges: Sequence[Bridge], reallocs: Mapping[int, int], has_memory: bool) -> bytes:
    signatures = [_REALLOC, *(side for each in bridges for side in (each.code.front, each.code.back))]
    types = {each: number for number, each in enumerate(dict.fromkeys(signatures))}
    imports = [_imported(b"m", _MEMORY + _ANY_SIZE)] if has_memory else []
    imports += [_imported(b"r%d" % number, _FUNC + encoded(types[_REALLOC])) for number in reallocs.values()]
    imports += [
        _imported(b"l%d" % number, _FUNC + encoded(types[each.code.back])) for number, each in enumerate(bridges)
    ]
    first = len(reallocs) + len(bridges)
    exports = [name(b"b%d" % number) + _FUNC + encoded(first + number) for number in range(len(bridges))]
    bodies = [
        each.code.body(len(reallocs) + number, 0 if each.realloc is None else reallocs[each.realloc])
        for number, each in enumerate(bridges)
    ]
    return _PREAMBLE + b"".join(
        [
            section(_TYPES, vector([each.encoded() for each in types])),
            section(_IMPORTS, vector(imports)),
            section(_FUNCTIONS, vector([encoded(types[each.code.front]) for each in bridges])),
            section(_EXPORTS, vector(exports)),
            section(_CODE, vector([encoded(len(body)) + body for body in bodies])),
        ]
    )


def _imported(item: bytes, description: bytes) -> bytes:
    return name(b"") + name(item) + description


def _bundled(item: bytes, sort: bytes, index: int) -> bytes:
    return name(item) + sort + encoded(index)
