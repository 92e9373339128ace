"""Memories that the host reserves."""

from __future__ import annotations

import gc
import sys
import weakref

import pytest
import wasmtime

from tests.wit_host.helpers.host import Host
from tests.wit_host.helpers.wat import API, Import, command
from wit_host import Engine, GuestTrap
from wit_host import values as wit
from wit_host.crossing import reservations
from wit_host.crossing.memory import GuestMemory, LinearMemory, unsupported
from wit_host.misfits import Misfit

PAGE = 1 << 16
pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "memories can be reserved")
TAKE = Import('(param "d" (list u8))', "(param i32 i32)")


def written(memory, address, content):
    with memory.view(address, len(content)) as view:
        view[:] = content


def read(memory, address, size):
    with memory.view(address, size) as view:
        return bytes(view)


def test_a_memory_holds_what_is_written():
    memory = LinearMemory(PAGE, 4 << 30, 32 << 20)
    written(memory, PAGE - 3, b"end")
    assert read(memory, PAGE - 4, 4) == b"\0end"


def test_it_keeps_its_address_and_content_when_it_grows():
    memory = LinearMemory(PAGE, 4 << 30, 0)
    base = memory.base
    written(memory, 0, b"start")
    memory.grow(100 * PAGE)
    written(memory, 100 * PAGE - 1, b"x")
    assert memory.base == base
    assert read(memory, 0, 5) == b"start"
    assert memory.size == 100 * PAGE


def test_it_grows_to_what_is_reserved_and_no_further():
    memory = LinearMemory(PAGE, 2 * PAGE, 0)
    assert memory.grow(2 * PAGE)
    assert not memory.grow(3 * PAGE)
    assert memory.size == 2 * PAGE


@pytest.mark.parametrize(("address", "size"), [(PAGE, 1), (0, PAGE + 1), (2**32 - 1, 2**32 - 1), (PAGE + 1, 0)])
def test_a_view_is_of_what_is_there(address, size):
    with pytest.raises(Misfit):
        LinearMemory(PAGE, 4 << 30, 0).view(address, size)


@pytest.mark.parametrize("size", [1, 100, 4097, 20000])
def test_sizes_that_are_no_pages_of_the_host_are_opened_to_their_end(size):
    memory = LinearMemory(size, PAGE, PAGE)
    written(memory, size - 1, b"x")
    assert read(memory, size - 1, 1) == b"x"


def test_a_memory_knows_whether_somebody_looks_at_it():
    memory = LinearMemory(PAGE, PAGE, 0)
    view = memory.view(0, 10)
    part = view[2:4]
    view.release()
    assert memory.is_viewed
    part.release()
    assert not memory.is_viewed


def test_the_memory_of_a_guest_goes_with_its_store():
    host = Host([API])
    gc.disable()
    try:
        store = host.store()
        host.run({"take": TAKE}, "", lambda i: i.function("take", bytes, {"d": wit.BYTES}, None), store=store)
        [memory] = store.state.memory.parts
        freed = weakref.ref(memory)
        del memory
        store.close()
        assert freed() is None
    finally:
        gc.enable()


def test_each_guest_sees_its_own_memory():
    host, seen = Host([API]), []
    for content in ("first", "other"):
        data = f'(data (i32.const 1024) "{content}")'
        body = "(call take (i32.const 1024) (i32.const 5))"
        define = lambda i: i.function("take", lambda d: seen.append(bytes(d)), {"d": wit.BYTES}, None)  # noqa: E731
        host.run({"take": TAKE}, body, define, data=data)
    assert seen == [b"first", b"other"]


def test_a_limit_on_memory_holds_for_reserved_memories():
    host = Host([API])
    body = "(call $check (memory.grow (i32.const 100)) (i32.const -1))"
    with host.store(memory=210 << 16) as store:
        define = lambda i: i.function("take", bytes, {"d": wit.BYTES}, None)  # noqa: E731
        assert host.run({"take": TAKE}, body, define, store=store) == 0


def test_growing_beyond_what_is_reserved_fails_in_the_guest_and_nowhere_else():
    host = Host([API])
    body = "(call $check (memory.grow (i32.const 65536)) (i32.const -1))"
    define = lambda i: i.function("take", bytes, {"d": wit.BYTES}, None)  # noqa: E731
    assert host.run({"take": TAKE}, body, define) == 0


def test_address_space_that_is_not_there_is_an_error_of_the_guest(monkeypatch):
    host = Host([API])

    def fail(*_):
        raise OSError(12, "no room")

    monkeypatch.setattr(reservations, "LinearMemory", fail)
    with pytest.raises(GuestTrap, match="no room"):
        host.run({"take": TAKE}, "", lambda i: i.function("take", bytes, {"d": wit.BYTES}, None))


def test_where_memories_cannot_be_reserved_bytes_cross_as_strings_and_the_reason_is_told(monkeypatch):
    monkeypatch.setattr("wit_host.engine.unsupported", lambda: "memories cannot be reserved on plan9")
    host = Host([API])
    assert host.compile({"take": TAKE}, "").transport == "latin-1 (memories cannot be reserved on plan9)"
    seen = []
    body = "(call take (i32.const 1024) (i32.const 3))"
    define = lambda i: i.function("take", lambda d: seen.append(bytes(d)), {"d": wit.BYTES}, None)  # noqa: E731
    host.run({"take": TAKE}, body, define, data='(data (i32.const 1024) "abc")')
    assert seen == [b"abc"]


def test_with_a_configuration_of_ones_own_bytes_cross_as_strings_and_the_reason_is_told():
    config = wasmtime.Config()
    config.consume_fuel = False
    compiled = Engine(config=config).compile(command({"take": TAKE}, "").encode(), buffers=[API])
    assert compiled.transport == "latin-1 (the configuration of the engine is a custom one)"


def test_a_guest_with_two_memories_is_told_so():
    memory = GuestMemory()
    memory.parts += [LinearMemory(PAGE, PAGE, 0), LinearMemory(PAGE, PAGE, 0)]
    with pytest.raises(Misfit, match="the guest has 2 memories"):
        _ = memory.only


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's list of mappings is read")
def test_address_space_is_given_back():
    def reserved():
        with open("/proc/self/maps") as file:
            return sum(1 for line in file if "---p" in line)

    before = reserved()
    for _ in range(50):
        LinearMemory(PAGE, 4 << 30, 32 << 20)
    assert reserved() - before < 10
