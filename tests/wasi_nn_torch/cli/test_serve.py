"""The command `serve`, as a process of its own, and its configuration."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from typer.testing import CliRunner

from tests import warm
from tests.conftest import ROOT, built
from tests.wasi_nn_torch.helpers.models import Add, scripted
from tests.wasi_nn_torch.helpers.pipelines import pipeline
from tests.wasi_nn_torch.helpers.serving import Connection, infer
from wasi_nn_torch.cli import app
from wasi_nn_torch.cli.http_option import components_of
from wasi_nn_torch.configuration.serving import HTTP, Origin, configuration, read_config
from wasi_nn_torch.contract.policy import GuestModels
from wasi_nn_torch.http import Reuse
from wasi_nn_torch.http.logs import LogFormat

# Processes of their own see no simulated accelerator.
pytestmark = pytest.mark.cpu

ONE = ("x", "FP32", [1], bytes(4))
METRICS = b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n"


class Plus(torch.nn.Module):
    """Adds one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A directory with a model, a pipeline, and a configuration for both."""
    folder = tmp_path_factory.mktemp("serve")
    torch.export.save(torch.export.export(Plus(), (torch.ones(1),)), folder / "net.pt2")
    (folder / "p.wasm").write_bytes(pipeline())
    (folder / "serve.toml").write_text(
        '# a comment\nport = 0\nlog = "json"\n[graphs.net]\npath = "net.pt2"\n[pipelines.p]\npath = "p.wasm"\n'
    )
    return folder


@contextmanager
def serving(files, *options: str, cache=None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process of a server, and where it listens."""
    command = [*warm.python(), "-m", "wasi_nn_torch", "serve", "--config", str(files / "serve.toml"), *options]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        **({} if cache is None else {"WASI_NN_TORCH_CACHE": str(cache)}),
    }
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.match(r"serving on http://(.*)", line):
                yield process, found[1]
                return
        raise AssertionError(f"the server did not start: {''.join(lines)}")
    finally:
        process.kill()
        process.stderr.close()
        process.wait()


def test_a_server_answers_logs_and_stops_on_sigterm(files):
    with serving(files) as (process, at):
        with Connection(at) as connection:
            assert connection.send(infer("net", ONE, headers="X-Request-Id: r7\r\n")).answer()[0] == 200
            assert connection.send(infer("p", ONE)).answer()[0] == 200
        process.send_signal(signal.SIGTERM)
        logged = [json.loads(line) for line in process.stderr]
        assert process.wait(30) == 0
    assert [(each["request_id"], each["model"], each["status"]) for each in logged[:1]] == [("r7", "net", 200)]


def test_no_request_is_lost_when_a_server_under_load_is_told_to_stop(files):
    answered: list[int] = []
    lost: list[object] = []

    def keep_asking(at: str) -> None:
        while True:
            try:
                connection = Connection(at)
            except ConnectionRefusedError:
                return
            with connection:
                try:
                    while True:
                        status, headers, _ = connection.send(infer("net", ONE)).answer()
                        answered.append(status)
                        if headers.get("connection") == "close":
                            break
                except (OSError, EOFError) as error:
                    lost.append(error)
                    return

    with serving(files, "--log", "text") as (process, at):
        drain = threading.Thread(target=lambda: process.stderr.read())
        drain.start()
        clients = [threading.Thread(target=keep_asking, args=(at,)) for _ in range(8)]
        for client in clients:
            client.start()
        while len(answered) < 200:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(30)
        assert process.wait(30) == 0
        drain.join(10)
    assert lost == []
    assert set(answered) <= {200, 503}
    assert answered.count(200) >= 200


def test_a_server_that_was_killed_starts_again_with_its_cache(files, tmp_path):
    sources = []
    for _ in range(2):
        with serving(files, cache=tmp_path / "cache") as (process, at), Connection(at) as connection:
            assert connection.send(infer("p", ONE)).answer()[0] == 200
            _, _, body = connection.send(METRICS).answer()
            sources.append(re.findall(r'guests_loaded_total\{source="(\w+)"\} 1.0', body.decode()))
            process.send_signal(signal.SIGKILL)
            process.wait(30)
    assert sources == [["compiled"], ["cache"]]


@pytest.mark.parametrize(("policy", "status"), [((), 200), (("--guest-models", "none"), 500)], ids=["default", "none"])
def test_pipelines_may_bring_models_if_the_operator_lets_them(files, policy, status):
    model = scripted(Add())
    bring, content = ("bring", "UINT8", [1], b"\1"), ("model", "UINT8", [len(model)], model)
    with serving(files, *policy) as (_, at), Connection(at) as connection:
        answer, _, body = connection.send(infer("p", bring, content, ONE)).answer()
    assert answer == status, body
    if status == 200:
        assert json.loads(body)["outputs"][0]["data"] == [1]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_sighup_reloads_what_has_changed(files, tmp_path):
    (tmp_path / "serve.toml").write_text((files / "serve.toml").read_text())
    for name in ("net.pt2", "p.wasm"):
        (tmp_path / name).write_bytes((files / name).read_bytes())
    with serving(tmp_path) as (process, at), Connection(at) as connection:
        described = (("x", "FP32", (1,)),)
        (tmp_path / "p.wasm").write_bytes(pipeline(described, described))
        process.send_signal(signal.SIGHUP)
        while "p was reloaded" not in process.stderr.readline():
            assert process.poll() is None
        status, text = connection.send(infer("p", ("y", "FP32", [1], bytes(4)))).error()
    assert (status, text) == (400, "unknown inputs: `y`; the inputs are `x`")


def test_components_answer_at_their_paths(files):
    guest = built("build/tests/http_c.wasm")
    with serving(files, "--http", str(guest), "--http", f"/deep={guest}") as (_, at), Connection(at) as connection:
        for path in ("/", "/deep", "/deep/er?query"):
            connection.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            assert connection.chunked() == b"hello from C"
        assert connection.send(infer("net", ONE)).answer()[0] == 200


def test_a_port_that_is_in_use_is_named(files):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [*warm.python(), "-m", "wasi_nn_torch", "serve", "--graph", "net=net.pt2", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=files)
    assert done.returncode == 70
    assert f"error: cannot listen on 127.0.0.1, port {port}; the log says why" in done.stderr
    assert "address already in use" in done.stderr


# --- the configuration ---


def configured(tmp_path, text: str):
    (tmp_path / "serve.toml").write_text(text)
    return configuration([read_config(tmp_path / "serve.toml")])


def test_every_key_of_a_configuration_is_used(tmp_path):
    found = configured(
        tmp_path,
        """
        host = "0.0.0.0"
        port = 9000
        device = "cpu"
        threads = 2
        import = ["torchvision"]
        guest-models = "none"
        guest-devices = true
        waive = ["landlock"]
        cache = false
        model-memory = "2GiB"
        max-body = "1MB"
        max-bodies = "10MB"
        max-json = "2MB"
        body-timeout = "5s"
        timeout = "none"
        tenant-header = "x-customer"
        max-connections = 10
        stop-timeout = 3
        reload = "2s"
        log = "json"

        [graphs.net]
        path = "net.pt2"
        device = "cpu"
        optimize = "freeze"
        method = "encode"
        dtype = { mask = "bool" }
        warm-up = [1, 3, 224, 224]
        concurrency = 3
        max-waiting = 4
        reuse = "never"
        inline = false
        timeout = 1.5
        max-device-memory = "1GiB"
        max-host-memory = "2GiB"
        max-tensors = 5

        [pipelines.p]
        path = "p.wasm"
        graphs = ["net"]
        concurrency = 5
        max-waiting = 6
        reuse = "tenant"
        max-uses = 7
        timeout = "2s"
        max-memory = "8MiB"
        max-device-memory = "none"
        max-host-memory = "3MiB"
        max-tensors = 9
        max-output = "1kB"
        max-resources = 11

        [http.shop]
        path = "shop.wasm"
        at = "/shop"
        graphs = ["net"]
        concurrency = 5
        max-waiting = 6
        reuse = "tenant"
        max-uses = 7
        timeout = "2s"
        max-memory = "8MiB"
        max-device-memory = "none"
        max-host-memory = "3MiB"
        max-tensors = 9
        max-output = "1kB"
        max-resources = 11
        env = { LANG = "C" }
        allow = ["https://api.example.com", "http://search:9200@10.0.0.0/8"]
        connect-timeout = "1s"
        first-byte-timeout = 2
        between-bytes-timeout = 3
        max-requests = 4
        max-request-body = "1kB"
        max-response-body = "2kB"
        """,
    )
    assert (found.listening.host, found.listening.port) == ("0.0.0.0", 9000)
    assert (found.listening.connections, found.listening.stop_seconds) == (10, 3)
    assert (found.device, found.threads, found.imports, found.cache) == ("cpu", 2, ("torchvision",), False)
    assert (found.guest_models, found.guest_devices, found.waive) == (GuestModels.NONE, True, ("landlock",))
    assert (found.model_memory, found.reload, found.log) == (2 << 30, 2, LogFormat.JSON)
    assert (found.settings.max_body, found.settings.max_bodies, found.settings.body_timeout) == (10**6, 10**7, 5)
    assert found.settings.max_json == 2 * 10**6
    assert (found.settings.timeout, found.settings.tenant_header) == (None, "x-customer")
    net = found.graphs["net"]
    assert (net.model.path, net.model.device) == (str(tmp_path / "net.pt2"), "cpu")
    assert (net.model.options.optimize.value, net.model.options.method) == ("freeze", "encode")
    assert net.model.options.dtypes == (("mask", "bool"),)
    assert net.model.options.warm_up.given == ((None, (1, 3, 224, 224)),)
    assert (net.settings.concurrency, net.settings.max_waiting, net.settings.reuse) == (3, 4, Reuse.NEVER)
    assert not net.settings.inline
    limits = net.settings.limits
    assert (limits.timeout, limits.device_bytes, limits.host_bytes, limits.tensors) == (1.5, 1 << 30, 2 << 30, 5)
    p = found.pipelines["p"]
    assert (p.guest, p.graphs) == (str(tmp_path / "p.wasm"), ("net",))
    assert (p.concurrency, p.max_waiting, p.reuse, p.max_uses) == (5, 6, Reuse.TENANT, 7)
    assert (p.limits.timeout, p.limits.memory, p.limits.device_bytes, p.limits.host_bytes) == (
        2,
        8 << 20,
        None,
        3 << 20,
    )
    assert (p.limits.tensors, p.limits.output, p.limits.resources) == (9, 1000, 11)
    shop = found.components["shop"]
    assert (shop.guest, shop.path, shop.graphs, shop.env) == (
        str(tmp_path / "shop.wasm"),
        "/shop",
        ("net",),
        {"LANG": "C"},
    )
    assert (shop.concurrency, shop.max_waiting, shop.reuse, shop.max_uses) == (5, 6, Reuse.TENANT, 7)
    assert shop.limits == p.limits
    allowed = shop.outgoing
    assert [str(each) for each in allowed.allow] == ["https://api.example.com:443", "http://search:9200@10.0.0.0/8"]
    assert (allowed.connect_timeout, allowed.first_byte_timeout, allowed.between_bytes_timeout) == (1, 2, 3)
    assert (allowed.connections, allowed.request_body, allowed.response_body) == (4, 1000, 2000)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("port = 80\nhost = ", ":2: Invalid value"),
        ("# only\nprot = 80\n", ":2: unknown key `prot`; did you mean `port`?"),
        ("port = -1", ":1: `-1` is not a whole number of at least 0"),
        ('port = "x"', ":1: `x` is not a whole number of at least 0"),
        ('guest-models = "all"', ":1: `all` is not one of `none`, `isolated`, `any`"),
        ("\ntimeout = true", ":2: `True` is not a duration"),
        ('[graphs.a]\npath = "a"\n[graphs.b]\nmax-waiting = 1\n', ":3: the graph `b` needs a `path`"),
        ('[graphs.a]\npath = "a"\nmax-wating = 1', ":3: unknown key `max-wating`; did you mean `max-waiting`?"),
        ('[graphs.a]\npath = "a"\noptimize = "fast"', ":3: unknown optimization `fast`"),
        ('[pipelines.a]\npath = "a"\n\nreuse = "always"', ":4: `always` is not one of `tenant`, `never`"),
        ('[pipelines.a]\npath = "a"\ngraphs = [\n  "a",\n  1,\n]', ":6: `['a', 1]` is not a list of names"),
        ('[http.a]\nat = "/a"', ":1: the component `a` needs a `path`"),
        ('[http.a]\npath = "a"\nat = "a"', ":1: `a` is not the beginning of a path"),
        ('[http.a]\npath = "a"\nallow = ["example.com"]', ":1: `example.com` is not an origin"),
        ('[http.a]\npath = "a"\nallow = ["http://a@b"]', ":1: 'b' does not appear to be an IPv4 or IPv6 network"),
        ('[http.a]\npath = "a"\nmax-requests = 1', ":1: `max-requests` needs `allow`"),
        ('[http.a]\npath = "a"\n\nenv = 1', ":4: `1` is not a table of texts"),
        ("graphs = 7", ":1: expected tables such as [graphs.NAME]"),
        ('[graphs]\nnet = "net.pt2"', ":1: expected tables such as [graphs.NAME]"),
    ],
)
def test_a_mistake_in_a_configuration_is_named_with_its_line(tmp_path, text, error):
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "serve.toml") + error)):
        configured(tmp_path, text)


def test_components_are_given_in_several_ways():
    given = ["a/b.wasm", "/shop/inner=c.wasm,max-memory=1MiB", "name=d.wasm,at=/d,env.A=1,env.B=x y", "/=e.wasm"]
    assert components_of(given, HTTP) == {
        "b": {"path": "a/b.wasm"},
        "shop/inner": {"path": "c.wasm", "at": "/shop/inner", "max-memory": "1MiB"},
        "name": {"path": "d.wasm", "at": "/d", "env": {"A": "1", "B": "x y"}},
        "e": {"path": "e.wasm", "at": "/"},
    }


def test_options_win_over_the_file(tmp_path):
    (tmp_path / "serve.toml").write_text('port = 80\n[graphs.net]\npath = "net.pt2"\n')
    given = {"port": "90", "graphs": {"net": {"path": "other.pt2", "max-waiting": "3"}}}
    found = configuration([read_config(tmp_path / "serve.toml"), (given, Origin())])
    assert found.listening.port == 90
    assert (found.graphs["net"].model.path, found.graphs["net"].settings.max_waiting) == ("other.pt2", 3)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ([], "there is nothing to serve; give --graph, --pipeline, --http or --config"),
        (["--graph", "net"], "--graph: `net` is not NAME=PATH[,OPTION=VALUE]…"),
        (["--graph", "net=nothing.pt2"], "the model file `nothing.pt2` does not exist; check the path"),
        (["--graph", "net=net.pt2,max-waiting=x"], "--graph: net.max-waiting: `x` is not a whole number of at least 0"),
        (["--graph", "net=net.pt2,max-waiting=1,max-waiting=2"], "gives max-waiting more than once"),
        (
            ["--graph", "net=net.pt2,concurency=2"],
            "--graph: unknown option `concurency`; did you mean `concurrency`?",
        ),
        (
            ["--pipeline", "p=p.wasm,device=cpu"],
            "--pipeline: unknown option `device`; expected one of `concurrency`, `max-waiting`",
        ),
        (["--http", "/a=p.wasm,timeuot=2s"], "--http: unknown option `timeuot`; did you mean `timeout`?"),
        (["--graph", "net=net.pt2", "--graph", "net=other.pt2"], "--graph: `net` is given more than once"),
        (["--graph", "p=net.pt2", "--pipeline", "p=p.wasm"], "`p` is the name of both a graph and a pipeline"),
        (
            ["--pipeline", "p=p.wasm,graphs=net+other", "--graph", "net=net.pt2"],
            "there is no graph `other`; expected one of `net`",
        ),
        (["--pipeline", "p=nothing.wasm"], "the guest nothing.wasm does not exist; check the path"),
        (["--pipeline", "p=net.pt2"], "is not WebAssembly"),
        (["--http", ""], "--http: `` is not [NAME=]PATH[,OPTION=VALUE]… or /BEGINNING=PATH[,OPTION=VALUE]…"),
        (["--http", "nothing.wasm"], "the guest nothing.wasm does not exist; check the path"),
        (["--http", "p.wasm"], "p does not export wasi:http/incoming-handler@0.2.0"),
        (["--http", "p.wasm", "--http", "p=p.wasm"], "--http: `p` is given more than once"),
        (["--http", "p.wasm,at=/v2"], "the server itself answers `/v2`; choose another path"),
        (["--http", "p.wasm,allow=example.com"], "--http: p: `example.com` is not an origin"),
        (["--graph", "net=net.pt2", "--guest-models", "all"], "--guest-models: `all` is not one of `none`, `isolated`"),
        (["--port", "x"], "--port: `x` is not a whole number of at least 0"),
        (["--config", "nothing.toml"], "nothing.toml cannot be read"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(files, monkeypatch, options, error):
    monkeypatch.chdir(files)
    done = CliRunner().invoke(app, ["serve", *options])
    assert done.exit_code == 2
    assert error in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_configuration_in_the_documentation_is_valid(tmp_path):
    page = (ROOT / "docs" / "serving.md").read_text()
    text = page.partition("```toml\n")[2].partition("```")[0]
    found = configured(tmp_path, text)
    assert (list(found.graphs), list(found.pipelines)) == (["net", "embed"], ["classify"])
    embed = found.graphs["embed"]
    assert (embed.model.options.batch.max_size, embed.settings.concurrency) == (16, 32)
    with pytest.raises(ValueError, match=r"serve.toml:15: unknown key `concurency`; did you mean `concurrency`?"):
        configured(tmp_path, text.replace("concurrency = 2", "concurency = 2"))
