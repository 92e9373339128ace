"""Images of the memory that guests begin with, compared with what the engine does on its own."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import random
import sys
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial

import pytest
import wasmtime

from tests.guests.tools import wasm_tools
from tests.wit_host.helpers.host import THING
from tests.wit_host.helpers.processes import in_a_process
from tests.wit_host.helpers.waiting import BODY, IMPORTS
from tests.wit_host.helpers.waiting import module as waiting_module
from tests.wit_host.helpers.wat import API, command
from wit_host import CompileCache, Engine, GuestError, GuestLimit, GuestTrap
from wit_host.crossing import memory_image
from wit_host.crossing.memory import GuestMemory, LinearMemory, unsupported
from wit_host.crossing.reservations import Starting
from wit_host.rewrite import take_image
from wit_host.rewrite.binary import encoded

PAGE = 1 << 16
pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "memories can be reserved")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux seals memory and lists mappings")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def module(*items: str, memory: str = '(memory (export "memory") 2)') -> bytes:
    return bytes(wasmtime.wat2wasm(f"(module {memory} {' '.join(items)})"))


def data(address: int, content: bytes | str) -> str:
    content = content.encode() if isinstance(content, str) else content
    return f'(data (i32.const {address}) "{"".join(f"{chr(92)}{byte:02x}" for byte in content)}")'


HELLO = data(1024, "hello")


def started(engine, wasm, use, **limits):
    """Start a core module, and return what `use` does with its instance."""
    with engine.core_store(**limits) as store:
        return use(store.instantiate(engine.compile_module(wasm)))


def read(instance, address, size):
    return bytes(instance.exports["memory"].read(instance.store, address, address + size))


def memory_of(instance):
    memory = instance.exports["memory"]
    return bytes(memory.read(instance.store, 0, memory.data_len(instance.store)))


@cache
def stock_engine():
    return wasmtime.Engine()


def by_the_engine_alone(wasm):
    """What the memory of a core module has after its start by the engine alone; None if it does not start."""
    store = wasmtime.Store(stock_engine())
    try:
        instance = wasmtime.Instance(store, wasmtime.Module(stock_engine(), wasm), [])
    except (wasmtime.WasmtimeError, wasmtime.Trap):
        return None
    memory = instance.exports(store)["memory"]
    return bytes(memory.read(store, 0, memory.data_len(store)))


def by_this_host(engine, wasm):
    try:
        return started(engine, wasm, memory_of)
    except GuestError:
        return None


# --- what becomes an image ---

IMAGED = {
    "one segment": [HELLO],
    "the ends of the memory": [data(0, "first"), data(2 * PAGE - 4, "last")],
    "a later segment over an earlier one": [data(100, "aaaaaaaa"), data(102, "bb"), data(98, "cccc")],
    "zeros over something else": [data(100, "aaaa"), data(101, b"\0\0")],
    "empty segments": [data(0, ""), HELLO, data(2 * PAGE, "")],
    "a passive segment beside it": ['(data "passive")', HELLO],
    "an export of the memory by another name, and code": [HELLO, '(func (export "f"))'],
}


@pytest.mark.parametrize("items", IMAGED.values(), ids=IMAGED.keys())
def test_constant_segments_become_an_image_and_the_memory_begins_as_before(engine, items):
    wasm = module(*items)
    assert take_image(wasm).image is not None
    assert by_this_host(engine, wasm) == by_the_engine_alone(wasm)


def test_imports_of_other_things_do_not_matter():
    texts = [f'(import "a" "b" {each})' for each in ("(func)", "(table 1 2 funcref)", "(global (mut i64))", "(tag)")]
    wasm = parsed(f"(module {' '.join(texts)} (memory 1) {data(0, 'x')})")
    assert take_image(wasm).image is not None


LEFT_ALONE = {
    "no segments": "(memory 1)",
    "no memory": '(import "" "" (memory 1)) (data (i32.const 0) "x")',
    "an imported memory beside it": '(import "" "" (memory 1)) (memory 1) (data (i32.const 0) "x")',
    "two memories": '(memory 1) (memory 1) (data (i32.const 0) "x")',
    "a segment of the second memory": '(memory 1) (memory 1) (data (memory 1) (i32.const 0) "x")',
    "a memory with 64 bits": '(memory i64 1) (data (i64.const 0) "x")',
    "a shared memory": '(memory 1 1 shared) (data (i32.const 0) "x")',
    "small pages": '(memory 9 (pagesize 1)) (data (i32.const 0) "x")',
    "an address in a global": '(global i32 (i32.const 8)) (memory 1) (data (global.get 0) "x")',
    "an address that is computed": '(memory 1) (data (i32.add (i32.const 8) (i32.const 8)) "x")',
    "a segment after the end": '(memory 1) (data (i32.const 65536) "x")',
    "a segment that crosses the end": '(memory 1) (data (i32.const 65535) "xx")',
    "an empty segment after the end": '(memory 1) (data (i32.const 8) "x") (data (i32.const 65537) "")',
    "an address of -1": '(memory 1) (data (i32.const -1) "x")',
    "an empty memory": '(memory 0) (data (i32.const 0) "")',
    "only passive segments": '(memory 1) (data "x")',
    "segments that are far apart": '(memory 65536) (data (i32.const 0) "x") (data (i32.const -65536) "x")',
}


@pytest.mark.parametrize("items", LEFT_ALONE.values(), ids=LEFT_ALONE.keys())
def test_a_guest_with_anything_else_stays_as_it_is(items):
    wasm = parsed(f"(module {items})")
    taken = take_image(wasm)
    assert taken.wasm is wasm
    assert taken.image is None


@cache
def parsed(wat: str) -> bytes:
    return wasm_tools("parse", "-", stdin=wat.encode())


@pytest.mark.parametrize("count", [0, 5, 1 << 20, (1 << 32) - 1])
def test_a_number_of_segments_that_lies_is_left_to_the_engine(engine, count):
    wasm = module(HELLO)
    start = wasm.index(b"\x01\x00\x41\x80\x08\x0b\x05hello")
    body = encoded(count) + wasm[start + 1 :]
    lying = wasm[: start - 1] + encoded(len(body)) + body
    assert take_image(lying).image is None
    with pytest.raises(GuestError, match="is not a valid core module"):
        engine.compile_module(lying)


def test_memories_in_two_modules_are_left_alone():
    one = f"(core module (memory 1) {data(0, 'x')})"
    assert take_image(parsed(f"(component {one})")).image is not None
    assert take_image(parsed(f"(component {one} (core module (memory 1)))")).image is None
    assert take_image(parsed(f"(component {one} (component (core module (memory 1))))")).image is None


def test_the_module_may_be_in_a_component_inside_the_component_and_lengths_are_adapted(engine):
    content = bytes(range(1, 256)) * 100
    wasm = parsed(f"(component (component (core module (memory 1) {data(0, content)})) (component))")
    taken = take_image(wasm)
    assert taken.image is not None
    assert len(taken.wasm) < 100
    engine.compile(wasm)


# --- whatever a guest has, its memory begins as the engine makes it begin ---


def random_segment(chance: random.Random) -> str:
    content = chance.randbytes(chance.choice([0, 1, 5, 300, 5000]))
    text = "".join(f"\\{byte:02x}" for byte in content)
    near = chance.choice([0, 1, 1020, 4090, PAGE - 5, PAGE, PAGE + 7, 2 * PAGE - 300, 2 * PAGE - len(content)])
    outside = chance.choice([2 * PAGE - len(content) + 1, 2 * PAGE + 1, -1])
    match chance.randrange(30):
        case 0 | 4 | 5:
            return f'(data "{text}")'
        case 1:
            return f'(data (global.get $address) "{text}")'
        case 2:
            return f'(data (i32.add (i32.const {near}) (i32.const 3)) "{text}")'
        case 3:
            return f'(data (i32.const {outside}) "{text}")'
        case _:
            return f'(data (memory 0) (i32.const {near}) "{text}")'


def random_module(chance: random.Random) -> str:
    segments = [random_segment(chance) for _ in range(chance.randrange(6))]
    more = chance.choice([*[""] * 8, "(memory 1)", '(memory 1) (data (memory 1) (i32.const 9) "other")'])
    first = '(memory (export "memory") 2 3)'
    start = "(func $f (i32.store8 (i32.const 3) (i32.const 7))) (start $f)" if chance.random() < 0.3 else ""
    return f"(module (global $address i32 (i32.const 40)) {first} {more} {' '.join(segments)} {start})"


def test_random_modules_begin_as_the_engine_makes_them_begin(engine):
    chance = random.Random(2)
    imaged = 0
    for _ in range(250):
        wat = random_module(chance)
        wasm = bytes(wasmtime.wat2wasm(wat))
        imaged += take_image(wasm).image is not None
        assert by_this_host(engine, wasm) == by_the_engine_alone(wasm), wat
    assert 50 < imaged < 200


WHOLE = [(HELLO, data(1026, "LL"), '(data "p")', "(func)"), (data(70_000, "far"), data(8, "near"))]


def test_damaged_modules_are_refused_or_begin_as_the_engine_makes_them_begin(engine):
    chance = random.Random(3)
    images = started_ = 0
    for _ in range(1000):
        wasm = damaged(module(*chance.choice(WHOLE)), chance)
        expected = by_the_engine_alone(wasm)
        assert by_this_host(engine, wasm) == expected, wasm.hex()
        images += take_image(wasm).image is not None
        started_ += expected is not None
    assert started_ > 100
    assert images > 100


def damaged(wasm: bytes, chance: random.Random) -> bytes:
    """A module with other bytes in its segments, or in front of them, but for the names of its exports."""
    result, begin = bytearray(wasm), wasm.index(b"memory") + len(b"memory") + 2
    at = chance.randrange(begin, len(wasm))
    match chance.randrange(4):
        case 0:
            result[at] = chance.choice([chance.randrange(256), wasm[at] ^ 0x80])
        case 1:
            result[at] ^= 1 << chance.randrange(8)
        case 2:
            del result[at : at + chance.randint(1, 2)]
        case _:
            result[at:at] = chance.randbytes(1)
    return bytes(result)


def test_instructions_that_name_segments_keep_their_meaning(engine):
    wasm = module(
        HELLO,
        '(data $passive "passive")',
        """(func (export "init") (param $segment i32) (param $length i32)
             (if (local.get $segment)
               (then (memory.init $passive (i32.const 8) (i32.const 0) (local.get $length)))
               (else (memory.init 0 (i32.const 8) (i32.const 0) (local.get $length)))))
           (func (export "drop") (data.drop 0) (data.drop $passive))""",
    )

    def use_after_it_was_stored(instance):
        with pytest.raises(GuestTrap, match="out of bounds"):
            instance.call("init", 0, 1)

    started(engine, wasm, use_after_it_was_stored)

    def use(instance):
        instance.call("init", 0, 0)
        instance.call("init", 1, 7)
        assert read(instance, 8, 7) == b"passive"
        instance.call("drop")
        instance.call("init", 1, 0)
        with pytest.raises(GuestTrap, match="out of bounds"):
            instance.call("init", 1, 1)

    assert take_image(wasm).image is not None
    started(engine, wasm, use)


def test_segments_of_a_module_that_imports_the_memory_are_stored_over_the_image(host):
    wat = command({}, "(call $check (i32.load (i32.const 1024)) (i32.const 0x44634241))", data=data(1025, "Bc"))
    wat = wat.replace('(memory (export "memory") 200)', f'(memory (export "memory") 200) {data(1024, "AxyD")}')
    compiled = host.engine.compile(wat.encode())
    assert compiled.image is not None
    with host.store() as store:
        store.linker.instance(API).resource(THING)
        assert store.run_command(compiled) == 0


# --- one image, many guests ---


def test_nothing_that_a_guest_writes_is_seen_by_another_one(engine):
    guest = engine.compile_module(module(HELLO))
    with engine.core_store() as first, engine.core_store() as second, engine.core_store() as third:
        one, two = first.instantiate(guest), second.instantiate(guest)
        one.exports["memory"].write(one.store, b"WRITE", 1024)
        assert read(two, 1024, 5) == b"hello"
        assert read(third.instantiate(guest), 1024, 5) == b"hello"
        assert read(one, 1024, 5) == b"WRITE"


def test_guests_with_the_same_code_and_other_content_share_an_entry_of_the_cache_and_nothing_else(tmp_path):
    engine = Engine(cache=CompileCache(tmp_path / "cache", bytes(32)))
    for content in ("first", "other"):
        assert started(engine, module(data(1024, content)), partial(read, address=1024, size=5)) == content.encode()
    assert len(list((tmp_path / "cache").glob("*.cwasm"))) == 1
    again = Engine(cache=CompileCache(tmp_path / "cache", bytes(32)))
    guest = again.compile_module(module(data(1024, "third")))
    assert again.is_from_cache(guest)
    with again.core_store() as store:
        assert read(store.instantiate(guest), 1024, 5) == b"third"


@on_linux
def test_nobody_can_change_an_image(engine):
    image = engine.compile_module(module(HELLO)).image
    with pytest.raises(PermissionError):
        os.pwrite(image._file, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(image._file, 0)
    with pytest.raises(PermissionError):
        mmap.mmap(image._file, image.size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)


def target_of(descriptor):
    with suppress(FileNotFoundError):  # the directory itself was open while it was read
        return os.readlink(f"/proc/self/fd/{descriptor}")
    return ""


@on_linux
def test_an_image_goes_with_its_guest():
    def files():
        return sum("memory image" in target_of(each) for each in os.listdir("/proc/self/fd"))

    def mappings():
        with open("/proc/self/maps") as file:
            return sum("memory image" in line for line in file)

    gc.collect()
    before = files(), mappings()
    engine = Engine()
    started(engine, module(HELLO), lambda _: None)
    guest = engine.compile_module(module(HELLO))
    with engine.core_store() as store:
        store.instantiate(guest)
        assert (files(), mappings()) == (before[0] + 1, before[1] + 1)
    del guest, store
    gc.collect()
    assert (files(), mappings()) == before


FORKED = """
import os
from tests.wit_host.test_memory_images import Engine, HELLO, module, read
engine = Engine()
guest = engine.compile_module(module(HELLO))
with engine.core_store() as store:
    instance = store.instantiate(guest)
    child = os.fork()
    if not child:
        instance.exports["memory"].write(instance.store, b"WRITE", 1024)
        with engine.core_store() as other:
            os._exit(0 if read(other.instantiate(guest), 1024, 5) == b"hello" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert read(instance, 1024, 5) == b"hello"
print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_the_image_and_changes_nothing_for_its_parent():
    in_a_process(FORKED)


# --- what it costs ---


@on_linux
def test_a_start_does_not_touch_the_pages_of_the_image(engine):
    import resource

    size = 8 << 20
    guest = engine.compile_module(module(f'(data (i32.const 0) "{"x" * size}")', memory="(memory 128)"))
    with engine.core_store() as store:
        store.instantiate(guest)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    with engine.core_store() as store:
        store.instantiate(guest)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < size // mmap.PAGESIZE // 10


@on_linux
def test_one_byte_at_the_end_of_four_gibibytes_costs_a_page(engine):
    wasm = module(data(-1, "x"), memory='(memory (export "memory") 65536)')
    guest = engine.compile_module(wasm)
    assert guest.image.minimum == 4 << 30
    assert guest.image.size == mmap.PAGESIZE
    with engine.core_store() as store:
        assert read(store.instantiate(guest), (4 << 30) - 3, 3) == b"\0\0x"


@on_linux
def test_gaps_take_no_memory(engine):
    wasm = module(data(0, "first"), data(8 << 20, "last"), memory="(memory 1000)")
    guest = engine.compile_module(wasm)
    status = os.fstat(guest.image._file)
    assert status.st_size > 8 << 20
    assert status.st_blocks * 512 < 1 << 20


def test_segments_that_are_spread_over_the_memory_cannot_make_a_large_image():
    wasm = module(*[data(address << 16, "x") for address in range(2000)], memory="(memory 2000)")
    assert take_image(wasm).image is None


# --- limits, and failures ---


def test_a_limit_on_memory_holds_for_a_memory_with_an_image(engine):
    with pytest.raises(GuestLimit, match=r"begins with 128 KiB"):
        started(engine, module(HELLO), lambda _: None, memory=PAGE)


def test_a_memory_with_an_image_grows(engine):
    grow = '(func (export "grow") (result i32) (memory.grow (i32.const 1)))'

    def use(instance):
        assert instance.call("grow") == 2
        assert memory_of(instance)[1024:1029] == b"hello"
        assert memory_of(instance)[2 * PAGE :] == bytes(PAGE)
        assert instance.call("grow") == -1

    started(engine, module(HELLO, grow), use, memory=3 * PAGE)


def test_an_image_that_cannot_be_mapped_ends_the_guest_with_the_reason(engine, monkeypatch):
    def refuse(*_):
        ctypes.set_errno(12)
        return memory_image._FAILED

    monkeypatch.setattr(memory_image, "_mmap", refuse)
    with pytest.raises(GuestTrap, match="its first content cannot be mapped: Cannot allocate memory"):
        started(engine, module(HELLO), lambda _: None)


def test_a_guest_whose_image_cannot_be_made_fills_its_memory_itself(engine, monkeypatch):
    def refuse(_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("wit_host.engine.MemoryImage", refuse)
    guest = engine.compile_module(module(HELLO))
    assert guest.image is None
    with engine.core_store() as store:
        assert read(store.instantiate(guest), 1024, 5) == b"hello"


def test_an_image_of_another_memory_is_an_error_of_the_host(engine):
    guest, other = engine.compile_module(module(HELLO)), engine.compile_module(module(HELLO, memory="(memory 3)"))
    with engine.core_store() as store, pytest.raises(RuntimeError, match="begins with 131072 bytes, and its image is"):
        store.instantiate(replace(guest, image=other.image))


@pytest.mark.parametrize("transports", [["latin-1"], []])
def test_an_engine_that_makes_the_memories_itself_gets_the_guest_as_it_is(transports):
    engine = Engine(transports=transports)
    guest = engine.compile_module(module(HELLO))
    assert guest.image is None
    with engine.core_store() as store:
        assert read(store.instantiate(guest), 1024, 5) == b"hello"


# --- memories that are not the guest's own ---


def test_the_memories_of_others_and_the_heap_of_a_collector_have_no_image(engine):
    image, guest = engine.compile_module(module(HELLO)).image, GuestMemory()
    with Starting(guest, 1, image):
        assert guest.image_of(PAGE) is None
        guest.add(LinearMemory(PAGE, PAGE, 0))
        assert guest.image_of(0) is None
        assert guest.image_of(2 * PAGE) is image


def test_modules_that_start_for_a_guest_that_waits_have_no_part_of_the_guest_that_starts(engine):
    image, starting = engine.compile_module(module(HELLO, memory="(memory 1)")).image, GuestMemory()
    with engine.core_store() as store:
        store.linker.add_wasi()
        waiting = store.instantiate(engine.compile_module(waiting_module()))
        with Starting(starting, 0, image):
            assert (waiting.call("sleep", 1), waiting.call("events")) == (0, 1)
    assert starting.parts == []


def test_a_guest_with_a_garbage_collector_has_its_image(engine):
    wasm = parsed(
        f"""(module (type $box (struct (field i32))) (memory (export "memory") 2) {HELLO}
          (func (export "box") (result i32) (struct.get $box 0 (struct.new $box (i32.const 7)))))"""
    )

    def use(instance):
        assert instance.call("box") == 7
        assert read(instance, 1024, 5) == b"hello"

    assert take_image(wasm).image is not None
    started(engine, wasm, use)


def test_a_component_that_waits_has_its_image_and_the_component_around_it_has_none(engine):
    body = BODY.replace('(memory (export "memory") 1)', f'(memory (export "memory") 1) {HELLO}')
    guest = engine.compile(f"(component {IMPORTS} {body})".encode())
    assert guest.image is not None
    assert guest.helpers == 1
    with engine.store() as store:
        store.linker.add_wasi()
        store.instantiate(guest)
        [own] = store.state.memory.parts
        with own.view(1024, 5) as view:
            assert bytes(view) == b"hello"
