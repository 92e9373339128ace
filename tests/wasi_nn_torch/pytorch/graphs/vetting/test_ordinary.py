"""Ordinary exported programs: the check passes them, and they compute on each device as before."""

import pytest
import torch

from tests.wasi_nn_torch.helpers.exported_models import ORDINARY, Arguments, Slices, exported
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import ExecutionContext, load_from_guest
from wasi_nn_torch.pytorch.graphs.inputs.outputs import flatten
from wasi_nn_torch.pytorch.graphs.vetting.check_exported import check_exported


@pytest.mark.parametrize(("make", "inputs", "options"), ORDINARY.values(), ids=ORDINARY.keys())
def test_ordinary_models_pass_and_compute_the_same(make, inputs, options, device):
    data = exported(make(), *inputs, **options)
    before, after = load_from_guest(data, device), load_from_guest(check_exported(data), device)
    assert after.signature == before.signature
    named = {item.name: value.to(device) for item, value in zip(before.signature.parameters, inputs, strict=True)}
    expected, actual = (dict(flatten(graph.instance()(**named))) for graph in (before, after))
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.cpu
def test_numbers_and_nested_inputs_pass():
    keywords = {"scale": 2.0, "times": 1, "mask": None}
    check_exported(exported(Arguments(), torch.ones(2, 3), {"bias": torch.ones(1)}, kwargs=keywords))
    auto = torch.export.Dim.AUTO
    check_exported(exported(Slices(), torch.ones(4, 2), 3, dynamic_shapes={"x": {0: auto}, "n": auto}))


@pytest.mark.cpu
def test_guards_are_kept(memory, tensor):
    make, inputs, options = ORDINARY["guards"]
    context = ExecutionContext(load_from_guest(check_exported(exported(make(), *inputs, **options)), CPU), memory)
    with pytest.raises(NnError, match="% 2 == 0"):
        context.compute([("x", tensor(torch.ones(5, 3)))])
