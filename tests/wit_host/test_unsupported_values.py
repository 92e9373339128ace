"""Streams and futures, which would abort the process as values: none of them ever reaches the engine's calls."""

from __future__ import annotations

import dataclasses

import pytest

from tests.guests.tools import wasm_tools
from wit_host import (
    AsyncGuestFunction,
    Engine,
    GuestError,
    GuestFunction,
    GuestInterface,
    GuestResource,
    GuestResourceType,
    GuestTrap,
    LinkError,
    Resource,
    ResultError,
)
from wit_host import values as wit

NAME = "test:streams/all"
WIT = """package test:streams;
interface all {{
  record record-of {{ a: u32, b: {kind} }}
  variant variant-of {{ a, b({kind}) }}
  resource thing {{ {method} }}
  {function}
}}
world guest {{ {direction} all; }}"""


@dataclasses.dataclass(frozen=True)
class RecordOf:
    a: int
    b: int


@dataclasses.dataclass(frozen=True)
class A:
    pass


@dataclasses.dataclass(frozen=True)
class B:
    value: int


RECORD = wit.Record(RecordOf, {"a": wit.U32, "b": wit.U32})
#: The places for one of these types, each with the codec of a host that expects a number there.
PLACES = {
    "{kind}": wit.U32,
    "list<{kind}>": wit.List(wit.U32),
    "option<{kind}>": wit.Option(wit.U32),
    "tuple<u8, {kind}>": wit.Tuple(wit.U8, wit.U32),
    "result<{kind}>": wit.NestedResult(wit.U32, None),
    "result<u8, {kind}>": wit.NestedResult(wit.U8, wit.U32),
    "map<string, {kind}>": wit.Map(wit.STRING, wit.U32),
    "record-of": RECORD,
    "variant-of": wit.Variant({"a": (A, None), "b": (B, wit.U32)}),
    "list<option<record-of>>": wit.List(wit.Option(RECORD)),
}
KINDS = ["stream<u8>", "future<u8>", "future<stream<string>>", "stream"]
#: Every place of one kind, and one place of every kind.
CASES = [*(("stream<u8>", place) for place in PLACES), *((kind, "{kind}") for kind in KINDS[1:])]
everywhere = pytest.mark.parametrize(("kind", "place"), CASES)
THING = Resource("thing")


class GuestThing(GuestResource):
    pass


GUEST_THING = GuestResourceType("thing", GuestThing)


class Thing:
    def work(self, v):
        raise AssertionError("the guest got here")

    def drop(self):
        pass


@pytest.fixture(scope="module")
def engine():
    return Engine(async_types=True)


@pytest.fixture(scope="module")
def compiled(engine, tmp_path_factory):
    """Compile a guest that imports or exports an interface with a function and a method of such a type."""
    folder = tmp_path_factory.mktemp("wit")

    def compiled(direction, kind, function, method=""):
        function, method = function.format(kind=kind), method.format(kind=kind)
        text = WIT.format(kind=kind, direction=direction, function=function, method=method)
        (folder / "all.wit").write_text(text)
        core = wasm_tools("component", "embed", folder, "--dummy-names", "legacy")
        return engine.compile(wasm_tools("component", "new", "-", stdin=core))

    return compiled


def bound(engine, guest, function):
    with engine.store() as store:
        instance = store.instantiate(guest)
        GuestInterface(instance, NAME, [function])


@everywhere
def test_a_function_that_takes_or_returns_one_is_not_called(engine, compiled, place, kind):
    functions = f"take: func(v: {place}); give: func() -> {place}; "
    functions += f"take-late: async func(v: {place}); give-late: async func() -> {place};"
    methods = f"work: func(v: {place}); constructor(v: {place}); make: static func() -> {place};"
    guest = compiled("export", kind, functions, methods)
    codec, word = PLACES[place], kind.split("<")[0]
    result = wit.Result(codec.ok, codec.err, ResultError) if isinstance(codec, wit.NestedResult) else codec
    for function in (
        GuestFunction("take", {"v": codec}, None),
        GuestFunction("give", {}, result),
        AsyncGuestFunction("take-late", {"v": codec}, None),
        AsyncGuestFunction("give-late", {}, result),
        GuestFunction("[constructor]thing", {"v": codec}, wit.GuestOwn(GUEST_THING)),
        GuestFunction("[method]thing.work", {"self": wit.GuestBorrow(GUEST_THING), "v": codec}, None),
        GuestFunction("[static]thing.make", {}, result),
    ):
        with pytest.raises(LinkError, match=rf"the guest has {word}$"):
            bound(engine, guest, function)


@everywhere
def test_a_guest_that_would_pass_one_to_the_host_is_not_started(compiled, engine, place, kind):
    codec, word = PLACES[place], kind.split("<")[0]
    taking, giving = ({"v": codec}, None), ({}, codec)
    if isinstance(codec, wit.NestedResult):
        giving = ({}, wit.Result(codec.ok, codec.err, ResultError))
    for declared, (parameters, result) in (("f: func(v: {place})", taking), ("f: func() -> {place}", giving)):
        guest = compiled("import", kind, declared.format(place=place) + ";")
        with engine.store() as store:
            instance = store.linker.instance(NAME)
            instance.resource(THING)
            instance.function("f", lambda *_: 0, parameters, result)
            with pytest.raises(LinkError, match=rf"the guest has {word}$"):
                store.instantiate(guest)


@everywhere
def test_a_method_of_the_host_never_gets_one(compiled, engine, place, kind):
    guest = compiled("import", kind, "", f"work: func(v: {place});")
    with engine.store() as store:
        instance = store.linker.instance(NAME)
        instance.resource(THING)
        instance.method(THING, "work", Thing.work, {"v": PLACES[place]}, None)
        with pytest.raises(LinkError, match=rf"the guest has {kind.split('<')[0]}$"):
            store.instantiate(guest)


@everywhere
def test_as_a_trap_a_function_with_one_is_defined_and_the_guest_starts(compiled, engine, place, kind):
    guest = compiled("import", kind, f"f: func(v: {place}) -> {place};", f"work: func(v: {place});")
    with engine.store() as store:
        instance = store.linker.instance(NAME)
        instance.resource(THING)
        instance.trap("f", "streams are not supported")
        instance.trap("[method]thing.work", "streams are not supported")
        store.instantiate(guest)


#: A guest that passes a stream to an import, alone and in a record, and receives a future.
CALLING = """(component
  (type $s (stream u8)) (type $f (future u8))
  (core func $new (canon stream.new $s))
  (import "test:streams/all" (instance $all
    (type $s (stream u8)) (type $f (future u8)) (type $r' (record (field "a" u32) (field "b" $s)))
    (export "record-of" (type $r (eq $r')))
    (export "take" (func (param "v" $s)))
    (export "take-record" (func (param "v" $r)))
    (export "give" (func (result $f)))))
  (core func $take (canon lower (func $all "take")))
  (core func $record (canon lower (func $all "take-record")))
  (core func $give (canon lower (func $all "give")))
  (core module $m
    (import "" "new" (func $new (result i64)))
    (import "" "take" (func $take (param i32)))
    (import "" "record" (func $record (param i32 i32)))
    (import "" "give" (func $give (result i32)))
    (func (export "take") (call $take (i32.wrap_i64 (call $new))))
    (func (export "take-record") (call $record (i32.const 7) (i32.wrap_i64 (call $new))))
    (func (export "give") (drop (call $give))))
  (core instance $m (instantiate $m (with "" (instance
    (export "new" (func $new)) (export "take" (func $take)) (export "record" (func $record))
    (export "give" (func $give))))))
  (func (export "take") (canon lift (core func $m "take")))
  (func (export "take-record") (canon lift (core func $m "take-record")))
  (func (export "give") (canon lift (core func $m "give"))))"""


@pytest.mark.parametrize("name", ["take", "take-record", "give"])
def test_a_guest_that_calls_such_a_trap_is_stopped_with_its_name(engine, name):
    function = GuestFunction(name, {}, None)
    with engine.store() as store:
        instance = store.linker.instance(NAME)
        for each in ("take", "take-record", "give"):
            instance.trap(each, "stream is not supported")
        interface = GuestInterface(store.instantiate(engine.compile(CALLING.encode())), None, [function])
        with pytest.raises(GuestTrap, match=f"it called {NAME}#{name}, which this host cannot serve: stream is not"):
            function(interface)


@pytest.mark.parametrize("direction", ["import", "export"])
@pytest.mark.parametrize("kind", KINDS)
def test_interfaces_that_only_have_such_types_do_no_harm(compiled, engine, direction, kind):
    guest = compiled(direction, kind, "plain: func() -> u32;")
    with engine.store() as store:
        if direction == "import":
            instance = store.linker.instance(NAME)
            instance.resource(THING)
            instance.function("plain", lambda: 1, {}, wit.U32)
        bound = store.instantiate(guest)
        if direction == "export":
            GuestInterface(bound, NAME, [GuestFunction("plain", {}, wit.U32)])


@pytest.mark.parametrize("place", ["error-context", "list<error-context>", "stream<error-context>"])
def test_a_guest_with_an_error_context_is_not_compiled(compiled, place):
    with pytest.raises(GuestError, match="error-context feature"):
        compiled("export", "stream", f"f: func(v: {place});")
