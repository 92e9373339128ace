"""Graphs that compute quickly: the event loop computes them, and what holds for all requests holds for these, too."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.wasi_nn_torch.helpers.serving import Connection, infer, served
from tests.wasi_nn_torch.http.test_operation import figures, until
from wasi_nn_torch import Batch, Engine, GraphSession, Limits
from wasi_nn_torch.http import GraphSettings, create_app, quickness
from wasi_nn_torch.http.quickness import QUICK, Quickness

# The engine computes on the CPU.
pytestmark = pytest.mark.cpu

#: More requests of one kind than are observed before the event loop computes.
SOME = 20


class Plus(torch.nn.Module):
    """Adds 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    file = tmp_path_factory.mktemp("models") / "plus.pt2"
    rows = torch.export.Dim("rows", max=1000)
    torch.export.save(torch.export.export(Plus(), (torch.ones(2),), dynamic_shapes=({0: rows},)), file)
    with Engine("cpu", guest_models="none") as engine:
        engine.register("plus", file)
        engine.register("batched", file, batch=Batch(4))
        whole = torch.export.export(Plus(), (torch.ones(1, dtype=torch.int64),))
        torch.export.save(whole, file.with_name("whole.pt2"))
        engine.register("whole", file.with_name("whole.pt2"))
        yield engine


class Computations:
    """The threads and sessions of computations; the next ones take so much longer, and begin when they are let go."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.sessions: list[GraphSession] = []
        self.delay = 0.0
        self.are_let_go = threading.Event()
        self.are_let_go.set()

    def in_loop(self) -> list[bool]:
        """Which computations the event loop made itself."""
        return [not name.startswith("wasi-nn-guest") for name in self.threads]


@pytest.fixture
def computations(monkeypatch):
    found = Computations()
    compute = GraphSession.compute_elements

    def observed(session, inputs):
        found.threads.append(threading.current_thread().name)
        found.sessions.append(session)
        assert found.are_let_go.wait(30)
        began, wall = time.thread_time(), time.perf_counter()
        while time.thread_time() - began < found.delay:  # computes, rather than waits
            pass
        outputs = compute(session, inputs)
        if found.delay:
            session.last_seconds = time.perf_counter() - wall
        return outputs

    # More than it is, since other tests may take the processors meanwhile.
    monkeypatch.setattr(quickness, "QUICK", 0.01)
    monkeypatch.setattr(GraphSession, "compute_elements", observed)
    return found


def elements(count: int = 1, value: float = 0.0) -> tuple[str, str, list[int], bytes]:
    return ("x", "FP32", [count], torch.full((count,), float(value)).numpy().tobytes())


def ask(at: str, *inputs, headers: str = "", model: str = "plus") -> tuple[int, dict[str, object]]:
    with Connection(at) as connection:
        status, _, body = connection.send(infer(model, *(inputs or (elements(),)), headers=headers)).answer()
    return status, json.loads(body)


def become_quick(app, at: str) -> None:
    """Ask until the event loop computes."""
    kind = (("x", "FP32", (1,), 4),)
    until(lambda: ask(at)[0] == 200 and app.models["plus"]._quickness.is_quick(kind))


def test_after_some_requests_the_event_loop_computes(engine, computations):
    app = create_app(engine, graphs=["plus"])
    with served(app) as at:
        become_quick(app, at)
        before = len(computations.threads)
        answers = [ask(at, elements(value=value)) for value in range(5)]
        found = figures(at)
    app.close()
    assert [answer["outputs"][0]["data"] for _, answer in answers] == [[value + 1.0] for value in range(5)]
    assert computations.in_loop() == [False] * before + [True] * 5
    assert found['http_requests_total{model="plus",status="200"}'] == before + 5
    assert found['queue_seconds_count{model="plus"}'] == before + 5
    assert found['http_request_seconds_count{model="plus"}'] == before + 5
    assert found['requests_running{model="plus"}'] == 0


def test_inputs_of_other_sizes_are_judged_by_themselves(engine, computations):
    app = create_app(engine, graphs=["plus"])
    with served(app) as at:
        become_quick(app, at)
        computations.threads.clear()
        ask(at, elements(2))
        ask(at, elements(1))
    app.close()
    assert computations.in_loop() == [False, True]


@pytest.mark.parametrize(
    ("model", "settings"), [("plus", GraphSettings(inline=False)), ("batched", GraphSettings(concurrency=8))]
)
def test_graphs_that_may_have_to_wait_are_computed_on_threads(engine, computations, model, settings):
    app = create_app(engine, graphs={model: settings})
    with served(app) as at:
        assert {ask(at, model=model)[0] for _ in range(SOME)} == {200}
    app.close()
    assert not any(computations.in_loop())


def test_a_lone_client_keeps_to_one_session_however_many_there_are(engine, computations):
    """A batch would wait for the others in vain, if they were used in turns."""
    app = create_app(engine, graphs={"plus": GraphSettings(inline=False, concurrency=3)})
    with served(app) as at:
        computations.are_let_go.clear()
        with ThreadPoolExecutor() as clients:
            asked = [clients.submit(ask, at) for _ in range(3)]
            until(lambda: engine.stats.running == 3)
            computations.are_let_go.set()
        assert [each.result()[0] for each in asked] == [200, 200, 200]
        assert {ask(at)[0] for _ in range(SOME)} == {200}
    app.close()
    assert len(set(computations.sessions[:3])) == 3
    assert len(set(computations.sessions[3:])) == 1


def test_a_module_whose_state_only_it_knows_is_computed_on_threads(engine, computations):
    engine.register("module", Plus())
    app = create_app(engine, graphs=["module"])
    with served(app) as at:
        assert {ask(at, model="module")[0] for _ in range(SOME)} == {200}
    app.close()
    engine.unregister("module")
    assert not any(computations.in_loop())


def test_a_graph_that_has_become_slow_goes_back_to_threads(engine, computations):
    app = create_app(engine, graphs=["plus"])
    with served(app) as at:
        become_quick(app, at)
        computations.threads.clear()
        computations.delay = 0.2
        assert {ask(at)[0] for _ in range(4)} == {200}
    app.close()
    assert computations.in_loop() == [True, False, False, False]


def test_a_request_that_was_computed_too_late_gets_504(engine, computations):
    app = create_app(engine, graphs=["plus"])
    with served(app) as at:
        become_quick(app, at)
        computations.delay = 0.1
        late = ask(at, headers="X-Request-Timeout: 50ms\r\n")
        found = figures(at)
    app.close()
    assert late == (504, {"error": "the request was not answered in time"})
    assert computations.in_loop()[-1]
    assert found['http_failures_total{kind="timeout",model="plus"}'] == 1


def test_the_time_limit_of_a_graph_applies(engine, computations):
    app = create_app(engine, graphs={"plus": GraphSettings(limits=Limits(timeout=0.05))})
    with served(app) as at:
        become_quick(app, at)
        computations.delay = 0.1
        late = ask(at)
        computations.delay = 0.0
        assert ask(at)[0] == 200
    app.close()
    assert late == (504, {"error": "`plus` did not answer in time"})


def test_requests_that_are_quick_wait_for_a_place_like_others(engine, computations):
    app = create_app(engine, graphs={"plus": GraphSettings(concurrency=1, max_waiting=1)})
    gate = app.models["plus"].gate
    with served(app) as at, Connection(at) as slow, Connection(at) as quick:
        become_quick(app, at)
        computations.are_let_go.clear()
        slow.send(infer("plus", elements(2)))
        until(lambda: gate.running == 1)
        quick.send(infer("plus", elements(1)))
        until(lambda: gate.waiting == 1)
        refused = ask(at)
        computations.are_let_go.set()
        answered = [slow.answer()[0], quick.answer()[0]]
    app.close()
    assert (refused[0], answered) == (503, [200, 200])
    assert computations.in_loop()[-2:] == [False, False]


def test_errors_are_the_same_in_the_event_loop(engine, computations):
    app = create_app(engine, graphs=["whole"])
    with served(app) as at:
        for _ in range(SOME):
            assert ask(at, ("x", "UINT64", [1], bytes(8)), model="whole")[0] == 200
        wrong = ask(at, ("x", "UINT64", [1], b"\xff" * 8), model="whole")
        right = ask(at, ("x", "UINT64", [1], bytes(8)), model="whole")
    app.close()
    assert computations.in_loop()[-2:] == [True, True]
    assert (wrong[0], right[0]) == (400, 200)
    assert "a value of uint64 is above" in wrong[1]["error"]
    assert engine.stats.running == 0


def test_a_client_that_vanishes_while_the_event_loop_computes_costs_nothing(engine, computations):
    app = create_app(engine, graphs=["plus"])
    with served(app) as at:
        become_quick(app, at)
        computations.threads.clear()
        computations.delay = 0.1
        with Connection(at) as connection:
            connection.send(infer("plus", elements()))
            until(lambda: computations.threads)
        computations.delay = 0.0
        assert ask(at)[0] == 200
        assert app.models["plus"].gate.running == 0
    app.close()
    assert engine.stats.running == 0


# --- what is observed ---


def observed(known: Quickness, count: int, seconds: float) -> bool:
    """Whether a kind is quick after so many computations on threads."""
    for _ in range(count):
        known.add_on_thread("kind", seconds)
    return known.is_quick("kind")


def test_a_kind_is_quick_after_eight_computations_of_which_the_shortest_counts():
    known = Quickness()
    assert not observed(known, 7, 100 * QUICK)
    assert observed(known, 1, QUICK / 2)
    assert not observed(Quickness(), 1000, 1.1 * QUICK)


def test_a_wait_for_a_processor_changes_nothing_but_a_long_computation_does():
    known = Quickness()
    observed(known, 8, QUICK / 10)
    known.add_in_loop("kind", seconds=1.0, computed=QUICK / 10)
    assert known.is_quick("kind")
    known.add_in_loop("kind", seconds=1.0, computed=1.0)
    assert not known.is_quick("kind")


def test_each_trial_that_fails_doubles_the_time_to_the_next_one():
    known = Quickness()
    for needed in (8, 16, 32, 64):
        assert not observed(known, needed - 1, QUICK / 10)
        assert observed(known, 1, QUICK / 10)
        known.add_in_loop("kind", seconds=1.0, computed=1.0)


def test_good_conduct_halves_that_time_again():
    known = Quickness()
    observed(known, 8, QUICK / 10)
    known.add_in_loop("kind", seconds=1.0, computed=1.0)
    assert observed(known, 16, QUICK / 10)
    for _ in range(16 * 16):
        known.add_in_loop("kind", QUICK / 10, QUICK / 10)
    known.add_in_loop("kind", seconds=1.0, computed=1.0)
    assert observed(known, 16, QUICK / 10)


def test_the_number_of_kinds_is_bounded():
    known = Quickness()
    for kind in range(1000):
        known.add_on_thread(kind, QUICK / 10)
    assert len(known._records) == 256
