"""Every type that crosses, in calls of exports and of imports alike, and what is said of values that do not fit."""

from __future__ import annotations

import array
import gc
import math
import re
import sys
from collections import UserList
from dataclasses import dataclass
from enum import Enum, Flag, IntEnum, auto
from fractions import Fraction

import numpy
import pytest

from tests.wit_host.helpers.echo import NAME, echo
from wit_host import Err, Ok, Some
from wit_host import values as wit


class Colour(Enum):
    RED = "red"
    DARK_BLUE = "dark-blue"


class Hue(Enum):
    RED = "red"
    DARK_BLUE = "dark-blue"


class Access(Flag):
    READ = auto()
    WRITE = auto()


class Right(Flag):
    READ = auto()


Wide = Flag("Wide", [f"B{bit}" for bit in range(32)])


class Number(IntEnum):
    SEVEN = 7


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y_axis: int


@dataclass(frozen=True, slots=True)
class Nested:
    name: str
    points: list[Point]
    inner: dict[str, object] | None


@dataclass(frozen=True, slots=True)
class Circle:
    value: float


@dataclass(frozen=True, slots=True)
class Corner:
    value: Point


@dataclass(frozen=True, slots=True)
class Empty:
    pass


COLOUR = wit.Enum(Colour)
ACCESS = wit.Flags(Access, ["read", "write"])
WIDE = wit.Flags(Wide, [f"b{bit}" for bit in range(32)])
POINT = wit.Record(Point, {"x": wit.S32, "y-axis": wit.S32})
SHAPE = wit.Variant({"circle": (Circle, wit.F64), "corner": (Corner, POINT), "empty": (Empty, None)})
TABLE = wit.Map(wit.STRING, wit.List(wit.U32))
NESTED = wit.Record(Nested, {"name": wit.STRING, "points": wit.List(POINT), "inner": wit.Option(TABLE)})
POINT_WIT = "record point { x: s32, y-axis: s32 }"
COLOUR_WIT = "enum colour { red, dark-blue }"
ACCESS_WIT = "flags access { read, write }"
WIDE_WIT = f"flags wide {{ {', '.join(f'b{bit}' for bit in range(32))} }}"
SHAPE_WIT = f"{POINT_WIT} variant shape {{ circle(f64), corner(point), empty }}"
NESTED_WIT = f"{POINT_WIT} record nested {{ name: string, points: list<point>, inner: option<map<string, list<u32>>> }}"
LONG = "naïve 🦀" * 1000


#: Types, how they cross, what has to be declared, and values.
VALUES = [
    ("bool", wit.BOOL, "", [True, False]),
    ("u8", wit.U8, "", [0, 255, Number.SEVEN]),
    ("s64", wit.S64, "", [-(2**63), 2**63 - 1]),
    ("f32", wit.F32, "", [0.5, math.inf, -math.inf, 3, 3.4028234663852886e38]),
    ("f64", wit.F64, "", [0.1, math.inf, sys.float_info.max, 2**1023]),
    ("char", wit.CHAR, "", ["a", "🦀", "\0"]),
    ("string", wit.STRING, "", ["", "nul \0 inside", LONG]),
    ("list<u8>", wit.COPIED_BYTES, "", [b"", b"abc", bytes(range(256)) * 100]),
    ("list<string>", wit.List(wit.STRING), "", [[], ["a", "", LONG]]),
    ("list<bool>", wit.List(wit.BOOL), "", [[], [True, False]]),
    ("list<s8>", wit.List(wit.S8), "", [[], [-128, 0, 127]]),
    ("list<u16>", wit.List(wit.U16), "", [[], [0, 2**16 - 1]]),
    ("list<s16>", wit.List(wit.S16), "", [[-(2**15), 2**15 - 1]]),
    ("list<u32>", wit.List(wit.U32), "", [[], [1, 3, 224, Number.SEVEN, 2**32 - 1], list(range(10_000))]),
    ("list<s32>", wit.List(wit.S32), "", [[-(2**31), 2**31 - 1]]),
    ("list<u64>", wit.List(wit.U64), "", [[0, 2**64 - 1]]),
    ("list<s64>", wit.List(wit.S64), "", [[-(2**63), 2**63 - 1]]),
    ("list<f32>", wit.List(wit.F32), "", [[], [0.5, math.inf, -math.inf, 3, 3.4028234663852886e38]]),
    ("list<f64>", wit.List(wit.F64), "", [[0.1, -math.inf, sys.float_info.max, 2**1023]]),
    ("list<list<u16>>", wit.List(wit.List(wit.U16)), "", [[[], [1], [2, 3]]]),
    ("list<u32, 3>", wit.FixedLengthList(wit.U32, 3), "", [[1, 2, 3]]),
    ("list<list<u8, 2>, 2>", wit.FixedLengthList(wit.FixedLengthList(wit.U8, 2), 2), "", [[[1, 2], [3, 4]]]),
    ("tuple<u8, string, bool>", wit.Tuple(wit.U8, wit.STRING, wit.BOOL), "", [(1, "x", True)]),
    ("map<string, u32>", wit.Map(wit.STRING, wit.U32), "", [{}, {"a": 1}, {str(n): n for n in range(1000)}]),
    ("map<char, map<u8, bool>>", wit.Map(wit.CHAR, wit.Map(wit.U8, wit.BOOL)), "", [{"a": {1: True}, "b": {}}]),
    ("option<string>", wit.Option(wit.STRING), "", [None, "", "x"]),
    ("option<option<u8>>", wit.NestedOption(wit.Option(wit.U8)), "", [None, Some(None), Some(3)]),
    (
        "option<option<option<u8>>>",
        wit.NestedOption(wit.NestedOption(wit.Option(wit.U8))),
        "",
        [None, Some(None), Some(Some(None)), Some(Some(0))],
    ),
    ("list<result<u8, string>>", wit.List(wit.NestedResult(wit.U8, wit.STRING)), "", [[Ok(1), Err("no")]]),
    ("tuple<result>", wit.Tuple(wit.NestedResult(None, None)), "", [(Ok(None),), (Err(None),)]),
    ("tuple<result<_, u8>>", wit.Tuple(wit.NestedResult(None, wit.U8)), "", [(Ok(None),), (Err(3),)]),
    ("colour", COLOUR, COLOUR_WIT, list(Colour)),
    ("access", ACCESS, ACCESS_WIT, [Access(0), Access.READ, Access.WRITE, Access.READ | Access.WRITE]),
    ("wide", WIDE, WIDE_WIT, [Wide(0), Wide.B31, Wide(2**32 - 1)]),
    ("point", POINT, POINT_WIT, [Point(-1, 1)]),
    ("shape", SHAPE, SHAPE_WIT, [Circle(0.5), Corner(Point(1, 2)), Empty()]),
    ("nested", NESTED, NESTED_WIT, [Nested("n", [Point(1, 2)], {"k": [1, 2]}), Nested("", [], None)]),
]
_each_type = pytest.mark.parametrize(
    ("type_", "codec", "declarations", "values"),
    VALUES,
    ids=lambda each: each if isinstance(each, str) and len(each) < 40 else "",
)


@_each_type
def test_values_come_back_as_they_were(host, type_, codec, declarations, values):
    with echo(host, type_, codec, declarations) as guest:
        for value in values:
            assert guest(value) == value
        assert guest.seen == values


@_each_type
def test_values_beside_bytes_come_back_as_they_were(host, type_, codec, declarations, values):
    """The host reads such a result in the guest's memory."""
    around = wit.Tuple(wit.U8, codec, wit.COPIED_BYTES, codec)
    with echo(host, f"tuple<u8, {type_}, list<u8>, {type_}>", around, declarations) as guest:
        for value in values:
            assert guest((1, value, b"bytes", value)) == (1, value, b"bytes", value)


@_each_type
def test_values_that_may_be_missing_come_back_beside_bytes(host, type_, codec, declarations, values):
    error = wit.NestedResult(wit.List(codec), wit.COPIED_BYTES)
    with echo(host, f"result<list<{type_}>, list<u8>>", error, declarations) as guest:
        for value in (Ok(values), Err(b"bytes"), Ok([])):
            assert guest(value) == value


def test_many_cases_and_flags_come_back_beside_bytes(host):
    many = Enum("Many", {f"C{case}": f"c{case}" for case in range(300)})
    cases = ", ".join(each.value for each in many)
    with echo(
        host,
        "tuple<many, list<u8>, wide, access>",
        wit.Tuple(wit.Enum(many), wit.COPIED_BYTES, WIDE, ACCESS),
        f"enum many {{ {cases} }} {WIDE_WIT} {ACCESS_WIT}",
    ) as guest:
        for value in ((many.C0, b"", Wide.B31, Access.WRITE), (many.C299, b"a", Wide(2**32 - 1), Access(0))):
            assert guest(value) == value


@pytest.mark.parametrize("name", ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64"])
def test_arrays_are_lists_of_numbers(host, name):
    kind = {"u": "uint", "s": "int", "f": "float"}[name[0]]
    numbers = numpy.arange(100, dtype=f"{kind}{name[1:]}")
    codec = getattr(wit, name.upper())
    with echo(host, f"list<{name}>", wit.List(codec)) as guest:
        for content in (numbers, array.array(codec.code, numbers.tolist()), memoryview(numbers), list(numbers)):
            assert guest(content) == numbers.tolist()
        assert guest(numbers[:0]) == []
    with echo(host, name, codec) as guest:
        assert guest(numbers[7]) == 7


def test_a_tensor_is_a_list_of_numbers_by_way_of_numpy(host):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    with echo(host, "list<f32>", wit.List(wit.F32)) as guest:
        assert guest(torch.arange(3, dtype=torch.float32).numpy()) == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (numpy.zeros(3), "v: a list<f32> takes an array of that type, not of 'd'; convert it"),
        (numpy.zeros(3, dtype=">f4"), "v: a list<f32> takes an array of that type, not of '>f'; convert it"),
        (numpy.zeros((2, 2), dtype="f4"), "v: a list<f32> takes an array of one dimension without gaps; pass a flat"),
        (numpy.zeros(6, dtype="f4")[::2], "v: a list<f32> takes an array of one dimension without gaps; pass a flat"),
        (b"1234", "v: list is needed, not bytes"),
    ],
)
def test_arrays_of_another_type_or_form_are_refused(host, content, message):
    with echo(host, "list<f32>", wit.List(wit.F32)) as guest:
        with pytest.raises(TypeError, match=re.escape(message)):
            guest(content)
        assert guest.seen == []


def test_nan_comes_back(host):
    for type_, codec in (("f32", wit.F32), ("f64", wit.F64)):
        with echo(host, type_, codec) as guest:
            assert math.isnan(guest(math.nan))
        with echo(host, f"list<{type_}>", wit.List(codec)) as guest:
            assert [math.isnan(number) for number in guest([1, math.nan])] == [False, True]


def test_any_buffer_can_be_passed_and_a_copy_comes_back(host):
    with echo(host, "list<u8>", wit.COPIED_BYTES) as guest:
        for content in (bytearray(b"ab"), memoryview(b"ab"), array.array("H", [0x6261])):
            answer = guest(content)
            assert answer == b"ab"
            assert type(answer) is bytes


def test_any_sequence_but_text_is_a_list(host):
    with echo(host, "list<u8>", wit.List(wit.U8)) as guest:
        for content in ((1, 2), range(1, 3), UserList([1, 2])):
            assert guest(content) == [1, 2]


#: By what they are called in WIT: the codec, and what has to be declared.
TYPES = {
    "u8": (wit.U8, ""),
    "u64": (wit.U64, ""),
    "f32": (wit.F32, ""),
    "f64": (wit.F64, ""),
    "char": (wit.CHAR, ""),
    "string": (wit.STRING, ""),
    "list<u8>": (wit.BYTES, ""),
    "list<string>": (wit.List(wit.STRING), ""),
    "list<s16>": (wit.List(wit.S16), ""),
    "list<f32>": (wit.List(wit.F32), ""),
    "list<u8, 2>": (wit.FixedLengthList(wit.U8, 2), ""),
    "tuple<u8, u8>": (wit.Tuple(wit.U8, wit.U8), ""),
    "map<string, u8>": (wit.Map(wit.STRING, wit.U8), ""),
    "option<u8>": (wit.Option(wit.U8), ""),
    "option<option<u8>>": (wit.NestedOption(wit.Option(wit.U8)), ""),
    "list<result<u8>>": (wit.List(wit.NestedResult(wit.U8, None)), ""),
    "colour": (COLOUR, COLOUR_WIT),
    "access": (ACCESS, ACCESS_WIT),
    "point": (POINT, POINT_WIT),
    "shape": (SHAPE, SHAPE_WIT),
    "nested": (NESTED, NESTED_WIT),
}
MISFITS = [
    ("u8", 256, ValueError, "v: 256 does not fit u8 (0 to 255)"),
    ("u8", True, TypeError, "v: int is needed, not bool"),
    ("u8", 1.0, TypeError, "v: int is needed, not float"),
    ("u64", 10**1000, ValueError, "v: an integer of 3322 bits does not fit u64 (0 to 18446744073709551615)"),
    ("f32", 3.5e38, ValueError, "v: 3.5e+38 is too large for f32"),
    ("f32", float.fromhex("0x1.ffffffp127"), ValueError, "v: 3.4028235677973366e+38 is too large for f32"),
    ("f64", 10**400, ValueError, "v: an integer of 1329 bits is too large for f64"),
    ("f64", Fraction(10**400, 3), ValueError, "v: this Fraction is too large for f64"),
    ("f64", numpy.longdouble("1e400"), ValueError, "v: this longdouble is too large for f64"),
    ("f32", -numpy.longdouble("1e400"), ValueError, "v: this longdouble is too large for f32"),
    ("f64", "1", TypeError, "v: float is needed, not str"),
    ("char", "", ValueError, "v: '' is not one Unicode scalar value"),
    ("char", "\ud800", ValueError, "v: '\\ud800' is not one Unicode scalar value"),
    ("string", "a\udfff", ValueError, "v: the string has a lone surrogate at index 1"),
    ("string", None, TypeError, "v: str is needed, not NoneType"),
    ("list<u8>", "text", TypeError, "v: a list<u8> takes bytes, bytearray, memoryview or a ByteSource, not str"),
    ("list<string>", "ab", TypeError, "v: list is needed, not str"),
    ("list<string>", {"a"}, TypeError, "v: list is needed, not set"),
    ("list<string>", ["a", "b", 3], TypeError, "v[2]: str is needed, not int"),
    ("list<s16>", [1, 2**15], ValueError, "v[1]: 32768 does not fit s16 (-32768 to 32767)"),
    ("list<s16>", [True], TypeError, "v[0]: int is needed, not bool"),
    ("list<f32>", [0.5, 1, 3.5e38], ValueError, "v[2]: 3.5e+38 is too large for f32"),
    ("list<f32>", [0.5, None], TypeError, "v[1]: float is needed, not NoneType"),
    ("list<u8, 2>", [1], ValueError, "v: a list of 2 is needed, not one of 1"),
    ("list<u8, 2>", [1, -1], ValueError, "v[1]: -1 does not fit u8 (0 to 255)"),
    ("tuple<u8, u8>", [1, 2], TypeError, "v: tuple is needed, not list"),
    ("tuple<u8, u8>", (1, 2, 3), ValueError, "v: a tuple of 2 is needed, not one of 3"),
    ("map<string, u8>", [("a", 1)], TypeError, "v: dict is needed, not list"),
    ("map<string, u8>", {"a": 1, "b": "2"}, TypeError, "v['b']: int is needed, not str"),
    ("map<string, u8>", {1: 1}, TypeError, "v[1]: str is needed, not int"),
    ("option<u8>", "1", TypeError, "v: int is needed, not str"),
    ("option<option<u8>>", 1, TypeError, "v: Some or None is needed, not int"),
    ("option<option<u8>>", Some("1"), TypeError, "v.value: int is needed, not str"),
    ("list<result<u8>>", [1], TypeError, "v[0]: Ok or Err is needed, not int"),
    ("list<result<u8>>", [Ok("")], TypeError, "v[0].value: int is needed, not str"),
    ("list<result<u8>>", [Err(1)], TypeError, "v[0].value: None is needed, not int"),
    ("colour", Hue.RED, TypeError, "v: Colour is needed, not Hue"),
    ("colour", "red", TypeError, "v: Colour is needed, not str"),
    ("access", Right.READ, TypeError, "v: Access is needed, not Right"),
    ("access", 1, TypeError, "v: Access is needed, not int"),
    ("point", (1, 2), TypeError, "v: Point is needed, not tuple"),
    ("point", Point(1, "2"), TypeError, "v.y_axis: int is needed, not str"),
    ("shape", 0.5, TypeError, "v: Circle or Corner or Empty is needed, not float"),
    ("shape", Corner(Point("1", 2)), TypeError, "v.value.x: int is needed, not str"),
    (
        "nested",
        Nested("", [Point(1, 2), Point(1, 2**31)], None),
        ValueError,
        "v.points[1].y_axis: 2147483648 does not fit s32 (-2147483648 to 2147483647)",
    ),
    ("nested", Nested("", [], {"k": [1, None]}), TypeError, "v.inner['k'][1]: int is needed, not NoneType"),
]


@pytest.mark.parametrize(("type_", "value", "kind", "message"), MISFITS)
def test_an_argument_that_does_not_fit_is_refused_before_the_guest_runs(host, type_, value, kind, message):
    with echo(host, type_, *TYPES[type_]) as guest:
        with pytest.raises(kind) as caught:
            guest(value)
        assert str(caught.value) == f"{NAME}#f: {message}"
        assert guest.seen == []


GOOD = {
    "u8": 1,
    "list<string>": ["a"],
    "point": Point(1, 2),
    "nested": Nested("n", [], None),
    "shape": Empty(),
    "map<string, u8>": {"a": 1},
}


@pytest.mark.parametrize(("type_", "value", "kind", "message"), [each for each in MISFITS if each[0] in GOOD])
def test_an_answer_of_the_host_that_does_not_fit_comes_out_at_the_caller(host, type_, value, kind, message):
    with echo(host, type_, *TYPES[type_], answer=lambda _: value) as guest:
        with pytest.raises(kind) as caught:
            guest(GOOD[type_])
        assert str(caught.value) == f"{NAME}#f: {message.replace('v', 'result', 1)}"


def test_what_a_source_of_bytes_raises_comes_out_as_itself(host):
    class Broken:
        nbytes = 3

        def write_into(self, destination):
            raise ConnectionError("the device is gone")

    with echo(host, "list<u8>", wit.COPIED_BYTES) as guest:
        with pytest.raises(ConnectionError, match="the device is gone"):
            guest(Broken())
        assert guest(b"still there") == b"still there"


def resident() -> int:
    """Bytes of memory that this process has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_values_are_freed_whether_they_fit_or_not(host):
    item = Nested(LONG, [Point(1, 2)] * 50, {"key": [1, 2, 3]})
    bad = Nested(LONG, [Point(1, 2)] * 50, {"key": [1, 2, "3"]})
    with echo(host, "nested", NESTED, NESTED_WIT) as guest:

        def calls(count):
            for _ in range(count):
                guest(item)
                guest.seen.clear()
                with pytest.raises(TypeError):
                    guest(bad)

        calls(200)
        gc.collect()
        before = resident()
        calls(2000)
        gc.collect()
        # Each pair of calls allocates more than 70 kB; one in ten of these lost would be 14 MB.
        assert resident() - before < 8 << 20
