"""Resources that a guest implements, held by the host."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref

import pytest

from tests.guests.forward import forwarding_guest
from wit_host import (
    Err,
    GuestError,
    GuestFunction,
    GuestInterface,
    GuestResource,
    GuestResourceType,
    LinkError,
    Ok,
    Resource,
    ResultError,
)
from wit_host import values as wit

WORLD = """package test:counters;
    interface counters {
        resource counter {
            constructor(start: u32);
            value: func() -> u32;
        }
        resource other { constructor(start: u32); }
        make: func(start: u32) -> counter;
        take: func(v: counter) -> u32;
        look: func(v: borrow<counter>) -> u32;
        spare: func(a: counter, n: u32);
        both: func(a: borrow<counter>, b: counter);
    }
    world w {
        import dropped: func(number: u32);
        export counters;
    }"""
NAME = "test:counters/counters"


class Counter(GuestResource):
    def value(self) -> int:
        return VALUE(self)


class Other(GuestResource):
    pass


COUNTER = GuestResourceType("counter", Counter)
OTHER = GuestResourceType("other", Other)
NEW = GuestFunction[Counter]("[constructor]counter", {"start": wit.U32}, wit.GuestOwn(COUNTER))
VALUE = GuestFunction[int]("[method]counter.value", {"self": wit.GuestBorrow(COUNTER)}, wit.U32)
NEW_OTHER = GuestFunction[Other]("[constructor]other", {"start": wit.U32}, wit.GuestOwn(OTHER))
MAKE = GuestFunction[Counter]("make", {"start": wit.U32}, wit.GuestOwn(COUNTER))
TAKE = GuestFunction[int]("take", {"v": wit.GuestOwn(COUNTER)}, wit.U32)
LOOK = GuestFunction[int]("look", {"v": wit.GuestBorrow(COUNTER)}, wit.U32)
SPARE = GuestFunction[None]("spare", {"a": wit.GuestOwn(COUNTER), "n": wit.U32}, None)
BOTH = GuestFunction[None]("both", {"a": wit.GuestBorrow(COUNTER), "b": wit.GuestOwn(COUNTER)}, None)
ALL = [NEW, VALUE, NEW_OTHER, MAKE, TAKE, LOOK, SPARE, BOTH]


class Counters(GuestInterface):
    def __init__(self, instance, functions=ALL):
        super().__init__(instance, NAME, functions)


@pytest.fixture(scope="module")
def compiled(host):
    return host.engine.compile(forwarding_guest(WORLD))


def start(compiled, store, dropped=lambda number: None) -> Counters:
    store.linker.root().function("dropped", dropped, {"number": wit.U32}, None)
    return Counters(store.instantiate(compiled, "plugin"))


@pytest.fixture
def dropped():
    return []


@pytest.fixture
def guest(compiled, store, dropped):
    return start(compiled, store, dropped.append)


def test_a_resource_is_made_used_and_dropped(guest, dropped):
    counter = NEW(guest, 7)
    assert type(counter) is Counter
    assert [counter.value(), LOOK(guest, counter), counter.value()] == [7, 7, 7]
    assert dropped == []
    counter.drop()
    assert dropped == [7]


def test_dropping_twice_is_fine(guest, dropped):
    counter = NEW(guest, 7)
    counter.drop()
    counter.drop()
    assert dropped == [7]


def test_the_end_of_a_with_block_drops(guest, dropped):
    with MAKE(guest, 7) as counter:
        assert counter.value() == 7
    assert dropped == [7]


def test_a_resource_that_is_forgotten_is_warned_about_and_dropped_at_the_next_call(guest, dropped):
    counter = NEW(guest, 7)
    with pytest.warns(ResourceWarning, match="^Counter of plugin was never dropped; use it in a `with` block"):
        del counter
    assert dropped == []
    with NEW(guest, 8):
        assert dropped == [7]


def test_a_resource_that_a_closed_guest_had_is_not_warned_about(compiled, host):
    with host.store() as store:
        counter = NEW(start(compiled, store), 7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del counter


def test_a_resource_forgotten_by_another_thread_while_the_guest_runs_is_dropped_later(compiled, host, dropped):
    """The guest is in `dropped`, which it calls."""
    kept = []

    def forget(number):
        dropped.append(number)
        if kept:
            thread = threading.Thread(target=kept.clear)
            thread.start()
            thread.join()

    with host.store() as store:
        guest = start(compiled, store, forget)
        first = NEW(guest, 1)
        kept.append(NEW(guest, 2))
        with pytest.warns(ResourceWarning):
            first.drop()
        assert dropped == [1]
        NEW(guest, 3).drop()
        assert dropped == [1, 2, 3]


def test_a_resource_that_was_passed_to_the_guest_is_the_guests(guest, dropped):
    counter = NEW(guest, 7)
    assert TAKE(guest, counter) == 7
    assert dropped == [7]
    counter.drop()
    assert dropped == [7]
    with pytest.raises(ValueError, match="value: self: this Counter was dropped or passed to the guest"):
        counter.value()


def test_use_after_drop_is_refused(guest):
    counter = NEW(guest, 7)
    counter.drop()
    for use in (lambda: counter.value(), lambda: LOOK(guest, counter), lambda: TAKE(guest, counter)):
        with pytest.raises(ValueError, match="this Counter was dropped or passed to the guest"):
            use()
    assert NEW(guest, 8).value() == 8


def test_a_resource_stays_with_the_caller_when_another_argument_does_not_fit(guest, dropped):
    counter = NEW(guest, 7)
    with pytest.raises(TypeError, match=f"^{NAME}#spare: n: int is needed, not str$"):
        SPARE(guest, counter, "1")
    assert dropped == []
    assert counter.value() == 7


def test_a_resource_cannot_be_lent_and_given_in_one_call(guest):
    counter = NEW(guest, 7)
    with pytest.raises(ValueError, match=f"^{NAME}#both: b: this Counter is borrowed in the same call$"):
        BOTH(guest, counter, counter)
    assert counter.value() == 7


def test_a_resource_of_another_type_is_refused(guest):
    with pytest.raises(TypeError, match=f"^{NAME}#look: v: Counter is needed, not Other$"):
        LOOK(guest, NEW_OTHER(guest, 1))
    with pytest.raises(TypeError, match=f"^{NAME}#look: v: Counter is needed, not int$"):
        LOOK(guest, 1)


def test_a_resource_of_another_guest_is_refused(host, compiled, guest):
    with host.store() as other:
        stranger = NEW(start(compiled, other), 7)
        for function in (LOOK, TAKE):
            with pytest.raises(ValueError, match="v: this Counter belongs to another guest"):
                function(guest, stranger)
        assert stranger.value() == 7


def test_dropping_after_the_store_is_closed_is_fine(guest, store):
    counter, other = NEW(guest, 7), NEW(guest, 8)
    store.close()
    with pytest.raises(ValueError, match="the store of this guest is closed"):
        other.value()
    counter.drop()
    with counter, other:
        pass


def test_dropping_after_a_trap_is_fine(compiled, store):
    def dropped(number):
        raise LookupError(number)

    guest = start(compiled, store, dropped)
    counter, other = NEW(guest, 7), NEW(guest, 8)
    with pytest.raises(LookupError):
        counter.drop()
    other.drop()
    counter.drop()


def test_a_host_function_cannot_drop_a_resource_of_the_guest_that_called_it(compiled, store):
    kept = []

    def dropped(number):
        if number == 7:
            with pytest.raises(RuntimeError, match="cannot call the guest that called it"):
                kept[0].drop()

    guest = start(compiled, store, dropped)
    kept.append(NEW(guest, 8))
    NEW(guest, 7).drop()
    assert kept[0].value() == 8
    kept[0].drop()


def test_a_method_is_called_before_its_interface_is_bound(compiled, store):
    store.linker.root().function("dropped", lambda number: None, {"number": wit.U32}, None)
    instance = store.instantiate(compiled, "plugin")
    counter = NEW(Counters(instance, [NEW]), 7)
    with pytest.raises(RuntimeError, match=r"value is called before the interface that it belongs to was bound"):
        counter.value()


def test_resources_are_told_apart_by_the_type_and_not_by_the_name(compiled, guest):
    mixed_up = GuestFunction("[constructor]other", {"start": wit.U32}, wit.GuestOwn(COUNTER))
    message = "result: this host has own of resource counter, the guest has own of another resource"
    with pytest.raises(LinkError, match=message):
        Counters(guest._instance, [mixed_up])


class RefusedError(ResultError[Counter]):
    pass


def test_resources_travel_in_results_and_errors(host, store):
    text = """package test:counters;
        interface counters {
            resource counter { constructor(start: u32); value: func() -> u32; }
            pass: func(v: list<result<counter, counter>>) -> list<result<counter, counter>>;
            find: func(v: option<counter>) -> result<counter, counter>;
        }
        world w { import counters; export counters; }"""
    either = wit.List(wit.NestedResult(wit.GuestOwn(COUNTER), wit.GuestOwn(COUNTER)))
    pass_ = GuestFunction("pass", {"v": either}, either)
    result = wit.Result(wit.GuestOwn(COUNTER), wit.GuestOwn(COUNTER), RefusedError)
    find = GuestFunction("find", {"v": wit.Option(wit.GuestOwn(COUNTER))}, result)
    hosts = HostCounters()
    hosts.define(store.linker.instance(NAME))
    guest = Counters(store.instantiate(host.engine.compile(forwarding_guest(text))), [NEW, VALUE, pass_, find])
    first, second = NEW(guest, 1), NEW(guest, 2)
    [ok, err] = pass_(guest, [Ok(first), Err(second)])
    assert (type(ok), ok.value.value(), type(err), err.value.value()) == (Ok, 1, Err, 2)
    with find(guest, ok.value) as found:
        assert found.value() == 1
    assert hosts.drops == [1]
    with pytest.raises(RefusedError) as caught:
        find(guest, None)
    assert caught.value.value.value() == 0
    caught.value.value.drop()
    assert hosts.drops == [1, 0]


class HostCounter:
    def __init__(self, host, number):
        self.host, self.number = host, number

    def value(self):
        return self.number

    def drop(self):
        self.host.drops.append(self.number)


class HostCounters:
    """What a guest stands for that implements its resources by the host's."""

    def __init__(self):
        self.drops = []

    def find(self, counter):
        if counter is None:
            raise HostRefusedError(HostCounter(self, 0))
        return counter

    def define(self, instance):

        counter = Resource[HostCounter]("counter")
        own = wit.Own(counter)
        either = wit.List(wit.NestedResult(own, own))
        instance.resource(counter)
        instance.function("[constructor]counter", lambda n: HostCounter(self, n), {"start": wit.U32}, own)
        instance.method(counter, "value", HostCounter.value, {}, wit.U32)
        instance.function("pass", lambda v: v, {"v": either}, either)
        instance.function("find", self.find, {"v": wit.Option(own)}, wit.Result(own, own, HostRefusedError))


class HostRefusedError(ResultError[HostCounter]):
    pass


def test_a_guest_may_be_lent_several_at_once_and_lend_them_on(host, store):
    text = """package test:counters;
        interface counters {
            resource counter { constructor(start: u32); value: func() -> u32; }
            sum: func(a: borrow<counter>, others: list<borrow<counter>>) -> u32;
        }
        world w { import counters; export counters; }"""

    hosts, resource = HostCounters(), Resource[HostCounter]("counter")
    borrow, borrows = wit.GuestBorrow(COUNTER), wit.List(wit.GuestBorrow(COUNTER))
    total = GuestFunction[int]("sum", {"a": borrow, "others": borrows}, wit.U32)
    instance = store.linker.instance(NAME)
    instance.resource(resource)
    instance.function("[constructor]counter", lambda n: HostCounter(hosts, n), {"start": wit.U32}, wit.Own(resource))
    instance.method(resource, "value", HostCounter.value, {}, wit.U32)
    instance.function(
        "sum",
        lambda first, others: first.number + sum(other.number for other in others),
        {"a": wit.Borrow(resource), "others": wit.List(wit.Borrow(resource))},
        wit.U32,
    )
    guest = Counters(store.instantiate(host.engine.compile(forwarding_guest(text))), [NEW, VALUE, total])
    counters = [NEW(guest, number) for number in (1, 2, 3)]
    assert total(guest, counters[0], [*counters[1:], counters[0]]) == 7
    assert [counter.value() for counter in counters] == [1, 2, 3]


@pytest.fixture
def no_collection():
    """Nothing but reference counts frees memory during the test."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_a_resource_that_nobody_dropped_keeps_nothing_alive(host, compiled):
    with host.store() as store:
        guest = start(compiled, store)
        counter = NEW(guest, 7)
        seen, runner = weakref.ref(counter), weakref.ref(store._runner)
        del counter
        assert seen() is None
    del guest, store
    assert runner() is None


@pytest.mark.usefixtures("no_collection")
def test_a_trap_in_a_method_leaves_no_cycle(host, compiled):
    def dropped(number):
        raise LookupError(number)

    with host.store() as store:
        guest = start(compiled, store, dropped)
        counter = NEW(guest, 7)
        seen = weakref.ref(counter)
        with pytest.raises(LookupError):
            counter.drop()
        with pytest.raises(GuestError, match="cannot be called any more"):
            NEW(guest, 7)
        del counter
    assert seen() is None
