"""Guests whose requests to one graph are computed together, without their knowledge: hostile ones among them, too."""

from __future__ import annotations

import gc
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from tests.guests import witx
from tests.wasi_nn_torch.helpers.direct import Direct
from tests.wasi_nn_torch.helpers.doubling import MODEL, Plain
from tests.wasi_nn_torch.helpers.models import Add, scripted
from wasi_nn_torch import Batch, Engine, GuestCancelled, GuestTimeout, Limits, ModelError
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import Transfer
from wasi_nn_torch.pytorch.graphs.loading import batching

#: In seconds; far longer than anything here takes.
ENOUGH = 30
ROW = torch.arange(4.0).view(1, 4)


class Door:
    """Holds computations until it is opened; it is open at first."""

    def __init__(self) -> None:
        self._is_open = threading.Event()
        self.arrived = threading.Event()
        self.open()

    def open(self) -> None:
        self._is_open.set()

    def close(self) -> None:
        self.arrived.clear()
        self._is_open.clear()

    def __call__(self) -> None:
        self.arrived.set()
        assert self._is_open.wait(ENOUGH)


DOOR = Door()


class Held(nn.Module):
    """Looks numbers up in a table, or scales them, after it has passed the door."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.arange(1.0, 5.0))

    def forward(self, x: Tensor) -> Tensor:
        DOOR()
        return x * self.scale


class Lookup(Held):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.arange(100.0))

    def forward(self, x: Tensor) -> Tensor:
        DOOR()
        return self.table[x.long()]


@pytest.fixture(autouse=True)
def _one_lane(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One batch at a time, on any machine."""
    monkeypatch.setattr(batching, "lanes_on", lambda device: 1)
    DOOR.open()
    yield
    DOOR.open()


@pytest.fixture
def engine(device):
    with Engine(device, cache=False) as engine:
        batch = Batch(max_size=8, max_queue=8)
        engine.register("scale", Held(), warm_up=(1, 4), batch=batch)
        engine.register("table", Lookup(), warm_up=(1, 4), batch=batch)
        yield engine


class Threads:
    """Functions that run at the same time; their results or exceptions by name."""

    def __init__(self) -> None:
        self.outcomes: dict[str, object] = {}
        self._threads: list[threading.Thread] = []

    def run(self, name: str, function: Callable[[], object]) -> None:
        def call() -> None:
            try:
                self.outcomes[name] = function()
            except Exception as error:  # noqa: BLE001  # it is the outcome
                self.outcomes[name] = error

        self._threads.append(threading.Thread(target=call, name=name))
        self._threads[-1].start()

    def join(self) -> dict[str, object]:
        for thread in self._threads:
            thread.join(ENOUGH)
            assert not thread.is_alive(), f"{thread.name} was left waiting"
        return self.outcomes


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + ENOUGH
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.001)


def waiting(engine: Engine, name: str = "scale") -> int:
    """The number of requests that wait for a graph."""
    batcher = engine._registry.graph(name).batcher
    assert batcher is not None
    return batcher.waiting


def together(engine: Engine, graph: str, inputs: dict[str, Tensor]) -> tuple[dict[str, object], dict[str, Direct]]:
    """Have sessions ask for these inputs while another one computes; their outcomes, and the sessions, closed."""
    threads, sessions = Threads(), {name: Direct(engine) for name in inputs}
    with Direct(engine) as first:
        DOOR.close()
        threads.run("first", lambda: first.compute_by_name(graph, x=ROW))
        assert DOOR.arrived.wait(ENOUGH)
        for position, (name, content) in enumerate(inputs.items(), start=1):
            threads.run(name, lambda name=name, content=content: sessions[name].compute_by_name(graph, x=content))
            until(lambda position=position: waiting(engine, graph) == position)
        DOOR.open()
        outcomes = threads.join()
    for session in sessions.values():
        session._serving.close()
    del outcomes["first"]
    return outcomes, sessions


def sizes(engine: Engine, graph: str) -> dict[int, int]:
    [model] = [model for model in engine.stats.models if model.name == graph]
    assert model.batching is not None
    return dict(model.batching.sizes)


# --- guests ---


def asking(graph: str, rows: int = 1) -> bytes:
    """A guest that computes a graph once on the numbers 0, 1, 2, 3, and traps if an output is wrong.

    If the computation is refused, it loops for ever.
    """
    dimensions = "".join(f"\\{byte:02x}" for size in (rows, 4) for byte in size.to_bytes(4, "little"))
    data = "".join(f"\\{byte:02x}" for byte in ROW.repeat(rows, 1).numpy().tobytes())
    record = "".join(
        f"\\{byte:02x}"
        for number in (witx.DIMENSIONS, 2, witx.F32, witx.DATA, 16 * rows)
        for byte in number.to_bytes(4, "little")
    )
    return witx.command(
        f"""
        (if (call $load_by_name (i32.const {witx.NAME}) (i32.const {len(graph)}) (i32.const 0)) (then unreachable))
        (if (call $init_execution_context (i32.load (i32.const 0)) (i32.const 4)) (then unreachable))
        (if (call $set_input (i32.load (i32.const 4)) (i32.const 0) (i32.const {witx.RECORD})) (then unreachable))
        (if (call $compute (i32.load (i32.const 4))) (then (loop $again (br $again))))
        (if (call $get_output (i32.load (i32.const 4)) (i32.const 0) (i32.const 8192) (i32.const 512) (i32.const 8))
          (then unreachable))
        ;; the last element is 3 times 4
        (if (f32.ne (f32.load (i32.const {8192 + 16 * rows - 4})) (f32.const 12)) (then unreachable))""",
        f'(data (i32.const {witx.NAME}) "{graph}")',
        f'(data (i32.const {witx.RECORD}) "{record}")',
        f'(data (i32.const {witx.DIMENSIONS}) "{dimensions}")',
        f'(data (i32.const {witx.DATA}) "{data}")',
    )


def test_guests_are_computed_together_and_do_not_notice(engine):
    guests = [engine.compile(asking("scale", rows)) for rows in (1, 2, 1, 3)]
    sessions = [engine.session() for _ in guests]
    threads = Threads()
    DOOR.close()
    for position, (session, guest) in enumerate(zip(sessions, guests, strict=True)):
        threads.run(str(position), lambda session=session, guest=guest: session.run(guest))
        assert DOOR.arrived.wait(ENOUGH)
        until(lambda position=position: waiting(engine) == position)
    DOOR.open()
    assert set(threads.join().values()) == {0}
    assert sizes(engine, "scale") == {1: 1, 6: 1}
    figures = sessions[1].stats.batching["scale"]
    assert (figures.requests, figures.sizes) == (1, {6: 1})
    assert figures.longest_wait > 0
    assert sessions[1].stats.memory.live_bytes == 0
    assert json.loads(json.dumps(sessions[1].stats.to_dict()))["batching"]["scale"]["sizes"] == {"6": 1}
    assert engine.stats.to_dict()["models"][0]["batching"]["sizes"] == {"1": 1, "6": 1}


def test_a_guest_that_is_cancelled_while_it_waits_ends_and_the_others_go_on(engine):
    guest = engine.compile(asking("scale"))
    sessions = {name: engine.session() for name in ("first", "cancelled", "other")}
    threads = Threads()
    DOOR.close()
    for position, (name, session) in enumerate(sessions.items()):
        threads.run(name, lambda session=session: session.run(guest))
        assert DOOR.arrived.wait(ENOUGH)
        until(lambda position=position: waiting(engine) == position)
    sessions["cancelled"].cancel()
    until(lambda: "cancelled" in threads.outcomes)
    assert isinstance(threads.outcomes["cancelled"], GuestCancelled)
    assert sessions["cancelled"].stats.memory.live_bytes == 0
    assert waiting(engine) == 1
    DOOR.open()
    assert threads.join()["other"] == 0
    assert sizes(engine, "scale") == {1: 2}


def test_a_guest_whose_time_ends_while_it_waits_is_stopped(engine):
    guest = engine.compile(asking("scale"))
    threads = Threads()
    with engine.session() as first, engine.session(limits=Limits(timeout=0.1)) as late:
        DOOR.close()
        threads.run("first", lambda: first.run(guest))
        assert DOOR.arrived.wait(ENOUGH)
        with pytest.raises(GuestTimeout):
            late.run(guest)
        assert late.stats.batching["scale"].withdrawn == 1
        DOOR.open()
        assert threads.join() == {"first": 0}


def test_closing_the_engine_leaves_no_one_waiting(engine):
    threads = Threads()
    sessions = [Direct(engine) for _ in range(3)]
    for session in sessions:
        session.compute_by_name("scale", x=ROW)
    DOOR.close()
    threads.run("0", lambda: sessions[0].compute_by_name("scale", x=ROW))
    assert DOOR.arrived.wait(ENOUGH)
    for position in (1, 2):
        threads.run(str(position), lambda position=position: sessions[position].compute_by_name("scale", x=ROW))
        until(lambda position=position: waiting(engine) == position)
    engine.close()
    DOOR.open()
    for outcome in threads.join().values():
        assert outcome.tolist() == [0, 2, 6, 12]
    for session in sessions:
        session._serving.close()


def test_a_model_that_is_replaced_meanwhile_still_answers(engine):
    threads = Threads()
    with Direct(engine) as first, Direct(engine) as second:
        second.compute_by_name("scale", x=ROW)
        DOOR.close()
        threads.run("first", lambda: first.compute_by_name("scale", x=ROW))
        assert DOOR.arrived.wait(ENOUGH)
        threads.run("second", lambda: second.compute_by_name("scale", x=ROW))
        until(lambda: waiting(engine) == 1)
        engine.replace("scale", scripted(Add()))
        DOOR.open()
        assert threads.join()["second"].tolist() == [0, 2, 6, 12]


# --- tenants stay apart ---


def test_an_index_out_of_range_fails_alone(engine):
    if engine.device.startswith("cuda"):
        pytest.skip("an index out of range ends the use of CUDA in this process, batches or not")
    outcomes, sessions = together(engine, "table", {"a": ROW, "bad": ROW + 1000, "c": ROW + 7})
    assert outcomes["a"].tolist() == [0, 1, 2, 3]
    assert outcomes["c"].tolist() == [7, 8, 9, 10]
    assert isinstance(outcomes["bad"], NnError)
    assert outcomes["bad"].code is ErrorCode.RUNTIME_ERROR
    assert outcomes["bad"].text.startswith("the model failed while computing `x` FP32 [1, 4]: ")
    assert all(session.ledger.snapshot().live_bytes == 0 for session in sessions.values())
    [model] = [model for model in engine.stats.models if model.name == "table"]
    assert model.batching.failed_together == 1


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_nan_and_infinities_do_not_reach_a_neighbour(engine, poison):
    outcomes, _ = together(engine, "scale", {"a": ROW, "bad": ROW * poison, "c": 2 * ROW})
    assert outcomes["a"].tolist() == [0, 2, 6, 12]
    assert outcomes["c"].tolist() == [0, 4, 12, 24]
    assert outcomes["bad"].isnan().any()
    assert sizes(engine, "scale") == {1: 1, 3: 1}


def test_inputs_that_do_not_fit_the_model_fail_alone(engine):
    outcomes, _ = together(engine, "scale", {"a": ROW, "bad": torch.ones(1, 5), "c": 2 * ROW})
    assert outcomes["a"].tolist() == [0, 2, 6, 12]
    assert outcomes["c"].tolist() == [0, 4, 12, 24]
    assert isinstance(outcomes["bad"], NnError)


def test_a_full_queue_answers_at_once(engine):
    threads, sessions = Threads(), [Direct(engine) for _ in range(10)]
    DOOR.close()
    for position, session in enumerate(sessions):
        threads.run(str(position), lambda session=session: session.compute_by_name("scale", x=ROW))
        if position < 9:
            assert DOOR.arrived.wait(ENOUGH)
            until(lambda position=position: waiting(engine) == position)
    until(lambda: "9" in threads.outcomes)
    assert threads.outcomes["9"].text.startswith("the queue of the graph `scale` is full: 8 requests wait")
    assert sessions[9].ledger.snapshot().live_bytes == 0
    DOOR.open()
    threads.join()
    for session in sessions:
        session._serving.close()


# --- devices ---


def test_a_batch_of_n_costs_n_uploads_and_no_download_beyond_the_outputs(engine, simulator, allocated):
    gc.collect()  # what earlier tests left
    before = allocated()
    simulator.reset()
    outcomes, sessions = together(engine, "scale", {str(each): each * ROW for each in range(1, 6)})
    assert [outcomes[str(each)].tolist() for each in range(1, 6)] == [[0, 2 * n, 6 * n, 12 * n] for n in range(1, 6)]
    assert simulator.counters().h2d.number == 6
    assert simulator.counters().d2h.number == 6
    for session in sessions.values():
        transfers = session.ledger.snapshot().transfers
        assert transfers[Transfer.HOST_TO_DEVICE].copies == transfers[Transfer.DEVICE_TO_HOST].copies == 1
    assert allocated() == before


def test_everything_is_freed_when_a_request_fails(engine, allocated):
    if engine.device.startswith("cuda"):
        pytest.skip("an index out of range ends the use of CUDA in this process, batches or not")
    gc.collect()  # what earlier tests left
    before = allocated()
    together(engine, "table", {"a": ROW, "bad": ROW + 1000, "c": ROW + 7})
    assert allocated() == before


def test_the_weights_are_freed_when_the_last_session_ends(device, allocated, no_gc):
    gc.collect()
    before = allocated()
    engine = Engine(device, cache=False)
    engine.register("scale", Held(), warm_up=(1, 4), batch=Batch())
    with Direct(engine) as session:
        session.compute_by_name("scale", x=ROW)
        engine.unregister("scale")
        assert allocated() > before
    assert allocated() == before
    engine.close()


# --- what the operator is told ---


def test_each_batch_is_logged_for_debugging(engine, caplog):
    with caplog.at_level(logging.DEBUG, logger="wasi_nn_torch.serving.batching.batcher"):
        together(engine, "scale", {"a": ROW, "b": ROW})
    [line] = [record.message for record in caplog.records if "of 2 requests" in record.message]
    assert line.startswith("scale: computed 2 rows of 2 requests in ")


def test_without_the_option_nothing_is_batched(device):
    with Engine(device, cache=False) as engine:
        engine.register("add", scripted(Add()))
        assert engine._registry.graph("add").batcher is None
        assert engine.stats.models[0].batching is None
        with Direct(engine) as session:
            session.compute_by_name("add", x=ROW)
            assert session._serving.batching == {}


def test_another_object_than_a_batch_is_refused(device):
    with Engine(device, cache=False) as engine, pytest.raises(TypeError, match="batch is True; give Batch"):
        engine.register("add", scripted(Add()), batch=True)


def test_a_backend_that_cannot_batch_refuses_the_option(device, monkeypatch):
    monkeypatch.setattr("wasi_nn_torch.serving.registry.Registry._backend", lambda *_: (Plain(None), "a doubler"))
    with (
        Engine(device, cache=False) as engine,
        pytest.raises(ModelError, match="the model `double` cannot be batched, because its backend does not compute"),
    ):
        engine.register("double", MODEL, batch=Batch())
