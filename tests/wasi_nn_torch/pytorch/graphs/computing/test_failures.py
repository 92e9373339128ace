import pytest
import torch

from wasi_nn_torch.pytorch.graphs.computing.failures import gist, is_out_of_memory

# Nothing of it depends on the device.
pytestmark = pytest.mark.cpu

SCRIPTED = """The following operation failed in the TorchScript interpreter.
Traceback of TorchScript, serialized code (most recent call last):
  File "code/__torch__.py", line 11, in forward
    return torch.linear(input, weight, bias)
           ~~~~~~~~~~~~ <--- HERE

Traceback of TorchScript, original code (most recent call last):
  File "/home/operator/model.py", line 25, in forward
RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x4 and 3x2)
"""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError(SCRIPTED), "mat1 and mat2 shapes cannot be multiplied (2x4 and 3x2)"),
        (RuntimeError(SCRIPTED.replace("RuntimeError", "builtins.IndexError")), "IndexError: mat1 and mat2"),
        (RuntimeError(SCRIPTED.replace("RuntimeError: mat1 and", "AssertionError: ")), "AssertionError"),
        (RuntimeError("CUDA error: bad address\nCUDA kernel errors might be late"), "CUDA error: bad address"),
        (ValueError("too big"), "ValueError: too big"),
        (KeyError("weight"), "KeyError: 'weight'"),
        (RuntimeError(), "RuntimeError"),
        (AssertionError("\n  Guard failed: x.size()[0] == 2\n"), "AssertionError: Guard failed: x.size()[0] == 2"),
        (RuntimeError("cannot open /srv/models/net.pt now"), "cannot open <path> now"),
        (RuntimeError(r"cannot open C:\Users\me\net.pt now"), "cannot open <path> now"),
        (RuntimeError("expected and/or 1/2"), "expected and/or 1/2"),
    ],
)
def test_the_gist_is_the_line_that_says_what_happened(error, expected):
    assert gist(error).startswith(expected)


def test_the_gist_is_short():
    assert len(gist(RuntimeError("x" * 10_000_000))) < 400


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 16 bytes"),
    ],
)
def test_running_out_of_memory_is_recognised(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("out of memory")])
def test_other_errors_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)
