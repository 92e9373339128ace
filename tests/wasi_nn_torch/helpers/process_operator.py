"""An operator of PyTorch that tells in which process it computes, and a model of it.

A server imports this module to register the operator: `import = ["tests.wasi_nn_torch.helpers.process_operator"]`.
"""

import os
import tempfile
import time
from pathlib import Path

import torch


def broken(pid: int) -> Path:
    """The file whose existence breaks the operator in a process, as a fault of a device would."""
    return Path(tempfile.gettempdir(), f"wasi-nn-torch-tests-broken-{pid}")


@torch.library.custom_op("wasi_nn_torch_tests::process", mutates_args=())
def process(x: torch.Tensor) -> torch.Tensor:
    """The id of the process, after as many seconds as `x` says."""
    if broken(os.getpid()).exists():
        raise RuntimeError("the device is lost")
    time.sleep(float(x.sum()))
    return torch.tensor([os.getpid()])


@process.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty(1, dtype=torch.int64)


class Who(torch.nn.Module):
    """Says which process computed it, and doubles its input."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return process(x), x * 2
