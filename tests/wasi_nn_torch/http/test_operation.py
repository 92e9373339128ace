"""Operation: queues, deadlines, tenants, metrics, reloading, stopping; and what survives a fault."""

import asyncio
import gc
import json
import logging
import subprocess
import threading
import time
from collections import Counter

import pytest
import torch
from starlette.applications import Starlette
from starlette.routing import Mount

from tests import warm
from tests.conftest import ROOT, built
from tests.wasi_nn_torch.helpers.models import Add, Counts, slow
from tests.wasi_nn_torch.helpers.pipelines import pipeline
from tests.wasi_nn_torch.helpers.serving import Connection, figures, infer, served, until
from wasi_nn_torch import Batch, Elements, Engine, GraphSession, InvalidGuest, Limits
from wasi_nn_torch.configuration.hosting import opened, sources
from wasi_nn_torch.configuration.serving import Origin, configuration
from wasi_nn_torch.http import GraphSettings, PipelineSettings, Reuse, Settings, create_app
from wasi_nn_torch.http.exchanges import Exchange
from wasi_nn_torch.http.logs import JsonFormatter
from wasi_nn_torch.http.reloading import Reloading, Source
from wasi_nn_torch.pipelines.values import Value
from wasi_nn_torch.pytorch.tensors import DeviceTensor

# The engine computes on the CPU.
pytestmark = pytest.mark.cpu

ONE = ("x", "FP32", [1], bytes(4))
#: The inputs that make a pipeline of the tests do something.
WHAT = {name: (name, "UINT8", [1], b"\1") for name in "trap loop grow wrong flood names count keep fail status".split()}


@pytest.fixture(scope="module")
def engine():
    with Engine("cpu", guest_models="none", async_threads=8) as engine:
        engine.register("net", Add())
        engine.register("slow", slow(0.5))
        yield engine


@pytest.fixture(autouse=True)
def nothing_is_left(engine):
    """After each test no session is open, of a guest or of a graph."""
    before = engine.stats.running
    yield
    until(lambda: engine.stats.running == before)


def ask(at, request):
    with Connection(at) as connection:
        return connection.send(request).answer()


def value(body: bytes, headers: dict[str, str]) -> bytes:
    """The binary data of an answer."""
    return body[int(headers["inference-header-content-length"]) :]


def counts(at, tenant: str) -> int:
    """How often the instance of a pipeline that answers a tenant was called."""
    header = f"X-Tenant: {tenant}\r\n" if tenant else ""
    status, headers, body = ask(at, infer("p", WHAT["count"], headers=header, parameters={"binary_data_output": True}))
    assert status == 200, body
    return int.from_bytes(value(body, headers), "little")


# --- queues and deadlines ---


def test_requests_beyond_the_queue_are_refused_and_told_when_to_come_back(engine):
    app = create_app(engine, graphs={"slow": GraphSettings(concurrency=1, max_waiting=1)})
    with served(app) as at:
        busy = [Connection(at).send(infer("slow", ONE)) for _ in range(2)]
        while app.models["slow"].gate.waiting < 1:
            time.sleep(0.005)
        status, headers, body = ask(at, infer("slow", ONE))
        assert (status, headers["retry-after"]) == (503, "1")
        assert json.loads(body) == {"error": "too many requests wait for `slow`; try again later"}
        assert [each.answer()[0] for each in busy] == [200, 200]
    app.close()


def test_requests_at_the_same_time_are_computed_together(engine, tmp_path):
    layers = [torch.nn.Linear(3, 2048), *(torch.nn.Linear(2048, 2048) for _ in range(3)), torch.nn.Linear(2048, 3)]
    module = torch.nn.Sequential(*layers).eval()
    rows = torch.export.Dim("rows", max=64)
    program = torch.export.export(module, (torch.ones(2, 3),), dynamic_shapes=({0: rows},))
    torch.export.save(program, tmp_path / "batched.pt2")
    engine.register("batched", tmp_path / "batched.pt2", batch=Batch(8, max_delay=0.05))
    app = create_app(engine, graphs={"batched": GraphSettings(concurrency=8)})
    inputs = torch.randn(8, 3)
    with torch.inference_mode():
        expected = module(inputs)
    with served(app) as at:
        connections = [Connection(at) for _ in inputs]
        for _ in range(20):
            for row, connection in zip(inputs, connections, strict=True):
                connection.send(infer("batched", ("0", "FP32", [1, 3], row.numpy().tobytes())))
            for wanted, connection in zip(expected, connections, strict=True):
                status, _, body = connection.answer()
                assert status == 200, body
                made = torch.tensor(json.loads(body)["outputs"][0]["data"])
                torch.testing.assert_close(made, wanted, rtol=1e-4, atol=1e-5)
        for connection in connections:
            connection.socket.close()
        found = figures(at)
    app.close()
    engine.unregister("batched")
    sizes = {name: number for name, number in found.items() if name.startswith("batches_total") and number}
    assert sum(sizes.values()) < 160, sizes


def test_a_request_is_answered_at_its_deadline_while_the_model_computes(engine):
    app = create_app(engine, graphs=["slow"])
    with served(app) as at:
        for request in (
            infer("slow", ONE, headers="X-Request-Timeout: 50ms\r\n"),
            infer("slow", ONE, parameters={"timeout": 50_000}),
        ):
            with Connection(at) as connection:
                assert connection.send(request).error() == (504, "the request was not answered in time")
        until(lambda: engine.stats.running == 0)
        assert ask(at, infer("slow", ONE))[0] == 200
    app.close()


class SlowToCopy(torch.nn.Module):
    """Takes a while to be copied for a context."""

    def __deepcopy__(self, memo: object) -> torch.nn.Module:
        time.sleep(0.3)
        return SlowToCopy()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def test_a_graph_that_is_slow_to_open_delays_no_other_and_is_closed_if_nobody_waits(engine):
    engine.register("heavy", SlowToCopy())
    app = create_app(engine, graphs={"heavy": GraphSettings(reuse=Reuse.NEVER), "net": GraphSettings()})
    with served(app) as at, Connection(at) as heavy, Connection(at) as light:
        assert light.send(infer("net", ONE)).answer()[0] == 200
        heavy.send(infer("heavy", ONE, headers="X-Request-Timeout: 100ms\r\n"))
        until(lambda: app.models["heavy"].gate.running == 1)
        assert light.send(infer("net", ONE)).answer()[0] == 200
        assert app.models["heavy"].gate.running == 1
        assert heavy.answer()[0] == 504
        assert heavy.send(infer("heavy", ONE)).answer()[0] == 200
    app.close()
    engine.unregister("heavy")


def test_a_request_in_the_queue_is_answered_at_its_deadline(engine):
    app = create_app(engine, graphs={"slow": GraphSettings(concurrency=1)})
    with served(app) as at, Connection(at) as first:
        first.send(infer("slow", ONE))
        while not app.models["slow"].gate.running:
            time.sleep(0.005)
        assert ask(at, infer("slow", ONE, headers="X-Request-Timeout: 50ms\r\n"))[0] == 504
        assert first.answer()[0] == 200
        assert app.models["slow"].gate.waiting == 0
    app.close()


def test_the_server_sets_the_deadline_of_requests_that_name_none_or_a_later_one(engine):
    app = create_app(engine, graphs=["slow"], settings=Settings(timeout=0.05))
    with served(app) as at:
        assert ask(at, infer("slow", ONE))[0] == 504
        assert ask(at, infer("slow", ONE, headers="X-Request-Timeout: 60\r\n"))[0] == 504
        until(lambda: engine.stats.running == 0)
    app.close()


# --- tenants ---


def test_an_instance_is_used_again_for_its_tenant_only(engine):
    app = create_app(engine, graphs=[], pipelines={"p": PipelineSettings(pipeline(), concurrency=2)})
    with served(app) as at:
        assert [counts(at, tenant) for tenant in ("a", "a", "b", "a", "", "b")] == [1, 2, 1, 3, 1, 1]
    app.close()


def test_an_instance_may_be_fresh_for_each_request(engine):
    app = create_app(engine, graphs=[], pipelines={"p": PipelineSettings(pipeline(), reuse=Reuse.NEVER)})
    with served(app) as at:
        assert [counts(at, "a") for _ in range(3)] == [1, 1, 1]
    app.close()


def test_tenants_need_not_be_told_apart(engine):
    app = create_app(
        engine,
        graphs=[],
        pipelines={"p": PipelineSettings(pipeline(), concurrency=1)},
        settings=Settings(tenant_header=None),
    )
    with served(app) as at:
        assert [counts(at, tenant) for tenant in ("a", "b")] == [1, 2]
    app.close()


@pytest.mark.parametrize(("reuse", "numbers"), [(Reuse.TENANT, [1, 2, 1, 3]), (Reuse.NEVER, [1, 1, 1, 1])])
def test_the_state_of_a_module_stays_with_its_tenant(engine, reuse, numbers):
    engine.register("counts", Counts())
    app = create_app(engine, graphs={"counts": GraphSettings(reuse=reuse)})
    found = []
    with served(app) as at:
        for tenant in "aaba":
            _, _, body = ask(at, infer("counts", ONE, headers=f"X-Tenant: {tenant}\r\n"))
            found += json.loads(body)["outputs"][0]["data"]
    app.close()
    engine.unregister("counts")
    assert found == numbers


def test_a_pipeline_is_told_the_id_the_tenant_and_the_time_that_is_left(engine):
    app = create_app(engine, graphs=[], pipelines={"p": PipelineSettings(pipeline())})
    with served(app) as at:
        headers = "X-Request-Id: r7\r\nX-Tenant: acme\r\nX-Request-Timeout: 20s\r\n"
        for id in ("", "own"):
            more = {"id": id} if id else {}
            _, _, body = ask(at, infer("p", ("who", "UINT8", [1], b"\1"), headers=headers, **more))
            found = {each["name"]: each["data"] for each in json.loads(body)["outputs"]}
            assert bytes(found["id"]).decode() == (id or "r7")
            assert bytes(found["tenant"]).decode() == "acme"
            assert 10_000 < found["left"][0] <= 20_000
    app.close()


def test_a_pipeline_computes_only_the_graphs_that_it_was_given(engine):
    pipelines = {
        "with": PipelineSettings(pipeline(), graphs=["net"]),
        "without": PipelineSettings(pipeline(), graphs=["slow"]),
    }
    app = create_app(engine, graphs=[], pipelines=pipelines)
    with served(app) as at:
        compute = ("compute", "UINT8", [1], b"\1")
        assert ask(at, infer("with", compute, ONE))[0] == 200
        assert ask(at, infer("without", compute, ONE))[0] == 500
    app.close()


# --- what is left ---


def test_what_a_pipeline_keeps_is_freed_with_its_instance(engine):
    limits = Limits(tensors=20)
    app = create_app(
        engine, graphs=[], pipelines={"p": PipelineSettings(pipeline(), concurrency=1, max_uses=10, limits=limits)}
    )
    with served(app) as at:
        for _ in range(40):
            assert ask(at, infer("p", WHAT["keep"], ONE))[0] == 200
    assert app.models["p"].replaced["uses"] >= 3
    app.close()


def test_a_client_that_vanishes_stops_its_pipeline(engine):
    app = create_app(engine, graphs=[], pipelines={"p": PipelineSettings(pipeline(), concurrency=1)})
    with served(app) as at:
        with Connection(at) as connection:
            connection.send(infer("p", WHAT["loop"]))
            until(lambda: app.models["p"].gate.running == 1)
        until(lambda: app.models["p"].gate.running == 0)
        assert ask(at, infer("p", ONE))[0] == 200
        assert app.models["p"].replaced == {"cancelled": 1}
    app.close()


def test_two_hundred_connections_at_once_are_answered(engine):
    app = create_app(engine, graphs=["net"])
    with served(app) as at:
        connections = [Connection(at) for _ in range(200)]
        for connection in connections:
            connection.send(infer("net", ONE))
        assert {connection.answer()[0] for connection in connections} == {200}
        for connection in connections:
            with connection:
                assert connection.send(infer("net", ONE)).answer()[0] == 200
    app.close()


def test_more_connections_than_may_be_are_refused(engine):
    app = create_app(engine, graphs=["net"])
    with served(app, connections=3) as at:
        idle = [Connection(at) for _ in range(5)]
        with Connection(at) as connection:
            status, headers, body = connection.send(infer("net", ONE)).answer()
            assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
            assert json.loads(body) == {"error": "too many connections are open; try again later"}
        for each in idle:
            each.socket.close()
        until(lambda: ask(at, infer("net", ONE))[0] == 200)
    app.close()


def test_reference_counting_frees_everything_of_a_request(engine):
    kinds = (DeviceTensor, GraphSession, Elements, Value, Exchange)
    app = create_app(engine, graphs=["net"], pipelines={"p": PipelineSettings(pipeline(), reuse=Reuse.NEVER)})
    gc.collect()
    gc.disable()
    before = Counter(type(each).__name__ for each in gc.get_objects() if type(each) in kinds)
    try:
        with served(app) as at:
            for what in (*WHAT.values(), ("compute", "UINT8", [1], b"\1")):
                if what[0] not in ("loop", "grow", "flood"):
                    ask(at, infer("p", what, ONE))
            for _ in range(10):
                ask(at, infer("net", ONE))
                ask(at, infer("net", ("z", "FP32", [1], bytes(4)), ("w", "FP32", [1], bytes(4))))
        app.close()
        left = Counter(type(each).__name__ for each in gc.get_objects() if type(each) in kinds)
    finally:
        gc.enable()
    assert left - before == Counter()


# --- metrics and logs ---


def test_the_metrics_count_requests_by_model_status_and_kind_of_failure(engine):
    app = create_app(engine, graphs=["net"], pipelines={"p": PipelineSettings(pipeline())})
    with served(app) as at:
        ask(at, infer("net", ONE))
        ask(at, infer("p", WHAT["trap"]))
        for n in range(3):
            ask(at, infer(f"unknown-{n}", ONE))
        found = figures(at)
    app.close()
    assert found['http_requests_total{model="net",status="200"}'] == 1
    assert found['http_requests_total{model="p",status="500"}'] == 1
    assert found['http_failures_total{kind="trap",model="p"}'] == 1
    assert found['http_requests_total{model="",status="404"}'] == 3
    assert found['http_request_seconds_count{model="net"}'] == 1
    assert found['queue_seconds_count{model="net"}'] == 1
    assert found['http_received_bytes_total{model="net"}'] > 4
    assert found['instances_replaced_total{model="p",reason="trap"}'] == 1
    assert found['sessions_ended_total{ending="trap"}'] >= 1
    assert found['graph_loads_total{device="cpu",model="net"}'] == 1
    assert not any("unknown" in name.replace('kind="unknown"', "") for name in found)


def test_the_log_has_the_id_of_each_request_and_its_trace(engine, caplog, monkeypatch):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    app = create_app(engine, graphs=[], pipelines={"p": PipelineSettings(pipeline())})
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(caplog.handler, "formatter", JsonFormatter())
    with served(app) as at:
        ask(at, infer("p", WHAT["trap"], headers=f"X-Request-Id: r7\r\nTraceparent: {trace}\r\n"))
    app.close()
    records = [json.loads(line) for line in caplog.text.splitlines() if "r7" in line]
    answers = [each for each in records if each["logger"].endswith("access")]
    assert [(each["status"], each["model"], each["failure"], each["traceparent"]) for each in answers] == [
        (500, "p", "trap", trace)
    ]
    [failure] = [each for each in records if each["logger"].endswith("failures")]
    assert failure["request_id"] == "r7"
    assert "unreachable" in failure["message"]


@pytest.mark.parametrize("path", ["/", "/v2", "/metrics", "/v2/models/net", "/v2/models/unknown", "/nothing"])
def test_an_answer_without_its_body_counts_no_bytes_as_sent(engine, caplog, monkeypatch, path):
    app = create_app(engine, graphs=["net"])
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(caplog.handler, "formatter", JsonFormatter())
    with served(app) as at, Connection(at) as connection:
        head = connection.send(f"HEAD {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()).until(b"\r\n\r\n")
        assert b"content-length: " in head
        assert b"content-length: 0" not in head
        found = figures(at)
    app.close()
    [line] = [json.loads(line) for line in caplog.text.splitlines() if "HEAD" in line]
    assert line["sent"] == found['http_sent_bytes_total{model=""}'] == 0


def test_a_span_continues_the_trace_of_the_client():
    """In a process of its own: from the first span on, each fork of a process starts a thread in the child."""
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    code = f"import json; from {__name__} import spans_of; print(json.dumps(spans_of('00-{trace}-{parent}-01')))"
    ended = subprocess.run([*warm.python(), "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert json.loads(ended.stdout) == [
        [trace, parent, 200, "net", True],
        [trace, parent, 500, "p", False],
    ]


def spans_of(traceparent):
    """The spans of two requests, each as its trace, its parent, the status, the model, and whether all is well."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    engine = Engine("cpu", guest_models="none")
    engine.register("net", Add())
    app = create_app(engine, graphs=["net"], pipelines={"p": PipelineSettings(pipeline())})
    with engine, served(app) as at:
        ask(at, infer("net", ONE, headers=f"Traceparent: {traceparent}\r\n"))
        ask(at, infer("p", WHAT["trap"], headers=f"Traceparent: {traceparent}\r\n"))
    app.close()
    return [
        [
            f"{each.context.trace_id:032x}",
            f"{each.parent.span_id:016x}",
            each.attributes["http.response.status_code"],
            each.attributes["wasi_nn_torch.model"],
            each.status.is_ok,
        ]
        for each in exporter.get_finished_spans()
    ]


def test_only_what_has_to_be_answered_by_a_model_counts_as_its_request(engine):
    app = create_app(engine, graphs=["net"])
    with served(app) as at:
        for path in ("net", "net/ready", "net/versions/1"):
            assert ask(at, f"GET /v2/models/{path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())[0] == 200
        ask(at, infer("net", ONE))
        found = figures(at)
    app.close()
    assert found['http_requests_total{model="net",status="200"}'] == 1
    assert found['http_requests_total{model="",status="200"}'] == 3


@pytest.mark.parametrize("name", ["a/b", ""])
def test_a_name_that_no_path_can_have_is_refused(engine, name):
    with pytest.raises(ValueError, match=f"`{name}` cannot be part of a path; serve it under a name that has no slash"):
        create_app(engine, graphs=[], pipelines={name: PipelineSettings(pipeline())})


# --- mounting, reloading, stopping ---


def test_the_application_can_be_mounted_in_another_one(engine):
    app = create_app(engine, graphs=["net"])
    outer = Starlette(routes=[Mount("/models", app)])
    outer.stop, outer.metrics = app.stop, app.metrics
    with served(outer) as at:
        request = infer("net", ONE).replace(b"POST /v2", b"POST /models/v2")
        assert ask(at, request)[0] == 200
        assert ask(at, infer("net", ONE))[0] == 404
    app.close()


def test_a_changed_model_and_a_changed_pipeline_are_served_without_a_lost_request(engine, tmp_path, caplog):
    model, guest = tmp_path / "net.pt2", tmp_path / "p.wasm"
    save(model, 1.0)
    guest.write_bytes(pipeline())
    engine.register("changing", model)
    app = create_app(engine, graphs=["changing"], pipelines={"p": PipelineSettings(guest)})
    graph, component = app.models["changing"], app.models["p"]

    def load() -> None:
        engine.replace("changing", model)
        graph.refresh()

    reloading: list[Reloading] = []

    async def look() -> None:
        reloading.append(
            Reloading([Source("changing", model, load), Source("p", guest, component.reload)], seconds=0.02)
        )
        await reloading[0].run()

    statuses: set[int] = set()
    answers: list[float] = []
    is_over = threading.Event()

    def keep_asking(at: str) -> None:
        with Connection(at) as connection:
            while not is_over.is_set():
                status, _, body = connection.send(infer("changing", ONE)).answer()
                statuses.add(status)
                answers.extend(json.loads(body)["outputs"][0]["data"])
                statuses.add(connection.send(infer("p", ONE)).answer()[0])

    with served(app, look) as at:
        asking = threading.Thread(target=keep_asking, args=(at,))
        asking.start()
        try:
            until(lambda: answers)
            save(model, 2.0)
            until(lambda: answers[-1] == 2)
            described = (("x", "FP32", (1,)),)
            guest.write_bytes(pipeline(described, described))
            until(lambda: component.metadata.inputs is not None)
            for file in (model, guest):
                file.write_bytes(b"\0asm broken" if file == guest else b"broken")
            until(lambda: caplog.text.count("was not reloaded, and stays as it was: ") == 2)
            kept = answers[-1]
            save(model, 1.0)
            until(lambda: answers[-1] == 1)
        finally:
            is_over.set()
            asking.join()
    app.close()
    engine.unregister("changing")
    assert statuses == {200}
    assert kept == 2
    assert set(answers) == {1, 2}


class Plus(torch.nn.Module):
    """Adds a number."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.register_buffer("number", torch.tensor(number))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.number


def save(path, number: float) -> None:
    """Replace the file of a model in one step."""
    new = path.with_suffix(".new")
    torch.export.save(torch.export.export(Plus(number), (torch.ones(1),)), new)
    new.replace(path)


class Says(torch.nn.Module):
    """Answers a picture with a number."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.register_buffer("number", torch.tensor(number))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).sum(1, keepdim=True) * 0 + self.number


def test_a_pipeline_that_keeps_its_graph_open_gets_the_changed_one(tmp_path):
    picture = ("picture", "UINT8", [8, 8, 3], bytes(192))
    model = tmp_path / "net.pt2"

    def save_one_that_says(number: float) -> None:
        torch.export.save(torch.export.export(Says(number), (torch.ones(1, 3, 224, 224),)), model)

    def answer(at) -> float:
        status, _, body = ask(at, infer("p", picture))
        assert status == 200, body
        return json.loads(body)["outputs"][0]["data"][0]

    save_one_that_says(1.0)
    guest = str(built("build/serving/resize.wasm"))
    table = {"graphs": {"net": {"path": str(model)}}, "pipelines": {"p": {"path": guest, "concurrency": 1}}}
    chosen = configuration([(table, Origin())])
    with opened(chosen) as (engine, app), served(app) as at:
        assert [answer(at), answer(at)] == [1.0, 1.0]
        save_one_that_says(2.0)
        [graph, _] = sources(engine, app, chosen)
        graph.load()
        assert [answer(at), answer(at)] == [2.0, 2.0]


def test_a_server_that_stops_answers_what_it_has_and_refuses_what_is_new(engine):
    app = create_app(engine, graphs=["slow", "net"])
    with served(app) as at:
        idle = Connection(at)
        assert idle.send(infer("net", ONE)).answer()[0] == 200
        running = Connection(at).send(infer("slow", ONE))
        until(lambda: app.models["slow"].gate.running == 1)
    # the block has ended the server
    status, headers, _ = running.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert idle.is_closed()
    with pytest.raises(ConnectionRefusedError):
        Connection(at)
    app.close()


def test_a_core_module_is_not_a_pipeline(engine):
    with pytest.raises(InvalidGuest, match="the guest is a core module; a pipeline is a component of the world"):
        create_app(engine, pipelines={"core": PipelineSettings(b"\0asm\x01\0\0\0")})


# --- what other servers and settings do ---


def test_a_websocket_is_refused(engine):
    app = create_app(engine, graphs=["net"])
    sent = []

    async def send(message):
        sent.append(message["type"])

    async def receive():
        return {"type": "websocket.connect"}

    for path in ("/v2/models/net/infer", "/other"):
        asyncio.run(app({"type": "websocket", "path": path, "headers": []}, receive, send))
    assert sent == ["websocket.close"] * 2
    app.close()


@pytest.mark.parametrize("name", ["", "X-Tenant:", "x tenant", "x-ténant", "x-€"])
def test_what_cannot_be_the_name_of_a_header_cannot_tell_tenants_apart(name):
    with pytest.raises(ValueError, match="which no header is called"):
        Settings(tenant_header=name)


def test_a_session_of_a_graph_that_is_replaced_while_it_opens_is_not_kept(engine, tmp_path):
    file = tmp_path / "net.pt2"
    save(file, 1.0)
    engine.register("renewed", file)
    app = create_app(engine, graphs=["renewed"])
    graph, open_now = app.models["renewed"], engine.graph

    def open_late(*args):
        """Open a session, and have the graph replaced right after that, as a reload on another thread may do."""
        session = open_now(*args)
        engine.graph = open_now
        save(file, 2.0)
        engine.replace("renewed", file)
        graph.refresh()
        return session

    with served(app) as at:
        engine.graph = open_late
        answers = [json.loads(ask(at, infer("renewed", ONE))[2])["outputs"][0]["data"] for _ in range(3)]
    app.close()
    engine.unregister("renewed")
    assert answers[1:] == [[2.0], [2.0]]
