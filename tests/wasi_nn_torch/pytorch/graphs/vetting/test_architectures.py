"""What a guest brings is usually an ordinary network: the check passes it in every form, and it computes the same."""

from functools import cache

import pytest
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from tests.wasi_nn_torch.helpers.architectures import ARCHITECTURES, SCRIPTED
from tests.wasi_nn_torch.helpers.exported_models import computed, packed, program
from tests.wasi_nn_torch.helpers.guest_models import loaded, scripted, traced
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import load_from_guest
from wasi_nn_torch.pytorch.graphs.vetting.check_exported import check_exported
from wasi_nn_torch.pytorch.graphs.vetting.check_torchscript import check_torchscript

# These are told from bytes, on whatever device.
pytestmark = [pytest.mark.cpu, pytest.mark.filterwarnings("ignore")]


@cache
def network(name: str, any_batch: bool) -> tuple[nn.Module, ExportedProgram]:
    """A network, and the program that it is exported to: once for both forms of it."""
    make, x = ARCHITECTURES[name]
    module = make().eval()
    return module, program(module, x, dynamic_shapes=({0: Dim.AUTO},) if any_batch else None)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("decomposed", [False, True], ids=["as exported", "decomposed"])
@pytest.mark.parametrize("any_batch", [False, True], ids=["fixed", "any batch"])
def test_an_exported_network_passes_and_computes_the_same(name, decomposed, any_batch):
    module, exported = network(name, any_batch)
    x = ARCHITECTURES[name][1]
    graph = load_from_guest(check_exported(packed(exported, decomposed=decomposed)), CPU)
    (parameter,) = graph.signature.parameters
    with torch.inference_mode():
        torch.testing.assert_close(computed(graph, **{parameter.name: x}), module(x))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_traced_network_passes(name):
    make, x = ARCHITECTURES[name]
    data = traced(make(), x)
    check_torchscript(data)
    assert loaded(data) is not None


@pytest.mark.parametrize("name", SCRIPTED)
def test_a_scripted_network_passes(name):
    check_torchscript(scripted(ARCHITECTURES[name][0]()))
