"""What a guest brings is usually an ordinary network: the check passes it in every form, and it computes the same."""

import pytest
import torch
from torch.export import Dim

from tests.wasi_nn_torch.helpers.architectures import ARCHITECTURES, SCRIPTED
from tests.wasi_nn_torch.helpers.exported_models import computed, exported
from tests.wasi_nn_torch.helpers.guest_models import loaded, scripted, traced
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import load_from_guest
from wasi_nn_torch.pytorch.graphs.vetting.check_exported import check_exported
from wasi_nn_torch.pytorch.graphs.vetting.check_torchscript import check_torchscript

# These are told from bytes, on whatever device.
pytestmark = [pytest.mark.cpu, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("decomposed", [False, True], ids=["as exported", "decomposed"])
@pytest.mark.parametrize("shapes", [None, ({0: Dim.AUTO},)], ids=["fixed", "any batch"])
def test_an_exported_network_passes_and_computes_the_same(name, decomposed, shapes):
    make, x = ARCHITECTURES[name]
    module = make().eval()
    data = check_exported(exported(module, x, decomposed=decomposed, dynamic_shapes=shapes))
    graph = load_from_guest(data, CPU)
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
