"""Core WebAssembly between a guest and functions that lost their result of bytes.

Such a function takes the place of the result as one more number, and a *bridge* stands before it that has the guest's
own view of it. With `f` the function, `p` its parameters and `ret` the place of the result, a bridge is:

    f(p, ret)                                        the host says how long the result is, at ret + 4
    memory[ret] = realloc(0, 0, 1, memory[ret + 4])  the guest makes room
    f(p, ret)                                        the host fills it

In: the lowers to stand before. Out: sections that put bridges behind them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .binary import encoded
from .definitions import ALIAS, CORE_INSTANCE, CORE_MODULE
from .flat import I32

_PREAMBLE = b"\0asm\x01\0\0\0"
_TYPES, _IMPORTS, _FUNCTIONS, _EXPORTS, _CODE = 1, 2, 3, 7, 10
_FUNC, _MEMORY = b"\x00", b"\x02"
_ANY_SIZE = b"\x00\x00"
_REALLOC_TYPE = b"\x60\x04" + I32 * 4 + b"\x01" + I32

_LOCAL_GET, _I32_CONST, _CALL, _END = b"\x20", b"\x41", b"\x10", b"\x0b"
_LOAD_LENGTH, _STORE_ADDRESS = b"\x28\x02\x04", b"\x36\x02\x00"


@dataclass(frozen=True, slots=True)
class Bridge:
    """Where one bridge stands: the core function behind it, and the guest's allocator.

    `parameters` are core value types; the last is the place of the result.
    """

    lower: int
    realloc: int
    parameters: bytes


@dataclass(frozen=True, slots=True)
class Site:
    """Where bridges are put in: the memory that they use, and how many modules and instances there are before."""

    memory: int
    modules: int
    instances: int


def bridge_sections(bridges: Sequence[Bridge], site: Site) -> bytes:
    """A core module with the bridges, its instance, and aliases of its functions, which are in the order of bridges."""
    reallocs = {index: number for number, index in enumerate(dict.fromkeys(each.realloc for each in bridges))}
    bundle = [_bundled(b"m", _MEMORY, site.memory)]
    bundle += [_bundled(b"r%d" % number, _FUNC, index) for index, number in reallocs.items()]
    bundle += [_bundled(b"l%d" % number, _FUNC, each.lower) for number, each in enumerate(bridges)]
    bundled, instance = site.instances, site.instances + 1
    instances = [
        b"\x01" + _vector(bundle),
        b"\x00" + encoded(site.modules) + b"\x01" + _name(b"") + b"\x12" + encoded(bundled),
    ]
    aliases = [b"\x00\x00\x01" + encoded(instance) + _name(b"b%d" % number) for number in range(len(bridges))]
    return (
        _section(CORE_MODULE, _module(bridges, reallocs))
        + _section(CORE_INSTANCE, _vector(instances))
        + _section(ALIAS, _vector(aliases))
    )


def _module(bridges: Sequence[Bridge], reallocs: Mapping[int, int]) -> bytes:
    types = {
        each.parameters: b"\x60" + _vector([bytes([core]) for core in each.parameters]) + b"\x00" for each in bridges
    }
    numbers = {parameters: number for number, parameters in enumerate(types, start=1)}
    imports = [_imported(b"m", _MEMORY + _ANY_SIZE)]
    imports += [_imported(b"r%d" % number, _FUNC + encoded(0)) for number in reallocs.values()]
    imports += [
        _imported(b"l%d" % number, _FUNC + encoded(numbers[each.parameters])) for number, each in enumerate(bridges)
    ]
    first = len(reallocs) + len(bridges)
    exports = [_name(b"b%d" % number) + _FUNC + encoded(first + number) for number in range(len(bridges))]
    bodies = [_body(each, len(reallocs) + number, reallocs[each.realloc]) for number, each in enumerate(bridges)]
    return _PREAMBLE + b"".join(
        [
            _section(_TYPES, _vector([_REALLOC_TYPE, *types.values()])),
            _section(_IMPORTS, _vector(imports)),
            _section(_FUNCTIONS, _vector([encoded(numbers[each.parameters]) for each in bridges])),
            _section(_EXPORTS, _vector(exports)),
            _section(_CODE, _vector([encoded(len(body)) + body for body in bodies])),
        ]
    )


def _body(bridge: Bridge, lower: int, realloc: int) -> bytes:
    """The code of one bridge; `lower` and `realloc` are functions of the module."""
    call = b"".join(_LOCAL_GET + encoded(number) for number in range(len(bridge.parameters))) + _CALL + encoded(lower)
    ret = _LOCAL_GET + encoded(len(bridge.parameters) - 1)
    room = (_I32_CONST + b"\x00") * 2 + _I32_CONST + b"\x01" + ret + _LOAD_LENGTH + _CALL + encoded(realloc)
    return b"\x00" + call + ret + room + _STORE_ADDRESS + call + _END


def _imported(name: bytes, description: bytes) -> bytes:
    return _name(b"") + _name(name) + description


def _bundled(name: bytes, sort: bytes, index: int) -> bytes:
    return _name(name) + sort + encoded(index)


def _name(name: bytes) -> bytes:
    return encoded(len(name)) + name


def _vector(items: Sequence[bytes]) -> bytes:
    return encoded(len(items)) + b"".join(items)


def _section(id: int, body: bytes) -> bytes:
    return bytes([id]) + encoded(len(body)) + body
