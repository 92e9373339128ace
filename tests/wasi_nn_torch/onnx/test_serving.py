"""ONNX models behind the server of models, as any other graph."""

from __future__ import annotations

import json
from http.client import HTTPConnection

import pytest

from tests.wasi_nn_torch.helpers.serving import served
from tests.wasi_nn_torch.onnx.models import split, unary
from wasi_nn_torch import Batch, Engine, ModelError
from wasi_nn_torch.http import create_app


@pytest.fixture(scope="module")
def ask():
    """Ask a server with ONNX models."""
    with Engine("cpu", guest_models="none") as engine:
        engine.register("split", split())
        app = create_app(engine)
        with served(app) as at:

            def request(method, path, body=None):
                connection = HTTPConnection(at, timeout=30)
                connection.request(method, path, None if body is None else json.dumps(body))
                answer = connection.getresponse()
                content = json.loads(answer.read())
                connection.close()
                return answer.status, content

            yield request
        app.close()


def test_the_metadata_have_names_types_and_shapes(ask):
    status, shown = ask("GET", "/v2/models/split")
    assert status == 200
    assert shown["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1]}]
    assert shown["outputs"] == [
        {"name": "twice", "datatype": "FP32", "shape": [-1]},
        {"name": "sum", "datatype": "FP32", "shape": [1]},
        {"name": "is positive", "datatype": "UINT8", "shape": [-1]},
    ]


def test_a_request_is_computed(ask):
    inputs = [{"name": "x", "datatype": "FP32", "shape": [3], "data": [1, -2, 4]}]
    status, shown = ask("POST", "/v2/models/split/infer", {"inputs": inputs})
    assert status == 200
    assert [(each["name"], each["datatype"], each["data"]) for each in shown["outputs"]] == [
        ("twice", "FP32", [2, -4, 8]),
        ("sum", "FP32", [3]),
        ("is positive", "UINT8", [1, 0, 1]),
    ]


def test_a_wrong_shape_is_an_error_of_the_request(ask):
    inputs = [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, -2, 4]}]
    status, shown = ask("POST", "/v2/models/split/infer", {"inputs": inputs})
    assert (status, "tensor `x` is [1, 3]; the model wants [`n`]" in json.dumps(shown)) == (400, True)


def test_batching_is_refused():
    with Engine("cpu") as engine, pytest.raises(ModelError, match="its backend does not compute requests together"):
        engine.register("neg", unary("Neg"), batch=Batch())
