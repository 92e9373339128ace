"""What batches gain and cost: guests that ask one graph again and again, with `batch=` and without it, in turns.

Each guest is a core module that sets an input of one row, computes, and reads the output. It stays, and a thread of its
own calls it for each request. Draws `batching.svg`.
"""

from __future__ import annotations

import gc
import io
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

import pytest
import torch
from tests.guests import witx
from torch import Tensor, nn

from benchmarks import batching_plot
from benchmarks.comparison import Row, duration, per_second
from benchmarks.conftest import ROOT
from wasi_nn_torch import Batch, Engine, Guest
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.serving.batching import schedule
from wasi_nn_torch.serving.batching.company import Company

#: The numbers of sessions; the seconds of one measurement, and how often it is repeated.
SESSIONS = (1, 2, 4, 8, 16, 32)
SECONDS, ROUNDS = 0.3, 7
PICTURE = ROOT / "benchmarks/batching.svg"


class Encoder(nn.Module):
    """Two layers of a transformer over 16 words, and their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(1000, 64), nn.Parameter(torch.rand(1, 16, 64))
        layer = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, ids: Tensor) -> Tensor:
        return self.layers(self.words(ids) + self.places).mean(1)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512))


def cnn() -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


@dataclass(frozen=True)
class Case:
    """A model, an input of one row, and the goal for the throughput of 16 sessions."""

    make: Callable[[], nn.Module]
    row: Tensor
    goal: float


CASES = {
    "MLP, 3 x 512": Case(mlp, torch.rand(1, 512), 3.0),
    "small CNN, 3x32x32": Case(cnn, torch.rand(1, 3, 32, 32), 1.5),
    "small text encoder, 16 words": Case(Encoder, torch.randint(0, 1000, (1, 16)), 2.0),
}


def exported(case: Case) -> bytes:
    torch.manual_seed(0)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = torch.cat([case.row, case.row])
        shapes = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(case.make().eval(), (rows,), dynamic_shapes=shapes), file)
    return file.getvalue()


def asking(row: Tensor) -> bytes:
    """A guest that stays, whose `ask` computes the graph `net` once on this row."""
    data = row.contiguous().numpy().tobytes()
    kind = {torch.float32: witx.F32, torch.int64: witx.I64}[row.dtype]
    record = struct.pack("<IIB3xII", witx.DIMENSIONS, row.dim(), kind, witx.DATA, len(data))
    output = witx.PAGE
    return f"""(module {witx.imports()} {witx.MEMORY}
      (data (i32.const {witx.NAME}) "net")
      (data (i32.const {witx.RECORD}) "{_escaped(record)}")
      (data (i32.const {witx.DIMENSIONS}) "{_escaped(struct.pack(f"<{row.dim()}I", *row.shape))}")
      (data (i32.const {witx.DATA}) "{_escaped(data)}")
      (func (export "_initialize")
        (if (call $load_by_name (i32.const {witx.NAME}) (i32.const 3) (i32.const 0)) (then unreachable))
        (if (call $init_execution_context (i32.load (i32.const 0)) (i32.const 4)) (then unreachable)))
      (func (export "ask")
        (if (call $set_input (i32.load (i32.const 4)) (i32.const 0) (i32.const {witx.RECORD})) (then unreachable))
        (if (call $compute (i32.load (i32.const 4))) (then unreachable))
        (if (call $get_output (i32.load (i32.const 4)) (i32.const 0) (i32.const {output}) (i32.const {output})
          (i32.const 8)) (then unreachable))))""".encode()


def _escaped(content: bytes) -> str:
    return "".join(f"\\{byte:02x}" for byte in content)


@dataclass(frozen=True)
class Figures:
    """One measurement: requests in a second, and the times of a request, in seconds."""

    rate: float
    middle: float
    p99: float


def measure(engine: Engine, guest: Guest, sessions: int) -> Figures:
    """Have this many sessions ask again and again, each in its thread."""
    begin, is_over = threading.Barrier(sessions + 1), threading.Event()
    times: list[list[float]] = [[] for _ in range(sessions)]

    def ask(mine: list[float]) -> None:
        with engine.session() as session:
            call = session.start(guest).call
            call("ask")
            begin.wait()
            while not is_over.is_set():
                started = time.perf_counter()
                call("ask")
                mine.append(time.perf_counter() - started)

    threads = [threading.Thread(target=ask, args=(mine,)) for mine in times]
    for thread in threads:
        thread.start()
    begin.wait()
    started = time.perf_counter()
    time.sleep(SECONDS)
    is_over.set()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - started
    sorted_times = sorted(each for mine in times for each in mine)
    return Figures(len(sorted_times) / taken, median(sorted_times), sorted_times[int(len(sorted_times) * 0.99)])


@pytest.fixture(scope="module", autouse=True)
def _frozen() -> Iterator[None]:
    """Keep PyTorch's objects away from the garbage collector, as docs/embedding.md advises."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def curves() -> Iterator[batching_plot.Curves]:
    """The rates of all cases, which are drawn at the end."""
    found: batching_plot.Curves = {}
    yield found
    if len(found) == len(CASES):
        batching_plot.save(PICTURE, found)


def in_turns(engines: dict[str, Engine], case: Case, sessions: int) -> dict[str, list[Figures]]:
    """Measure all engines in turns, several times."""
    guests = {name: engine.compile(asking(case.row)) for name, engine in engines.items()}
    found: dict[str, list[Figures]] = {name: [] for name in engines}
    for _ in range(ROUNDS):
        for name, engine in engines.items():
            found[name].append(measure(engine, guests[name], sessions))
    return found


@pytest.mark.parametrize("name", CASES)
def test_sessions(name: str, curves: batching_plot.Curves, rows: list[Row]) -> None:
    case = CASES[name]
    program = exported(case)
    curves[name] = {"without": {}, "with": {}}
    with Engine("cpu") as without, Engine("cpu") as with_batches:
        without.register("net", program)
        with_batches.register("net", program, batch=Batch())
        for sessions in SESSIONS:
            found = in_turns({"without": without, "with": with_batches}, case, sessions)
            for way, figures in found.items():
                curves[name][way][sessions] = median(each.rate for each in figures)
            _add_rows(f"{name}, {sessions} sessions", sessions, found["without"], found["with"], case.goal, rows)


def _add_rows(
    what: str, sessions: int, without: list[Figures], ours: list[Figures], goal: float, rows: list[Row]
) -> None:
    gain = median(one.rate / other.rate for one, other in zip(ours, without, strict=True))
    text, reached = (f"≥ {goal:g} x", gain >= goal) if sessions == 16 else ("", None)
    rates = [1 / median(each.rate for each in figures) for figures in (without, ours)]
    rows.append(Row(f"{what}: rate", "without batches", *rates, f"{gain:.2f} x", text, reached, 0.0, per_second))
    middles = [median(each.middle for each in figures) for figures in (without, ours)]
    if sessions == 1:
        ratio = median(one.middle / other.middle for one, other in zip(ours, without, strict=True))
        line = f"{ratio:.3f} x", "≤ 1.05 x", ratio <= 1.05
        rows.append(Row(f"{what}: median", "without batches", *middles, *line, 0.0, duration))
        return
    late = [median(each.p99 for each in figures) for figures in (without, ours)]
    ratio = late[1] / late[0]
    line = f"{ratio:.2f} x", "≤ 1 x" if sessions == 16 else "", ratio <= 1 if sessions == 16 else None
    rows.append(Row(f"{what}: p99", "without batches", *late, *line, 0.0, duration))


class Patient(Company):
    """Always waits for the longest delay, as batchers without knowledge of their callers do."""

    def __init__(self, max_delay: float) -> None:
        super().__init__(max_delay)
        self.kinds["any"] = {}

    def count(self, kind: object) -> int:
        return 1 << 20

    def expected(self, kind: object, now: float) -> tuple[int, float]:
        return 1 << 20, now + 60.0

    def others(self, member: object, now: float) -> int:
        return 1 << 20


@pytest.mark.parametrize("sessions", [1, 3, 16])
def test_waiting(sessions: int, rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for those that are expected, against never waiting and always waiting for the delay."""
    case = CASES["small text encoder, 16 words"]
    program = exported(case)
    with ExitStack() as stack:
        engines = {name: stack.enter_context(Engine("cpu")) for name in ("expected", "never", "always")}
        engines["expected"].register("net", program, batch=Batch())
        engines["never"].register("net", program, batch=Batch(max_delay=0))
        monkeypatch.setattr(schedule, "Company", Patient)
        engines["always"].register("net", program, batch=Batch())
        found = in_turns(engines, case, sessions)
    for other in ("never", "always"):
        gain = median(one.rate / each.rate for one, each in zip(found["expected"], found[other], strict=True))
        rates = [1 / median(each.rate for each in found[way]) for way in (other, "expected")]
        what = f"waiting for those expected, {sessions} sessions: rate"
        rows.append(Row(what, f"{other} waiting", *rates, f"{gain:.2f} x", "", None, 0.0, per_second))


@pytest.mark.parametrize("name", CASES)
def test_registering(name: str, rows: list[Row]) -> None:
    """What it takes to register a model, with the trial and without it."""
    program = exported(CASES[name])
    taken: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(ROUNDS):
        for trial in taken:
            with Engine("cpu") as engine:
                started = time.perf_counter()
                engine.register("net", program, batch=Batch(trial=trial))
                taken[trial].append(time.perf_counter() - started)
    without, ours = (median(each) for each in taken.values())
    figure = f"+ {duration(ours - without)}"
    rows.append(
        Row(f"{name}: registering, with the trial", "without it", without, ours, figure, "", None, 0.0, duration)
    )


@pytest.mark.parametrize("name", CASES)
def test_without_guests(name: str, rows: list[Row]) -> None:
    """16 requests computed together, against one after the other; one thread, and nothing of guests."""
    case = CASES[name]
    with Engine("cpu") as engine:
        engine.register("net", exported(case), batch=Batch())
        graph = engine._registry.graph("net").graph
        parts = [engine._backends.default.session(Ledger()) for _ in range(16)]
        contexts = [graph.context(part.memory) for part in parts]  # type: ignore[attr-defined]  # PyTorch's
        alone, together = [], []
        for _ in range(30 * ROUNDS):
            started = time.perf_counter()
            for part, context in zip(parts, contexts, strict=True):
                for _, output in context.compute([("0", part.wrap(case.row, None, None))]):
                    output.drop()
            middle = time.perf_counter()
            requests = [
                context.request([("0", part.wrap(case.row, None, None))])
                for part, context in zip(parts, contexts, strict=True)
            ]
            assert graph.compute_together(requests)  # type: ignore[attr-defined]
            for request in requests:
                for _, output in request.outputs():
                    output.drop()
                request.drop()
            alone.append((middle - started) / 16)
            together.append((time.perf_counter() - middle) / 16)
    gain = median(one / other for one, other in zip(alone, together, strict=True))
    line = f"{gain:.2f} x faster", "", None, 0.0, duration
    rows.append(Row(f"{name}: 16 requests in one thread", "one by one", median(alone), median(together), *line))
