"""The vocabulary of all versions of wasi-nn: encodings, targets and element types."""

from __future__ import annotations

from enum import Enum


class Encoding(Enum):
    """The `graph-encoding` of wasi-nn; the values are spelled as WIT spells them."""

    OPENVINO = "openvino"
    ONNX = "onnx"
    TENSORFLOW = "tensorflow"
    PYTORCH = "pytorch"
    TENSORFLOWLITE = "tensorflowlite"
    GGML = "ggml"
    AUTODETECT = "autodetect"


class ExecutionTarget(Enum):
    """The `execution-target` of wasi-nn; the values are spelled as WIT spells them."""

    CPU = "cpu"
    GPU = "gpu"
    TPU = "tpu"


class ElementType(Enum):
    """The `tensor-type` of wasi-nn: name, size of one element in bytes, and whether elements are whole numbers."""

    FP16 = ("FP16", 2, False)
    FP32 = ("FP32", 4, False)
    FP64 = ("FP64", 8, False)
    BF16 = ("BF16", 2, False)
    U8 = ("U8", 1, True)
    I32 = ("I32", 4, True)
    I64 = ("I64", 8, True)

    # Used for every tensor, and faster than that of `Enum`, which is computed in Python.
    __hash__ = object.__hash__

    def __init__(self, spelling: str, item_size: int, is_integer: bool) -> None:
        self.spelling = spelling
        self.item_size = item_size
        self.is_integer = is_integer
