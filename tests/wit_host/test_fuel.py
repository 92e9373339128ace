"""Fuel: a bound on what a guest executes that is the same on every machine."""

from __future__ import annotations

import pytest

from wit_host import Bounds, Engine, GuestFunction, GuestInterface, GuestLimit, GuestTrap
from wit_host import values as wit

COUNTING = b"""(component
  (core module $m
    (func (export "count") (param $n i32)
      (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
  (core instance $i (instantiate $m))
  (func (export "count") (param "n" u32) (canon lift (core func $i "count"))))"""
MODULE = b"""(module (func (export "count") (param $n i32)
  (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""
COUNT = GuestFunction[None]("count", {"n": wit.U32}, None)


class Counter(GuestInterface):
    def __init__(self, instance):
        super().__init__(instance, None, [COUNT])


@pytest.fixture(scope="module")
def engine():
    return Engine(fuel=True)


@pytest.fixture(scope="module")
def guest(engine):
    return engine.compile(COUNTING)


def test_a_guest_that_consumes_all_its_fuel_ends_with_the_limit(engine, guest):
    with engine.store(bounds=Bounds(fuel=10_000)) as store:
        counter = Counter(store.instantiate(guest, "counter"))
        COUNT(counter, 100)
        with pytest.raises(
            GuestLimit, match=r"^counter consumed all its fuel \(limit 10000\); raise the limit `fuel`$"
        ):
            COUNT(counter, 100_000)
        with pytest.raises(GuestTrap, match="cannot be called any more"):
            COUNT(counter, 1)


def test_each_call_has_its_own_fuel(engine, guest):
    with engine.store(bounds=Bounds(fuel=10_000)) as store:
        counter = Counter(store.instantiate(guest))
        for _ in range(10):
            COUNT(counter, 1000)
        assert store.fuel > 10_000


def test_what_is_consumed_is_the_same_each_time(engine, guest):
    def consumed() -> int:
        with engine.store() as store:
            COUNT(Counter(store.instantiate(guest)), 12_345)
            return store.fuel

    assert consumed() == consumed() > 12_345


def test_a_core_module_has_fuel_too(engine):
    module = engine.compile_module(MODULE)
    with engine.core_store(bounds=Bounds(fuel=1000)) as store:
        instance = store.instantiate(module)
        instance.call("count", 10)
        with pytest.raises(GuestLimit, match="consumed all its fuel"):
            instance.call("count", 1000)


def test_a_guest_without_a_bound_has_as_much_as_it_wants(engine, guest):
    with engine.store() as store:
        COUNT(Counter(store.instantiate(guest)), 1_000_000)


def test_an_engine_that_does_not_count_refuses_the_bound():
    with pytest.raises(
        ValueError, match=r"does not count fuel, so it cannot bound it; make it with `Engine\(fuel=True"
    ):
        Engine().store(bounds=Bounds(fuel=1))


def test_an_engine_that_does_not_count_reports_nothing(guest):
    engine = Engine()
    with engine.store() as store:
        COUNT(Counter(store.instantiate(engine.compile(COUNTING))), 10)
        assert store.fuel == 0
