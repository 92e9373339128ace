"""Faults of pipelines, models and clients: what the client, the log and the figures show of each, and what is left.

`docs/serving.md` has the same table.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from tests.conftest import ROOT
from tests.wasi_nn_torch.helpers.models import Add, Fails
from tests.wasi_nn_torch.helpers.pipelines import pipeline, talking
from tests.wasi_nn_torch.helpers.serving import Connection, figures, infer, served, until
from wasi_nn_torch import Engine, Limits
from wasi_nn_torch.http import GraphSettings, PipelineSettings, Settings, create_app
from wasi_nn_torch.http.logs import TextFormatter
from wasi_nn_torch.http.recording import Refusal

ONE = ("x", "FP32", [1], bytes(4))
LIMITS = Limits(memory=64 << 20, timeout=20, host_bytes=16 << 20, device_bytes=64 << 20, tensors=500, output=1 << 20)


class Waits(torch.nn.Module):
    """Waits until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()

    def __deepcopy__(self, memo: object) -> torch.nn.Module:
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.goes_on.wait(30)
        return x


WAITS = Waits()


class Server:
    """A server, and ways to ask it for a fault."""

    def __init__(self, at: str, app) -> None:
        self.at = at
        self.app = app

    def ask(self, model: str, *inputs: object, **more: object) -> tuple[int, str]:
        """The status and the error that a client gets."""
        with Connection(self.at) as connection:
            return connection.send(infer(model, *inputs, **more)).error()

    def send(self, request: bytes) -> tuple[int, str]:
        """The same for a request as bytes."""
        with Connection(self.at) as connection:
            return connection.send(request).error()

    def leave(self) -> tuple[int, str]:
        """Ask a pipeline that never answers, and go."""
        gate = self.app.models["p"].gate
        with Connection(self.at) as connection:
            connection.send(infer("p", what("loop")))
            until(lambda: gate.running == 1)
        until(lambda: gate.running == 0)
        return 499, ""

    def crowd(self) -> tuple[int, str]:
        """Ask a model that computes one request, while another one waits."""
        gate = self.app.models["waits"].gate
        with Connection(self.at) as first, Connection(self.at) as second:
            for connection in (first, second):
                connection.send(infer("waits", ONE))
            until(lambda: gate.waiting == 1)
            refused = self.ask("waits", ONE)
            WAITS.goes_on.set()
            assert [each.answer()[0] for each in (first, second)] == [200, 200]
            return refused

    def hurry(self) -> tuple[int, str]:
        """Ask a model that does not answer in the time of the request."""
        try:
            return self.ask("waits", ONE, headers="X-Request-Timeout: 50ms\r\n")
        finally:
            WAITS.goes_on.set()


def what(name: str) -> tuple[str, str, list[int], bytes]:
    """The input that makes a pipeline do something."""
    return name, "UINT8", [1], b"\1"


@dataclass(frozen=True)
class Fault:
    """A fault, and what is seen of it: the status and the text for the client, the kind of failure, the log.

    `replaced` is the reason for which the instance of the pipeline was replaced, if it was.
    """

    ask: Callable[[Server], tuple[int, str]]
    status: int
    text: str
    kind: str
    log: str = ""
    replaced: str = ""


def of(name: str, *more: object) -> Callable[[Server], tuple[int, str]]:
    """Ask the pipeline to do something."""
    return lambda server: server.ask("p", what(name), ONE, *more)


HEAD = b"POST /v2/models/net/infer HTTP/1.1\r\nHost: test\r\nContent-Length: "
CANNOT_BE_USED = "the pipeline returned tensors that cannot be used"
OUTPUT = "`p` passed its limit `output`"

#: What a cell of the table has for nothing.
NONE = "\N{EN DASH}"

#: By the words of the documentation.
FAULTS = {
    "a pipeline traps": Fault(of("trap"), 500, "`p` failed", "trap", "wasm `unreachable` instruction", "trap"),
    "never returns": Fault(
        lambda server: server.ask("hasty", what("loop")),
        504,
        "`hasty` did not answer in time",
        "timeout",
        "raise the limit `timeout`",
        "timeout",
    ),
    "takes all memory that it gets": Fault(of("grow"), 500, "`p` failed", "trap", "limit `memory`", "trap"),
    "writes without end, to standard output": Fault(of("shout"), 500, OUTPUT, "limit", "wrote more than", "trap"),
    "or to standard error": Fault(of("error"), 500, OUTPUT, "limit", "wrote more than", "trap"),
    "returns too many tensors, or too large ones": Fault(
        of("flood"), 500, "`p` passed its limit `host_bytes`", "limit", "raise the limit `host_bytes`", "trap"
    ),
    "returns tensors whose bytes do not fill their shapes": Fault(
        of("wrong"), 500, CANNOT_BE_USED, "misfit", "cannot be used: "
    ),
    "returns two outputs of one name": Fault(of("names"), 500, CANNOT_BE_USED, "misfit", "the same name"),
    "returns what it did not describe": Fault(
        lambda server: server.ask("liar", ONE),
        500,
        "`liar` returned what it did not describe",
        "misfit",
        "it was described as INT16",
    ),
    "answers with a failure": Fault(of("fail"), 422, "not today", "pipeline"),
    "answers with a status that HTTP does not have": Fault(of("status"), 500, "not today", "pipeline"),
    "does not handle an error of its model": Fault(
        lambda server: server.ask("p", what("compute"), ("z", *ONE[1:]), ("w", *ONE[1:])),
        500,
        "`p` failed",
        "trap",
        "invalid-argument",
        "trap",
    ),
    "a model raises an exception": Fault(
        lambda server: server.ask("fails", ONE), 500, "fails on purpose", "graph", "answered runtime-error"
    ),
    "passes a limit of memory": Fault(
        lambda server: server.ask("small", ("x", "FP32", [1000], bytes(4000))),
        413,
        "limit",
        "too-large",
        "answered too-large",
    ),
    "is not done in time": Fault(Server.hurry, 504, "the request was not answered in time", "timeout"),
    "is given what does not fit": Fault(
        lambda server: server.ask("net", ("z", *ONE[1:]), ("w", *ONE[1:])), 400, "unknown: `z`, `w`", "client"
    ),
    "a client goes before it is answered": Fault(Server.leave, 499, "", "gone", replaced="cancelled"),
    "is one too many": Fault(Server.crowd, 503, "too many requests wait for `waits`", "busy"),
    "sends a body that is too large": Fault(
        lambda server: server.send(HEAD + b"99999999\r\n\r\n"), 413, "the body of the request is too large", "too-large"
    ),
    "does not send the body that it announced": Fault(
        lambda server: server.send(HEAD + b"100\r\n\r\nabc"), 408, "did not arrive within 0.3 s", "slow"
    ),
    "asks for a model that does not exist": Fault(
        lambda server: server.ask("nothing", ONE), 404, "there is no model `nothing`", "unknown"
    ),
}


@pytest.fixture(scope="module")
def engine(device):
    with Engine(device, guest_models="none", async_threads=8) as engine:
        for name, model in (("net", Add()), ("fails", Fails()), ("waits", WAITS), ("small", Add())):
            engine.register(name, model)
        yield engine


@pytest.fixture(scope="module")
def server(engine):
    described = (("x", "FP32", (1,)),)
    pipelines = {
        "p": PipelineSettings(talking(), concurrency=1, limits=LIMITS),
        "hasty": PipelineSettings(pipeline(), concurrency=1, limits=Limits(timeout=0.3)),
        "liar": PipelineSettings(pipeline(described, (("x", "INT16", (1,)),)), concurrency=1),
    }
    graphs = {
        "net": GraphSettings(),
        "fails": GraphSettings(),
        "waits": GraphSettings(concurrency=1, max_waiting=1),
        "small": GraphSettings(limits=Limits(device_bytes=100, host_bytes=100)),
    }
    app = create_app(engine, graphs=graphs, pipelines=pipelines, settings=Settings(max_body=1 << 20, body_timeout=0.3))
    with served(app) as at:
        yield Server(at, app)
    app.close()


@pytest.fixture
def log(caplog) -> Callable[[], str]:
    """The log as the server writes it."""
    caplog.set_level(logging.INFO)
    caplog.handler.setFormatter(TextFormatter())
    return lambda: caplog.text


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_costs_one_request_and_leaves_nothing(server, held, log, name):
    fault = FAULTS[name]
    WAITS.goes_on.clear()
    for model, given in (("p", ONE), ("net", ONE), ("small", ONE)):
        assert answered(server, model, given) == 200
    before, counted = held(), figures(server.at)
    for _ in range(3):
        WAITS.goes_on.clear()
        status, text = fault.ask(server)
        assert (status, fault.text in text) == (fault.status, True), text
    for model in ("p", "net", "small"):
        assert answered(server, model, ONE) == 200
    until(lambda: held() == before)
    until(lambda: changed(server, counted, rf'http_failures_total\{{kind="{fault.kind}",.*') == 3)
    assert f"status={fault.status} failure={fault.kind} " in log()
    assert fault.log in log()
    replaced = changed(server, counted, r"instances_replaced_total\{.*")
    assert replaced == (changed(server, counted, rf'instances_replaced_total\{{.*reason="{fault.replaced}"\}}'))
    assert replaced == (3 if fault.replaced else 0)


def answered(server: Server, model: str, *inputs: object) -> int:
    with Connection(server.at) as connection:
        return connection.send(infer(model, *inputs)).answer()[0]


def changed(server: Server, before: dict[str, float], pattern: str) -> float:
    """By how much the figures whose names match have grown."""
    now = figures(server.at)
    return sum(number - before.get(name, 0) for name, number in now.items() if re.fullmatch(pattern, name))


def test_the_table_of_faults_in_the_documentation_is_that_of_these_tests():
    page = (ROOT / "docs" / "serving.md").read_text()
    table = page.partition("| fault |")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    documented = {row[0]: (row[1], row[2].strip("`")) for row in rows if row[2] != NONE}
    refusals = {each.value for each in Refusal}  # which `test_refused_connections` shows
    assert {kind for _, kind in documented.values()} >= refusals
    documented = {name: row for name, row in documented.items() if row[1] not in refusals}
    assert list(documented) == list(FAULTS)
    for name, (client, kind) in documented.items():
        assert kind == FAULTS[name].kind
        assert client.startswith((NONE, "the status", str(FAULTS[name].status))), name


def test_what_a_pipeline_writes_is_logged_with_the_id_of_its_request_and_within_bounds(server, log):
    headers = "X-Request-Id: r{}\r\n"
    for number, name in enumerate(("talk", "shout", "talk")):
        with Connection(server.at) as connection:
            connection.send(infer("p", what(name), headers=headers.format(number))).answer()
    lines = [line for line in log().splitlines() if "http.output" in line]
    by_request = {id: [line for line in lines if line.endswith(f"[{id}]")] for id in ("r0", "r1", "r2")}
    assert [len(each) for each in by_request.values()] == [2, 101, 2]
    assert sum(map(len, by_request.values())) == len(lines)
    assert "p wrote more for this request, which is left out" in by_request["r1"][-1]
    assert max(map(len, lines)) < 400


def test_no_answer_tells_of_paths_or_of_code(server):
    for fault in FAULTS.values():
        WAITS.goes_on.clear()
        text = json.dumps(fault.ask(server)[1])
        assert not re.search(r"Traceback|\.py|\.wasm|/|0x", text.replace("in Python `Limits(", "")), text


def test_two_hundred_connections_with_faults_among_them_leave_nothing(server, held):
    before = held()
    connections = [Connection(server.at) for _ in range(200)]
    for number, connection in enumerate(connections):
        given = ("trap", "wrong", "x", "fail")[number % 4]
        connection.send(infer("p", (given, *ONE[1:])) if number % 2 else infer("net", ONE))
    statuses = [connection.answer()[0] for connection in connections]
    for connection in connections:
        connection.socket.close()
    assert statuses[::2] == [200] * 100
    assert statuses[1::4] == [500] * 50
    assert statuses[3::4] == [422] * 50
    until(lambda: held() == before)


def test_a_server_that_stops_with_faults_on_their_way_leaves_nothing(engine, held):
    before, running = held(), engine.stats.running
    app = create_app(engine, graphs=["net"], pipelines={"p": PipelineSettings(talking(), limits=LIMITS)})
    with served(app) as at:
        connections = [Connection(at) for _ in range(20)]
        for number, connection in enumerate(connections):
            connection.send(infer("p", what(("trap", "shout", "flood", "count")[number % 4]), ONE))
        time.sleep(0.05)
    assert {connection.answer()[0] for connection in connections} <= {200, 500, 503}
    app.close()
    until(lambda: (held(), engine.stats.running) == (before, running))
