"""The page at `/`, and what its script makes of the metrics."""

import base64
import hashlib
import json
import re
import shutil
import subprocess

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.conftest import ROOT, built
from tests.wasi_nn_torch.helpers.models import Add
from tests.wasi_nn_torch.helpers.pipelines import pipeline
from tests.wasi_nn_torch.helpers.serving import Connection, infer, served
from wasi_nn_torch import Batch, Engine
from wasi_nn_torch.http import ComponentSettings, PipelineSettings, create_app

# The engine computes on the CPU.
pytestmark = pytest.mark.cpu

SCRIPT = ROOT / "backend/wasi_nn_torch/http/page/page.js"
ONE = ("x", "FP32", [1], bytes(4))
NAME = 'a "net" \\ <b>'


def get(at, path):
    with Connection(at) as connection:
        status, headers, body = connection.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()).answer()
    assert status == 200
    return headers, body.decode()


@pytest.fixture(scope="module")
def readings():
    """The page, and the metrics before and after requests of a tenant."""
    with Engine("cpu", guest_models="none") as engine:
        engine.register(NAME, Add())
        engine.register("joined", Add(), batch=Batch(4, trial=False))
        components = {"own": ComponentSettings(built("build/tests/http_c.wasm"), path="/own")}
        models = create_app(engine, pipelines={"p": PipelineSettings(pipeline())}, components=components)
        with served(models) as at, Connection(at) as connection:
            headers, page = get(at, "/")
            before = get(at, "/metrics")[1]
            for model, tensor in (("joined", ONE), ("joined", ONE), ("p", ONE), ("p", ("trap", *ONE[1:]))):
                connection.send(infer(model, tensor, headers="X-Tenant: secret-tenant\r\n")).answer()
            yield headers, page, before, get(at, "/metrics")[1]
        models.close()


def by_the_script(expression, *values):
    """What an expression is in the script, as in a browser without a document; `values` are `given`."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine, which runs the script of the page")
    program = f"{SCRIPT.read_text()}\nconst given = {json.dumps(values)};\nconsole.log(JSON.stringify({expression}));"
    done = subprocess.run([node], input=program, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_page_allows_its_own_script_and_style_and_nothing_else(readings):
    headers, page, *_ = readings
    assert headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    for name in ("script", "style"):
        [text] = re.findall(f"<{name}>(.*?)</{name}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[f"{name}-src"] == f"'sha256-{digest}'"
    assert "http" not in re.sub(r"http://www\.w3\.org/2000/svg|http_\w+", "", page)


def test_neither_the_page_nor_the_figures_tell_of_tenants(readings):
    _, page, before, after = readings
    assert "secret-tenant" not in page + before + after


def test_the_page_of_a_mounted_application_asks_beside_itself(readings):
    with Engine("cpu", guest_models="none") as engine:
        app = create_app(engine)
        outer = Starlette(routes=[Mount("/models", app)])
        outer.stop, outer.metrics = app.stop, app.metrics
        with served(outer) as at:
            assert get(at, "/models/")[1] == readings[1]
            get(at, "/models/metrics")
        app.close()
    assert re.findall(r"""fetch\(["`](.*?)["`]\)""", readings[1]) == [
        "v2/models/${encodeURIComponent(model)}",
        "metrics",
    ]


def test_the_script_shows_what_has_changed(readings):
    _, _, before, after = readings
    rows = by_the_script("rows(parse(given[0]), parse(given[1]), 2)", before, after)
    idle, joined, trapped = (next(row for row in rows if row["model"] == name) for name in (NAME, "joined", "p"))
    kinds = {row["model"]: row["kind"] for row in rows}
    assert kinds == {NAME: "graph", "joined": "graph", "p": "pipeline", "own": "component"}
    assert (idle["requests"], idle["time"], idle["batch"], idle["ready"]) == (0, None, None, True)
    assert (joined["requests"], joined["failures"], joined["batch"], joined["replaced"]) == (1, 0, 1, 0)
    assert (trapped["requests"], trapped["failures"], trapped["replaced"]) == (1, 0.5, 1)
    assert joined["time"] > 0
    assert {row["running"] for row in rows} == {row["waiting"] for row in rows} == {0}


def test_the_script_asks_what_models_take_and_nothing_of_components(readings):
    asked = by_the_script("undescribed(rows(undefined, parse(given[0]), 0))", readings[3])
    assert asked == [NAME, "joined", "p"]


def test_the_script_asks_for_each_description_once(readings):
    program = "(described.set('joined', {}), undescribed(rows(undefined, parse(given[0]), 0)))"
    assert by_the_script(program, readings[3]) == [NAME, "p"]


def test_the_first_reading_has_no_rates_yet(readings):
    texts = by_the_script("rows(undefined, parse(given[0]), 0).map(texts)", readings[3])
    assert {text for row in texts for text in row[:4]} == {"\N{EN DASH}"}


def test_a_server_that_has_started_anew_has_no_negative_rates(readings):
    rows = by_the_script("rows(parse(given[1]), parse(given[0]), 2)", readings[2], readings[3])
    assert {(row["requests"], row["failures"]) for row in rows} == {(0, 0)}


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 * 2**50, "3072.0 TiB")])
def test_sizes_have_units(size, text):
    assert by_the_script("size(given[0])", size) == text
