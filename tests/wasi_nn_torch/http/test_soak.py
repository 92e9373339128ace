"""Many requests, some of them faulty, leave nothing behind; `make soak` sends 100,000 of them."""

from __future__ import annotations

import logging
import os
import random
import re
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.wasi_nn_torch.helpers.allocated import native_bytes, python_blocks
from tests.wasi_nn_torch.helpers.models import Add, Fails
from tests.wasi_nn_torch.helpers.pipelines import talking
from tests.wasi_nn_torch.helpers.serving import Connection, figures, infer, served, until
from wasi_nn_torch import Batch, Engine, Limits
from wasi_nn_torch.http import GraphSettings, PipelineSettings, Reuse, create_app
from wasi_nn_torch.http.logs import TextFormatter

REQUESTS = int(os.environ.get("SOAK_REQUESTS", "1000"))
ROUNDS, CLIENTS = 10, 8
STATM = Path("/proc/self/statm")
LIMITS = Limits(memory=16 << 20, timeout=5, host_bytes=16 << 20, output=64 << 10)

ONE = ("x", "FP32", [1], bytes(4))
LARGE = ("x", "FP32", [50_000], bytes(200_000))


def to(model: str, *inputs: object, headers: str = "") -> bytes:
    return infer(model, *inputs, headers=headers, parameters={"binary_data_output": True})


def doing(name: str, *inputs: object, model: str = "p") -> bytes:
    return to(model, (name, "UINT8", [1], b"\1"), *inputs)


#: Requests with the statuses of their answers, and how often each is sent.
GOOD = [
    (to("net", ONE), 200, 30),
    (to("net", LARGE), 200, 10),
    (infer("net", ONE), 200, 10),
    (to("joined", ("x", "FP32", [2, 8], bytes(64))), 200, 10),
    (to("p", ONE, headers="X-Tenant: a\r\n"), 200, 10),
    (doing("compute", LARGE), 200, 10),
    (doing("count", model="fresh"), 200, 2),
]
FAULTY = [
    (to("net", ("z", *ONE[1:]), ("w", *ONE[1:])), 400, 3),
    (to("fails", ONE), 500, 3),
    (to("nothing", ONE), 404, 1),
    (doing("fail", ONE), 422, 3),
    (doing("wrong", ONE), 500, 2),
    (doing("trap", LARGE), 500, 2),
    (doing("grow", ONE), 500, 1),
    (doing("flood", ONE), 500, 1),
    (doing("shout", ONE), 500, 1),
]
REQUESTS_OF_A_CLIENT = [(request, status) for request, status, times in GOOD + FAULTY for _ in range(times)]


@contextmanager
def written_log():
    """Write the log as a server does, and nowhere else: pytest would keep it."""
    root = logging.getLogger()
    before = root.handlers
    with Path(os.devnull).open("w") as nothing:
        handler = logging.StreamHandler(nothing)
        handler.setFormatter(TextFormatter())
        root.handlers = [handler]
        try:
            yield
        finally:
            root.handlers = before


@pytest.fixture
def app(device):
    with Engine(device, guest_models="none", async_threads=8) as engine:
        engine.register("net", Add())
        engine.register("fails", Fails())
        engine.register("joined", Add(), batch=Batch(8, max_delay=0.001, trial=False))
        pipelines = {
            "p": PipelineSettings(talking(), concurrency=2, limits=LIMITS),
            "fresh": PipelineSettings(talking(), concurrency=2, limits=LIMITS, reuse=Reuse.NEVER),
        }
        graphs = {"net": GraphSettings(), "fails": GraphSettings(), "joined": GraphSettings(concurrency=16)}
        app = create_app(engine, graphs=graphs, pipelines=pipelines)
        yield app
        app.close()
        until(lambda: engine.stats.running == 0)


def ask(at: str, number: int, seed: int) -> Counter[int]:
    """Send requests as one client, which now and then goes before it is answered; count the statuses."""
    chosen, statuses = random.Random(seed), Counter()
    connection = Connection(at)
    for _ in range(number):
        request, status = chosen.choice(REQUESTS_OF_A_CLIENT)
        connection.send(request)
        if chosen.random() < 0.01:
            connection.socket.close()
            connection = Connection(at)
            statuses[499] += 1
            continue
        found, _, body = connection.answer()
        assert found == status, body
        statuses[status] += 1
    connection.socket.close()
    return statuses


def together(at: str, number: int, seed: int) -> Counter[int]:
    """The statuses of requests of several clients at a time."""
    found: list[Counter[int]] = []
    clients = [
        threading.Thread(target=lambda n=n: found.append(ask(at, number // CLIENTS, seed * CLIENTS + n)))
        for n in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert len(found) == CLIENTS, "a client failed"
    return sum(found, Counter())


def test_requests_leave_no_memory_behind(app, held):
    figures_of_rounds, sent = [], Counter()
    with written_log(), served(app) as at:
        for round in range(ROUNDS):
            sent += together(at, REQUESTS // ROUNDS, round)
            until(lambda: all(model.gate.running == 0 for model in app.models.values()))
            if round == 0:
                after_one = held()
            figures_of_rounds.append((native_bytes() or 0, python_blocks()))
            native, blocks = figures_of_rounds[-1]
            print(
                f"{sent.total():6} requests: {resident()}, {native / 1e6:.2f} MB by malloc, {blocks} blocks by Python"
            )
        assert held() == after_one
        counted = figures(at)
    answered: Counter[int] = Counter()
    for name, number in counted.items():
        if found := re.fullmatch(r'http_requests_total\{.*status="(\d+)"\}', name):
            answered[int(found[1])] += int(number)
    gone = sent.pop(499, 0)
    assert sent <= answered, "an answer is missing in the figures"
    assert answered.total() <= sent.total() + gone
    # What idle instances hold varies, so the least of several rounds is compared.
    early, late = figures_of_rounds[: ROUNDS // 2], figures_of_rounds[ROUNDS // 2 :]
    native, blocks = (
        min(each) - min(others) for each, others in zip(zip(*late, strict=True), zip(*early, strict=True), strict=True)
    )
    assert native < 4 << 20, f"{native / (REQUESTS / 2):.0f} bytes of malloc for each request"
    assert blocks < 5_000, f"{blocks / (REQUESTS / 2):.2f} blocks of Python for each request"


def resident() -> str:
    """The memory that this process has, if the system tells."""
    if not STATM.exists():
        return "unknown"
    return f"{int(STATM.read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6:.1f} MB resident"
