"""Reading and preparing component binaries, checked by `wasm-tools` and run by Wasmtime."""

from __future__ import annotations

import logging
import random
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
import wasmtime
from wasmtime import component

from tests.guests.forward import forwarding_guest
from tests.guests.tools import wasm_tools
from wit_host.rewrite import InvalidComponent, replace_fixed_length_lists
from wit_host.rewrite.binary import Reader, encoded
from wit_host.rewrite.fixed_length_lists import LONGEST, MOST, TYPE_BYTES
from wit_host.rewrite.sections import MOST as MOST_SECTIONS
from wit_host.rewrite.sections import PREAMBLE, sections
from wit_host.rewrite.types import MAX_DEPTH

LIST, TUPLE = "(list u8 4)", "(tuple u8 u8 u8 u8)"
FOUR = b"\x67\x7d\x04"  # the same list in binary


@cache
def parsed(wat: str) -> bytes:
    return wasm_tools("parse", "-", stdin=wat.encode())


def printed(wasm: bytes) -> str:
    return wasm_tools("print", "-", stdin=wasm).decode()


def type_section(*definitions: bytes) -> bytes:
    """A component that defines types and nothing else."""
    body = encoded(len(definitions)) + b"".join(definitions)
    return PREAMBLE + b"\x07" + encoded(len(body)) + body


# --- what is rewritten ---

DEFINITIONS = [
    '(type (record (field "a" u8) (field "b" string)))',
    '(type (variant (case "a") (case "b" u8)))',
    "(type (list u8))",
    "(type (tuple u8 string))",
    '(type (flags "a" "b"))',
    '(type (enum "a" "b"))',
    "(type (option error-context))",
    "(type (result)) (type (result u8)) (type (result (error u8))) (type (result u8 (error u8)))",
    "(type $r (resource (rep i32))) (type (own $r)) (type (borrow $r))",
    "(type (stream)) (type (stream u8)) (type (future)) (type (future u8))",
    "(type (map string u64))",
    "(type bool) (type string) (type f64)",
    '(type (func)) (type (func (param "a" u8) (param "b" string) (result u8))) (type (func async (result u8)))',
    """(core module $m (func (export "f") (param i32))) (core instance $i (instantiate $m))
       (alias core export $i "f" (core func $f)) (type (resource (rep i32) (dtor (core func $f))))""",
    """(type (component (type (list u8)) (import "a" (type $a (sub resource))) (import "b" (func))
       (export "c" (type (eq 0)))))""",
    """(type $t (list u8)) (type (instance (alias outer 1 $t (type $u)) (export "a" (type (eq $u)))
       (export "r" (type (sub resource))) (export "i" (instance)) (export "c" (component))))""",
    """(type (instance (core type $f (func (param i32 f64 (ref null func)) (result v128)))
       (core type $m (module (type $t (func)) (alias outer 1 $f (type $u)) (import "a" "f" (func (type $t)))
         (import "a" "m" (memory 1 2)) (import "a" "t" (table 1 funcref)) (import "a" "g" (global (mut i64)))
         (import "a" "e" (tag (type $t))) (export "x" (func (type $u)))))
       (export "m" (core module (type $m)))))""",
]


@pytest.mark.parametrize("definitions", DEFINITIONS)
def test_lists_of_fixed_length_become_tuples_beside_every_other_type(definitions: str) -> None:
    wasm = parsed(f"(component (type {LIST}) {definitions} (type {LIST}))")
    prepared = replace_fixed_length_lists(wasm)
    assert printed(prepared) == printed(wasm).replace(LIST, TUPLE)
    assert replace_fixed_length_lists(prepared) is prepared


@pytest.mark.parametrize(
    "around",
    [
        '(type (instance (type {}) (export "a" (type (eq 0)))))',
        '(type (component (type (instance (type (record (field "a" u8))) (type {})))))',
        "(component (type {}))",
        '(component (component (component (type {}) (core module (func (export "f")))) (type {})))',
        "(core module (memory 1)) (component (core module (memory 2)) (type {}) (core module (memory 3)))",
    ],
)
def test_lists_of_fixed_length_become_tuples_at_every_depth(around: str) -> None:
    wasm = parsed(f"(component {around.replace('{}', LIST)} (type {LIST}))")
    assert printed(replace_fixed_length_lists(wasm)) == printed(wasm).replace(LIST, TUPLE)


def test_lengths_of_sections_may_need_more_bytes() -> None:
    inner = "(component (type (list u8 4000)))"
    wasm = parsed(f"(component {inner} (component {inner}) (type (list u16 1)))")
    wanted = printed(wasm).replace("(list u8 4000)", f"(tuple {' '.join(['u8'] * 4000)})")
    assert printed(replace_fixed_length_lists(wasm)) == wanted.replace("(list u16 1)", "(tuple u16)")


def test_elements_may_be_any_type() -> None:
    wasm = parsed("""(component (type $inner (list string 2)) (type $outer (list $inner 2))
      (type (list $outer 3)))""")
    text = printed(replace_fixed_length_lists(wasm))
    assert "(tuple $outer $outer $outer)" in text
    assert "(tuple $inner $inner)" in text


# --- what stays as it is ---


@pytest.mark.parametrize("wasm", [b"", b"\0asm", b"(component)", b"\0asm\x01\0\0\0" + FOUR, PREAMBLE])
def test_what_has_no_list_of_fixed_length_is_the_same_object(wasm: bytes) -> None:
    assert replace_fixed_length_lists(wasm) is wasm


def test_names_that_look_like_such_a_list_are_left_alone() -> None:
    wasm = parsed('(component (type (enum "g" "gs")) (import "gsm" (func)) (core module (func (export "gs"))))')
    assert replace_fixed_length_lists(wasm) is wasm


@pytest.mark.parametrize(
    ("wasm", "reason"),
    [
        (PREAMBLE + b"\x07", "the bytes end too early"),
        (PREAMBLE + b"\x07\x05\x01", "a section of 5 bytes does not fit"),
        (PREAMBLE + b"\x07\x80\x80\x80\x80\x80\x01", "a number has more than 32 bits"),
        (type_section(FOUR, b"\x20"), "0x20 is an unfamiliar kind of type"),
        (type_section(FOUR, b"\x70\x40"), "0x40 is an unfamiliar type"),
        (type_section(FOUR, b"\x6e\x7f"), "127 items do not fit"),
        (type_section(FOUR, b"\x6e\x01\x10"), "a name of 16 bytes does not fit"),
        (type_section(FOUR, b"\x42\x01\x03\x00\x01a\x01\x00"), "0x03 is an unfamiliar declaration"),
        (type_section(FOUR, b"\x42\x01\x04\x03\x01a\x01\x00"), "0x03 is an unfamiliar form of name"),
        (type_section(FOUR, b"\x42\x01\x04\x00\x01a\x07\x00"), "0x07 is an unfamiliar sort"),
        (type_section(FOUR, b"\x42\x01\x02\x03\x05"), "an unfamiliar alias"),
        (type_section(FOUR, b"\x42\x01\x00\x5f\x00"), "0x60 is needed for a core function type"),
        (type_section(FOUR, b"\x40\x00\x02"), "0x00 or 0x01 is needed"),
        (PREAMBLE + b"\x07\x05\x01" + FOUR + b"\x00", "bytes are left over"),
        (PREAMBLE + b"\x04\x08\0asm\x01\0\0\0", "this is not the start of a component"),
    ],
)
def test_what_cannot_be_read_is_left_to_the_engine(wasm: bytes, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "wit_host"):
        assert replace_fixed_length_lists(wasm) is wasm
    assert reason in caplog.text


def test_a_list_of_no_length_is_left_to_the_engine() -> None:
    wasm = type_section(b"\x67\x7d\x00")
    assert replace_fixed_length_lists(wasm) is wasm


# --- what is untrusted ---


def test_a_list_longer_than_the_tuples_of_the_engine_is_refused() -> None:
    longest = replace_fixed_length_lists(type_section(b"\x67\x7d" + encoded(LONGEST)))
    component.Component(wasmtime.Engine(), longest)
    with pytest.raises(InvalidComponent, match=f"fixed length {LONGEST + 1} is longer than {LONGEST} \\(at offset 0xb"):
        replace_fixed_length_lists(type_section(b"\x67\x7d" + encoded(LONGEST + 1)))


def test_small_components_cannot_ask_for_large_ones() -> None:
    many = [b"\x67\x7d" + encoded(LONGEST)] * (MOST // LONGEST + 1)
    with pytest.raises(InvalidComponent, match=f"more than {MOST} elements in all"):
        replace_fixed_length_lists(type_section(*many))


def nested_instances(depth: int) -> bytes:
    return b"\x42\x01\x01" * depth + FOUR


def test_types_deep_in_each_other_are_left_to_the_engine() -> None:
    assert TUPLE in printed(replace_fixed_length_lists(type_section(nested_instances(MAX_DEPTH))))
    deep = type_section(nested_instances(100_000))
    assert replace_fixed_length_lists(deep) is deep


def test_components_deep_in_each_other_can_be_read() -> None:
    inner = type_section(FOUR)
    for _ in range(500):
        inner = PREAMBLE + b"\x04" + encoded(len(inner)) + inner
    prepared = replace_fixed_length_lists(inner)
    assert len(prepared) > len(inner)
    assert len(sections(prepared)) == 501


def test_more_sections_than_any_guest_has_are_left_to_the_engine() -> None:
    wasm = type_section(FOUR) + b"\x00\x00" * MOST_SECTIONS
    assert replace_fixed_length_lists(wasm) is wasm


def test_more_types_than_any_guest_has_are_left_to_the_engine() -> None:
    wasm = type_section(FOUR, *[b"\x7d"] * TYPE_BYTES)
    assert replace_fixed_length_lists(wasm) is wasm


SEEDS = [
    lambda: parsed(f"(component {' '.join(DEFINITIONS[:8])} (type {LIST}) (type (instance (type {LIST}))))"),
    lambda: parsed(f"(component {' '.join(DEFINITIONS[-3:])} (type {LIST}))"),
    lambda: forwarding_guest(WORLD),
]


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_damaged_components_are_prepared_or_left_or_refused(seed: int) -> None:
    chance, wasm, engine = random.Random(seed), SEEDS[seed](), wasmtime.Engine()
    outcomes = {"left": 0, "prepared": 0}
    for round in range(1500):
        damaged = bytearray(wasm)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(PREAMBLE), len(damaged))
            match chance.randrange(4):
                case 0:
                    damaged[at] = chance.randrange(256)
                case 1:
                    damaged[at] ^= 1 << chance.randrange(8)
                case 2:
                    del damaged[at : at + chance.randint(1, 8)]
                case _:
                    damaged[at:at] = chance.randbytes(chance.randint(1, 4))
            if len(damaged) <= len(PREAMBLE) + 1:
                break
        outcome = _outcome(bytes(damaged), engine if round % 50 == 0 else None)
        if outcome:
            outcomes[outcome] += 1
    assert min(outcomes.values()) > 0


def test_components_that_end_early_are_prepared_or_left() -> None:
    wasm = SEEDS[0]()
    for length in range(len(wasm)):
        _outcome(wasm[:length], None)


def _outcome(wasm: bytes, engine: wasmtime.Engine | None) -> str | None:
    try:
        prepared = replace_fixed_length_lists(wasm)
    except InvalidComponent:
        return None
    if prepared is wasm:
        return "left"
    assert replace_fixed_length_lists(prepared) is prepared, "nothing is left to prepare"
    if engine is not None:
        with suppress(wasmtime.WasmtimeError):
            component.Component(engine, prepared)
    return "prepared"


# --- what runs ---

WORLD = """package a:b;
interface api {
  record row { name: string, cells: list<u16, 3>, more: option<list<list<u8, 2>, 2>> }
  f: func(v: list<u8, 4>) -> list<u8, 4>;
  strings: func(v: list<string, 2>) -> list<string, 2>;
  wide: func(v: list<f64, 20>, w: u8) -> u8;
  rows: func(v: list<row>) -> list<row>;
}
world w { import api; export api; }"""


@pytest.fixture(scope="module")
def running() -> tuple[wasmtime.Store, component.Instance]:
    engine = wasmtime.Engine()
    linker, store = component.Linker(engine), wasmtime.Store(engine)
    with linker.root() as root, root.add_instance("a:b/api") as api:
        for name in ("f", "strings", "rows"):
            api.add_func(name, lambda _, value: value)
        api.add_func("wide", lambda _, values, number: int(sum(values)) + number)
    return store, linker.instantiate(
        store, component.Component(engine, replace_fixed_length_lists(forwarding_guest(WORLD)))
    )


def call(running: tuple[wasmtime.Store, component.Instance], name: str, *values: Any) -> Any:
    store, instance = running
    index = instance.get_export_index(store, name, instance.get_export_index(store, "a:b/api"))
    assert index is not None
    function = instance.get_func(store, index)
    assert function is not None
    returned = function(store, *values)
    function.post_return(store)
    return returned


@pytest.mark.parametrize(
    ("name", "value"),
    [("f", (1, 2, 3, 255)), ("strings", ("a", "bc"))],
)
def test_a_list_of_fixed_length_crosses_as_a_tuple(
    running: tuple[wasmtime.Store, component.Instance], name: str, value: Any
) -> None:
    assert call(running, name, value) == value


def test_a_list_that_does_not_fit_into_core_values_crosses_through_memory(
    running: tuple[wasmtime.Store, component.Instance],
) -> None:
    assert call(running, "wide", tuple(map(float, range(20))), 7) == 197


def test_lists_of_fixed_length_inside_other_types_cross(running: tuple[wasmtime.Store, component.Instance]) -> None:
    rows = [record(name="a", cells=(1, 2, 65535), more=None), record(name="b", cells=(0, 0, 0), more=((1, 2), (3, 4)))]
    assert [vars(row) for row in call(running, "rows", rows)] == [vars(row) for row in rows]


def record(**fields: Any) -> component.Record:
    made = component.Record()
    vars(made).update(fields)
    return made


def test_the_engine_refuses_what_was_not_prepared() -> None:
    with pytest.raises(wasmtime.WasmtimeError, match=r"fixed-length lists"):
        component.Component(wasmtime.Engine(), forwarding_guest(WORLD))


# --- numbers ---


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16383, 16384, 2**32 - 1])
def test_numbers_are_read_as_they_are_written(value: int) -> None:
    assert Reader(encoded(value), 0, len(encoded(value))).u32() == value


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"\x7f", -1), (b"\x40", -64), (b"\x3f", 63), (b"\xc0\x00", 64), (b"\xff\xff\xff\xff\x0f", 2**32 - 1)],
)
def test_signed_numbers_are_read(data: bytes, value: int) -> None:
    assert Reader(data, 0, len(data)).s33() == value


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff\x1f", b"\x80\x80\x80\x80\x80\x00", b"\x80"])
def test_numbers_that_are_too_large_or_cut_off_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidComponent):
        Reader(data, 0, len(data)).u32()
