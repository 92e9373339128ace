"""The server as a deployment of Ray Serve, on a cluster of this machine; one cluster for all tests of this file."""

import http.client
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from tests.ports import free_port
from tests.wasi_nn_torch.helpers.pipelines import pipeline
from tests.wasi_nn_torch.helpers.process_operator import Who, broken

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'wasi-nn-torch[ray]'")
schema = pytest.importorskip("ray.serve.schema", reason="Ray Serve is not installed: pip install 'wasi-nn-torch[ray]'")
serve = pytest.importorskip("ray.serve", reason="Ray Serve is not installed: pip install 'wasi-nn-torch[ray]'")
yaml = pytest.importorskip("yaml", reason="PyYAML, which Ray needs, is not installed")

from wasi_nn_torch.ray import DeploymentFailed, application, deployment, run  # noqa: E402

# Replicas see no simulated accelerator.
pytestmark = pytest.mark.cpu

PICTURE = (1, 3, 224, 224)
SERVE_TOML = """
port = 9000
timeout = "20s"
max-body = "4MiB"
import = ["tests.wasi_nn_torch.helpers.process_operator"]
[graphs.net]
path = "net.pt2"
[graphs.who]
path = "who.pt2"
concurrency = 1
max-waiting = 2
[pipelines.p]
path = "p.wasm"
graphs = ["net"]
"""
TINY = {"num_cpus": 0.1}
#: The seconds between two health checks.
CHECKED = 0.5


class Plus(torch.nn.Module):
    """Adds one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The directory of serve.toml and its files."""
    folder = tmp_path_factory.mktemp("ray")
    sizes = ({index: torch.export.Dim(f"d{index}", min=1, max=1024) for index in range(4)},)
    torch.export.save(torch.export.export(Plus(), (torch.ones(2, 3, 4, 5),), dynamic_shapes=sizes), folder / "net.pt2")
    torch.export.save(torch.export.export(Who(), (torch.ones(1),)), folder / "who.pt2")
    (folder / "p.wasm").write_bytes(pipeline())
    (folder / "serve.toml").write_text(SERVE_TOML)
    (folder / "broken.pt2").write_bytes(b"PK\3\4 and no more")
    return folder


@pytest.fixture(scope="module")
def cluster(files):
    """The ports of Serve and of Ray's metrics. The cluster has a GPU, in Ray's books only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)  # which would forbid the GPU
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("WASI_NN_TORCH_CACHE", str(files / "cache"))
        ports = free_port(), free_port()
        ray.init(
            num_cpus=2,
            num_gpus=1,
            object_store_memory=80 << 20,
            include_dashboard=False,
            log_to_driver=False,
            runtime_env={"working_dir": str(files)},
            _metrics_export_port=ports[1],
            _system_config={"metrics_report_interval_ms": 1000},
        )
        try:
            serve.start(http_options={"host": "127.0.0.1", "port": ports[0]})
            yield ports
        finally:
            serve.shutdown()
            ray.shutdown()


def deployed(files, **options):
    options = {"num_replicas": 2, "ray_actor_options": TINY, "health_check_period_s": CHECKED, **options}
    options.setdefault("graceful_shutdown_wait_loop_s", 0.2)
    run(deployment(files / "serve.toml", **options), name="served", route_prefix="/served")


@pytest.fixture(scope="module")
def port(cluster, files):
    """The port of Serve, with two replicas below /served."""
    deployed(files)
    return cluster[0]


class Client:
    """A connection to Serve."""

    def __init__(self, port: int, prefix: str = "/served") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._prefix = prefix

    def ask(self, path: str, body: object = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """The status, the headers and the body of an answer."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET" if body is None else "POST", self._prefix + path, body, names)
        answer = self._connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def infer(self, model: str, name: str = "x", data: list[float] | None = None, **headers: str):
        """The status, and the outputs by name, or the text of the error."""
        data = data or [0.0]
        inputs = [{"name": name, "shape": [len(data)], "datatype": "FP32", "data": data}]
        status, headers, body = self.ask(f"/v2/models/{model}/infer", json.dumps({"inputs": inputs}), **headers)
        if headers.get("content-type") != "application/json":
            return status, body.decode()
        message = json.loads(body)
        return status, message.get("error") or {each["name"]: each["data"] for each in message["outputs"]}

    def who(self, seconds: float = 0.0) -> int:
        """The process that answers."""
        status, outputs = self.infer("who", data=[seconds])
        assert status == 200, outputs
        return next(values[0] for name, values in outputs.items() if name.endswith("0"))


@pytest.fixture
def client(port):
    return Client(port)


def eventually(condition, seconds=90.0):
    """What `condition` returns once that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"this did not become true within {seconds} s: {condition}")


def replicas(client) -> set[int]:
    """The processes that answer now."""
    return {client.who() for _ in range(12)}


# --- without a cluster ---


def test_the_driver_imports_neither_torch_nor_wasmtime(files):
    code = (
        "import sys, wasi_nn_torch.ray\n"
        "assert 'ray' not in sys.modules\n"
        f"wasi_nn_torch.ray.deployment({str(files / 'serve.toml')!r}, num_replicas=2)\n"
        "print([name for name in ('torch', 'wasmtime', 'wit_host', 'onnxruntime') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_wrong_configuration_is_refused_on_the_driver_with_its_line(tmp_path):
    (tmp_path / "serve.toml").write_text('[graphs.net]\npath = "net.pt2"\nconcurency = 2\n')
    with pytest.raises(ValueError, match=r"serve.toml:3: unknown key `concurency`; did you mean `concurrency`\?"):
        deployment(tmp_path / "serve.toml")


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ({"config": 3}, TypeError, "`config` is 3; give the path of a TOML file"),
        ({"ray_actor_options": 3}, TypeError, "`ray_actor_options` is 3; give a dictionary"),
        (
            {"ray_actor_options": {"num_cpus": "2"}},
            TypeError,
            r"`ray_actor_options\[\"num_cpus\"\]` is '2'; give a number",
        ),
        ({"max_ongoing_requests": 0}, ValueError, "max_ongoing_requests"),
        ({"replicas": 2}, TypeError, "'replicas'"),
        (
            {"autoscaling_config": {"max_replica": 2}},
            ValueError,
            "`autoscaling_config` has `max_replica`; Serve knows `min_replicas`, .*`max_replicas`",
        ),
        ({"user_config": {"a": 1}}, ValueError, r"`user_config` changes nothing here; change serve\.toml"),
    ],
)
def test_arguments_that_are_wrong_are_refused_on_the_driver_by_name(files, options, error, reason):
    with pytest.raises(error, match=reason):
        deployment(**{"config": files / "serve.toml", **options})


def options_of(application):
    return application._bound_deployment._deployment_config


def test_the_defaults_of_a_deployment_follow_from_the_configuration(tmp_path):
    (tmp_path / "serve.toml").write_text(
        'stop-timeout = "7s"\n[graphs.a]\npath = "a.pt2"\nconcurrency = 3\nmax-waiting = 10\n'
        '[graphs.b]\npath = "b.pt2"\nbatch = 8\nmax-waiting = 20\n[pipelines.c]\npath = "c.wasm"\nmax-waiting = 5\n'
    )
    chosen = options_of(deployment(tmp_path / "serve.toml", ray_actor_options={"num_cpus": 2}))
    concurrency = 3 + 2 * 8 + 2
    assert chosen.max_ongoing_requests == concurrency + 35
    assert chosen.max_queued_requests == 35
    assert chosen.graceful_shutdown_timeout_s == 7
    scaled = options_of(deployment(tmp_path / "serve.toml", autoscaling_config={"max_replicas": 4}))
    assert scaled.autoscaling_config.target_ongoing_requests == concurrency - 1
    assert options_of(deployment(tmp_path / "serve.toml", max_ongoing_requests=4)).max_ongoing_requests == 4


def test_the_builder_for_serves_command_line_wants_the_file(files):
    assert options_of(application({"config": str(files / "serve.toml")})).max_queued_requests == 256 + 2 + 256
    with pytest.raises(ValueError, match="unknown argument `replicas`; give config=FILE"):
        application({"config": str(files / "serve.toml"), "replicas": 2})
    for nothing in ({}, None):
        with pytest.raises(ValueError, match="the argument `config` is missing; give config=FILE"):
            application(nothing)


def test_the_yaml_in_the_documentation_is_one_that_serve_takes():
    [text] = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "ray.md").read_text(), re.DOTALL)
    [described] = schema.ServeDeploySchema.model_validate(yaml.safe_load(text)).applications
    module, _, name = described.import_path.partition(":")
    assert getattr(importlib.import_module(module), name) is application
    assert [each.name for each in described.deployments] == ["wasi-nn-torch"]


# --- requests ---


def test_tritons_client_sends_and_gets_a_picture(port):
    triton = pytest.importorskip("tritonclient.http")
    picture = np.random.default_rng(1).random(PICTURE, np.float32)
    assert picture.nbytes == 602_112
    x = triton.InferInput("x", list(PICTURE), "FP32")
    x.set_data_from_numpy(picture)
    with triton.InferenceServerClient(f"localhost:{port}/served") as client:
        assert client.is_server_ready()
        assert client.get_model_metadata("net")["inputs"][0]["shape"] == [-1, -1, -1, -1]
        for _ in range(4):
            made = client.infer("net", [x]).as_numpy("output")
            np.testing.assert_array_equal(made, picture + 1)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_gets_its_answer_with_one_request_id(port):
    message = '{"inputs": [{"name": "x", "shape": [1, 1, 1, 2], "datatype": "FP32", "data": [1, 2]}]}'
    url = f"http://127.0.0.1:{port}/served/v2/models/net/infer"
    command = ["curl", "-sSi", "--max-time", "30", url, "-d", message, "-H", "X-Request-Id: mine"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert answer.startswith("HTTP/1.1 200")
    assert '"data":[2.0,3.0]' in answer
    assert re.findall("(?i)x-request-id: (.*)", answer) == ["mine"]


def test_a_body_may_come_in_parts(client):
    head = {"name": "x", "shape": PICTURE, "datatype": "FP32", "parameters": {"binary_data_size": 602_112}}
    text = json.dumps({"inputs": [head], "parameters": {"binary_data_output": True}}).encode()
    body = text + np.ones(PICTURE, np.float32).tobytes()
    parts = (body[at : at + 50_000] for at in range(0, len(body), 50_000))
    status, headers, answer = client.ask("/v2/models/net/infer", parts, Inference_Header_Content_Length=str(len(text)))
    assert status == 200
    assert answer[int(headers["inference-header-content-length"]) :] == np.full(PICTURE, 2, np.float32).tobytes()


def test_a_pipeline_answers(client):
    assert client.infer("p", "count") == (200, {"count": [1]})


def test_a_body_that_is_too_large_gets_status_413(client):
    status, _, body = client.ask("/v2/models/net/infer", bytes(5 << 20))
    assert (status, json.loads(body)["error"]) == (413, "the body of the request is too large (limit 4.2 MB)")


def test_a_request_that_is_late_gets_status_504(client):
    assert client.infer("p", "loop", X_Request_Timeout="100ms") == (504, "the request was not answered in time")


def test_requests_that_do_not_fit_the_queue_get_status_503(port):
    with asking(port, 12, seconds=0.3) as answers:
        eventually(lambda: 503 in {status for status, _ in answers})
    assert {status for status, _ in answers} == {200, 503}
    texts = {text for status, text in answers if status == 503}
    assert texts == {"too many requests wait for `who`; try again later"}


def test_the_log_has_the_request_the_replica_and_the_trace(client):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert client.infer("p", "fail", X_Request_Id="r-2099", traceparent=trace) == (422, "not today")
    logs = Path(ray._private.worker._global_node.get_logs_dir_path(), "serve")
    [line] = eventually(
        lambda: [
            line
            for file in logs.glob("replica_served_wasi-nn-torch_*.log")
            for line in file.read_text().splitlines()
            if "r-2099" in line and "model=p" in line
        ]
    )
    assert re.search(r"served_wasi-nn-torch \w+ r-2099 -- ", line)
    assert "status=422 failure=pipeline " in line
    assert f"traceparent={trace}" in line


def test_the_metrics_of_ray_have_the_figures_of_the_server(cluster, client):
    client.infer("p", "trap")
    client.infer("p", "count")

    def figures() -> dict[str, set[str]]:
        connection = http.client.HTTPConnection("127.0.0.1", cluster[1], timeout=30)
        connection.request("GET", "/metrics")
        found: dict[str, set[str]] = {}
        for line in connection.getresponse().read().decode().splitlines():
            if line.startswith("ray_wasi_nn_torch") and 'deployment="wasi-nn-torch"' in line:
                name, _, labels = line.partition("{")
                found.setdefault(name, set()).update(re.findall(r'(?:model|kind|status|source)="[^"]*"', labels))
        return found

    def all_figures() -> dict[str, set[str]] | None:
        found = figures()
        return found if 'kind="trap"' in found.get("ray_wasi_nn_torch_http_failures_total", ()) else None

    found = eventually(all_figures)
    assert {'model="p"', 'status="200"', 'status="500"'} <= found["ray_wasi_nn_torch_http_requests_total"]
    assert 'model="p"' in found["ray_wasi_nn_torch_http_request_seconds_bucket"]
    assert 'model="p"' in found["ray_wasi_nn_torch_queue_seconds_bucket"]
    assert {'model="net"', 'model="who"', 'model="p"'} <= found["ray_wasi_nn_torch_requests_waiting"]
    assert client.ask("/metrics")[2].startswith(b"# HELP")  # those of one replica


# --- replicas that fail, come and go ---


@contextmanager
def asking(port: int, clients: int, seconds: float = 0.01):
    """The answers to clients that keep asking during the block: each a status, and who answered or an error."""
    answers: list[tuple[int, object]] = []
    is_over = threading.Event()

    def ask() -> None:
        client = Client(port)
        while not is_over.is_set():
            status, outputs = client.infer("who", data=[seconds])
            if status == 200:
                pid, double = (values for _, values in sorted(outputs.items()))
                assert double == pytest.approx([2 * seconds])
                outputs = pid[0]
            answers.append((status, outputs))

    failures: list[BaseException] = []

    def ask_and_tell() -> None:
        try:
            ask()
        except BaseException as error:  # noqa: BLE001  # raised below
            failures.append(error)

    threads = [threading.Thread(target=ask_and_tell) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        is_over.set()
        for thread in threads:
            thread.join(60)
        assert not failures, failures


def test_a_replica_that_is_killed_costs_no_wrong_answer_and_is_replaced(port, client):
    before = eventually(lambda: len(found := replicas(client)) == 2 and found)
    victim = min(before)
    with asking(port, 3, seconds=0.2) as answers:
        eventually(lambda: {pid for status, pid in answers if status == 200} == before)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: {pid for status, pid in answers if status == 200} > before)
    assert {status for status, _ in answers if status != 200} <= {500, 502, 503, 504}
    after = replicas(client)
    assert victim not in after
    assert len(after) == 2


@pytest.mark.slow  # Ray takes its time
def test_a_replica_whose_model_fails_is_replaced(port, client):
    before = replicas(client)
    victim = max(before)
    broken(victim).touch()
    try:
        with asking(port, 2) as answers:
            eventually(lambda: {pid for status, pid in answers if status == 200} - before)
    finally:
        broken(victim).unlink()
    assert any(status == 500 and "the device is lost" in str(text) for status, text in answers)
    assert victim not in replicas(client)


def test_failures_that_clients_cause_replace_nothing(client):
    before = replicas(client)
    for _ in range(6):
        assert client.infer("p", "trap")[0] == 500
    time.sleep(3 * CHECKED)
    assert replicas(client) == before


def test_a_replica_finds_in_the_cache_what_another_one_of_its_node_has_compiled(client):
    def sources() -> set[str]:
        figures = [client.ask("/metrics")[2].decode() for _ in range(8)]
        return {name for text in figures for name in re.findall(r'guests_loaded_total\{source="(\w+)"\} 1.0', text)}

    assert "cache" in sources()  # replicas have been replaced by now


def test_no_request_is_lost_when_replicas_are_updated_and_become_fewer(files, port, client):
    before = replicas(client)
    with asking(port, 2) as answers:
        deployed(files, graceful_shutdown_timeout_s=20.0, num_replicas=1)  # one goes
        eventually(lambda: len(replicas(client)) == 1)
        (files / "serve.toml").write_text(SERVE_TOML.replace('timeout = "20s"', 'timeout = "19s"'))
        deployed(files, num_replicas=1, max_surge_percent=100)  # a new one comes, and the old one goes
        eventually(lambda: before.isdisjoint(replicas(client)))
    assert {status for status, _ in answers} == {200}


def test_an_update_that_cannot_start_leaves_the_replicas_that_serve_if_it_may_start_more(files, port, client):
    before = replicas(client)
    (files / "serve.toml").write_text(SERVE_TOML.replace("who.pt2", "nowhere.pt2"))
    try:
        with pytest.raises(DeploymentFailed, match=r"nowhere\.pt2` does not exist"):
            deployed(files, num_replicas=1, max_surge_percent=100, max_constructor_retry_count=1)
        assert replicas(client) == before
    finally:
        (files / "serve.toml").write_text(SERVE_TOML)


# --- deployments that cannot be ---


def test_a_prefix_of_another_application_is_refused_without_a_trace(files, port):
    with pytest.raises(DeploymentFailed) as caught:
        run(deployment(files / "serve.toml", ray_actor_options=TINY), name="another", route_prefix="/served")
    assert re.match("the application `another` was not deployed: .*/served is being used by", str(caught.value))
    assert "Traceback" not in str(caught.value)
    assert "\n" not in str(caught.value)


def refusal(folder, text, **resources) -> str:
    """The error for a configuration that no replica can serve."""
    (folder / "refused.toml").write_text(text)
    application = deployment(
        folder / "refused.toml", ray_actor_options={**TINY, **resources}, max_constructor_retry_count=1
    )
    try:
        with pytest.raises(DeploymentFailed) as caught:
            run(application, name="refused", route_prefix="/refused")
    finally:
        serve.delete("refused")
    return str(caught.value)


def test_a_model_that_does_not_load_is_named_without_a_trace_where_it_lies_on_the_node(cluster, files, monkeypatch):
    monkeypatch.chdir(files)
    text = refusal(Path(), '[graphs.net]\npath = "broken.pt2"\n')
    expected = r"the application `refused` was not deployed: the model file `/.*working_dir_files/.*/broken.pt2` is "
    assert re.match(expected, text), text
    assert "Traceback" not in text
    assert "\n" not in text


def test_a_device_that_ray_has_not_assigned_is_refused(cluster, files):
    text = refusal(files, 'device = "cuda:1"\n[graphs.net]\npath = "net.pt2"\n', num_gpus=1)
    assert "the server is to run on cuda:1, and Ray has assigned 1 GPU to this replica; give ray_actor_options" in text


def test_a_gpu_that_pytorch_does_not_know_is_not_replaced_by_the_cpu(cluster, files):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    text = refusal(files, '[graphs.net]\npath = "net.pt2"\n', num_gpus=1)
    assert "Ray has assigned a GPU to this replica, and PyTorch reports none" in text
