"""Code that grows where PyTorch puts functions in place of their calls is measured before PyTorch does it."""

import pytest
import torch

from tests.wasi_nn_torch.helpers.guest_models import refusal, scripted
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.pytorch.graphs.vetting.check_torchscript import check_torchscript
from wasi_nn_torch.pytorch.graphs.vetting.source import check_source

# These are told from bytes, on whatever device.
pytestmark = pytest.mark.cpu


def doubling(levels: int) -> dict[str, bytes]:
    """The code of functions each of which calls the next one twice."""
    lines = [
        f"def f{n}(x: Tensor) -> Tensor:\n  _0 = __torch__.f{n + 1}\n  _1 = __torch__.f{n + 1}\n"
        f"  return _0(_1(x, ), )\n"
        for n in range(levels)
    ]
    lines.append(f"def f{levels}(x: Tensor) -> Tensor:\n  return torch.relu(x)\n")
    return {"code/__torch__.py": "".join(lines).encode()}


class Twice(torch.nn.Module):
    """Calls what it holds twice."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(self.inner(x))


def nested(levels: int) -> torch.nn.Module:
    module: torch.nn.Module = torch.nn.ReLU()
    for _ in range(levels):
        module = Twice(module)
    return module


def test_functions_that_double_again_and_again_are_refused():
    with pytest.raises(NnError, match="becomes too large when its calls are inlined"):
        check_source(doubling(40))


def test_methods_that_double_again_and_again_are_refused():
    assert "becomes too large when its calls are inlined" in refusal(scripted(nested(40)))


def test_a_few_levels_pass():
    check_source(doubling(6))
    check_torchscript(scripted(nested(6)))


def test_calls_through_variables_and_of_unknown_objects_are_followed():
    lines = []
    for n in range(40):
        lines.append(
            f"class C{n}(Module):\n  __parameters__ = []\n  __buffers__ = []\n  training : bool\n"
            f"  def forward(self: __torch__.C{n},\n    x: Tensor) -> Tensor:\n"
            f"    _0 = (x).forward(x, )\n    _1 = (x).forward(_0, )\n    return _1\n"
        )
    text = "".join(lines).encode()
    with pytest.raises(NnError, match="becomes too large"):
        check_source({"code/__torch__.py": text})


def test_a_function_that_calls_itself_is_refused():
    text = (
        b"def f(x: Tensor) -> Tensor:\n  _0 = __torch__.g\n  return _0(x, )\n"
        b"def g(x: Tensor) -> Tensor:\n  _0 = __torch__.f\n  return _0(x, )\n"
    )
    with pytest.raises(NnError, match="may call itself"):
        check_source({"code/__torch__.py": text})


def test_a_long_chain_of_calls_passes():
    lines = [f"def f{n}(x: Tensor) -> Tensor:\n  _0 = __torch__.f{n + 1}\n  return _0(x, )\n" for n in range(3000)]
    lines.append("def f3000(x: Tensor) -> Tensor:\n  return x\n")
    check_source({"code/__torch__.py": "".join(lines).encode()})
