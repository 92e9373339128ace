"""The meanings of numbers in the WITX ABI, `wasi_ephemeral_nn`: those of its specification, and those of WasmEdge.

They differ from the order of the cases in WIT, where BF16 is between FP64 and U8, and GGML before autodetect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from wasi_nn_torch.contract.errors import ErrorCode
from wasi_nn_torch.contract.vocabulary import ElementType, Encoding, ExecutionTarget


class Errno(IntEnum):
    """The `nn_errno` that every function returns; WasmEdge has more, from 100 on, but only for language models."""

    SUCCESS = 0
    INVALID_ARGUMENT = 1
    INVALID_ENCODING = 2
    MISSING_MEMORY = 3
    BUSY = 4
    RUNTIME_ERROR = 5
    UNSUPPORTED_OPERATION = 6
    TOO_LARGE = 7
    NOT_FOUND = 8


#: The number for each error code; the ABI does not have a number of its own for every code.
ERRNOS: Mapping[ErrorCode, Errno] = {
    ErrorCode.INVALID_ARGUMENT: Errno.INVALID_ARGUMENT,
    ErrorCode.INVALID_ENCODING: Errno.INVALID_ENCODING,
    ErrorCode.TIMEOUT: Errno.RUNTIME_ERROR,
    ErrorCode.RUNTIME_ERROR: Errno.RUNTIME_ERROR,
    ErrorCode.UNSUPPORTED_OPERATION: Errno.UNSUPPORTED_OPERATION,
    ErrorCode.TOO_LARGE: Errno.TOO_LARGE,
    ErrorCode.NOT_FOUND: Errno.NOT_FOUND,
    ErrorCode.SECURITY: Errno.UNSUPPORTED_OPERATION,
    ErrorCode.UNKNOWN: Errno.RUNTIME_ERROR,
}


@dataclass(frozen=True)
class Numbers:
    """The numbers of one ABI. A number for a target means the first of its `targets` that the host has."""

    element_types: Mapping[int, ElementType]
    encodings: Mapping[int, Encoding]
    targets: Mapping[int, tuple[ExecutionTarget, ...]]


WITX = Numbers(
    element_types={
        0: ElementType.FP16,
        1: ElementType.FP32,
        2: ElementType.FP64,
        3: ElementType.U8,
        4: ElementType.I32,
        5: ElementType.I64,
    },
    encodings={
        0: Encoding.OPENVINO,
        1: Encoding.ONNX,
        2: Encoding.TENSORFLOW,
        3: Encoding.PYTORCH,
        4: Encoding.TENSORFLOWLITE,
        5: Encoding.AUTODETECT,
    },
    targets={
        0: (ExecutionTarget.CPU,),
        1: (ExecutionTarget.GPU,),
        2: (ExecutionTarget.TPU,),
    },
)

#: WasmEdge adds numbers and changes none, so every guest can be given the meanings of WasmEdge.
WASMEDGE = Numbers(
    element_types=WITX.element_types,
    encodings={**WITX.encodings, 6: Encoding.GGML},
    targets={**WITX.targets, 3: (ExecutionTarget.GPU, ExecutionTarget.CPU)},
)
