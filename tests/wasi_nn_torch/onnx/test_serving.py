"""ONNX models behind the server of models, as any other graph."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from tests.wasi_nn_torch.helpers.direct import Direct
from tests.wasi_nn_torch.helpers.serving import served
from tests.wasi_nn_torch.onnx.models import linear, split, unary
from wasi_nn_torch import Batch, Engine, ModelError
from wasi_nn_torch.http import create_app
from wasi_nn_torch.http.reloading import Reloading, Source

pytestmark = pytest.mark.cpu


@pytest.fixture(scope="module")
def engine():
    with Engine("cpu", guest_models="none") as engine:
        engine.register("split", split())
        engine.register("neg", unary("Neg", shape=("n", 2)), batch=Batch(max_size=4))
        yield engine


@pytest.fixture(scope="module")
def ask(engine):
    """Ask a server with ONNX models."""
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


@pytest.fixture(scope="module")
def ask_batched(ask):
    """Ask for one row of the negative of a number, and of that."""

    def request(number):
        inputs = [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [number, -number]}]
        status, shown = ask("POST", "/v2/models/neg/infer", {"inputs": inputs})
        assert status == 200
        return shown["outputs"][0]["data"]

    return request


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


def test_requests_are_computed_together(ask_batched, engine):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask_batched, range(40)))
    assert answers == [[-number, number] for number in range(40)]
    [figures] = [model for model in engine.stats.models if model.name == "neg"]
    assert figures.batching.requests == 40
    assert sum(size * times for size, times in figures.batching.sizes.items()) == 40


def test_a_model_that_cannot_be_batched_is_refused_with_the_reason(engine):
    with pytest.raises(ModelError, match=r"was exported for the fixed size \[2, 1\] of `x`; leave dimension 0 open"):
        engine.register("fixed", unary("Neg", shape=(2, 1)), batch=Batch())


@pytest.mark.parametrize("is_folder", [False, True], ids=["file", "folder"])
def test_changed_weights_in_another_file_are_reloaded(tmp_path, is_folder):
    model = tmp_path / "model.onnx"

    def save(location: str, factor: float) -> None:
        made = linear(1)
        made.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.float32([[factor]]), "w"))
        onnx.save(made, model, save_as_external_data=True, location=location, size_threshold=0)

    def computed() -> float:
        with Direct(engine) as session:
            return session.compute_by_name("net", x=torch.ones(1, 1)).item()

    save("first.bin", 2)
    with Engine("cpu", guest_models="none") as engine:
        path = tmp_path if is_folder else model
        engine.register("net", path)
        load = partial(engine.replace, "net", path)
        reloading = Reloading([Source("net", path, load, partial(engine.files, "net"))], seconds=0.02)
        weights = tmp_path / "first.bin"

        async def changes() -> None:
            looking = asyncio.create_task(reloading.run())
            weights.write_bytes(np.float32(3).tobytes())
            await until(lambda: computed() == 3)
            save("second.bin", 4)
            await until(lambda: computed() == 4)
            (tmp_path / "second.bin").write_bytes(np.float32(5).tobytes())
            await until(lambda: computed() == 5)
            looking.cancel()

        asyncio.run(changes())


async def until(condition) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)
