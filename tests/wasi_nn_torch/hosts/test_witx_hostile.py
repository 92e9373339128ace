"""Core modules that pass arbitrary arguments get an errno, or a trap that names the function and the argument."""

from __future__ import annotations

import re
import struct
from itertools import product

import pytest

from tests.guests.witx import (
    ALL,
    ANSWER,
    CONFIG,
    CPU,
    DATA,
    DIMENSIONS,
    F32,
    MEMORY,
    NAME,
    PAGE,
    PYTORCH,
    RECORD,
    command,
    passing,
    playing,
)
from tests.wasi_nn_torch.helpers.isolation import isolated
from tests.wasi_nn_torch.helpers.models import Scale, scripted
from wasi_nn_torch import Engine, GuestTrap
from wasi_nn_torch.hosts.witx_numbers import Errno

# What is refused here reaches no device.
pytestmark = pytest.mark.cpu

SIZE = 2 * PAGE
MODEL = scripted(Scale(2.0))
#: Addresses, lengths, handles and enums that are invalid, or barely valid.
NUMBERS = [0, 1, 3, 7, 255, 256, SIZE - 21, SIZE - 20, SIZE - 19, SIZE - 4, SIZE - 3, SIZE - 1, SIZE, SIZE + 1]
NUMBERS += [2**24, 2**30, 2**31 - 1, 2**31, 2**32 - SIZE, 2**32 - 20, 2**32 - 4, 2**32 - 1]


@pytest.fixture(scope="module")
def engine():
    with Engine("cpu", **isolated("cpu"), cache=False) as engine:
        engine.register("triple", scripted(Scale(3.0)))
        yield engine


@pytest.fixture(scope="module")
def library(engine):
    return engine.compile(passing())


@pytest.fixture
def guest(engine, library):
    with playing(engine, library=library) as guest:
        yield guest


def prepare(guest):
    """A context whose last compute made one output of 8 bytes, and valid arguments for each function."""
    graph = guest.load_by_name("triple")
    context = guest.context(graph)
    guest.set_input(context, 0, 1, 2)
    guest.compute(context)
    guest.set_input(context, 0, 1, 2)
    guest.put(2 * DATA, MODEL)
    guest.put(CONFIG + 32, struct.pack("<II", 2 * DATA, len(MODEL)))
    guest.put(CONFIG, b'{"device": "cpu"}')
    out = (context, 0, DATA, 8, ANSWER)
    return {
        "load": (CONFIG + 32, 1, PYTORCH, CPU, ANSWER),
        "load_by_name": (NAME, 6, ANSWER),
        "load_by_name_with_config": (NAME, 6, CONFIG, 17, ANSWER),
        "unload": (graph,),
        "init_execution_context": (graph, ANSWER),
        "finalize_execution_context": (context,),
        "set_input": (context, 0, RECORD),
        "compute": (context,),
        "compute_single": (context,),
        "fini_single": (context,),
        "get_output": out,
        "get_output_single": out,
    }


def outcome(guest, name, *numbers):
    """The errno, or the text of the trap."""
    text = ""
    try:
        return Errno(guest.call(name, *numbers))
    except GuestTrap as trap:
        text = str(trap)
    where = r"[a-z_.\[\]0-9]+: \d+ bytes at address \d+"
    assert re.fullmatch(f"wasi_ephemeral_nn#{name}: {where} are not all in the guest's memory of {SIZE} bytes", text)
    return text


@pytest.mark.parametrize("name", ALL)
def test_the_arguments_that_other_tests_replace_are_valid(name, guest):
    assert outcome(guest, name, *prepare(guest)[name]) is Errno.SUCCESS


@pytest.mark.parametrize(("name", "position"), [(name, index) for name, count in ALL.items() for index in range(count)])
def test_any_number_for_any_argument(name, position, engine, library):
    for number in NUMBERS:
        with playing(engine, library=library) as guest:
            numbers = list(prepare(guest)[name])
            numbers[position] = number
            outcome(guest, name, *numbers)


@pytest.mark.parametrize("name", ALL)
def test_the_same_number_for_all_arguments(name, engine, library):
    for number in NUMBERS:
        with playing(engine, library=library) as guest:
            prepare(guest)
            outcome(guest, name, *[number] * ALL[name])


@pytest.mark.parametrize("field", range(5))
def test_any_number_in_the_record_of_a_tensor(field, engine, library):
    for number in NUMBERS:
        with playing(engine, library=library) as guest:
            context = prepare(guest)["set_input"][0]
            record = [DIMENSIONS, 1, F32, DATA, 8]
            record[field] = number
            guest.put(RECORD, struct.pack("<5I", *record))
            outcome(guest, "set_input", context, 0, RECORD)


@pytest.mark.parametrize("field", range(2))
def test_any_number_in_the_record_of_a_builder(field, engine, library):
    for number in NUMBERS:
        with playing(engine, library=library) as guest:
            numbers = prepare(guest)["load"]
            record = list(struct.unpack("<II", guest.get(numbers[0], 8)))
            record[field] = number
            guest.put(numbers[0], struct.pack("<II", *record))
            outcome(guest, "load", *numbers)


@pytest.mark.parametrize(
    ("name", "position", "argument"),
    [
        ("load", 0, "builder"),
        ("load", 4, "graph"),
        ("load_by_name", 0, "name"),
        ("load_by_name", 2, "graph"),
        ("load_by_name_with_config", 0, "name"),
        ("load_by_name_with_config", 2, "config"),
        ("load_by_name_with_config", 4, "graph"),
        ("init_execution_context", 1, "context"),
        ("set_input", 2, "tensor"),
        ("get_output", 2, "out_buffer"),
        ("get_output", 4, "bytes_written"),
        ("get_output_single", 2, "out_buffer"),
        ("get_output_single", 4, "bytes_written"),
    ],
)
def test_an_address_that_is_outside_traps_with_the_name_of_the_argument(name, position, argument, guest):
    numbers = list(prepare(guest)[name])
    numbers[position] = SIZE - 1
    assert f"#{name}: {argument}: " in outcome(guest, name, *numbers)


@pytest.mark.parametrize(
    ("record", "argument"),
    [
        ((SIZE - 3, 1, F32, DATA, 8), "tensor.dimensions"),
        ((DIMENSIONS, 2**30, F32, DATA, 8), "tensor.dimensions"),
        ((DIMENSIONS, 1, F32, SIZE - 7, 8), "tensor.data"),
        ((DIMENSIONS, 1, F32, DATA, 2**32 - 1), "tensor.data"),
    ],
)
def test_a_tensor_that_is_outside_traps_with_the_name_of_its_part(record, argument, guest):
    context = prepare(guest)["set_input"][0]
    guest.put(RECORD, struct.pack("<5I", *record))
    assert f"#set_input: {argument}: " in outcome(guest, "set_input", context, 0, RECORD)


def test_the_second_of_two_builders_is_named(guest):
    prepare(guest)
    guest.put(RECORD, struct.pack("<4I", DATA, 1, SIZE, 1))
    assert "#load: builder[1]: 1 bytes" in outcome(guest, "load", RECORD, 2, PYTORCH, CPU, ANSWER)


def test_records_may_lie_anywhere(guest):
    """WebAssembly reads and writes at any address, so no alignment is required."""
    context = prepare(guest)["set_input"][0]
    for offset in range(1, 4):
        guest.put(DIMENSIONS + offset, struct.pack("<I", 2))
        guest.put(DATA + offset, struct.pack("<2f", 4, 5))
        guest.put(RECORD + offset, struct.pack("<5I", DIMENSIONS + offset, 1, F32, DATA + offset, 8))
        assert guest.call("set_input", context, 0, RECORD + offset) == Errno.SUCCESS
        guest.compute(context)
        assert guest.call("get_output", context, 0, DATA + offset, 8, ANSWER + offset) == Errno.SUCCESS
        assert guest.get(DATA + offset, 8) == struct.pack("<2f", 12, 15)
        assert guest.number(ANSWER + offset) == 8


def test_everything_may_lie_at_the_end_of_the_memory(guest):
    context = prepare(guest)["set_input"][0]
    guest.put(DATA, struct.pack("<f", 2))
    guest.put(SIZE - 20, struct.pack("<5I", DIMENSIONS, 0, F32, DATA, 4))
    assert guest.call("set_input", context, 0, SIZE - 20) == Errno.SUCCESS
    guest.put(SIZE - 4, struct.pack("<I", 1))
    guest.put(RECORD, struct.pack("<5I", SIZE - 4, 1, F32, DATA, 4))
    assert guest.call("set_input", context, 0, RECORD) == Errno.SUCCESS
    guest.put(SIZE - 4, struct.pack("<f", 2))
    guest.put(RECORD, struct.pack("<5I", DIMENSIONS, 0, F32, SIZE - 4, 4))
    assert guest.call("set_input", context, 0, RECORD) == Errno.SUCCESS
    guest.compute(context)
    assert guest.call("get_output", context, 0, SIZE - 4, 4, ANSWER) == Errno.SUCCESS
    assert struct.unpack("<f", guest.get(SIZE - 4, 4)) == (6,)
    assert guest.call("get_output", context, 0, SIZE - 8, 4, SIZE - 4) == Errno.SUCCESS
    assert guest.number(SIZE - 4) == 4


def test_overlapping_results_are_written_one_after_the_other(guest):
    context, *_ = prepare(guest)["get_output"]
    for written in range(DATA - 3, DATA + 8):
        guest.put(DATA - 4, b"\xee" * 20)
        assert guest.call("get_output", context, 0, DATA, 8, written) == Errno.SUCCESS
        expected = bytearray(b"\xee" * 4 + struct.pack("<2f", 3, 6) + b"\xee" * 8)
        expected[written - DATA + 4 : written - DATA + 8] = struct.pack("<I", 8)
        assert guest.get(DATA - 4, 20) == expected


def test_a_tensor_may_be_its_own_data_and_dimensions(guest):
    context = prepare(guest)["set_input"][0]
    guest.put(RECORD, struct.pack("<5I", RECORD + 4, 1, 3, RECORD, 1))
    assert guest.call("set_input", context, 0, RECORD) == Errno.SUCCESS


def test_a_name_may_be_overwritten_by_its_answer(guest):
    prepare(guest)
    assert guest.call("load_by_name", NAME, 6, NAME) == Errno.SUCCESS
    assert guest.call("unload", guest.number(NAME)) == Errno.SUCCESS


@pytest.mark.parametrize("address", [0, 1, SIZE - 1, SIZE])
def test_an_empty_buffer_may_be_anywhere(address, guest):
    context = prepare(guest)["set_input"][0]
    assert guest.call("load", address, 0, PYTORCH, CPU, ANSWER) == Errno.INVALID_ARGUMENT
    assert guest.call("load_by_name", address, 0, ANSWER) == Errno.NOT_FOUND
    assert guest.call("load_by_name_with_config", NAME, 6, address, 0, ANSWER) == Errno.SUCCESS
    assert guest.call("get_output", context, 0, address, 0, ANSWER) == Errno.TOO_LARGE
    guest.put(RECORD, struct.pack("<5I", DIMENSIONS, 1, F32, address, 0))
    guest.put(DIMENSIONS, bytes(4))
    assert guest.call("set_input", context, 0, RECORD) == Errno.SUCCESS
    guest.put(RECORD, struct.pack("<5I", address, 0, F32, DATA, 4))
    assert guest.call("set_input", context, 0, RECORD) == Errno.SUCCESS


@pytest.mark.parametrize(
    ("shape", "size"),
    [([3], 8), ([2], 7), ([2], 0), ([0], 8), ([2**32 - 1] * 3, 8), ([65536, 65536, 65536, 65536], 0), ([1] * 65, 4)],
)
def test_dimensions_that_do_not_fit_the_data_are_an_invalid_argument(shape, size, guest):
    context = prepare(guest)["set_input"][0]
    guest.tensor(shape, F32, bytes(size))
    assert guest.call("set_input", context, 0, RECORD) == Errno.INVALID_ARGUMENT
    assert guest.ledger.snapshot().live_tensors == 2, "the one output and the one input from before"


def test_too_many_dimensions_and_builders_are_not_even_read(guest):
    context = prepare(guest)["set_input"][0]
    guest.put(RECORD, struct.pack("<5I", 0, SIZE // 4, F32, DATA, 4))
    assert guest.call("set_input", context, 0, RECORD) == Errno.INVALID_ARGUMENT
    assert guest.call("load", 0, SIZE // 8, PYTORCH, CPU, ANSWER) == Errno.INVALID_ARGUMENT
    assert guest.call("load_by_name", 0, SIZE, ANSWER) == Errno.INVALID_ARGUMENT


HANDLES = [name for name in ALL if name not in ("load", "load_by_name", "load_by_name_with_config")]


@pytest.mark.parametrize("name", HANDLES)
def test_a_handle_that_is_unknown_or_freed_or_of_the_other_kind_is_refused(name, guest):
    numbers = prepare(guest)
    graph, context = numbers["unload"][0], numbers["compute"][0]
    takes_graph = name in ("unload", "init_execution_context")
    freed_graph, freed_context = guest.load_by_name("triple"), guest.context(graph)
    guest.checked("unload", freed_graph)
    guest.checked("finalize_execution_context", freed_context)
    other = context if takes_graph else graph
    guest.tensor([1], F32, bytes(4))
    for handle in (0, 1000, 2**31, 2**32 - 1, freed_graph, freed_context, other):
        assert guest.call(name, handle, *numbers[name][1:]) == Errno.INVALID_ARGUMENT


@pytest.mark.parametrize("order", list(product(["compute", "get_output", "fini_single"], repeat=3)))
def test_calls_come_in_any_order(order, guest):
    context = guest.begin("triple")
    for name in order:
        numbers = (context, 0, DATA, 8, ANSWER) if name == "get_output" else (context,)
        expected = Errno.SUCCESS if name == "fini_single" else Errno.INVALID_ARGUMENT
        assert guest.call(name, *numbers) == expected


def test_memory_that_grew_between_calls_is_reached(guest):
    context = guest.begin("triple")
    for _ in range(20):
        pages = guest.call("grow", 1)
        end = (pages + 1) * PAGE
        guest.put(end - 40, struct.pack("<I2f", 2, 1, 2))
        guest.put(end - 20, struct.pack("<5I", end - 40, 1, F32, end - 36, 8))
        assert guest.call("set_input", context, 0, end - 20) == Errno.SUCCESS
        guest.compute(context)
        assert guest.call("get_output", context, 0, end - 16, 8, end - 4) == Errno.SUCCESS
        assert guest.get(end - 16, 16) == struct.pack("<2fII", 3, 6, 8, 8)[:8] + guest.get(end - 8, 4) + b"\x08\0\0\0"


@pytest.mark.parametrize("memory", ["", '(memory (export "mem") 1)', '(func (export "memory"))'])
def test_a_guest_that_exports_no_memory_is_told_so(memory, engine):
    with playing(engine, memory) as guest:
        for name in ("load", "load_by_name", "load_by_name_with_config"):
            assert guest.call(name, *[0] * ALL[name]) == Errno.MISSING_MEMORY
        for name in HANDLES:
            assert guest.call(name, *[0] * ALL[name]) == Errno.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '(import "wasi_ephemeral_nn" "load" (func (param i32 i32 i32 i32) (result i32)))',
            r"imports wasi_ephemeral_nn#load with another type: this host has \(i32, i32, i32, i32, i32\) -> \(i32\)",
        ),
        (
            '(import "wasi_ephemeral_nn" "lod" (func))',
            "imports wasi_ephemeral_nn#lod, which this host does not provide; it provides wasi_ephemeral_nn#load",
        ),
        ('(import "wasi_ephemeral_nn" "memory" (memory 1))', "imports wasi_ephemeral_nn#memory, which this host does"),
        ('(import "wasi_nn" "load" (func))', "imports wasi_nn#load, which this host does not provide"),
    ],
)
def test_a_guest_that_imports_something_else_is_told_what(text, message, engine):
    from wit_host import LinkError

    with engine.session() as session, pytest.raises(LinkError, match=message):
        session.run(f'(module {text} {MEMORY} (func (export "_start")))'.encode())


def test_a_trap_ends_a_session_with_its_reason(engine):
    body = "(drop (call $load_by_name (i32.const -1) (i32.const 2) (i32.const 0)))"
    with (
        engine.session() as session,
        pytest.raises(GuestTrap, match=r"^wasi_ephemeral_nn#load_by_name: name: 2 bytes at address 4294967295 are not"),
    ):
        session.run(command(body))
