"""Worlds with functions that hosts in Python cannot have yet: the others work, and these say why they do not."""

from __future__ import annotations

import pytest

from tests.golden.bindings.partial.bindings import exports, jobs, pipes
from wit_host import (
    Engine,
    GuestError,
    GuestFunction,
    GuestInterface,
    GuestResource,
    GuestResourceType,
    GuestTimeout,
    GuestTrap,
    LinkError,
    precompile,
)
from wit_host import values as wit

JOBS = "golden:partial/jobs@1.0.0"
PIPES = "golden:partial/pipes@1.0.0"


class Call(GuestInterface):
    """The function of the guests below that calls an import."""

    def __init__(self, instance):
        super().__init__(instance, None, [CALL])

    def call(self):
        return CALL(self)


CALL = GuestFunction("call", {}, wit.U32)


class Jobs(jobs.Host):
    def new_job(self, name):
        raise NotImplementedError

    def count(self):
        return 7


#: The functions of jobs that a guest can call: the type in the import, and in core WebAssembly the type and a call.
CALLED = {
    "count": ("(func (result u32))", "(result i32)", "(call $called)"),
    "take": (
        '(func (param "what" $s) (result u32))',
        "(param i32) (result i32)",
        "(call $called (i32.wrap_i64 (call $new)))",
    ),
    "next": ("(func async (result u32))", "(result i32)", "(call $called)"),
}


def guest(called, imports="", exported=""):
    """A guest whose function `call` calls an imported function of jobs; that for `take` makes a stream for it."""
    type_, core, call = CALLED[called]
    has_stream = called == "take" or exported
    return f"""(component
        {"(type $s (stream u8)) (core func $new (canon stream.new $s))" if has_stream else ""}
        (import "{JOBS}" (instance $jobs
            {"(type $s (stream u8))" if has_stream else ""}
            (export "count" (func (result u32)))
            {f'(export "{called}" {type_})' if called != "count" else ""}))
        {imports}
        (core func $called (canon lower (func $jobs "{called}")))
        (core module $m
            (import "" "called" (func $called {core}))
            {'(import "" "new" (func $new (result i64)))' if has_stream else ""}
            (func (export "call") (result i32) {call})
            (func (export "copy") (param i32) (result i32) (unreachable)))
        (core instance $m (instantiate $m (with "" (instance
            (export "called" (func $called))
            {'(export "new" (func $new))' if has_stream else ""}))))
        (func (export "call") (result u32) (canon lift (core func $m "call")))
        {exported})"""


EXPORTED_PIPES = f"""
    (type $source (stream u8)) (type $copied (result u64)) (type $done (future $copied))
    (func $copy (param "source" $source) (result $done) (canon lift (core func $m "copy")))
    (instance $pipes (export "copy" (func $copy)))
    (export "{PIPES}" (instance $pipes))"""


@pytest.fixture(scope="module")
def engine():
    """An engine for guests that have functions with streams and futures, though they cannot be called."""
    return Engine(async_types=True)


def started(store, guest):
    jobs.add_to_linker(store.linker, Jobs())
    return store.instantiate(guest)


def test_the_functions_that_can_be_served_are(engine):
    with engine.store() as store:
        assert Call(started(store, engine.compile(guest("count").encode()))).call() == 7


def test_a_guest_that_imports_none_of_the_others_needs_no_special_engine():
    engine = Engine()
    with engine.store() as store:
        assert Call(started(store, engine.compile(guest("count").encode()))).call() == 7


def test_a_guest_that_calls_one_of_the_others_traps_with_its_name(engine):
    with engine.store() as store:
        instance = started(store, engine.compile(guest("take").encode(), name="the guest"))
        with pytest.raises(GuestTrap) as caught:
            Call(instance).call()
    assert str(caught.value) == (
        f"the guest trapped: it called {JOBS}#take, which this host cannot serve: stream is not supported"
    )


def test_a_guest_that_imports_an_async_function_works_until_it_calls_it(engine):
    with engine.store(timeout=20) as store:
        other = GuestFunction("other", {"text": wit.BYTES}, wit.COPIED_BYTES)
        instance = started(store, engine.compile(WITH_ASYNC_IMPORT.encode(), name="the guest"))
        others = GuestInterface(instance, None, [other])
        assert [other(others, b"plain"), other(others, b"")] == [b"plain", b""]
        with pytest.raises(GuestTrap) as caught:
            Call(instance).call()
    assert str(caught.value) == (
        f"the guest trapped: it called {JOBS}#next, which this host cannot serve: async is not supported"
    )


#: A guest that imports an async function, and has another function that does not call it, whose bytes cross by address.
WITH_ASYNC_IMPORT = f"""(component
    (import "{JOBS}" (instance $jobs (export "next" (func async (result u32)))))
    (core func $next (canon lower (func $jobs "next")))
    (core module $m
        (import "" "next" (func $next (result i32)))
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
        (func (export "other") (param i32 i32) (result i32)
            (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))
        (func (export "call") (result i32) (call $next)))
    (core instance $m (instantiate $m (with "" (instance (export "next" (func $next))))))
    (func (export "call") (result u32) (canon lift (core func $m "call")))
    (func (export "other") (param "text" (list u8)) (result (list u8))
        (canon lift (core func $m "other") (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))"""


#: A guest that imports an async function, and makes resources.
WITH_RESOURCES = """(component
 (import "x" (instance $x (export "next" (func async (result u32)))))
 (core func $next (canon lower (func $x "next")))
 (core module $d (func (export "dtor") (param i32)))
 (core instance $d (instantiate $d))
 (type $r' (resource (rep i32) (dtor (core func $d "dtor"))))
 (core func $new (canon resource.new $r'))
 (core module $m (import "" "next" (func (result i32))) (import "" "new" (func $new (param i32) (result i32)))
   (func (export "make") (result i32) (call $new (i32.const 5))))
 (core instance $m (instantiate $m (with "" (instance (export "next" (func $next)) (export "new" (func $new))))))
 (func $make (result (own $r')) (canon lift (core func $m "make")))
 (component $c
  (import "r" (type $r (sub resource)))
  (import "make" (func $make (result (own $r))))
  (export $r2 "r" (type $r))
  (export "make" (func $make) (func (result (own $r2)))))
 (instance $i (instantiate $c (with "r" (type $r')) (with "make" (func $make))))
 (export "a:b/i" (instance $i)))"""


def test_resources_of_such_a_guest_go_with_its_store(engine):
    class Thing(GuestResource):
        pass

    make = GuestFunction("make", {}, wit.GuestOwn(GuestResourceType("r", Thing)))
    with engine.store(timeout=20) as store:
        store.linker.instance("x").trap("next", "async is not supported")
        interface = GuestInterface(store.instantiate(engine.compile(WITH_RESOURCES.encode())), "a:b/i", [make])
        for _ in range(3):
            make(interface).drop()
        with pytest.warns(ResourceWarning):
            make(interface)
        with make(interface) as thing:
            assert isinstance(thing, Thing)


@pytest.mark.parametrize("function", ["loop", "start"])
def test_the_time_of_such_a_guest_ends(engine, function):
    start = "(start $loop)" if function == "start" else ""
    text = WITH_ASYNC_IMPORT.replace(
        '(func (export "call")', f'(func $loop (export "loop") (loop (br 0))) {start} (func (export "call")', 1
    ).replace(
        '(func (export "call") (result u32)',
        '(func (export "loop") (canon lift (core func $m "loop"))) (func (export "call") (result u32)',
    )
    loop = GuestFunction("loop", {}, None)
    with engine.store(timeout=0.2) as store, pytest.raises(GuestTimeout, match=r"within 0\.2 s"):
        loop(GuestInterface(started(store, engine.compile(text.encode())), None, [loop]))


def test_other_engines_refuse_guests_with_such_types():
    with pytest.raises(GuestError, match=r"async feature .*; `Engine\(async_types=True\)` accepts it"):
        Engine().compile(guest("take").encode())


@pytest.mark.parametrize("options", [{"compiler": precompile}, {}], ids=["a compiler", "the engine"])
@pytest.mark.parametrize("optimize", [True, False])
def test_such_guests_can_be_compiled_in_each_way(options, optimize):
    engine = Engine(async_types=True, **options)
    with engine.store() as store, pytest.raises(GuestTrap, match="cannot serve"):
        Call(started(store, engine.compile(guest("take").encode(), optimize=optimize))).call()


def test_a_stub_raises_and_names_the_function(engine):
    with engine.store() as store:
        instance = started(store, engine.compile(guest("count", exported=EXPORTED_PIPES).encode()))
        with pytest.raises(NotImplementedError) as caught:
            exports.pipes.Guest(instance).copy(b"some bytes")
    assert str(caught.value) == f"{PIPES}#copy cannot be called: stream is not supported"


def test_an_import_that_nobody_defines_is_still_missing(engine):
    imports = '(import "golden:partial/others@1.0.0" (instance (export "f" (func))))'
    with (
        engine.store() as store,
        pytest.raises(LinkError, match=r"others@1\.0\.0, which this host does not provide"),
    ):
        started(store, engine.compile(guest("take", imports).encode()))


def test_an_import_of_another_type_is_still_refused(engine):
    text = guest("take").replace('"count" (func (result u32))', '"count" (func (result u64))')
    with engine.store() as store, pytest.raises(LinkError, match="with another type"):
        started(store, engine.compile(text.encode()))


@pytest.mark.parametrize(
    ("declared", "difference"),
    [
        ('(func (param "s" $s) (result u32))', "this host has 0 parameters, the guest has 1 parameter"),
        ("(func (result $s))", "result: this host has u32, the guest has stream"),
        ("(func (result $f))", "result: this host has u32, the guest has future"),
        ("(func async (result u32))", "this host has a plain function, the guest has an async one"),
    ],
)
def test_a_stream_or_future_in_the_place_of_another_type_is_refused_before_it_crosses(engine, declared, difference):
    types = "(type $s (stream u8)) (type $f (future $s))"
    text = f'(component (import "{JOBS}" (instance {types} (export "count" {declared}))))'
    with engine.store() as store, pytest.raises(LinkError, match=difference):
        started(store, engine.compile(text.encode()))


def test_wasi_is_not_taken_for_a_missing_import(engine):
    imports = '(import "wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result u64)))))'
    with engine.store() as store:
        store.linker.add_wasi()
        with pytest.raises(GuestTrap, match="cannot serve"):
            Call(started(store, engine.compile(guest("take", imports).encode()))).call()
    newer = imports.replace("0.2.0", "0.9.0")
    with engine.store() as store:
        store.linker.add_wasi()
        with pytest.raises(LinkError, match=r"wasi:random/random@0\.9\.0, which this host does not provide"):
            started(store, engine.compile(guest("take", newer).encode()))


def test_a_function_is_either_served_or_a_trap(engine):
    with engine.store() as store:
        pipes.add_to_linker(store.linker)
        with pytest.raises(ValueError, match="copy is defined twice"):
            store.linker.instances[PIPES].function("copy", lambda: None, {}, None)
