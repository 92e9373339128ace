"""The tensors of new guests in Python, on this machine's Python; `test_new_guests.py` checks the same in a guest."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest

from tests.conftest import ROOT
from wasi_nn_torch.cli.new import templates

# Nothing of it depends on the device.
pytestmark = pytest.mark.cpu

GUEST = ROOT / "backend/wasi_nn_torch/cli/new/templates/python/shared/guest"
CHECKS = ROOT / "tests/guests/tensors"


@pytest.fixture(scope="module")
def modules():
    """The modules `tensors` of the template and `checks` of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(GUEST), str(CHECKS), *sys.path])
        names = ["tensors", "checks"]
        yield [importlib.import_module(name) for name in names]
        for name in names:
            del sys.modules[name]


@pytest.fixture
def tensor(modules):
    return modules[0].Tensor


def test_the_template_is_where_this_test_looks(modules):
    assert modules[0].__file__ == str(GUEST / "tensors.py")
    assert "guest/tensors.py" in templates.texts(templates.read_template("python", "x"), {})


def test_every_check_passes(modules):
    assert len(modules[1].CHECKS) > 5
    for check in modules[1].CHECKS:
        check()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int32", "int64"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 2)])
def test_an_array_of_numpy_becomes_what_it_was_again(tensor, dtype, shape):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    made = tensor.of(array)
    assert made.shape == shape
    assert made.tolist() == array.tolist()
    back = made.numpy()
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("change", [np.transpose, lambda array: array[::-1, ::2], np.asfortranarray])
def test_an_array_of_numpy_with_another_order_in_memory_keeps_its_elements(tensor, change):
    array = change(np.arange(12, dtype="float32").reshape(3, 4))
    assert tensor.of(array).tolist() == array.tolist()


def test_a_scalar_of_numpy_has_no_dimensions(tensor):
    assert tensor.of(np.int64(15)) == tensor.of(15, "I64")
    assert tensor.of(np.float32(1.5)) == tensor.of(1.5)


@pytest.mark.parametrize("dtype", ["bool", "uint16", ">f4", "complex64"])
def test_a_dtype_of_numpy_that_wasi_nn_lacks_is_refused(tensor, dtype):
    with pytest.raises(TypeError, match=r"wasi-nn has no dtype for elements '.*'; convert them, such as to float32"):
        tensor.of(np.zeros(2, dtype))


def test_it_works_without_numpy(modules, monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    fresh = importlib.reload(modules[0])
    assert fresh.Tensor.of([1, 2]).tolist() == [1, 2]
    with pytest.raises(ImportError):
        fresh.Tensor.of([1, 2]).numpy()
