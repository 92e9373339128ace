"""When a replica finds itself unhealthy; no cluster is needed for that."""

import asyncio
import os

import pytest
import torch

from tests.wasi_nn_torch.helpers.process_operator import Who, broken
from wasi_nn_torch import Engine
from wasi_nn_torch.http import create_app
from wasi_nn_torch.ray.serve.errors import ModelFails
from wasi_nn_torch.ray.serve.health import SUSPICIOUS, Health

# Nothing of it depends on the device.
pytestmark = pytest.mark.cpu


@pytest.fixture
def models(tmp_path):
    """A graph that declares its sizes, and one that does not."""
    torch.export.save(torch.export.export(Who(), (torch.ones(1),)), tmp_path / "who.pt2")
    with Engine("cpu", guest_models="none") as engine:
        engine.register("who", tmp_path / "who.pt2")
        engine.register("module", Who())
        app = create_app(engine)
        yield app.models
        app.close()


@pytest.fixture
def broken_device():
    broken(os.getpid()).touch()
    yield
    broken(os.getpid()).unlink()


def health(model: str, *statuses: int) -> Health:
    """The health after these answers."""
    made = Health()
    for status in statuses:
        made.answered(model, status)
    return made


def test_a_graph_that_fails_for_clients_and_on_zeros_is_unhealthy(models, broken_device):
    with pytest.raises(ModelFails, match=r"`who` cannot be computed any more: .*the device is lost"):
        asyncio.run(health("who", *[500] * SUSPICIOUS).check(models.values()))


def test_any_model_that_fails_makes_graphs_be_tried_since_pipelines_compute_them(models, broken_device):
    with pytest.raises(ModelFails):
        asyncio.run(health("a pipeline", *[504] * SUSPICIOUS).check(models.values()))


@pytest.mark.parametrize(
    "statuses",
    [[], [500] * (SUSPICIOUS - 1), [500, 200] * SUSPICIOUS, [503, 400, 404] * SUSPICIOUS],
    ids=["nothing", "too few", "in between", "what clients and queues cause"],
)
def test_without_failures_in_a_row_nothing_is_tried(models, broken_device, statuses):
    asyncio.run(health("who", *statuses).check(models.values()))


def test_a_graph_without_sizes_is_not_tried(models, broken_device):
    asyncio.run(health("module", *[500] * SUSPICIOUS).check([models["module"]]))


def test_a_graph_that_works_on_zeros_is_healthy_and_no_more_suspected(models):
    checked = health("who", *[500] * SUSPICIOUS)
    asyncio.run(checked.check(models.values()))
    broken(os.getpid()).touch()
    try:
        asyncio.run(checked.check(models.values()))
    finally:
        broken(os.getpid()).unlink()
