"""Guests that are linked once, and started in many stores."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from tests.wit_host.helpers.host import THING, Host, Thing
from tests.wit_host.helpers.wat import API, Import, command
from wit_host import Engine, GuestTrap, Linker, LinkError, per_store
from wit_host import values as wit
from wit_host.core import CoreLinker

NUMBER = Import("(result u32)", "(result i32)")
NEW = Import('(param "number" u32) (result (own $thing))', "(param i32) (result i32)")
TELL = Import('(param "number" u32)', "(param i32)")
GIVE = Import("(result (list u8))", "(param i32)")
#: Tells the number of its store, which it asks for.
ASK = command({"number": NUMBER, "tell": TELL}, "(call tell (call number))")


class Data:
    """The data of one store, which is also its host."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.told: list[int] = []
        self.things: list[Thing] = []
        self.inside = lambda: None

    def number(self) -> int:
        self.inside()
        return self._number

    def new(self, number: int) -> Thing:
        self.things.append(Thing(number))
        return self.things[-1]

    def tell(self, number: int) -> None:
        self.told.append(number)

    def give(self) -> bytes:
        return bytes([self._number]) * 5


def shared() -> Linker:
    """Definitions whose implementations are those of the data of each store."""
    hosts = per_store(lambda data: data)
    linker = Linker()
    instance = linker.instance(API)
    instance.resource(THING)
    instance.function("number", hosts.number, {}, wit.U32)
    instance.function("new", hosts.new, {"number": wit.U32}, wit.Own(THING))
    instance.function("tell", hosts.tell, {"number": wit.U32}, None)
    instance.function("give", hosts.give, {}, wit.BYTES)
    return linker


def link(host, text, linker=None, **options):
    return host.engine.link(host.engine.compile(text.encode(), "guest", **options), linker or shared())


def run(host, linked, data):
    with host.engine.store(data=data) as store:
        return store.run_command(linked)


def test_each_store_has_its_own_implementation(host):
    linked = link(host, ASK)
    every = [Data(number) for number in range(3)]
    for data in every:
        assert run(host, linked, data) == 0
    assert [data.told for data in every] == [[0], [1], [2]]


def test_stores_in_many_threads_do_not_mix(host):
    linked = link(host, ASK)
    every = [Data(number) for number in range(8)]

    def work(data):
        for _ in range(50):
            run(host, linked, data)

    threads = [threading.Thread(target=work, args=(data,)) for data in every]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [data.told for data in every] == [[number] * 50 for number in range(8)]


def test_a_guest_that_a_host_function_runs_has_its_own_store_and_so_has_the_caller_afterwards(host):
    linked = link(
        host, command({"number": NUMBER, "tell": TELL}, "(call tell (call number)) (call tell (call number))")
    )
    outer, inner = Data(1), Data(2)
    outer.inside = lambda: run(host, linked, inner)
    run(host, linked, outer)
    assert (outer.told, inner.told) == ([1, 1], [2, 2, 2, 2])


def test_an_exception_in_an_inner_guest_ends_that_one_only(host):
    linked = link(host, ASK)
    outer, inner = Data(1), Data(2)
    caught = []

    def fail():
        raise LookupError("inner")

    def run_inner():
        try:
            run(host, linked, inner)
        except LookupError as error:
            caught.append(error)

    inner.inside, outer.inside = fail, run_inner
    run(host, linked, outer)
    assert (outer.told, inner.told, len(caught)) == ([1], [], 1)


def test_the_end_of_one_guest_drops_only_its_own_resources(host):
    linked = link(host, command({"new": NEW}, "(drop (call new (i32.const 7)))"))
    first, second = Data(1), Data(2)
    with host.engine.store(data=first) as store, host.engine.store(data=second) as other:
        store.run_command(linked)
        assert [thing.drops for thing in first.things] == [1]
        other.run_command(linked)
        assert [thing.drops for thing in first.things + second.things] == [1, 1]


def test_a_trap_in_one_store_leaves_the_others_alone(host):
    linked = link(
        host, command({"number": NUMBER, "tell": TELL}, "(call tell (i32.div_u (i32.const 6) (call number)))")
    )
    bad, good = Data(0), Data(2)
    with pytest.raises(GuestTrap, match=r"divide by zero"):
        run(host, linked, bad)
    run(host, linked, good)
    assert (bad.told, good.told) == ([], [3])


def test_bytes_that_two_stores_are_given_in_turns_do_not_mix():
    """A result `list<u8>` takes two calls, between which the guest's allocator runs."""
    host = Host(buffers=[API])
    body = "(call give (i32.const 64)) (call $check (i32.load8_u (i32.load (i32.const 64))) (call number))"
    linked = link(host, command({"give": GIVE, "number": NUMBER}, body), buffers=[API])
    assert linked.guest.transport.startswith("pointer")
    threads = [threading.Thread(target=run, args=(host, linked, Data(number))) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run(host, linked, Data(9)) == 0


def test_types_are_compared_once_at_linking(host):
    linker = Linker()
    linker.instance(API).function("number", lambda: 1, {"surprise": wit.U32}, wit.U32)
    linker.instances[API].resource(THING)
    text = command({"number": NUMBER}, "(drop (call number))")
    with pytest.raises(LinkError, match="guest imports test:host/api#number with another type: this host has 1 param"):
        link(host, text, linker)


def test_later_definitions_have_no_effect(host):
    linker = shared()
    linked = link(host, ASK, linker)
    linker.close()
    data = Data(4)
    run(host, linked, data)
    assert data.told == [4]


def test_a_plain_implementation_is_shared(host):
    told = []
    linker = Linker()
    instance = linker.instance(API)
    instance.resource(THING)
    instance.function("number", lambda: 5, {}, wit.U32)
    instance.function("tell", told.append, {"number": wit.U32}, None)
    linked = link(host, ASK, linker)
    run(host, linked, None)
    run(host, linked, None)
    assert told == [5, 5]


def test_a_host_without_the_method_is_an_error_of_the_host(host):
    linked = link(host, ASK)
    with pytest.raises(AttributeError, match="number"):
        run(host, linked, object())


def test_a_method_of_the_host_of_each_store_cannot_be_called_without_a_store():
    with pytest.raises(TypeError, match="number of `per_store` can only be called by a guest"):
        per_store(lambda data: data).number()


def test_a_linked_guest_belongs_to_its_engine(host):
    linked = link(host, ASK)
    with Engine().store(data=Data(1)) as store, pytest.raises(ValueError, match="compiled by another Engine"):
        store.run_command(linked)


def test_neither_a_linked_guest_nor_its_stores_need_a_garbage_collection(host):
    linked, data = link(host, ASK), Data(1)
    references = [weakref.ref(linked), weakref.ref(data)]
    gc.disable()
    try:
        run(host, linked, data)
        del linked, data
        assert [reference() for reference in references] == [None, None]
    finally:
        gc.enable()


CORE = b"""(module
  (import "host" "number" (func $number (result i32)))
  (import "host" "tell" (func $tell (param i32) (result i32)))
  (func (export "_start") (drop (call $tell (call $number)))))"""


class CoreData(Data):
    """The same for core modules, whose functions all return a number."""

    def tell(self, number: int) -> int:
        super().tell(number)
        return 0


def test_a_core_module_is_linked_once_as_well(host):
    hosts = per_store(lambda data: data)
    linker = CoreLinker()
    linker.function("host", "number", [], hosts.number)
    linker.function("host", "tell", ["number"], hosts.tell)
    linked = host.engine.link_module(host.engine.compile_module(CORE, "guest"), linker)
    every = [CoreData(number) for number in range(4)]

    def work(data):
        for _ in range(50):
            with host.engine.core_store(data=data) as store:
                store.run_command(linked)

    threads = [threading.Thread(target=work, args=(data,)) for data in every]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [data.told for data in every] == [[number] * 50 for number in range(4)]
