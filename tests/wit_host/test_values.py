"""Every type that crosses, both ways."""

from __future__ import annotations

import math
from enum import Enum

import pytest

from tests.wit_host.helpers.host import THING, Thing
from tests.wit_host.helpers.wat import Import
from wit_host import values as wit


class Colour(Enum):
    RED = "red"
    DARK_BLUE = "dark-blue"


def echo(host, codec, component_type, core, body, values):
    """The host returns each of `values` from `get`, the guest passes it to `put`; what `put` got."""
    pending, got = list(values), []
    imports = {
        "get": Import(f"(result {component_type})", core[0]),
        "put": Import(f'(param "v" {component_type})', core[1]),
    }

    def define(instance):
        instance.function("get", lambda: pending.pop(0), {}, codec)
        instance.function("put", got.append, {"a": codec}, None)

    host.run(imports, body * len(values), define)
    return got


DIRECT = "(call put (call get))"
IN_MEMORY = "(call get (i32.const 64)) (call put (i32.load (i32.const 64)) (i32.load (i32.const 68)))"


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
@pytest.mark.parametrize("sign", ["u", "s"])
def test_integers_of_every_size_cross(host, sign, bits):
    codec = getattr(wit, f"{sign.upper()}{bits}")
    core = "i64" if bits == 64 else "i32"
    lowest, highest = (0, 2**bits - 1) if sign == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    values = [lowest, 0, 1, highest]
    assert echo(host, codec, f"{sign}{bits}", (f"(result {core})", f"(param {core})"), DIRECT, values) == values


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_floats_cross(host, kind):
    values = [0.0, -1.5, math.inf, 2.0**-126]
    assert (
        echo(host, getattr(wit, kind.upper()), kind, (f"(result {kind})", f"(param {kind})"), DIRECT, values) == values
    )
    [got] = echo(host, getattr(wit, kind.upper()), kind, (f"(result {kind})", f"(param {kind})"), DIRECT, [math.nan])
    assert math.isnan(got)


def test_booleans_cross(host):
    got = echo(host, wit.BOOL, "bool", ("(result i32)", "(param i32)"), DIRECT, [True, False])
    assert got == [True, False]
    assert [type(each) for each in got] == [bool, bool]


def test_characters_cross(host):
    values = ["a", "\0", "é", "\ud7ff", "\U0010ffff"]
    assert echo(host, wit.CHAR, "char", ("(result i32)", "(param i32)"), DIRECT, values) == values


def test_strings_cross(host):
    values = ["", "plain", "naïve 🦀", "nul \0 inside"]
    assert echo(host, wit.STRING, "string", ("(param i32)", "(param i32 i32)"), IN_MEMORY, values) == values


def test_lists_cross(host):
    values = [[], [1], [0, 2**32 - 1, 7]]
    codec = wit.List(wit.U32)
    assert echo(host, codec, "(list u32)", ("(param i32)", "(param i32 i32)"), IN_MEMORY, values) == values


def test_lists_of_tuples_of_strings_cross(host):
    values = [[("a", 1), ("", 2)], []]
    codec = wit.List(wit.Tuple(wit.STRING, wit.U8))
    core = ("(param i32)", "(param i32 i32)")
    assert echo(host, codec, "(list (tuple string u8))", core, IN_MEMORY, values) == values


def test_options_cross(host):
    values = [None, 0, 5]
    body = "(call get (i32.const 64)) (call put (i32.load8_u (i32.const 64)) (i32.load (i32.const 68)))"
    core = ("(param i32)", "(param i32 i32)")
    assert echo(host, wit.Option(wit.U32), "(option u32)", core, body, values) == values


def test_enums_cross(host):
    pending, got = list(Colour), []
    imports = {
        "get": Import("(result $colour)", "(result i32)"),
        "put": Import('(param "v" $colour)', "(param i32)"),
    }

    def define(instance):
        instance.function("get", lambda: pending.pop(0), {}, wit.Enum(Colour))
        instance.function("put", got.append, {"a": wit.Enum(Colour)}, None)

    types = '(type $colours (enum "red" "dark-blue")) (export "colour" (type $colour (eq $colours)))'
    host.run(imports, DIRECT * 2, define, types=types)
    assert got == list(Colour)


def test_objects_in_lists_and_tuples_cross(host):
    made, got = [Thing(1), Thing(2)], []
    imports = {
        "get": Import("(result (list (tuple string (own $thing))))", "(param i32)"),
        "put": Import('(param "v" (list (tuple string (own $thing))))', "(param i32 i32)"),
    }
    codec = wit.List(wit.Tuple(wit.STRING, wit.Own(THING)))

    def define(instance):
        instance.function("get", lambda: [("a", made[0]), ("b", made[1])], {}, codec)
        instance.function("put", got.extend, {"a": codec}, None)

    host.run(imports, IN_MEMORY, define)
    assert got == [("a", made[0]), ("b", made[1])]
    assert [thing.drops for thing in made] == [0, 0]


@pytest.mark.parametrize(
    ("codec", "type_", "value", "kind", "message"),
    [
        (wit.U8, "u8", 256, ValueError, "256 does not fit u8"),
        (wit.U32, "u32", -1, ValueError, "-1 does not fit u32"),
        (wit.S8, "s8", 128, ValueError, "128 does not fit s8"),
        (wit.U32, "u32", "1", TypeError, "int is needed, not str"),
        (wit.U32, "u32", True, TypeError, "int is needed, not bool"),
        (wit.BOOL, "bool", 1, TypeError, "bool is needed, not int"),
        (wit.CHAR, "char", "ab", ValueError, "not one Unicode scalar value"),
        (wit.CHAR, "char", "\ud800", ValueError, "not one Unicode scalar value"),
        (wit.F64, "f64", "1", TypeError, "float is needed, not str"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_traps_the_guest(host, codec, type_, value, kind, message):
    core = "f64" if type_ == "f64" else "i32"
    imports = {"get": Import(f"(result {type_})", f"(result {core})")}
    with pytest.raises(kind, match=message):
        host.run(imports, "(drop (call get))", lambda i: i.function("get", lambda: value, {}, codec))


@pytest.mark.parametrize(
    ("codec", "type_", "value", "kind", "message"),
    [
        (wit.STRING, "string", b"bytes", TypeError, "str is needed, not bytes"),
        (wit.STRING, "string", "\ud800", ValueError, "lone surrogate at index 0"),
        (wit.List(wit.U32), "(list u32)", "12", TypeError, "list is needed, not str"),
        (wit.List(wit.U32), "(list u32)", [1, 2, -3], ValueError, "-3 does not fit u32"),
        (wit.Tuple(wit.U8, wit.U8), "(tuple u8 u8)", (1,), ValueError, "tuple of 2 is needed, not one of 1"),
        (wit.Option(wit.U32), "(option u32)", -1, ValueError, "-1 does not fit u32"),
    ],
)
def test_a_compound_value_that_does_not_fit_is_refused(host, codec, type_, value, kind, message):
    imports = {"get": Import(f"(result {type_})", "(param i32)")}
    with pytest.raises(kind, match=message):
        host.run(imports, "(call get (i32.const 64))", lambda i: i.function("get", lambda: value, {}, codec))


def test_an_object_without_drop_is_refused(host):
    imports = {"get": Import("(result (own $thing))", "(result i32)")}
    with pytest.raises(TypeError, match=r"object does not implement resource thing: it has no drop\(\)"):
        host.run(imports, "(drop (call get))", lambda i: i.function("get", object, {}, wit.Own(THING)))
