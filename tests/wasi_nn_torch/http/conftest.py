"""An engine with a few graphs, behind HTTP."""

import gc
from collections.abc import Callable

import pytest
import torch

from tests.wasi_nn_torch.helpers.models import Add, Fails
from tests.wasi_nn_torch.helpers.pipelines import pipeline
from tests.wasi_nn_torch.helpers.serving import served
from wasi_nn_torch import Engine
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.http import PipelineSettings, create_app


class Same(torch.nn.Module):
    """Returns its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Positive(torch.nn.Module):
    """Returns which elements are positive, and the sum of all."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"positive": x > 0, "sum": x.sum()}


@pytest.fixture(scope="package")
def engine():
    with Engine("cpu", guest_models="none") as engine:
        program = torch.export.export(
            Positive(), (torch.ones(4, 3),), dynamic_shapes={"x": {0: torch.export.Dim("n", max=1000)}}
        )
        engine.register("net", Add())
        engine.register("same", Same())
        for dtype in "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float32 float64".split():
            engine.register(f"same-{dtype}", Same(), dtypes={"x": dtype})
        engine.register("fails", Fails())
        engine.register("exported", _saved(program))
        yield engine


@pytest.fixture(scope="package")
def at(engine):
    """The host and the port of a server for the graphs, and for two pipelines."""
    texts = (("x", "BYTES", (-1, 2)),)
    described = (("x", "INT16", (-1, 3)), ("flags", "BOOL", (-1,)))
    pipelines = {
        "plain": PipelineSettings(pipeline()),
        "texts": PipelineSettings(pipeline(texts, texts)),
        "described": PipelineSettings(pipeline(described, described)),
    }
    app = create_app(engine, pipelines=pipelines)
    with served(app) as at:
        yield at
    app.close()


@pytest.fixture
def held(device) -> Callable[[], tuple[int, int, int]]:
    """The bytes and the tensors that all ledgers count, and the bytes that the allocator of the device has given."""

    def measure() -> tuple[int, int, int]:
        figures = [each.snapshot() for each in gc.get_objects() if type(each) is Ledger]
        on_device = 0 if device.type == "cpu" else torch.accelerator.memory_allocated(device)
        return sum(each.live_bytes for each in figures), sum(each.live_tensors for each in figures), on_device

    return measure


def _saved(program: torch.export.ExportedProgram) -> bytes:
    import io

    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()
