"""Components whose bytes cross as strings, checked by `wasm-tools` and run by Wasmtime."""

from __future__ import annotations

import random

import pytest
import wasmtime

from tests.conftest import ROOT
from tests.guests.forward import forwarding_guest
from tests.wit_host.helpers.host import THING, Host
from tests.wit_host.helpers.rewriting import (
    HANDWRITTEN,
    MEMORY,
    NAME,
    damaged,
    handwritten,
    importing,
    is_valid,
    parsed,
    wit,
)
from tests.wit_host.helpers.wat import API, Import, command
from wit_host import Engine, GuestTrap, LinkError
from wit_host import values as wit_values
from wit_host.capi import Kind, OwnedValues, write_name
from wit_host.crossing import transport
from wit_host.crossing.memory import GuestMemory, unsupported
from wit_host.misfits import Misfit
from wit_host.rewrite import pass_as_strings


def prepared(wasm, *interfaces):
    """What becomes of a component, which is valid whatever it is."""
    result = pass_as_strings(wasm, interfaces)
    assert is_valid(result.wasm)
    return result


# --- what is retyped ---


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("f: func(v: list<u8>);", "f: func(v: string, bits: u32);"),
        (
            "type t = list<u8>; type u = t; f: func(v: u);",
            "type t = list<u8>; type u = t; f: func(v: string, bits: u32);",
        ),
        ("f: func(v: list<u8>) -> list<u8>;", "f: func(v: string, bits: u32) -> list<u8>;"),
        ("f: func(a: u8, v: list<u8>, w: list<u8>) -> u64;", "f: func(a: u8, v: string, w: string, bits: u32) -> u64;"),
        (
            "f: func(v: list<u8>, w: option<list<u16>>, c: char);",
            "v: string, w: option<list<u16>>, c: char, bits: u32);",
        ),
        ("record r { a: u8, b: f32 } f: func(r: r, v: list<u8>) -> r;", "f: func(r: r, v: string, bits: u32) -> r;"),
        ("f: func(bits: list<u8>, bits1: u8);", "f: func(bits: string, bits1: u8, bits2: u32);"),
        ("resource r { m: func(v: list<u8>); }", "resource r { m: func(v: string, bits: u32); }"),
        ("resource r { constructor(v: list<u8>); }", "resource r { constructor(v: string, bits: u32); }"),
        ("resource r; f: func(v: list<u8>, r: r) -> r;", "f: func(v: string, r: r, bits: u32) -> r;"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf8", "utf16", "compact-utf16"])
def test_bytes_that_are_parameters_themselves_become_strings(before, after, encoding):
    result = prepared(importing(before, encoding=encoding), NAME)
    assert result.reasons == {}
    assert after in wit(result.wasm)
    assert result.functions.keys() == {NAME}


INSIDE = "there are bytes inside other types"
BESIDES = "there are strings besides the bytes"
KEPT = [
    ("f: func(v: list<list<u8>>);", INSIDE),
    ("f: func(v: option<list<u8>>);", INSIDE),
    ("f: func(v: list<u8>, w: tuple<list<u8>>);", INSIDE),
    ("record r { a: list<u8> } f: func(v: r);", INSIDE),
    ("variant r { a(list<u8>), b } f: func(v: r);", INSIDE),
    ("f: func(v: list<u8>, w: string);", BESIDES),
    ("f: func(v: list<u8>) -> string;", BESIDES),
    ("f: func(v: list<u8>) -> result<_, list<tuple<u8, string>>>;", BESIDES),
    ("record r { a: string } f: func(v: list<u8>, w: option<r>);", BESIDES),
    ("variant e { a(string) } f: func(v: list<u8>) -> result<u8, e>;", BESIDES),
    ("type t = string; f: func(v: list<u8>, w: t);", BESIDES),
    (f"f: func(v: list<u8>, {', '.join(f'p{n}: u8' for n in range(14))});", "there are too many parameters"),
    (f"f: func(v: list<u8>, {', '.join(f'p{n}: u8' for n in range(20))});", "there are too many parameters"),
]


@pytest.mark.parametrize(("declarations", "reason"), KEPT)
def test_a_function_that_has_to_keep_its_lists_is_the_only_one(declarations, reason):
    wasm = importing(declarations)
    assert pass_as_strings(wasm, [NAME]).wasm is wasm
    assert pass_as_strings(wasm, [NAME]).reasons == {NAME: reason}
    result = prepared(importing(declarations, "other: func(v: list<u8>);"), NAME)
    assert result.functions == {NAME: {"other"}}
    assert result.reasons == {f"{NAME}#f": reason}


def test_the_largest_function_whose_parameters_fit_becomes_one_of_strings():
    more = ", ".join(f"p{n}: u8" for n in range(13))
    assert prepared(importing(f"f: func(v: list<u8>, {more});"), NAME).functions == {NAME: {"f"}}


def test_functions_of_strings_alone_and_without_bytes_stay_as_they_are():
    result = prepared(importing("f: func(v: list<u8>);", "g: func(s: string) -> string;", "h: func(a: u8);"), NAME)
    assert result.functions == {NAME: {"f"}}
    assert result.reasons == {}
    assert "g: func(s: string) -> string; h: func(a: u8);" in wit(result.wasm)


def test_an_interface_that_returns_bytes_and_takes_none_keeps_its_lists():
    wasm = importing("f: func() -> list<u8>;", "g: func() -> option<list<u8>>;")
    result = pass_as_strings(wasm, [NAME])
    assert result.wasm is wasm
    assert result.reasons == {NAME: "there are bytes in results alone"}


@pytest.mark.parametrize("declarations", ["type t = list<u8>;", "f: func(v: list<u16>) -> string;", "f: func();"])
def test_an_interface_without_bytes_has_no_reason(declarations):
    wasm = importing(declarations)
    result = pass_as_strings(wasm, [NAME])
    assert result.wasm is wasm
    assert (result.functions, result.reasons) == ({}, {})


def test_other_interfaces_and_exports_stay_as_they_are():
    text = """package a:b; interface one { f: func(v: list<u8>); } interface two { f: func(v: list<u8>); }
      world w { import one; import two; export two; }"""
    result = prepared(forwarding_guest(text), "a:b/two")
    assert result.functions == {"a:b/two": {"f"}}
    text = wit(result.wasm)
    assert "interface one { f: func(v: list<u8>); }" in text


@pytest.mark.parametrize("folder", sorted((ROOT / "wit").glob("20*")), ids=lambda folder: folder.name)
def test_tensors_of_wasi_nn_become_strings_and_models_do_not(folder):
    wasm = forwarding_guest(folder, "ml")
    names = [line.split()[1].rstrip(";") for line in wit(wasm).split("import")[1:] for line in [f"import{line}"]]
    result = prepared(wasm, *names)
    tensor = next(name for name in names if "/tensor@" in name)
    graph = next(name for name in names if "/graph@" in name)
    assert result.functions == {tensor: {"[constructor]tensor"}}
    assert result.reasons == {graph: INSIDE}


@pytest.mark.parametrize(
    "options", ["", "string-encoding=utf8", "string-encoding=utf16", "string-encoding=latin1+utf16"]
)
def test_the_encoding_of_a_lower_changes_whatever_it_was(options):
    second = "(core func $later (canon lower (func $f) (memory $m) (realloc $r)))"
    result = prepared(handwritten(options=options, before="", after=second), "a:b/api")
    assert result.functions == {"a:b/api": {"f"}}


@pytest.mark.parametrize(
    ("places", "reason"),
    [
        ({"after": '(export "x" (func $f))'}, "passes on its function `f`"),
        ({"after": '(export "x" (instance $api))'}, "as a whole"),
        ({"options": "async"}, "lowered as an asynchronous one"),
        ({"before": '(import "m" (core module))'}, "core modules from elsewhere"),
        ({"after": "(core module (memory i64 1))"}, "unfamiliar kind"),
        ({"types": '(export "i" (instance))'}, "something other than functions and types"),
        ({"between": "(component (alias outer $root $libc (core module)))"}, "core definitions outside"),
    ],
)
def test_what_is_unfamiliar_stays_as_it_is(places, reason):
    wasm = handwritten(**places)
    result = pass_as_strings(wasm, ["a:b/api"])
    assert result.wasm is wasm
    assert reason in result.reasons["a:b/api"]


@pytest.mark.parametrize(
    "after", ["(core module (memory 1))", "(core module (memory 1 2 shared))", "(core instance (instantiate $libc))"]
)
def test_more_memories_are_nothing_unfamiliar(after):
    assert prepared(handwritten(after=after), "a:b/api").functions == {"a:b/api": {"f"}}


def test_composed_components_stay_as_they_are():
    places = dict.fromkeys(("types", "parameters", "before", "between", "after", "options"), "")
    inner = HANDWRITTEN.format(**places, memory="1").replace("(component $root", "(component $inner")
    wasm = parsed(f"""(component {inner}
      (import "a:b/api" (instance $api (export "f" (func (param "x" (list u8)) (result (list u8))))
        (export "g" (func (result (list u8))))))
      (instance (instantiate $inner (with "a:b/api" (instance $api)))))""")
    result = pass_as_strings(wasm, ["a:b/api"])
    assert result.wasm is wasm
    assert result.reasons == {"a:b/api": "the component passes it on as a whole"}


def test_what_a_world_imports_directly_stays_as_it_is():
    wasm = parsed(f'(component (import "a:b/api" (func (param "v" (list u8)))) {MEMORY})')
    assert "imports directly" in pass_as_strings(wasm, ["a:b/api"]).reasons["a:b/api"]


# --- what runs ---

TAKE = Import('(param "d" (list u8))', "(param i32 i32)")
STRINGS = ["latin-1"]


def run(body, signature, core, parameters, implementation, result=None, engine=None, **more):
    """Run a guest that calls `f`, whose bytes cross as strings."""
    engine = engine or Engine(transports=STRINGS)
    compiled = engine.compile(command({"f": Import(signature, core)}, body, **more).encode(), buffers=[API])
    assert compiled.as_strings == {API: {"f"}}
    with engine.store() as store:
        instance = store.linker.instance(API)
        instance.resource(THING)
        instance.function("f", implementation, parameters, result)
        assert store.run_command(compiled, "guest") == 0


PATTERN = '(data (i32.const 1024) "' + "".join(f"\\{byte:02x}" for byte in range(256)) + '")'


@pytest.mark.parametrize("start", [1024, 1025])
def test_every_byte_arrives_as_it_was(start):
    seen = []
    body = f"(call f (i32.const {start}) (i32.const 255))"
    run(
        body,
        '(param "d" (list u8))',
        "(param i32 i32)",
        {"d": wit_values.BYTES},
        lambda d: seen.append(bytes(d)),
        data=PATTERN,
    )
    assert seen == [bytes(range(256))[start - 1024 :][:255]]


@pytest.mark.parametrize("start", [0, 1])
def test_twenty_mebibytes_arrive(start):
    size, seen = 20 << 20, []
    body = f"""
      (i32.store8 (i32.const {start}) (i32.const 200))
      (i32.store8 (i32.const {start + size - 1}) (i32.const 201))
      (call f (i32.const {start}) (i32.const {size}))"""
    see = lambda d: seen.append((len(d), d[0], d[1], d[-1]))  # noqa: E731
    run(body, '(param "d" (list u8))', "(param i32 i32)", {"d": wit_values.BYTES}, see, pages=400)
    assert seen == [(size, 200, 0, 201)]


@pytest.mark.parametrize("odd", range(8))
def test_several_bytes_among_other_parameters_arrive_with_a_result_in_memory(odd):
    a, b, c = (1024 + 10 * number + (odd >> number & 1) for number in range(3))
    body = f"""
      (call f (i64.const 5) (i32.const {a}) (i32.const 3) (f64.const 0.5) (i32.const {b}) (i32.const 0)
        (i32.const {c}) (i32.const 2) (i32.const 64))
      (call $check (i32.load (i32.const 68)) (i32.const 5))
      (call $check (i32.load8_u (i32.load (i32.const 64))) (i32.const {a - 1024}))"""
    taken = '(param "n" u64) (param "a" (list u8)) (param "x" f64) (param "b" (list u8)) (param "c" (list u8))'
    bytes_ = wit_values.BYTES
    parameters = {"n": wit_values.U64, "a": bytes_, "x": wit_values.F64, "b": bytes_, "c": wit_values.COPIED_BYTES}
    seen = []

    def f(n, a, x, b, c):
        seen.append((n, x, bytes(b)))
        return bytes(a) + c

    core = "(param i64 i32 i32 f64 i32 i32 i32 i32 i32)"
    run(body, f"{taken} (result (list u8))", core, parameters, f, bytes_, data=PATTERN)
    assert seen == [(5, 0.5, b"")]


def test_a_result_that_is_one_number_is_returned():
    body = "(call $check (call f (i32.const 1025) (i32.const 4)) (i32.const 10))"
    signature, core = '(param "d" (list u8)) (result u32)', "(param i32 i32) (result i32)"
    run(body, signature, core, {"d": wit_values.BYTES}, sum, wit_values.U32, data=PATTERN)


LAST = 200 << 16


@pytest.mark.parametrize("length", [0x7FFFFFFF, 0x80000000, 0x80000003, 0x80000004, 0xFFFFFFFF])
@pytest.mark.parametrize("address", [0, 1, 1024, 1025, LAST, 0xFFFFFFFF])
def test_a_length_with_the_highest_bit_names_function_and_argument_and_is_no_other_encoding(address, length):
    body = f"(call f (i32.const {address}) (i32.const {length}))"
    with pytest.raises(GuestTrap, match=rf"{API}#f: d: the guest passed 2147483647 bytes or more"):
        run(body, '(param "d" (list u8))', "(param i32 i32)", {"d": wit_values.BYTES}, pytest.fail, data=PATTERN)


@pytest.mark.parametrize(
    ("address", "length"),
    [
        (LAST, 1),
        (LAST - 1, 2),
        (0, LAST + 1),
        (1, LAST),
        (LAST + 1, 0),
        (LAST + 2, 0),
        (0xFFFFFFFF, 0),
        (0xFFFFFFFF, 1),
    ],
)
def test_what_is_not_in_the_guests_memory_traps(address, length):
    body = f"(call f (i32.const {address}) (i32.const {length}))"
    with pytest.raises(GuestTrap, match="out of bounds of memory"):
        run(body, '(param "d" (list u8))', "(param i32 i32)", {"d": wit_values.BYTES}, pytest.fail)


def test_memory_that_has_just_grown_is_there():
    seen = []
    body = f"(drop (memory.grow (i32.const 1))) (call f (i32.const {LAST + 1}) (i32.const 65535))"
    run(body, '(param "d" (list u8))', "(param i32 i32)", {"d": wit_values.BYTES}, lambda d: seen.append(len(d)))
    assert seen == [65535]


def test_characters_that_are_no_bytes_are_never_taken_for_bytes():
    values = OwnedValues(1)
    write_name(values[0].of.string, "a\u0100".encode())
    values[0].kind = Kind.STRING
    with pytest.raises(Misfit, match="a character that is not a byte, at 1"):
        transport.lift(GuestMemory(), values[0])
    values.close()


TWO_MEMORIES = """(component
  (import "test:host/api" (instance $api
    (export "f" (func (param "d" (list u8)))) (export "g" (func (param "d" (list u8))))))
  (alias export $api "f" (func $f)) (alias export $api "g" (func $g))
  (core module $one (memory (export "m") 1) (data (i32.const 8) "of one"))
  (core module $two (memory (export "m") 1) (data (i32.const 8) "of two"))
  (core instance $one (instantiate $one)) (core instance $two (instantiate $two))
  (core func $f (canon lower (func $f) (memory (core memory $one "m"))))
  (core func $g (canon lower (func $g) (memory (core memory $two "m"))))
  (core module $main (import "" "f" (func $f (param i32 i32))) (import "" "g" (func $g (param i32 i32)))
    (func (export "run") (result i32)
      (call $f (i32.const 8) (i32.const 6)) (call $g (i32.const 9) (i32.const 5)) i32.const 0))
  (core instance $main (instantiate $main (with "" (instance (export "f" (func $f)) (export "g" (func $g))))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command)))"""


@pytest.mark.parametrize("config", [None, wasmtime.Config])
def test_each_of_two_memories_is_read(config):
    engine = Engine(config=config and config())
    compiled = engine.compile(TWO_MEMORIES.encode(), buffers=[API])
    assert compiled.as_strings == {API: {"f", "g"}}
    reason = "the configuration of the engine is a custom one" if config else "the component has more than one memory"
    assert compiled.transport == f"latin-1 ({reason if config or not unsupported() else unsupported()})"
    seen = []
    with engine.store() as store:
        instance = store.linker.instance(API)
        for name in "fg":
            instance.function(name, lambda d: seen.append(bytes(d)), {"d": wit_values.BYTES}, None)
        assert store.run_command(compiled, "guest") == 0
    assert seen == [b"of one", b"f two"]


def test_a_transport_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"'latin1' is not a transport; use pointer or latin-1"):
        Engine(transports=["latin1"])


@pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "memories can be reserved")
def test_interfaces_that_cannot_cross_by_address_cross_as_strings_beside_those_that_can():
    text = """package a:b; interface one { record row { v: list<u8> } f: func(v: row) -> row; g: func(v: list<u8>); }
      interface two { f: func(v: list<u8>) -> list<u8>; } world w { import one; import two; }"""
    compiled = Engine().compile(forwarding_guest(text), buffers=["a:b/one", "a:b/two"])
    assert compiled.by_address == {"a:b/two": {"f"}}
    assert compiled.as_strings == {"a:b/one": {"g"}}
    why = "its type `row` with bytes in it is used outside of parameters too"
    assert compiled.transport == f"pointer, latin-1 for a:b/one ({why}), list for a:b/one#f ({INSIDE})"


# --- what must not be taken for something else ---


@pytest.mark.parametrize(
    ("declared", "codec", "text"),
    [
        ("(list u8)", wit_values.STRING, "d: this host has string, the guest has list"),
        ("string", wit_values.BYTES, "d: this host has list, the guest has string"),
        ("(tuple u32 u32)", wit_values.BYTES, "d: this host has list, the guest has tuple"),
        ("(list u8)", wit_values.U32, "d: this host has u32, the guest has string"),
        ("(list u8)", wit_values.List(wit_values.U16), "d: this host has list, the guest has string"),
    ],
)
def test_a_guest_with_another_type_is_refused(declared, codec, text):
    host = Host([API], STRINGS)
    imports = {"f": Import(f'(param "d" {declared})', "(param i32 i32)")}
    with pytest.raises(LinkError, match=text):
        host.run(imports, "", lambda instance: instance.function("f", pytest.fail, {"d": codec}, None))


def test_a_guest_that_writes_the_prepared_type_itself_is_refused():
    host = Host([API], STRINGS)
    imports = {"f": Import('(param "d" string) (param "bits" u32)', "(param i32 i32 i32)"), "take": TAKE}
    define = lambda i: [i.function(n, pytest.fail, {"d": wit_values.BYTES}, None) for n in ("f", "take")]  # noqa: E731
    with pytest.raises(LinkError, match="this host has 1 parameter, the guest has 2"):
        host.run(imports, "", define)


SEEDS = [
    (lambda: forwarding_guest("package a:b@0.1.0; interface api { f: func(v: list<u8>, w: u8) -> list<u8>; "
        "resource r { constructor(a: list<u8>); m: func(v: list<u8>) -> u8; } g: func(s: string) -> string; } "
        "world w { import api; export api; }"), NAME),
    (lambda: handwritten(options="string-encoding=utf16"), "a:b/api"),
    (lambda: parsed(TWO_MEMORIES), API),
    (lambda: forwarding_guest(ROOT / "wit/2024-10-28", "ml"), "wasi:nn/tensor@0.2.0-rc-2024-10-28"),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_damaged_components_are_as_valid_as_before(seed):
    chance, (make, name) = random.Random(seed), SEEDS[seed]
    wasm = make()
    changed = valid = 0
    for _ in range(1000):
        original = damaged(wasm, chance)
        result = pass_as_strings(original, [name])
        if result.wasm is original:
            assert result.functions == {}
            continue
        changed += 1
        if is_valid(original):
            valid += 1
            assert is_valid(result.wasm), f"what becomes of {original.hex()} is not valid"
    assert changed > 20
    assert valid > 5


def test_components_that_end_early_stay_or_change():
    wasm, name = SEEDS[0][0](), SEEDS[0][1]
    for length in range(len(wasm)):
        pass_as_strings(wasm[:length], [name])
