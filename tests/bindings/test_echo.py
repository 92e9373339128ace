"""Every type crosses four ways and comes back as it went: by a guest that gives everything back, by way of the host."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bindings.guests import open_guest
from tests.golden.bindings.types.bindings import Guest, add_to_linker
from tests.golden.bindings.types.bindings.echo import (
    Access,
    Colour,
    EchoColourError,
    EchoPointError,
    Everything,
    Point,
    ShapeCircle,
    ShapeCorner,
    ShapeLabelled,
    ShapeNothing,
    ShapeRectangle,
    Wide,
)
from wit_host import Err, Ok, ResultError, Some

# --- values ---


def integers(lowest, highest):
    return st.sampled_from([lowest, lowest + 1, 0, 1, highest - 1, highest]) | st.integers(lowest, highest)


U8, U16, U32, U64 = (integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
S8, S16, S32, S64 = (integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64))
SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan]
F32 = st.sampled_from([*SPECIAL, 2.0**-149, 2.0**-126, (2 - 2.0**-23) * 2.0**127]) | st.floats(width=32)
F64 = st.sampled_from([*SPECIAL, 5e-324, 2.0**-1022, 1.7976931348623157e308]) | st.floats()
CHARS = st.sampled_from("\0\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff") | st.characters(
    exclude_categories=["Cs"]
)
STRINGS = st.sampled_from(["", "\0", "naïve 🦀", "\ud7ff\ue000", "long " * 2000]) | st.text(CHARS)
BUFFERS = st.sampled_from([b"", b"\0", bytes(range(256)) * 300]) | st.binary(max_size=200)
POINTS = st.builds(Point, S32, S32)
COLOURS = st.sampled_from(Colour)
ACCESSES = st.integers(0, 7).map(Access)
SHAPES = st.one_of(
    st.builds(ShapeCircle, F64),
    st.builds(ShapeRectangle, st.tuples(F64, F64)),
    st.builds(ShapeCorner, POINTS),
    st.builds(ShapeLabelled, st.none() | STRINGS),
    st.just(ShapeNothing()),
)
DIGESTS = st.lists(U8, min_size=4, max_size=4)


def results(ok, err):
    return st.builds(Ok, ok) | st.builds(Err, err)


def nested(inner):
    return st.none() | st.builds(Some, inner)


EVERYTHING = st.builds(
    Everything,
    truth=st.booleans(),
    count=U64,
    ratio=F64,
    letter=CHARS,
    name=STRINGS,
    content=BUFFERS,
    chunks=st.lists(BUFFERS, max_size=4),
    where=POINTS,
    shape=SHAPES,
    colour=COLOURS,
    access=ACCESSES,
    maybe=st.none() | STRINGS,
    outcome=results(U8, STRINGS),
    digest=DIGESTS,
)
MANY = st.tuples(
    U8, STRINGS, BUFFERS, F64, POINTS, st.none() | U32, COLOURS, ACCESSES, SHAPES, S64, U32
)  # fmt: skip

ECHO = {
    "bools": st.booleans(),
    "u8s": U8,
    "u16s": U16,
    "u32s": U32,
    "u64s": U64,
    "s8s": S8,
    "s16s": S16,
    "s32s": S32,
    "s64s": S64,
    "f32s": F32,
    "f64s": F64,
    "chars": CHARS,
    "strings": STRINGS,
    "buffers": BUFFERS,
    "named_buffers": BUFFERS,
    "lists_of_buffers": st.lists(BUFFERS, max_size=5),
    "optional_buffers": st.none() | BUFFERS,
    "lists_of_numbers": st.lists(S64),
    "lists_of_strings": st.lists(STRINGS, max_size=10),
    "lists_of_records": st.lists(POINTS),
    "lists_of_lists": st.lists(st.lists(F32, max_size=5), max_size=5),
    "digests": DIGESTS,
    "matrices": st.lists(st.lists(F32, min_size=2, max_size=2), min_size=3, max_size=3),
    "tuples": st.tuples(U8, STRINGS, st.booleans()),
    "many_names": st.lists(st.tuples(STRINGS, st.none() | U64), max_size=10),
    "points": POINTS,
    "places": POINTS,
    "everythings": EVERYTHING,
    "shapes": SHAPES,
    "colours": COLOURS,
    "accesses": ACCESSES,
    "wides": (st.sampled_from([0, 1, 1 << 31, (1 << 32) - 1]) | st.integers(0, (1 << 32) - 1)).map(Wide),
    "options": st.none() | U32,
    "nested_options": nested(st.none() | STRINGS),
    "deep_options": nested(nested(st.none() | st.booleans())),
    "results": results(U32, COLOURS),
    "text_results": results(BUFFERS, STRINGS),
    "empty_results": results(st.none(), st.none()),
    "half_results": results(st.none(), POINTS),
    "nested_results": st.lists(results(POINTS, COLOURS), max_size=8),
    "optional_results": st.none() | results(U8, st.none()),
    "many_parameters": MANY,
}
TABLES = {
    "tables": st.dictionaries(STRINGS, st.lists(U32, max_size=5), max_size=8),
    "maps_of_maps": st.dictionaries(U8, st.dictionaries(CHARS, st.booleans(), max_size=4), max_size=4),
}
#: The functions that return or raise what they are given, with what they raise.
RAISING = {
    "results": EchoColourError,
    "text_results": ResultError,
    "empty_results": ResultError,
    "half_results": EchoPointError,
}

# --- the host, and a guest ---


def kept(value):
    """`value`, with the buffers in it copied: they are lent for the call."""
    match value:
        case memoryview():
            return bytes(value)
        case list():
            return [kept(item) for item in value]
        case Ok(inner):
            return Ok(kept(inner))
        case _:
            return value


class Echo:
    """Implements every function of the interfaces: remembers what it was given, and gives it back."""

    def __init__(self):
        self.seen = []

    def __getattr__(self, name):
        def call(*arguments):
            self.seen.append(tuple(kept(argument) for argument in arguments))
            given = arguments[0] if len(arguments) == 1 else arguments or None
            match given:
                case Ok(value) if name in RAISING:
                    return value
                case Err(value) if name in RAISING:
                    raise RAISING[name](value)
                case _:
                    return given

        return call


@dataclass
class Bound:
    echo: Echo
    guest: Guest


@pytest.fixture(scope="module")
def bound():
    echo = Echo()
    with open_guest("types", lambda linker: add_to_linker(linker, echo, echo)) as instance:
        yield Bound(echo, Guest(instance))


def called(function: Callable[..., object], name: str, arguments: tuple[object, ...]) -> object:
    """What a guest's function gives, a raised error as `Err`."""
    if name not in RAISING:
        return function(*arguments)
    try:
        return Ok(function(*arguments))
    except RAISING[name] as error:
        return Err(error.value)


def same(one, other):
    """Whether two values are of one type and equal; NaN is equal to NaN, and zeros have a sign."""
    if type(one) is not type(other):
        return False
    match one:
        case float():
            return (math.isnan(one) and math.isnan(other)) or (
                one == other and math.copysign(1, one) == math.copysign(1, other)
            )
        case list() | tuple():
            return len(one) == len(other) and all(map(same, one, other))
        case dict():
            return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
        case _ if dataclasses.is_dataclass(one):
            names = [field.name for field in dataclasses.fields(one)]
            return all(same(getattr(one, name), getattr(other, name)) for name in names)
        case _:
            return one == other


def round_trip(bound, interface, name, value):
    """Pass a value to the guest, and compare what the host saw and what came back."""
    arguments = value if name == "many_parameters" else (value,)
    bound.echo.seen.clear()
    came_back = called(getattr(getattr(bound.guest, interface), name), name, arguments)
    [seen] = bound.echo.seen
    assert same(seen, arguments), f"the host saw {seen}"
    assert same(came_back, value), f"{came_back} came back"


@pytest.mark.parametrize("name", ECHO)
@settings(max_examples=75, deadline=None)
@given(data=st.data())
def test_what_comes_back_is_what_went_in(bound, name, data):
    round_trip(bound, "echo", name, data.draw(ECHO[name]))


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=75, deadline=None)
@given(data=st.data())
def test_maps_come_back_in_their_order(bound, name, data):
    round_trip(bound, "tables", name, data.draw(TABLES[name]))


def test_a_function_without_parameters_and_result_is_called(bound):
    bound.echo.seen.clear()
    bound.guest.echo.nothing()
    assert bound.echo.seen == [()]
