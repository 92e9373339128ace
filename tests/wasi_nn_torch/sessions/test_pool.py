"""Pools: which instance a lease gets, when instances are replaced, and what happens to those who wait."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from functools import partial

import pytest

from tests.conftest import ROOT
from tests.wasi_nn_torch.helpers.models import Add, scripted
from tests.wasi_nn_torch.helpers.plugins import PLUGIN, Misfit, Plugin, compiled
from tests.wasi_nn_torch.helpers.versions import guest_of
from wasi_nn_torch import Engine, GuestError, GuestTimeout, GuestTrap, InvalidGuest, Limits, LinkError
from wasi_nn_torch.sessions.places import Places


@pytest.fixture(scope="module")
def engine():
    with Engine(cache=False) as engine:
        yield engine


@pytest.fixture(scope="module")
def guest(engine):
    return compiled(engine)


@pytest.fixture
def pool(engine, guest):
    with engine.pool(guest, Plugin, size=2) as pool:
        yield pool


def used(pool, **options):
    """The number of calls that the instance of a lease has had, with this one: 1 if it is a fresh one."""
    with pool.lease(**options) as plugin:
        return plugin.count()


def in_thread(action):
    thread = threading.Thread(target=action)
    thread.start()
    return thread


# --- leases ---


def test_instances_are_started_when_they_are_needed_and_kept(pool):
    assert (pool.stats.started, pool.stats.idle) == (0, 0)
    assert [used(pool) for _ in range(3)] == [1, 2, 3]
    stats = pool.stats
    assert (stats.size, stats.started, stats.idle, stats.lent, stats.uses) == (2, 1, 1, 0, 3)


def test_two_leases_at_a_time_have_two_instances(pool):
    with pool.lease() as first, pool.lease() as second:
        assert (first.count(), second.count()) == (1, 1)
        assert (pool.stats.lent, pool.stats.idle) == (2, 0)
    assert (pool.stats.lent, pool.stats.idle) == (0, 2)


def test_the_most_recently_used_instance_is_lent_first(pool):
    with pool.lease() as first:
        with pool.lease() as second:
            second.count()
        first.count(), first.count()
    assert used(pool) == 3, "the first one, which was returned last"


def test_without_a_class_the_instances_themselves_are_lent(engine):
    with engine.pool(b'(module (func (export "f") (result i32) (i32.const 7)))') as pool, pool.lease() as library:
        assert library.call("f") == 7


def test_arguments_of_sessions_are_those_of_each_instance(engine, tmp_path):
    text = b"""(module
      (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "read") (result i32)
        (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 100))
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))) (i32.load (i32.const 8))))"""
    (tmp_path / "input").write_bytes(b"seven b")
    with (
        (tmp_path / "input").open("rb") as file,
        engine.pool(text, size=2, stdin=file) as pool,
        pool.lease() as first,
        pool.lease() as second,
    ):
        assert (first.call("read"), second.call("read")) == (7, 7)


def test_a_lease_has_the_session_of_its_instance(pool):
    lease = pool.lease()
    with pytest.raises(RuntimeError, match="inside its `with` block only"):
        _ = lease.session
    with lease as plugin:
        plugin.count()
        assert lease.session.stats.guest_calls == 1
    with pytest.raises(RuntimeError, match=r"a lease is entered once; call `Pool\.lease` again"), lease:
        pass


def test_an_exception_of_the_block_does_not_cost_the_instance(pool):
    used(pool)
    with pytest.raises(KeyError), pool.lease():
        raise KeyError
    assert used(pool) == 2


def test_many_threads_share_few_instances(pool):
    failures, counts = [], []

    def work():
        try:
            for _ in range(25):
                with pool.lease() as plugin:
                    counts.append(plugin.count())
        except Exception as error:  # noqa: BLE001  # reported by the test
            failures.append(error)

    threads = [in_thread(work) for _ in range(8)]
    for thread in threads:
        thread.join(120)
    assert failures == []
    stats = pool.stats
    assert (stats.uses, stats.lent, stats.waiting) == (200, 0, 0)
    assert 1 <= stats.started <= 2
    assert len(counts) == 200
    assert max(Counter(counts).values()) <= stats.started, "no instance was lent twice at a time"


# --- replacing ---


def test_an_instance_that_trapped_is_replaced(pool):
    used(pool)
    with pytest.raises(GuestTrap), pool.lease() as plugin:
        plugin.fail()
    assert used(pool) == 1
    assert (pool.stats.replaced, pool.stats.started) == ({"trap": 1}, 2)


@pytest.mark.parametrize(
    ("ending", "end"),
    [
        ("timeout", lambda plugin, lease: plugin.loop()),
        ("exit", lambda plugin, lease: plugin.exit(0)),
        ("cancelled", lambda plugin, lease: lease.session.cancel()),
        ("success", lambda plugin, lease: lease.session.close()),
    ],
)
def test_an_instance_that_ended_is_replaced(engine, guest, ending, end):
    with engine.pool(guest, Plugin, limits=Limits(timeout=0.2)) as pool:
        lease = pool.lease()
        try:
            with lease as plugin:
                end(plugin, lease)
        except GuestError:
            pass
        assert used(pool) == 1
        assert pool.stats.replaced == {ending: 1}


def test_an_instance_whose_host_function_raised_is_replaced(engine):
    def ping():
        raise KeyError("mine")

    with engine.pool(compiled(engine, ping), Plugin) as pool:
        with pytest.raises(KeyError, match="mine"), pool.lease() as plugin:
            plugin.ping()
        assert used(pool) == 1
        assert pool.stats.replaced == {"host-error": 1}


def test_an_instance_that_is_cancelled_while_it_is_idle_is_replaced(pool):
    lease = pool.lease()
    with lease as plugin:
        plugin.count()
        session = lease.session
    session.cancel()
    assert used(pool) == 1
    assert pool.stats.replaced == {"cancelled": 1}


def test_an_instance_is_replaced_after_the_most_uses(engine, guest):
    with engine.pool(guest, Plugin, max_uses=2) as pool:
        assert [used(pool) for _ in range(5)] == [1, 2, 1, 2, 1]
        assert pool.stats.replaced == {"uses": 2}


def test_with_one_use_no_state_survives(engine, guest):
    with engine.pool(guest, Plugin, max_uses=1) as pool:
        assert [used(pool) for _ in range(3)] == [1, 1, 1]
        assert pool.stats.idle == 0


def test_an_instance_that_is_still_called_when_it_is_returned_is_cancelled(engine):
    inside, go_on = threading.Event(), threading.Event()

    def ping():
        inside.set()
        go_on.wait(30)

    ends = []

    def call(plugin):
        try:
            plugin.ping()
        except GuestError as error:
            ends.append(error)

    with engine.pool(compiled(engine, ping), Plugin, size=1) as pool:
        lease = pool.lease()
        thread = in_thread(partial(call, lease.__enter__()))
        inside.wait(30)
        with pytest.raises(RuntimeError, match="returned to its pool while it was called; it was cancelled"):
            lease.__exit__(None, None, None)
        assert used(pool) == 1, "of another instance, in the same place"
        go_on.set()
        thread.join(30)
        assert pool.stats.replaced == {"running": 1}


# --- tenants ---


def test_no_tenant_gets_an_instance_of_another(engine, guest):
    with engine.pool(guest, Plugin, size=3, by_tenant=True) as pool:
        assert [used(pool, tenant=each) for each in ("a", "b", None, "a", "b", None)] == [1, 1, 1, 2, 2, 2]


def test_the_least_recently_used_instance_of_another_tenant_makes_room(engine, guest):
    with engine.pool(guest, Plugin, size=2, by_tenant=True) as pool:
        assert [used(pool, tenant=each) for each in "abac"] == [1, 1, 2, 1]
        assert pool.stats.replaced == {"tenant": 1}
        assert pool.stats.idle == 2
        assert used(pool, tenant="a") == 3, "that of b was ended"


def test_tenants_who_share_few_places_never_share_an_instance(engine, guest):
    failures, seen = [], []

    def work(tenant):
        try:
            for _ in range(10):
                lease = pool.lease(tenant=tenant)
                with lease as plugin:
                    plugin.count()
                    seen.append((id(lease.session), lease.session, tenant))
                    assert pool.stats.idle + pool.stats.lent <= 2
        except Exception as error:  # noqa: BLE001  # reported by the test
            failures.append(error)

    with engine.pool(guest, Plugin, size=2, by_tenant=True) as pool:
        threads = [in_thread(lambda tenant=tenant: work(tenant)) for tenant in "abcd"]
        for thread in threads:
            thread.join(120)
        assert failures == []
        tenants = {}
        for key, _, tenant in seen:
            assert tenants.setdefault(key, tenant) == tenant
        assert pool.stats.uses == 40


def test_a_tenant_is_refused_where_tenants_are_not_told_apart(pool):
    with pytest.raises(ValueError, match="does not tell tenants apart; make it with `by_tenant=True`"):
        pool.lease(tenant="a")


# --- waiting ---


def test_a_lease_waits_until_an_instance_is_returned(engine, guest):
    with engine.pool(guest, Plugin, size=1) as pool:
        order = []
        with pool.lease() as plugin:
            plugin.count()
            threads = []
            for number in range(3):
                threads.append(in_thread(lambda number=number: order.append((number, used(pool)))))
                while pool.stats.waiting <= number:
                    time.sleep(0.001)
        for thread in threads:
            thread.join(30)
        assert order == [(0, 2), (1, 3), (2, 4)]
        assert pool.stats.waits == 3
        assert pool.stats.wait_seconds > 0


def test_a_lease_gives_up_after_its_timeout(engine, guest):
    with engine.pool(guest, Plugin, size=1) as pool:
        with pool.lease():
            text = r"no instance of the guest became free within 0\.1 s, as all 1 are lent; make the pool larger"
            with pytest.raises(TimeoutError, match=text), pool.lease(timeout=0.1):
                pass
            assert pool.stats.waiting == 0
        assert used(pool, timeout=0.1) == 1
        with pytest.raises(ValueError, match="the timeout of a lease"):
            pool.lease(timeout=-1)


def test_a_request_that_was_cancelled_leaves_its_place_to_the_next():
    places = Places(1)
    assert places.request() is None
    first, second = places.request(), places.request()
    first.cancel()
    places.give_back()
    assert second.result(0) is None
    assert not places.take(0.01)
    places.give_back()
    assert places.take(0.01)


def test_a_place_is_free_again_when_its_instance_failed(engine, guest):
    with engine.pool(guest, Plugin, size=1) as pool:
        for _ in range(3):
            with pytest.raises(GuestTrap), pool.lease(timeout=5) as plugin:
                plugin.fail()
        assert used(pool, timeout=5) == 1


# --- guests that do not start ---


@pytest.mark.parametrize(
    ("start", "error"),
    [(lambda engine: (compiled(engine), Misfit), LinkError), (lambda engine: (PLUGIN, Plugin), LinkError)],
    ids=["misfit", "missing import"],
)
def test_a_guest_that_does_not_start_fails_in_the_lease_and_leaves_nothing(engine, start, error):
    before = engine.stats
    with engine.pool(*start(engine), size=1) as pool:
        for _ in range(3):
            with pytest.raises(error), pool.lease(timeout=5):
                pass
        stats = pool.stats
        assert (stats.lent, stats.idle, stats.started, stats.waiting) == (0, 0, 0, 0)
    assert engine.stats.running == before.running
    assert engine.stats.ended["link-error"] == before.ended.get("link-error", 0) + 3


def test_a_guest_that_does_not_start_in_time_fails_in_the_lease(engine):
    text = b'(module (func (export "_initialize") (loop $again (br $again))))'
    with engine.pool(text, size=1, limits=Limits(timeout=0.1)) as pool:
        for _ in range(2):
            with pytest.raises(GuestTimeout, match="did not start"), pool.lease(timeout=5):
                pass


def test_a_guest_that_cannot_be_compiled_fails_when_the_pool_is_made(engine):
    with pytest.raises(InvalidGuest):
        engine.pool(b"no guest", Plugin)


@pytest.mark.parametrize(
    ("options", "error"),
    [({"size": 0}, ValueError), ({"max_uses": 0}, ValueError), ({"size": "2"}, TypeError), ({"stdin": 7}, TypeError)],
)
def test_wrong_arguments_are_refused_when_the_pool_is_made(engine, guest, options, error):
    with pytest.raises(error):
        engine.pool(guest, Plugin, **options)


# --- the end ---


def test_closing_a_pool_ends_idle_instances_now_and_lent_ones_when_they_are_returned(engine, guest):
    before = engine.stats.running
    pool = engine.pool(guest, Plugin)
    with pool.lease() as plugin:
        used(pool)
        assert engine.stats.running == before + 2
        pool.close()
        pool.close()
        assert engine.stats.running == before + 1
        assert plugin.count() == 1, "it can still be used"
        with pytest.raises(RuntimeError, match="the pool of the guest is closed"), pool.lease():
            pass
    assert engine.stats.running == before
    assert (pool.stats.idle, pool.stats.lent, pool.stats.replaced) == (0, 0, {})


def test_closing_a_pool_wakes_those_who_wait(engine, guest):
    pool = engine.pool(guest, Plugin, size=1)
    errors = []

    def wait():
        try:
            used(pool)
        except RuntimeError as error:
            errors.append(str(error))

    with pool.lease():
        threads = [in_thread(wait) for _ in range(3)]
        while pool.stats.waiting < 3:
            time.sleep(0.001)
        pool.close()
        for thread in threads:
            thread.join(30)
    assert errors == ["the pool of the guest is closed"] * 3


def test_closing_an_engine_closes_its_pools_and_spares_sessions(device):
    engine = Engine(device, cache=False)
    engine.register("add", scripted(Add()))
    pool = engine.pool(compiled(engine), Plugin)
    used(pool)
    forwarding = guest_of("2024-10-28")
    with engine.session() as session:
        exports = session.start(forwarding.wasm, forwarding.bindings.Guest)
        graph = exports.graph.load_by_name("add")
        engine.close()
        assert engine.stats.running == 1
        with pytest.raises(RuntimeError, match="is closed"), pool.lease():
            pass
        graph.init_execution_context().drop()
        graph.drop()
    assert engine.stats.running == 0


@pytest.mark.usefixtures("no_gc")
def test_a_pool_that_nobody_closed_is_gone_with_the_last_reference(engine, guest):
    before = engine.stats.running
    pool = engine.pool(guest, Plugin)
    used(pool)
    assert engine.stats.running == before + 1
    del pool
    assert engine.stats.running == before


def test_figures_are_plain(pool):
    used(pool)
    assert pool.stats.to_dict() == {
        "size": 2, "idle": 1, "lent": 0, "waiting": 0, "started": 1, "replaced": {}, "uses": 1, "waits": 0,
        "wait_seconds": 0.0,
    }  # fmt: skip


@pytest.mark.cpu
def test_the_child_of_a_fork_starts_instances_of_its_own():
    program = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")
from tests.wasi_nn_torch.helpers.plugins import *
from wasi_nn_torch import Engine
engine = Engine(cache=False)
pool = engine.pool(compiled(engine), Plugin, size=2)
with pool.lease() as plugin, pool.lease() as other:
    plugin.count()
    child = os.fork()
    if not child:
        with pool.lease(timeout=5) as own, pool.lease(timeout=5) as another:
            print("child:", own.count(), another.count(), pool.stats.started, flush=True)
        pool.close()
        sys.stdout.flush()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
with pool.lease() as plugin:
    print("parent:", plugin.count() + other.count(), pool.stats.started, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "child: 1 1 2\nparent: 3 2\n", "")
