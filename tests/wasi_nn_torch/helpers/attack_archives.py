"""TorchScript archives from code in the dialect that PyTorch prints, which are written without compiling the code."""

import textwrap
from functools import cache

import torch
from torch import nn

from tests.wasi_nn_torch.helpers.guest_models import files, scripted, written

CLASS = "__torch__.Written"
_CODE = "code/__torch__.py"
_HEAD = """class Written(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  _is_full_backward_hook : Optional[bool]
"""


class Written(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


Written.__module__ = "__main__"  # which is left out of the class's name in an archive


def body(text: str, returns: str = "Tensor", parameters: str = "x: Tensor") -> bytes:
    """An archive whose `forward` has this body, one statement a line, as PyTorch prints it."""
    statements = textwrap.indent(textwrap.dedent(text).strip(), "    ")
    return archive(f"  def forward(self: {CLASS},\n    {parameters}) -> {returns}:\n{statements}\n")


def archive(methods: str, others: str = "") -> bytes:
    """An archive with these methods of its class, and `others`: functions and classes before it."""
    return written({**_template(), _CODE: (others + _HEAD + methods).encode()})


@cache
def _template() -> dict[str, bytes]:
    content = files(scripted(Written()))
    return {path: data for path, data in content.items() if not path.endswith(".debug_pkl")}


def chain_of_functions(number: int) -> bytes:
    """Functions that call each other in a row, which PyTorch inlines by recursion."""
    first = "def f0(x: Tensor) -> Tensor:\n  return torch.add(x, 1)\n"
    others = "".join(
        f"def f{n}(x: Tensor) -> Tensor:\n  _0 = __torch__.f{n - 1}\n  return _0(x, )\n" for n in range(1, number)
    )
    forward = f"  def forward(self: {CLASS},\n    x: Tensor) -> Tensor:\n    _0 = __torch__.f{number - 1}\n"
    return archive(f"{forward}    return _0(x, )\n", first + others)


def straight_code(size: int) -> bytes:
    """About `size` bytes of statements without branches."""
    statement = "x = torch.add(torch.mul(x, x), torch.relu(x))\n"
    return body(statement * (size // (len(statement) + 4)) + "return x")
