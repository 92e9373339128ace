"""The component between a guest and the functions of WASI that wait: it waits in slices.

After each slice WebAssembly code runs, where the engine checks whether the guest may continue. In: the functions of
`wasi:io/poll` and `wasi:io/streams` that the guest imports. Out: a component in the text format, which exports these
functions and their types.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from .slicing_text import COMPONENT, OPTIONS

#: The most bytes of one read, as they pass through the memory of this component.
MOST_READ = 1 << 20
#: The address of the result of a function of streams.
_RESULT = "(i32.const 16)"
#: The resources, by the letters in `StreamFunction.streams`.
RESOURCES = {"i": "input-stream", "o": "output-stream"}


@dataclass(frozen=True, slots=True)
class StreamFunction:
    """A function of `wasi:io/streams`.

    `name` is its name without the resource. `streams` has a letter for each of its first parameters, which are called
    `self` and `src`. `rest` is the other parameter, if any, with its type and its core types; `ok` is the type of the
    result, if any. `waits` says whether the function waits for the streams.
    """

    name: str
    streams: str
    rest: tuple[str, str, tuple[str, ...]] | None = None
    ok: str = ""
    waits: bool = False

    @property
    def full_name(self) -> str:
        """The name in WASI."""
        return f"[method]{RESOURCES[self.streams[0]]}.{self.name}"

    @property
    def raw(self) -> str:
        """The name of the function of the engine, for this component."""
        return f"raw-{self.streams[0]}-{self.name}"

    def type(self, suffix: str = "") -> str:
        """Return the type, with the names of types followed by `suffix`."""
        owners = zip(("self", "src"), self.streams, strict=False)
        parameters = [f'(param "{name}" (borrow ${stream}{suffix}))' for name, stream in owners]
        if self.rest is not None:
            parameters.append(f'(param "{self.rest[0]}" {self.rest[1]})')
        return f"{' '.join(parameters)} (result (result {self.ok} (error $stream-error{suffix})))"

    @property
    def core_type(self) -> str:
        """The type of the core function that is called; the last parameter is the address of the result."""
        return f"(param {' '.join(self._core)} i32)"

    @property
    def code(self) -> str:
        """The core function: wait for each stream, call the function of the engine, drop the borrowed streams."""
        gets = [f"(local.get {number})" for number in range(len(self._core))]
        streams = list(zip(gets, self.streams, strict=False))
        if self.ok == "(list u8)":
            most = f"(i64.const {MOST_READ})"
            gets[-1] = f"(select {gets[-1]} {most} (i64.lt_u {gets[-1]} {most}))"
        waits = [f"(call $wait-and-drop (call $subscribe-{stream} {get}))" for get, stream in streams]
        drops = [f"(call $drop-{stream} {get})" for get, stream in streams]
        call = f"(call ${self.raw} {' '.join(gets)} {_RESULT})"
        signature = f"(param {' '.join(self._core)}) (result i32)"
        return f'(func (export "{self.raw}") {signature} {" ".join([*waits, call, *drops, _RESULT])})'

    @property
    def _core(self) -> list[str]:
        return ["i32"] * len(self.streams) + list(self.rest[2] if self.rest else ())


_LENGTH = ("len", "u64", ("i64",))
_CONTENTS = ("contents", "(list u8)", ("i32", "i32"))
_STREAMS: Mapping[str, StreamFunction] = {
    each.full_name: each
    for each in (
        StreamFunction("read", "i", _LENGTH, "(list u8)"),
        StreamFunction("blocking-read", "i", _LENGTH, "(list u8)", waits=True),
        StreamFunction("skip", "i", _LENGTH, "u64"),
        StreamFunction("blocking-skip", "i", _LENGTH, "u64", waits=True),
        StreamFunction("check-write", "o", ok="u64"),
        StreamFunction("write", "o", _CONTENTS),
        StreamFunction("blocking-write-and-flush", "o", _CONTENTS, waits=True),
        StreamFunction("flush", "o"),
        StreamFunction("blocking-flush", "o", waits=True),
        StreamFunction("write-zeroes", "o", _LENGTH),
        StreamFunction("blocking-write-zeroes-and-flush", "o", _LENGTH, waits=True),
        StreamFunction("splice", "oi", _LENGTH, "u64"),
        StreamFunction("blocking-splice", "oi", _LENGTH, "u64", waits=True),
    )
}
#: The methods that return a pollable for a stream.
_SUBSCRIBE = {f"[method]{resource}.subscribe": side for side, resource in RESOURCES.items()}
_POLL, _BLOCK, _READY = "poll", "[method]pollable.block", "[method]pollable.ready"

#: All functions of the two interfaces, and those of them that wait.
KNOWN = frozenset({_POLL, _BLOCK, _READY, *_SUBSCRIBE, *_STREAMS})
WAITING = frozenset({_POLL, _BLOCK, *(name for name, each in _STREAMS.items() if each.waits)})


class Slicing:
    """The component for `functions`, of `KNOWN`, and for the `resources` of streams that the guest imports."""

    def __init__(self, functions: Collection[str], resources: Collection[str] = ()) -> None:
        self._functions = functions
        self._streams = [each for name, each in _STREAMS.items() if name in functions]
        sides = {side for each in self._streams for side in each.streams}
        sides |= {side for name, side in _SUBSCRIBE.items() if name in functions}
        sides |= {side for side, resource in RESOURCES.items() if resource in resources}
        #: The resources of streams that it imports, by their letters.
        self.sides = {side: RESOURCES[side] for side in sorted(sides)}

    @property
    def types(self) -> tuple[str, ...]:
        """The types that it imports, apart from `pollable` and resources of streams."""
        return ("error", "stream-error") if self._streams else ()

    @property
    def raw(self) -> Mapping[str, str]:
        """The functions that it imports, by their names there, with their names in the interfaces.

        Apart from these, it imports `poll`, `after`, which is `subscribe-duration` of clocks, and `subscribe-…`, which
        is `subscribe` of each resource in `sides`.
        """
        ready = {"raw-ready": _READY} if _READY in self._functions else {}
        return ready | {each.raw: each.full_name for each in self._streams}

    def text(self) -> str:
        """Return the component."""
        waits = [each for each in self._streams if each.waits]
        names = [name for side in self.sides for name in (f"subscribe-{side}", f"drop-{side}")]
        names += [each.raw for each in waits]
        imports = [f'(import "w" "{name}" (func ${name} {_CORE[name]}))' for name in names if name in _CORE]
        imports += [f'(import "w" "{each.raw}" (func ${each.raw} {each.core_type}))' for each in waits]
        return COMPONENT.format(
            imports="\n".join(self._imports()),
            lowers="\n".join(self._lowers(waits)),
            core_imports="\n".join(imports),
            bundle="\n".join(f'(export "{name}" (func ${name}))' for name in names),
            code="\n".join(each.code for each in waits),
            lifts="\n".join(_lifted(each) for each in waits),
            exports="\n".join(self._exports()),
        )

    def _imports(self) -> Iterator[str]:
        if self._streams:
            yield '(import "error" (type $error (sub resource)))'
            yield '(type $variant (variant (case "last-operation-failed" (own $error)) (case "closed")))'
            yield '(import "stream-error" (type $stream-error (eq $variant)))'
        for side, resource in self.sides.items():
            yield f'(import "{resource}" (type ${side} (sub resource)))'
            yield f'(import "subscribe-{side}" (func $subscribe-{side} {_subscribe(side)}))'
        for each in self._streams:
            yield f'(import "{each.raw}" (func ${each.raw} {each.type()}))'
        if _READY in self._functions:
            yield f'(import "raw-ready" (func $raw-ready {_ready()}))'

    def _lowers(self, waits: Collection[StreamFunction]) -> Iterator[str]:
        for side in self.sides:
            yield f"(core func $subscribe-{side} (canon lower (func $subscribe-{side})))"
            yield f"(core func $drop-{side} (canon resource.drop ${side}))"
        for each in waits:
            yield f"(core func ${each.raw} (canon lower (func ${each.raw}) {OPTIONS}))"

    def _exports(self) -> Iterator[str]:
        if self._streams:
            yield '(export $error-out "error" (type $error))'
            yield '(type $variant-out (variant (case "last-operation-failed" (own $error-out)) (case "closed")))'
            yield '(export $stream-error-out "stream-error" (type $variant-out))'
        for side, resource in self.sides.items():
            yield f'(export ${side}-out "{resource}" (type ${side}))'
        for name, side in _SUBSCRIBE.items():
            if name in self._functions:
                yield f'(export "{name}" (func $subscribe-{side}) (func {_subscribe(side, "-out")}))'
        for each in self._streams:
            function = f"${each.raw}-lifted" if each.waits else f"${each.raw}"
            yield f'(export "{each.full_name}" (func {function}) (func {each.type("-out")}))'
        if _READY in self._functions:
            yield f'(export "{_READY}" (func $raw-ready) (func {_ready("-out")}))'


_CORE = {f"subscribe-{side}": "(param i32) (result i32)" for side in RESOURCES} | {
    f"drop-{side}": "(param i32)" for side in RESOURCES
}


def _subscribe(side: str, suffix: str = "") -> str:
    return f'(param "self" (borrow ${side}{suffix})) (result (own $pollable{suffix}))'


def _ready(suffix: str = "") -> str:
    return f'(param "self" (borrow $pollable{suffix})) (result bool)'


def _lifted(each: StreamFunction) -> str:
    lift = f'(canon lift (core func $main "{each.raw}") {OPTIONS} (post-return (core func $main "reset")))'
    return f"(func ${each.raw}-lifted {each.type()} {lift})"
