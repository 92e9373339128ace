"""Tensors that a host passes to a plugin, and those that it gets back: owner, memory and figures."""

from __future__ import annotations

import array

import pytest
import torch

from tests.simulated import Copies, Counters
from tests.wasi_nn_torch.helpers.isolation import isolated
from tests.wasi_nn_torch.helpers.models import Scale, scripted
from tests.wasi_nn_torch.helpers.tensor_plugin import open_plugin, plugin
from wasi_nn_torch import Engine, GuestError, GuestLimit, GuestTrap, Limits
from wasi_nn_torch.contract.ledger import STAGING, Transfer
from wasi_nn_torch.hosts import v2024_06_25, v2024_08_19, v2024_10_28
from wasi_nn_torch.hosts.stepwise import StepwiseContext

pytestmark = pytest.mark.usefixtures("no_gc")

X = torch.arange(1024, dtype=torch.float32)
BYTES = 4 * len(X)
BIG = 1 << 20


class Overwrites(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.add_(100)


@pytest.fixture(scope="module")
def engine(device):
    with Engine(device, **isolated(device)) as engine:
        engine.register("double", scripted(Scale(2.0)))
        engine.register("overwrites", scripted(Overwrites()))
        engine.register("on the cpu", scripted(Scale(5.0)), "cpu")
        yield engine


@pytest.fixture
def opened(engine):
    with open_plugin(engine) as opened:
        yield opened


@pytest.fixture
def session(opened):
    return opened[0]


@pytest.fixture
def guard(opened):
    return opened[1]


@pytest.fixture
def live(session):
    return lambda: session.stats.memory.live_tensors


# --- there and back ---


def test_a_plugin_computes_on_a_tensor_of_the_host(session, guard, device):
    x = X.to(device)
    result = session.take(guard.compute("double", session.tensor(x)))
    assert (result.device, result.tolist()) == (device, (2 * X).tolist())


def test_a_tensor_on_the_device_of_the_graph_is_never_copied(session, guard, accelerator, simulator):
    x = X.to(accelerator)
    simulator.reset()
    result = session.take(guard.compute("double", session.tensor(x)))
    assert simulator.counters() == Counters(kernels=simulator.counters().kernels)
    assert all(not figures.copies for figures in session.stats.memory.transfers.values())
    assert result.cpu().tolist() == (2 * X).tolist()


def test_a_tensor_in_the_memory_of_the_host_is_uploaded_once(session, guard, accelerator, simulator):
    result = session.take(guard.compute("double", session.tensor(X)))
    counters = simulator.counters()
    assert (counters.h2d, counters.d2h, counters.d2d) == (Copies(1, BYTES), Copies(), Copies())
    assert result.device == accelerator


def test_a_result_goes_from_one_plugin_call_to_the_next_without_a_copy(session, guard, accelerator, simulator):
    first = guard.compute("double", session.tensor(X.to(accelerator)))
    simulator.reset()
    second = guard.compute("double", first)
    assert simulator.counters().h2d == simulator.counters().d2h == Copies()
    assert session.take(second).cpu().tolist() == (4 * X).tolist()


def test_a_tensor_on_another_device_than_the_graph_is_downloaded_once(session, guard, accelerator, simulator):
    x = X.to(accelerator)
    simulator.reset()
    result = session.take(guard.compute("on the cpu", session.tensor(x)))
    assert simulator.counters().d2h == Copies(1, BYTES)
    assert result.tolist() == (5 * X).tolist()


def test_a_plugin_never_changes_the_memory_of_the_host(session, guard, device):
    x = X.to(device)
    result = session.take(guard.compute("overwrites", session.tensor(x)))
    assert x.tolist() == X.tolist()
    assert result.tolist() == (X + 100).tolist()


def test_a_plugin_reads_what_the_host_has_changed(session, guard):
    x = torch.tensor([1, 2, 3], dtype=torch.uint8)
    lent = session.tensor(x)
    assert guard.read(lent) == b"\1\2\3"
    x[0] = 9
    assert guard.read(lent) == b"\11\2\3"


def test_a_tensor_of_bytes_crosses(session, guard):
    lent = session.tensor(b"\1\2\3\4", dimensions=[2, 2], dtype="U8")
    assert guard.read(lent) == b"\1\2\3\4"
    assert session.take(guard.same(lent)).tolist() == [[1, 2], [3, 4]]


def test_a_tensor_that_the_guest_made_is_taken(session, guard):
    made = guard.make(2, array.array("f", [1, 2]).tobytes())
    assert session.take(made).tolist() == [1, 2]


def test_the_memory_of_the_host_comes_back_as_itself(session, guard):
    x = X.clone()
    assert session.take(guard.same(session.tensor(x))).data_ptr() == x.data_ptr()


# --- owners ---


def test_a_borrowed_tensor_stays_with_the_host(session, guard, live):
    lent = session.tensor(X)
    guard.read(lent)
    assert live() == 1
    lent.drop()
    lent.drop()
    assert live() == 0


def test_a_tensor_can_be_lent_twice_in_one_call(session, guard):
    lent = session.tensor(X)
    assert guard.count(lent, lent) == 2 * BYTES


def test_a_tensor_that_the_guest_owns_is_out_of_reach_until_it_is_returned(session, guard):
    x = X.clone()
    given = session.tensor(x)
    guard.keep(given)
    with pytest.raises(ValueError, match="the guest has this tensor; take it after the guest has returned it"):
        session.take(given)
    with pytest.raises(ValueError, match="drop-it: x: the guest already owns this tensor"):
        guard.drop_it(given)
    returned = guard.give_back()
    assert returned is given
    assert session.take(returned).data_ptr() == x.data_ptr()


def test_a_tensor_that_the_guest_dropped_is_over(session, guard, live):
    given = session.tensor(X)
    guard.drop_it(given)
    assert live() == 0
    for use in (session.take, guard.read, guard.drop_it):
        with pytest.raises(ValueError, match="this tensor was dropped, taken, or used up by a computation"):
            use(given)


def test_a_tensor_that_a_computation_used_up_is_over(session, guard, live):
    given = session.tensor(X)
    out = guard.compute("double", given)
    assert live() == 1
    with pytest.raises(ValueError, match="used up by a computation"):
        session.take(given)
    out.drop()


@pytest.mark.parametrize("end", ["drop", "take"])
def test_a_tensor_of_the_host_that_is_over_is_refused(session, guard, end):
    given = session.tensor(X)
    session.take(given) if end == "take" else given.drop()
    given.drop()
    with pytest.raises(ValueError, match="dropped, taken"):
        session.take(given)
    with pytest.raises(ValueError, match="test:plugin/guard#read: x: this tensor was dropped"):
        guard.read(given)


def test_a_refused_argument_leaves_the_others_with_the_host(session, guard, live):
    over, good = session.tensor(X), session.tensor(X)
    over.drop()
    with pytest.raises(ValueError, match="count: y: this tensor was dropped"):
        guard.count(good, over)
    assert len(guard.read(good)) == BYTES
    assert live() == 1
    session.take(good)


def test_a_tensor_of_one_session_is_refused_by_another(engine, session, guard):
    given = session.tensor(X)
    with open_plugin(engine) as (other, other_guard):
        for use in (other.take, other_guard.read, other_guard.drop_it):
            with pytest.raises(ValueError, match="this tensor belongs to another session"):
                use(given)
    assert len(guard.read(given)) == BYTES


def test_what_is_not_a_tensor_is_refused(session):
    with pytest.raises(TypeError, match=r"a tensor of wasi-nn is needed, not Tensor"):
        session.take(X)


def test_bytes_that_do_not_fill_the_dimensions_of_the_guest_are_refused(session, guard, live):
    made = guard.make(3, b"1234")
    with pytest.raises(ValueError, match=r"dimensions \[3\] of FP32, which need 12 bytes, but 4 were given"):
        session.take(made)
    assert live() == 1
    made.drop()
    assert live() == 0


# --- the end ---


def test_what_was_taken_outlives_the_session(engine, device):
    with open_plugin(engine) as (session, guard):
        result = session.take(guard.compute("double", session.tensor(X)))
    assert result.tolist() == (2 * X).tolist()
    result.add_(1)


def test_a_session_that_ends_drops_what_was_not_taken(engine, device, watch):
    x = torch.ones(BIG, device=device)
    gone = watch(x)
    with open_plugin(engine) as (session, guard):
        kept, given = session.tensor(x), session.tensor(x)
        guard.keep(given)
        out = guard.compute("double", session.tensor(x))
    assert session.stats.memory.live_tensors == 0
    assert x.sum() == BIG
    del x
    assert gone()
    for over in (kept, out):
        with pytest.raises(ValueError, match="the session has ended, and its tensors were dropped; take them before"):
            session.take(over)
    with pytest.raises(ValueError, match="dropped"):
        session.take(given)
    with pytest.raises(RuntimeError, match="the session has ended, so no guest could use a tensor"):
        session.tensor(X)


def test_a_trap_drops_what_the_guest_had(session, guard, watch):
    x = torch.ones(BIG)
    gone = watch(x)
    lent, given = session.tensor(X), session.tensor(x)
    with pytest.raises(GuestTrap):
        guard.crash(given)
    del x
    assert gone()
    with pytest.raises(ValueError, match="this tensor was dropped"):
        session.take(given)
    lent.drop()


def test_a_tensor_that_nobody_refers_to_is_free(session, live, device, watch):
    x = X.to(device, copy=True)
    gone = watch(x)
    lent = session.tensor(x)
    del x
    assert (live(), gone()) == (1, False)
    del lent
    assert (live(), gone()) == (0, True)


def test_device_memory_is_free_to_the_byte(engine, accelerator, allocated):
    before = allocated()
    x = X.to(accelerator)
    with open_plugin(engine) as (session, guard):
        result = session.take(guard.compute("double", session.tensor(x)))
        assert session.stats.memory.live_bytes == 0
    assert allocated() == before + 2 * BYTES
    del result, x
    assert allocated() == before


def test_an_instance_of_a_pool_gets_tensors_and_gives_them_back(engine, device):
    x = X.to(device)
    with engine.pool(engine.compile(plugin().wasm), plugin().bindings.Guest, size=1) as pool:
        for factor in (2, 4):
            lease = pool.lease()
            with lease as lent:
                x = lease.session.take(lent.guard.compute("double", lease.session.tensor(x)))
                assert lease.session.stats.memory.live_tensors == 0
            assert x.tolist() == (factor * X).tolist()


def test_a_trap_ends_the_session_for_what_the_host_holds_too(session, guard):
    lent, out = session.tensor(X), guard.same(session.tensor(X))
    with pytest.raises(GuestTrap):
        guard.crash(session.tensor(X))
    for over in (lent, out):
        with pytest.raises(ValueError, match="the session has ended, and its tensors were dropped"):
            session.take(over)


# --- figures and limits ---


def test_the_session_counts_the_tensor_until_it_is_over(session, device):
    place = STAGING if device.type == "cpu" else str(device)
    lent = session.tensor(X.to(device))
    assert session.stats.memory.places[place].bytes == BYTES
    lent.drop()
    assert session.stats.memory.places[place].bytes == 0
    assert session.stats.memory.places[place].peak_bytes == BYTES


@pytest.mark.parametrize("limit", ["host_bytes", "tensors"])
def test_a_tensor_beyond_a_limit_is_refused_and_the_guest_goes_on(engine, limit):
    limits = {"host_bytes": Limits(host_bytes=BYTES + 10), "tensors": Limits(tensors=1)}[limit]
    with open_plugin(engine, limits=limits) as (session, guard):
        first = session.tensor(X)
        with pytest.raises(GuestLimit, match=f"Limits\\({limit}=") as caught:
            session.tensor(X)
        assert caught.value.limit == limit
        assert len(guard.read(first)) == BYTES


def test_a_tensor_of_the_host_leaves_less_to_the_guest(engine):
    with open_plugin(engine, limits=Limits(tensors=1)) as (session, guard):
        kept = session.tensor(X)
        with pytest.raises(GuestTrap, match="one tensor too many"):
            guard.make(1, b"1234")
        kept.drop()


# --- versions ---


def test_the_newest_version_is_the_default(session):
    assert isinstance(session.tensor(X), v2024_10_28.Tensor)


@pytest.mark.parametrize(("version", "adapter"), [("2024-08-19", v2024_08_19), ("2024-06-25", v2024_06_25)])
def test_a_tensor_is_made_for_an_older_version(session, version, adapter):
    made = session.tensor(X, version=version)
    assert isinstance(made, adapter.Tensor)
    assert (made.dimensions(), made.ty().name) == ([1024], "FP32")
    assert session.take(made).data_ptr() == X.data_ptr()


def test_another_version_is_refused(session):
    text = "no version '2099-01-01' of wasi-nn; choose one of 2024-06-25, 2024-08-19, 2024-10-28"
    with pytest.raises(ValueError, match=text):
        session.tensor(X, version="2099-01-01")


def test_an_output_that_its_context_keeps_is_taken_as_a_copy(session, device):
    context = StepwiseContext(session._serving.context(session._serving.load_by_name("double")))
    context.set_input("x", session.tensor(X, version="2024-08-19").content)
    context.compute()
    first, second = (v2024_08_19.Tensor(context.output("output")) for _ in range(2))
    taken = session.take(first)
    taken.zero_()
    assert session.take(second).tolist() == (2 * X).tolist()
    last = v2024_08_19.Tensor(context.output("output"))
    context.drop()
    address = last.content.content.address
    assert session.take(last).data_ptr() == address
    assert session.stats.memory.live_tensors == 0


# --- isolated models ---


def test_an_output_of_an_isolated_model_is_read_out(engine, device):
    with open_plugin(engine) as (session, guard):
        x = torch.ones(BIG, device=device)
        result = session.take(guard.compute_own(scripted(Scale(3.0)), session.tensor(x), False))
        assert session.stats.memory.live_tensors == 0
        small = session.take(guard.compute_own(scripted(Scale(3.0)), session.tensor(X), False))
    assert (result.device.type, result.unique().tolist()) == ("cpu", [3])
    assert small.tolist() == (3 * X).tolist()
    result.add_(1)


def test_an_output_of_an_isolated_model_is_read_out_of_its_device(engine, accelerator):
    with open_plugin(engine) as (session, guard):
        out = guard.compute_own(scripted(Scale(3.0)), session.tensor(X.to(accelerator)), True)
        assert session.stats.memory.places[str(accelerator)].tensors == 1
        before = session.stats.memory.transfers[Transfer.DEVICE_TO_HOST]
        assert session.take(out).tolist() == (3 * X).tolist()
        after = session.stats.memory.transfers[Transfer.DEVICE_TO_HOST]
        assert (after.copies - before.copies, after.bytes - before.bytes) == (1, BYTES)


def test_an_output_of_a_process_that_has_ended_is_lost(engine):
    with open_plugin(engine) as (session, guard):
        out = guard.compute_own(scripted(Scale(3.0)), session.tensor(torch.ones(BIG)), False)
        out.content.worker.end()
        with pytest.raises(GuestError, match="the tensor is lost"):
            session.take(out)
        assert session.stats.memory.live_tensors == 0


def test_what_is_taken_is_not_memory_that_a_process_of_the_guest_reads(engine):
    with open_plugin(engine) as (session, guard):
        guard.compute_own(scripted(Scale(3.0)), session.tensor(X), False).drop()
        made = guard.make(BIG, bytes(4 * BIG))
        address = made.content.address
        assert made.content._memory.staging.is_shared
        result = session.take(made)
        assert result.data_ptr() != address
        assert guard.make(BIG, b"\1" * (4 * BIG)).content.address == address, "the session uses it again"
    assert result.sum() == 0
