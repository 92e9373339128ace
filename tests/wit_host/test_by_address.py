"""Components whose bytes cross as addresses, checked by `wasm-tools` and run by Wasmtime."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from wasmtime import component

from tests.guests.forward import forwarding_guest
from tests.guests.tools import wasm_tools
from tests.wit_host.helpers.raw_memory import RawMemories
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
from wit_host.rewrite import Rewritten, pass_by_address, replace_fixed_length_lists
from wit_host.rewrite.binary import encoded, encoded_type
from wit_host.rewrite.index_spaces import MOST_BYTES
from wit_host.rewrite.sections import PREAMBLE, sections

ROOT = Path(__file__).parents[2]
REAL_GUESTS = [ROOT / "build/classify/guest.wasm", ROOT / "build/tests/probe.wasm"]


def prepared(wasm: bytes, *interfaces: str) -> Rewritten:
    """What becomes of a component, which is valid whatever it is."""
    result = pass_by_address(wasm, interfaces)
    assert is_valid(result.wasm)
    return result


# --- what is retyped ---


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("f: func(v: list<u8>);", "f: func(v: tuple<u32, u32>);"),
        ("f: func(v: list<list<u8>>);", "f: func(v: list<tuple<u32, u32>>);"),
        ("f: func(v: option<list<u8>>);", "f: func(v: option<tuple<u32, u32>>);"),
        ("f: func(v: tuple<list<u8>, u64>);", "f: func(v: tuple<tuple<u32, u32>, u64>);"),
        ("f: func(v: result<list<u8>, list<u8>>);", "f: func(v: result<tuple<u32, u32>, tuple<u32, u32>>);"),
        ("f: func(v: list<list<list<u8>>>);", "f: func(v: list<list<tuple<u32, u32>>>);"),
        ("type t = list<u8>; f: func(v: t);", "type t = list<u8>; f: func(v: tuple<u32, u32>);"),
        ("type t = list<u8>; type u = list<t>; f: func(v: u);", "f: func(v: list<tuple<u32, u32>>);"),
        ("record r { a: u8, b: list<u8> } f: func(v: list<r>);", "record r { a: u8, b: tuple<u32, u32>, }"),
        ("variant v { a, b(list<u8>) } f: func(v: v);", "variant v { a, b(tuple<u32, u32>), }"),
        (
            "record r { a: list<u8> } record s { r: r } type t = s; f: func(v: option<t>);",
            "record r { a: tuple<u32, u32>, } record s { r: r, } type t = s; f: func(v: option<t>);",
        ),
        (
            "f: func(v: list<u8>) -> result<list<u8>>;",
            "f: func(v: tuple<u32, u32>, at: u32) -> result<tuple<u32, u32>>;",
        ),
        ("f: func() -> result<list<u8>, u32>;", "f: func(at: u32) -> result<tuple<u32, u32>, u32>;"),
        (
            "resource e; variant v { a(e), b } f: func(at: u8) -> result<tuple<list<u8>, bool>, v>;",
            "f: func(at: u8, at1: u32) -> result<tuple<tuple<u32, u32>, bool>, v>;",
        ),
        ("type t = list<u8>; f: func() -> result<t, string>;", "f: func(at: u32) -> result<tuple<u32, u32>, string>;"),
        ("f: func(v: option<list<u8>>) -> option<list<u8>>;", "func(v: option<tuple<u32, u32>>) -> option<list<u8>>;"),
        ("f: func(v: list<u8>, w: list<u16>, x: string);", "f: func(v: tuple<u32, u32>, w: list<u16>, x: string);"),
        ("enum e { a } flags g { b } f: func(e: e, g: g, v: list<u8>);", "f: func(e: e, g: g, v: tuple<u32, u32>);"),
        ("resource r { m: func(v: list<u8>); }", "resource r { m: func(v: tuple<u32, u32>); }"),
        ("f: func() -> list<u8>;", "f: func(ret: u32);"),
        ("type t = list<u8>; type u = t; f: func() -> u;", "f: func(ret: u32);"),
        ("f: func(v: list<u8>) -> list<u8>;", "f: func(v: tuple<u32, u32>, ret: u32);"),
        ("f: func(ret: u8, ret1: u8) -> list<u8>;", "f: func(ret: u8, ret1: u8, ret2: u32);"),
        ("resource r { m: func() -> list<u8>; }", "resource r { m: func(ret: u32); }"),
        ("resource r; f: func(r: own<r>) -> list<u8>; g: func(v: list<u8>);", "f: func(r: r) -> list<u8>;"),
    ],
)
def test_bytes_are_retyped_wherever_parameters_or_results_have_them(before: str, after: str) -> None:
    result = prepared(importing(before), NAME)
    assert result.reasons == {}
    assert after in wit(result.wasm)
    assert result.functions.keys() == {NAME}


def test_functions_without_their_result_are_named() -> None:
    result = prepared(importing("f: func() -> list<u8>; g: func() -> u8; h: func(v: list<u8>);"), NAME)
    assert result.functions == {NAME: {"f"}}


@pytest.mark.parametrize(
    "declarations",
    [
        "f: func(v: list<u16>) -> string;",
        "f: func() -> result<_, list<u8>>;",
        "f: func() -> result<list<u8>, list<u8>>;",
        "f: func() -> result<list<u8>, u64>;",
        "f: func() -> result<list<u8>, f64>;",
        "f: func() -> result<tuple<list<u8>, u64>>;",
        "f: func() -> result<tuple<bool, list<u8>>>;",
        "f: func() -> result<tuple<list<u8>, list<u8>>>;",
        "f: func() -> result<option<list<u8>>>;",
        "record r { a: list<u8> } f: func() -> result<r>;",
        "resource r; f: func(r: own<r>) -> result<list<u8>>;",
        "type t = list<u8>; record r { t: t } f: func() -> r;",
        "resource r { m: func() -> option<list<u8>>; }",
        "type t = list<u8>;",
    ],
)
def test_imports_that_take_no_bytes_stay_as_they_are(declarations: str) -> None:
    wasm = importing(declarations)
    result = pass_by_address(wasm, [NAME])
    assert result.wasm is wasm
    assert (result.functions, result.reasons) == ({}, {})


def test_functions_that_fill_all_core_values_keep_their_result() -> None:
    names = [f"p{index}" for index in range(16)]
    most, more = (", ".join(f"{name}: u8" for name in names[:count]) for count in (15, 16))
    result = prepared(importing(f"f: func({most}) -> list<u8>; g: func({more}) -> list<u8>;"), NAME)
    assert result.functions == {NAME: {"f"}}
    assert f"g: func({more}) -> list<u8>;" in wit(result.wasm)


def test_other_interfaces_stay_as_they_are() -> None:
    text = """package a:b; interface one { f: func(v: list<u8>) -> list<u8>; }
      interface two { f: func(v: list<u8>) -> list<u8>; } world w { import one; import two; }"""
    result = prepared(forwarding_guest(text), "a:b/two")
    assert result.functions == {"a:b/two": {"f"}}
    assert "interface one { f: func(v: list<u8>) -> list<u8>; }" in wit(result.wasm)
    assert "interface two { f: func(v: tuple<u32, u32>, ret: u32); }" in wit(result.wasm)


def test_bytes_that_another_interface_names_are_retyped() -> None:
    text = """package a:b; interface one { type blob = list<u8>; }
      interface two { use one.{blob}; f: func(v: list<blob>) -> blob; } world w { import two; }"""
    result = prepared(forwarding_guest(text), "a:b/one", "a:b/two")
    assert result.functions == {"a:b/two": {"f"}}
    assert "f: func(v: list<tuple<u32, u32>>, ret: u32);" in wit(result.wasm)


def test_what_the_component_exports_stays_as_it_is() -> None:
    text = """package a:b; interface api { type blob = list<u8>; f: func(v: blob) -> blob; }
      world w { import api; use api.{blob}; export g: func(v: blob) -> blob; }"""
    result = prepared(forwarding_guest(text), "a:b/api")
    assert result.functions == {"a:b/api": {"f"}}
    assert "export g: func(v: blob) -> blob;" in wit(result.wasm)


@pytest.mark.parametrize(
    ("served", "name"),
    [("a:b/api@1.2.0", "a:b/api@1.0.5"), ("a:b/api@0.2.0", "a:b/api@0.2.9"), ("a:b/api", "a:b/api")],
)
def test_imports_go_by_compatible_versions(served: str, name: str) -> None:
    wasm = parsed(f'(component (import "{name}" (instance (export "f" (func (param "v" (list u8)))))) {MEMORY})')
    assert prepared(wasm, served).functions == {name: frozenset()}
    assert prepared(wasm, "a:b/other", "a:b/api@3.0.0").functions == {}


@pytest.mark.parametrize("folder", sorted((ROOT / "wit").glob("20*")), ids=lambda folder: folder.name)
def test_guests_of_wasi_nn_are_retyped(folder: Path) -> None:
    (version,) = re.findall(r"package wasi:nn@([^;]+);", (folder / "nn.wit").read_text())
    interfaces = [f"wasi:nn/{each}@{version}" for each in ("tensor", "graph", "inference", "errors")]
    result = prepared(forwarding_guest(folder, "ml"), *interfaces)
    assert result.reasons == {}
    tensor, graph = interfaces[:2]
    assert result.functions == {tensor: {"[method]tensor.data"}, graph: frozenset()}


@pytest.mark.parametrize("path", REAL_GUESTS, ids=lambda path: path.stem)
def test_guests_of_componentize_py_are_retyped(path: Path) -> None:
    if not path.exists():
        pytest.skip(f"{path.relative_to(ROOT)} is not built: make demo and make test build it")
    wasm = path.read_bytes()
    interfaces = [f"wasi:nn/{name}@0.2.0-rc-2024-10-28" for name in ("tensor", "graph", "inference", "errors")]
    result = prepared(wasm, *interfaces)
    assert result.reasons == {}
    assert result.functions == {interfaces[0]: {"[method]tensor.data"}, interfaces[1]: frozenset()}
    assert "data: func(ret: u32);" in wit(result.wasm)
    assert pass_by_address(wasm, ["a:b/c"]).wasm is wasm


# --- where the bridges stand ---


def test_indices_behind_a_bridge_are_renumbered() -> None:
    result = prepared(
        handwritten(
            after="""
            (core module $later (func (export "a")) (func (export "post") (param i32))
              (func (export "s") (result i32) i32.const 8))
            (core instance $later (instantiate $later))
            (core instance $bundle (export "a" (func $later "a")) (export "r" (func $r)))
            (alias core export $bundle "a" (core func $a))
            (type $resource (resource (rep i32) (dtor (core func $later "post"))))
            (core func $new (canon resource.new $resource))
            (core func $drop (canon resource.drop $resource))
            (core func $rep (canon resource.rep $resource))
            (core instance (export "new" (func $new)) (export "drop" (func $drop)) (export "rep" (func $rep)))
            (func $lifted (canon lift (core func $a)))
            (export "a" (func $lifted) (func))
            (func (export "s") (result string)
              (canon lift (core func $later "s") (memory $m) (post-return (core func $later "post"))))
            (component (import "x" (func)) (core module (func (export "f"))))
            """
        ),
        "a:b/api",
    )
    assert result.functions == {"a:b/api": {"f", "g"}}
    component.Component(wasmtime.Engine(), result.wasm)


def test_indices_of_asynchronous_built_ins_are_renumbered() -> None:
    result = prepared(
        handwritten(
            after="""
            (type $s (stream u8)) (type $f (future string)) (type $t (list u16))
            (core module $later (func (export "cb") (param i32 i32 i32) (result i32) i32.const 0)
              (func (export "run") (result i32) i32.const 0))
            (core instance $later (instantiate $later))
            (core func (canon task.cancel)) (core func (canon subtask.cancel)) (core func (canon subtask.cancel async))
            (core func (canon task.return (result u8))) (core func (canon task.return (result $t) (memory $m)))
            (core func (canon task.return)) (core func (canon context.get i32 0)) (core func (canon context.set i32 0))
            (core func (canon thread.yield)) (core func (canon subtask.drop)) (core func (canon stream.new $s))
            (core func (canon stream.read $s (memory $m) (realloc $r) async))
            (core func (canon stream.write $s (memory $m) async))
            (core func (canon stream.cancel-read $s)) (core func (canon stream.cancel-write $s async))
            (core func (canon stream.drop-readable $s)) (core func (canon stream.drop-writable $s))
            (core func (canon future.new $f)) (core func (canon future.read $f (memory $m) (realloc $r) async))
            (core func (canon future.write $f (memory $m) async)) (core func (canon future.cancel-read $f))
            (core func (canon future.cancel-write $f)) (core func (canon future.drop-readable $f))
            (core func (canon future.drop-writable $f))
            (core func (canon error-context.new (memory $m)))
            (core func (canon error-context.debug-message (memory $m) (realloc $r)))
            (core func (canon error-context.drop)) (core func (canon waitable-set.new))
            (core func (canon waitable-set.wait (memory $m))) (core func (canon waitable-set.poll (memory $m)))
            (core func (canon waitable-set.drop)) (core func $join (canon waitable.join))
            (core func (canon backpressure.inc)) (core func (canon backpressure.dec))
            (core instance (export "join" (func $join)))
            (func (export "run") async
              (canon lift (core func $later "run") async (callback (core func $later "cb"))))
            """
        ),
        "a:b/api",
    )
    assert result.functions == {"a:b/api": {"f", "g"}}


def test_functions_that_are_lowered_after_others_are_used_get_their_own_bridges() -> None:
    second = """(core func $later (canon lower (func $g) (memory $m) (realloc $r)))
      (core module $more (import "" "g" (func (param i32))))
      (core instance (instantiate $more (with "" (instance (export "g" (func $later))))))"""
    wasm = handwritten(after=second)
    result = prepared(wasm, "a:b/api")
    modules = [section for section in sections(result.wasm) if section.id == 1]
    assert len(modules) == len([section for section in sections(wasm) if section.id == 1]) + 2


def test_functions_that_are_lowered_and_not_used_need_no_bridge() -> None:
    wasm = handwritten(after="(core func (canon lower (func $g) (memory $m) (realloc $r)))")
    result = prepared(wasm, "a:b/api")
    assert len([each for each in sections(result.wasm) if each.id == 1]) == 3


def test_names_for_tools_are_left_out_where_they_would_be_wrong() -> None:
    text = wasm_tools("print", "-", stdin=prepared(handwritten(), "a:b/api").wasm).decode()
    assert "$lower" not in text
    assert "$libc" not in text


# --- what stays as it is, and why ---


@pytest.mark.parametrize(
    ("places", "reason"),
    [
        ({"after": "(core module (memory 1))"}, "more than one memory"),
        ({"after": "(component (core module (memory 1)))"}, "more than one memory"),
        ({"after": "(core instance (instantiate $libc))"}, "more than one memory"),
        ({"memory": "1 1 shared"}, "unfamiliar kind"),
        ({"after": '(export "x" (func $f))'}, "passes on its function `f`"),
        ({"after": '(instance (export "x" (func $g)))'}, "passes on its function `g`"),
        ({"after": '(export "x" (instance $api))'}, "as a whole"),
        (
            {"after": '(component $c (import "x" (func))) (instance (instantiate $c (with "x" (instance $api))))'},
            "as a whole",
        ),
        (
            {"after": '(func (param "a" u32) (param "b" u32) (param "c" u32) (canon lift (core func $lower)))'},
            "something other than core modules",
        ),
        ({"between": "(component (alias outer $root $libc (core module)))"}, "core definitions outside"),
        (
            {
                "after": '(component $c (import "m" (core module)))'
                '(instance (instantiate $c (with "m" (core module $libc))))'
            },
            "passes on core modules",
        ),
        ({"before": '(import "m" (core module))'}, "core modules from elsewhere"),
        ({"options": "async"}, "lowered as an asynchronous one"),
        (
            {"after": '(core func $late (canon lower (func $g) (memory $m)))(core instance (export "g" (func $late)))'},
            "without an allocator",
        ),
        (
            {
                "between": '(core instance (export "g" (func 2)))',
                "after": "(core func (canon lower (func $g) (memory $m) (realloc $r)))",
            },
            "used before it is lowered",
        ),
        ({"types": '(export "i" (instance))'}, "something other than functions and types"),
        ({"types": "(type (instance))"}, "something other than functions and types of values"),
        ({"types": "(core type (func))"}, "something unfamiliar"),
        (
            {
                "types": '(type $r (record (field "a" (list u8)))) (export "r" (type $s (eq $r)))',
                "parameters": '(param "r" $s) (param "f" (stream $s))',
            },
            "a parameter has an unfamiliar type",
        ),
        (
            {"types": "(type $s (stream (list u8)))", "parameters": '(param "s" $s)'},
            "a parameter has an unfamiliar type",
        ),
        (
            {
                "types": '(type $r (record (field "a" (list u8)))) (export "row" (type $s (eq $r)))'
                '(export "h" (func (result $s)))',
                "parameters": '(param "r" $s)',
            },
            "`row` with bytes in it is used outside of parameters",
        ),
        (
            {
                "types": '(type $r (record (field "a" (list u8)))) (export "row" (type $s (eq $r)))',
                "parameters": '(param "r" $s)',
                "after": '(alias export $api "row" (type))',
            },
            "`row` with bytes in it is used outside of parameters",
        ),
    ],
)
def test_what_is_unfamiliar_stays_as_it_is(places: Mapping[str, str], reason: str) -> None:
    wasm = handwritten(**places)
    result = pass_by_address(wasm, ["a:b/api"])
    assert result.wasm is wasm
    assert result.functions == {}
    assert result.reasons.keys() == {"a:b/api"}
    assert reason in result.reasons["a:b/api"]


@pytest.mark.parametrize(
    ("wat", "reason"),
    [
        (
            '(component (type $t (instance (export "f" (func (param "v" (list u8))))))'
            '(import "a:b/api" (instance (type $t))) (import "c:d/e" (instance (type $t))))',
            "uses its type for something else",
        ),
        (
            '(component $c (type $t (instance (export "f" (func (param "v" (list u8))))))'
            '(import "a:b/api" (instance (type $t)))'
            '(component (type (component (alias outer $c $t (type $u)) (import "x" (instance (type $u)))))))',
            "uses its type for something else",
        ),
        (
            '(component $c (type $t (instance (export "f" (func (param "v" (list u8))))))'
            '(alias outer $c $t (type $u)) (import "a:b/api" (instance (type $u))))',
            "defined in an unfamiliar way",
        ),
        (
            '(component (import "a:b/api" (instance (export "f" (func (param "v" (list u8)))))))',
            "no memory",
        ),
        (
            '(component (import "a:b/api" (instance (export "f" (func (param "v" (list u8))))))'
            "(core module (memory i64 1)))",
            "unfamiliar kind",
        ),
        (
            '(component (import "a:b/api" (instance (export "f" (func (param "v" (list u8))))))'
            "(component (core module (memory 1))))",
            "in a component inside",
        ),
        ('(component (import "a:b/api" (func (param "v" (list u8)))))', "imports directly"),
    ],
)
def test_what_is_unfamiliar_in_other_components_stays_as_it_is(wat: str, reason: str) -> None:
    wasm = parsed(wat)
    result = pass_by_address(wasm, ["a:b/api"])
    assert result.wasm is wasm
    assert reason in result.reasons["a:b/api"]


def test_records_of_another_interface_stay_as_they_are() -> None:
    text = """package a:b; interface one { record row { v: list<u8> } f: func(v: list<u8>); }
      interface two { use one.{row}; f: func(v: row); } world w { import two; import one; }"""
    wasm = forwarding_guest(text)
    result = prepared(wasm, "a:b/one", "a:b/two")
    assert result.reasons == {"a:b/two": "its type `row` with bytes in it comes from another interface"}
    assert result.functions == {"a:b/one": frozenset()}
    assert "record row { v: list<u8>, }" in wit(result.wasm)


def test_one_interface_stays_as_it_is_while_another_is_retyped() -> None:
    text = """package a:b; interface one { record row { v: list<u8> } f: func(v: row) -> row; }
      interface two { f: func(v: list<u8>) -> list<u8>; } world w { import one; import two; }"""
    result = prepared(forwarding_guest(text), "a:b/one", "a:b/two")
    assert result.reasons.keys() == {"a:b/one"}
    assert result.functions == {"a:b/two": {"f"}}


def test_composed_components_stay_as_they_are() -> None:
    inner = HANDWRITTEN.format(
        types="", parameters="", before="", between="", after="", options="", memory="1"
    ).replace("(component $root", "(component $inner")
    wasm = parsed(f"""(component {inner}
      (import "a:b/api" (instance $api (export "f" (func (param "x" (list u8)) (result (list u8))))
        (export "g" (func (result (list u8))))))
      (instance (instantiate $inner (with "a:b/api" (instance $api)))))""")
    result = pass_by_address(wasm, ["a:b/api"])
    assert result.wasm is wasm
    assert result.reasons == {"a:b/api": "the component passes it on as a whole"}


@pytest.mark.parametrize("wasm", [b"", b"\0asm\x01\0\0\0", b"(component)", PREAMBLE])
def test_what_has_no_imports_is_the_same_object(wasm: bytes) -> None:
    result = pass_by_address(wasm, [NAME])
    assert result.wasm is wasm
    assert (result.functions, result.reasons) == ({}, {})


@pytest.mark.parametrize(
    ("wasm", "reason"),
    [
        (PREAMBLE + b"\x06\x05", "a section of 5 bytes does not fit"),
        (PREAMBLE + b"\x08\x02\x01\x60", "0x60 is an unfamiliar kind of canonical function"),
        (PREAMBLE + b"\x08\x05\x01\x01\x00\x00\x01", "1 items do not fit"),
        (PREAMBLE + b"\x09\x00", "9 is an unfamiliar kind of section"),
        (PREAMBLE + b"\x02\x02\x01\x02", "0x02 is an unfamiliar form of core instance"),
        (PREAMBLE + b"\x05\x02\x01\x02", "0x02 is an unfamiliar form of instance"),
        (PREAMBLE + b"\x06\x02\x01\x07", "0x07 is an unfamiliar sort"),
        (PREAMBLE + b"\x06\x03\x01\x00\x07", "0x07 is an unfamiliar sort of core definition"),
    ],
)
def test_what_cannot_be_read_stays_as_it_is(wasm: bytes, reason: str) -> None:
    result = pass_by_address(wasm, [NAME])
    assert result.wasm is wasm
    assert reason in result.reasons[NAME]


# --- what runs ---

Function = Callable[..., Any]


class Bridged:
    """A host function with a result of bytes, as it is called twice for each call of the guest."""

    def __init__(self, memories: RawMemories, function: Function) -> None:
        self._memories = memories
        self._function = function
        self._pending: list[bytes] = []

    def __call__(self, store: Any, *values: Any) -> None:
        *arguments, ret = values
        if self._pending:
            address = int.from_bytes(self._memories.read(ret, 4), "little")
            self._memories.write(address, self._pending.pop())
        else:
            self._pending.append(self._function(*arguments))
            self._memories.write(ret + 4, len(self._pending[0]).to_bytes(4, "little"))


class Rig:
    """A prepared guest with functions of the host behind its one interface. These see addresses and lengths."""

    def __init__(self, wasm: bytes, name: str, functions: Callable[[RawMemories], Mapping[str, Function]]) -> None:
        result = prepared(wasm, name)
        self.memories = RawMemories()
        linker, self._store = component.Linker(self.memories.engine), wasmtime.Store(self.memories.engine)
        with linker.root() as root, root.add_instance(name) as instance:
            if name == API:
                instance.add_resource("thing", component.ResourceType.host(1), lambda *_: None)
            for each, function in functions(self.memories).items():
                bridged = each in result.functions[name]
                instance.add_func(each, Bridged(self.memories, function) if bridged else _without_store(function))
        guest = component.Component(self.memories.engine, result.wasm)
        self._instance = linker.instantiate(self._store, guest)

    def call(self, interface: str, name: str, *values: Any) -> Any:
        outer = self._instance.get_export_index(self._store, interface)
        index = self._instance.get_export_index(self._store, name, outer)
        assert index is not None
        function = self._instance.get_func(self._store, index)
        assert function is not None
        returned = function(self._store, *values)
        function.post_return(self._store)
        return returned

    def close(self) -> None:
        self._store.close()


def _without_store(function: Function) -> Function:
    return lambda store, *values: function(*values)


RUNNING = """package a:b@0.1.0;
interface api {
  record row { name: string, cells: list<u8>, more: list<list<u8>> }
  echo: func(v: list<u8>) -> list<u8>;
  join: func(v: list<list<u8>>, w: string, x: f64, y: option<list<u8>>) -> list<u8>;
  wide: func(a: u64, b: f32, c: s8, d: char, e: list<u8>, f: list<u8>, g: list<u8>, h: u8, i: u16, j: u32, k: u64)
    -> list<u8>;
  spilled: func(a: list<u8>, b: list<u8>, c: list<u8>, d: list<u8>, e: list<u8>, f: list<u8>, g: list<u8>, h: list<u8>,
    i: list<u8>) -> u32;
  full: func(a: list<u8>, b: list<u8>, c: list<u8>, d: list<u8>, e: list<u8>, f: list<u8>, g: list<u8>, h: list<u8>)
    -> list<u8>;
  rows: func(v: list<row>) -> u32;
  nested: func(v: list<u8>) -> tuple<list<u8>, u8>;
}
world w { import api; export api; }"""


def joining(memories: RawMemories) -> Mapping[str, Function]:
    """Functions that read everything that they get."""

    def at(pair: tuple[int, int]) -> bytes:
        return memories.read(*pair)

    def rows(values: Sequence[Any]) -> int:
        return sum(len(row.name) + sum(at(row.cells)) + sum(sum(at(each)) for each in row.more) for row in values)

    def join(v: Sequence[tuple[int, int]], w: str, x: float, y: tuple[int, int] | None) -> bytes:
        return b"".join(map(at, v)) + w.encode() + str(x).encode() + (b"-" if y is None else at(y))

    def wide(*values: Any) -> bytes:
        return b"|".join(at(each) if isinstance(each, tuple) else str(each).encode() for each in values)

    return {
        "echo": at,
        "join": join,
        "wide": wide,
        "spilled": lambda *values: sum(sum(at(each)) for each in values),
        "full": lambda *values: b"".join(map(at, values)),
        "rows": rows,
        "nested": lambda value: (at(value), 1),
    }


@pytest.fixture(scope="module", params=["utf8", "utf16"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    rig = Rig(forwarding_guest(RUNNING, encoding=request.param), NAME, joining)
    yield rig
    rig.close()


@pytest.mark.parametrize("content", [b"", b"a", bytes(range(256)), b"0123456789" * 10_000])
def test_bytes_go_there_and_back(rig: Rig, content: bytes) -> None:
    assert rig.call(NAME, "echo", content) == content


def test_bytes_inside_other_types_arrive(rig: Rig) -> None:
    assert rig.call(NAME, "join", [b"ab", b"", b"cd"], "\u00fc\u6f22", 1.5, b"!") == "abcd\u00fc\u6f221.5!".encode()
    assert rig.call(NAME, "join", [], "", 2.0, None) == b"2.0-"


def test_bytes_inside_records_arrive(rig: Rig) -> None:
    rows = [component.Record(), component.Record()]
    vars(rows[0]).update({"name": "ab", "cells": b"\1\2", "more": [b"\3", b"\4\5"]})
    vars(rows[1]).update({"name": "", "cells": b"", "more": []})
    assert rig.call(NAME, "rows", rows) == 2 + 15


def test_a_bridge_passes_on_parameters_of_every_core_type(rig: Rig) -> None:
    values = (2**63, 0.5, -3, "\u00fc", b"x", b"", b"yz", 7, 8, 9, 10)
    wanted = "9223372036854775808|0.5|-3|\u00fc|x||yz|7|8|9|10"
    assert rig.call(NAME, "wide", *values) == wanted.encode()


def test_bytes_arrive_in_parameters_that_go_through_memory(rig: Rig) -> None:
    assert rig.call(NAME, "spilled", *[bytes([each]) for each in range(1, 10)]) == 45


def test_a_function_that_keeps_its_result_still_gets_addresses(rig: Rig) -> None:
    assert rig.call(NAME, "full", *[bytes([each]) for each in range(8)]) == bytes(range(8))


def test_a_result_inside_another_type_is_still_a_list(rig: Rig) -> None:
    assert rig.call(NAME, "nested", b"abc") == (b"abc", 1)


def test_a_guest_that_grows_its_memory_is_read_where_it_is(rig: Rig) -> None:
    content = b"x" * (1 << 20)
    assert rig.call(NAME, "echo", content) == content


def test_memories_go_with_their_store() -> None:
    rig = Rig(forwarding_guest(RUNNING), NAME, joining)
    assert rig.memories.count == 1
    rig.close()
    assert rig.memories.count == 0


LARGE = 16 << 20
HANDLED = {
    "take": Import('(param "v" (list u8)) (result u32)', "(param i32 i32) (result i32)"),
    "make": Import('(param "length" u32) (result (list u8))', "(param i32 i32)"),
    "other": Import('(param "a" u64) (param "b" f64) (result (list u8))', "(param i64 f64 i32)"),
}


def test_large_bytes_and_several_bridges_work_in_handwritten_guests() -> None:
    body = f"""
      (call make (i32.const {LARGE}) (i32.const 16))
      (call $check (i32.load (i32.const 20)) (i32.const {LARGE}))
      (local.set $a (i32.load (i32.const 16)))
      (call $check (i32.load8_u (local.get $a)) (i32.const 7))
      (call $check (i32.load8_u (i32.add (local.get $a) (i32.const {LARGE - 1}))) (i32.const 9))
      (call $check (call take (local.get $a) (i32.const {LARGE})) (i32.const {LARGE + 9}))
      (call other (i64.const 5) (f64.const 0.5) (i32.const 16))
      (call $check (i32.load (i32.const 20)) (i32.const 5))
      (call $check (i32.load (i32.load (i32.const 16))) (i32.const 0x2e302d35))
      (call make (i32.const 0) (i32.const 16))
      (call $check (i32.load (i32.const 20)) (i32.const 0))
      (call $check (call take (i32.load (i32.const 16)) (i32.const 0)) (i32.const 0))"""
    seen: list[int] = []

    def functions(memories: RawMemories) -> Mapping[str, Function]:
        def take(pair: tuple[int, int]) -> int:
            content = memories.read(*pair)
            seen.append(len(content))
            return len(content) + content[-1] if content else 0

        def make(length: int) -> bytes:
            return b"\7" + bytes(length - 2) + b"\11" if length else b""

        return {"take": take, "make": make, "other": lambda a, b: f"{a}-{b}".encode()}

    rig = Rig(parsed(command(HANDLED, body, pages=600)), API, functions)
    rig.call("wasi:cli/run@0.2.0", "run")
    rig.close()
    assert seen == [LARGE, 0]


def test_lists_of_fixed_length_and_bytes_can_both_be_prepared() -> None:
    text = """package a:b@0.1.0; interface api { f: func(v: list<list<u8>, 2>, w: list<u8, 3>) -> list<u8>; }
      world w { import api; export api; }"""

    def functions(memories: RawMemories) -> Mapping[str, Function]:
        return {"f": lambda v, w: b"".join(memories.read(*each) for each in v) + bytes(w)}

    wasm = forwarding_guest(text)
    assert "list<tuple<u32, u32>, 2>" in wit(pass_by_address(wasm, [NAME]).wasm)
    for each in (replace_fixed_length_lists(wasm), replace_fixed_length_lists(pass_by_address(wasm, [NAME]).wasm)):
        assert is_valid(each)
    rig = Rig(replace_fixed_length_lists(wasm), NAME, functions)
    assert rig.call(NAME, "f", (b"ab", b"c"), (1, 2, 3)) == b"abc\1\2\3"
    rig.close()


# --- what is untrusted ---


def section(id: int, *items: bytes) -> bytes:
    body = encoded(len(items)) + b"".join(items)
    return bytes([id]) + encoded(len(body)) + body


def with_types(*declarations: bytes) -> bytes:
    """A component that imports an interface of these declarations."""
    type_ = b"\x42" + encoded(len(declarations)) + b"".join(declarations)
    imported = b"\x00" + encoded(len(NAME)) + NAME.encode() + b"\x05\x00"
    return PREAMBLE + section(7, type_) + section(10, imported) + parsed(f"(component {MEMORY})")[len(PREAMBLE) :]


def function(*types: bytes) -> bytes:
    """The declaration of a function type with these parameters."""
    parameters = b"".join(b"\x02p%c" % (97 + index) + type_ for index, type_ in enumerate(types))
    return b"\x01\x40" + encoded(len(types)) + parameters + b"\x01\x00"


BYTES = b"\x01\x70\x7d"
EXPORTED = b"\x04\x00\x01f\x01"


def test_types_of_high_indices_are_retyped() -> None:
    many = [b"\x01\x70\x79"] * 100
    result = prepared(with_types(*many, BYTES, function(encoded_type(100)), EXPORTED + encoded(101)), NAME)
    assert result.functions == {NAME: frozenset()}
    assert "f: func(pa: tuple<u32, u32>);" in wit(result.wasm)


def test_types_deep_in_each_other_are_retyped() -> None:
    deep = [b"\x01\x70" + encoded_type(index) for index in range(80)]
    result = prepared(with_types(BYTES, *deep, function(encoded_type(80)), EXPORTED + encoded(81)), NAME)
    assert result.functions == {NAME: frozenset()}


@pytest.mark.parametrize(
    ("declarations", "reason"),
    [
        ([BYTES, function(b"\x05"), EXPORTED + b"\x01"], "there is no type 5 here"),
        ([BYTES, function(b"\x00"), EXPORTED + b"\x07"], "there is no type 7 here"),
        ([BYTES, EXPORTED + b"\x00"], "a function has an unfamiliar type"),
        ([BYTES, b"\x01\x70\x01", b"\x01\x70\x01"], "there is no type 1 here"),
        ([BYTES, b"\x02\x03\x02\x00\x00"], "something unfamiliar"),
        (
            [BYTES, *[b"\x01\x6f\x02" + encoded_type(index) * 2 for index in range(40)], function(b"\x28")],
            "its types are too large",
        ),
        ([BYTES] * 10_001, "more than 10000 types"),
    ],
)
def test_hostile_types_stay_as_they_are(declarations: Sequence[bytes], reason: str) -> None:
    wasm = with_types(*declarations)
    result = pass_by_address(wasm, [NAME])
    assert result.wasm is wasm
    assert reason in result.reasons[NAME]


def test_more_definitions_than_any_guest_has_stay_as_they_are() -> None:
    wasm = PREAMBLE + section(6, *[b"\x03\x02\x00\x00"] * (MOST_BYTES // 4))
    result = pass_by_address(wasm, [NAME])
    assert result.wasm is wasm
    assert "definitions take more than" in result.reasons[NAME]


def test_more_core_modules_than_the_engine_takes_are_not_put_in() -> None:
    wasm = handwritten(after="(core module)" * 990)
    assert is_valid(wasm)
    result = pass_by_address(wasm, ["a:b/api"])
    assert result.wasm is wasm
    assert "no more can be added" in result.reasons["a:b/api"]


def test_core_modules_that_cannot_be_read_stay_as_they_are() -> None:
    wasm = with_types(BYTES, function(b"\x00"), EXPORTED + b"\x01")
    for module in (b"", b"\0asm\x01\0\0\0\x05\x09", b"\0asm\x01\0\0\0" + b"\x01\x00" * 100_001):
        changed = wasm + bytes([1]) + encoded(len(module)) + module
        assert pass_by_address(changed, [NAME]).wasm is changed


SEEDS: Sequence[tuple[Callable[[], bytes], str]] = [
    (lambda: forwarding_guest(RUNNING), NAME),
    (lambda: handwritten(after=""), "a:b/api"),
    (lambda: parsed(command(HANDLED, "")), API),
    (lambda: forwarding_guest(ROOT / "wit/2024-10-28", "ml"), "wasi:nn/tensor@0.2.0-rc-2024-10-28"),
]


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_damaged_components_are_as_valid_as_before(seed: int) -> None:
    chance, (make, name) = random.Random(seed), SEEDS[seed]
    wasm = make()
    changed = valid = 0
    for _ in range(1000):
        original = damaged(wasm, chance)
        result = pass_by_address(original, [name])
        if result.wasm is original:
            assert result.functions == {}
            continue
        changed += 1
        if is_valid(original):
            valid += 1
            assert is_valid(result.wasm), f"what becomes of {original.hex()} is not valid"
    assert changed > 20
    assert valid > 5


def test_components_that_end_early_stay_or_change() -> None:
    wasm, name = SEEDS[0][0](), SEEDS[0][1]
    for length in range(len(wasm)):
        pass_by_address(wasm[:length], [name])
