"""The devices on which ONNX Runtime computes: the CPU, and those of its CUDA provider.

On the CPU, ONNX Runtime allocates without an arena: it takes memory from the C library for each tensor and returns it,
so that nothing is kept, and dropping an output frees it. On CUDA, where allocating is slow, its arena grows by no more
than is needed, and shrinks after each computation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import onnxruntime

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.vocabulary import ExecutionTarget

_CUDA: Final = "CUDAExecutionProvider"
_CPU: Final = "CPUExecutionProvider"

#: In DLPack.
_DLPACK_CPU, _DLPACK_CUDA = 1, 2

#: The legacy default stream of CUDA, on which PyTorch computes unless it is told otherwise.
_LEGACY_STREAM: Final = 1


@dataclass(frozen=True)
class Device:
    """A device, with the names that ONNX Runtime, DLPack and the ledger have for it."""

    kind: str = "cpu"
    index: int = 0

    @cached_property
    def place(self) -> str:
        """The name under which a ledger counts its memory: "cpu", "cuda:0"."""
        return "cpu" if self.is_cpu else f"{self.kind}:{self.index}"

    @cached_property
    def is_cpu(self) -> bool:
        """Whether it is the CPU."""
        return self.kind == "cpu"

    @cached_property
    def dlpack(self) -> tuple[int, int]:
        """The device of DLPack."""
        return (_DLPACK_CPU if self.is_cpu else _DLPACK_CUDA), self.index

    @property
    def stream(self) -> int | None:
        """The stream on which it computes, as a consumer of DLPack passes it on."""
        return None if self.is_cpu else _LEGACY_STREAM

    @property
    def providers(self) -> list[str | tuple[str, dict[str, str]]]:
        """The execution providers of a session."""
        if self.is_cpu:
            return [_CPU]
        options = {
            "device_id": str(self.index),
            "arena_extend_strategy": "kSameAsRequested",
            "user_compute_stream": str(_LEGACY_STREAM),
        }
        return [(_CUDA, options), _CPU]

    @property
    def shrinks(self) -> str | None:
        """The arenas that shrink after a computation, as an option of a run."""
        return None if self.is_cpu else f"gpu:{self.index}"


CPU: Final = Device()


def find_device(name: str) -> Device:
    """The device with a name; raises ValueError, with a text for the operator, if ONNX Runtime has no such device."""
    kind, colon, index = name.partition(":")
    if kind == "cpu" and index in ("", "0"):
        return CPU
    if kind == "cuda" and has_cuda() and (not colon or (index.isascii() and index.isdigit())):
        return Device("cuda", int(index or 0))
    raise ValueError(f"ONNX Runtime has no device `{name}`; {_choices()}")


def has_cuda() -> bool:
    """Whether this ONNX Runtime is built for CUDA, which is no proof that the machine has such a device."""
    return _CUDA in onnxruntime.get_available_providers()


def device_for(target: ExecutionTarget, default: str) -> Device:
    """The device for a guest's target; raises NnError `unsupported-operation` if there is none."""
    if target is ExecutionTarget.CPU:
        return CPU
    if target is ExecutionTarget.GPU and not default.startswith("cpu"):
        try:
            return find_device(default)
        except ValueError as error:
            text = str(error)
    else:
        text = f"this host has no {target.value.upper()} for ONNX models; ask for the target cpu"
    raise NnError(ErrorCode.UNSUPPORTED_OPERATION, text)


def _choices() -> str:
    if has_cuda():
        return "choose cpu or cuda:0"
    return "choose cpu, or install onnxruntime-gpu in place of onnxruntime for cuda"
