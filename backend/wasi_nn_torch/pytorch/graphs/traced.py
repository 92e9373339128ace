"""The inputs that a TorchScript module was traced with, which its archive may hold."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from wasi_nn_torch.errors import NnError
from wasi_nn_torch.pytorch.dtypes import ELEMENT_TYPES
from wasi_nn_torch.pytorch.graphs.declaring import with_dtypes
from wasi_nn_torch.pytorch.graphs.loading import Source
from wasi_nn_torch.pytorch.graphs.parameters import EACH
from wasi_nn_torch.pytorch.graphs.signature import Signature
from wasi_nn_torch.pytorch.graphs.untrusted.pickled import Environment, Tensor, unpickle

_FILE = "traced_inputs.pkl"
_LARGEST = 1 << 20
_DTYPES = {
    "Bool": torch.bool,
    "Byte": torch.uint8,
    "Char": torch.int8,
    "Short": torch.int16,
    "UInt16": torch.uint16,
    "Int": torch.int32,
    "UInt32": torch.uint32,
    "Long": torch.int64,
    "UInt64": torch.uint64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Float": torch.float32,
    "Double": torch.float64,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}
"""The dtypes as an archive spells them."""


@dataclass(frozen=True)
class Example:
    """One tensor that a module was traced with."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def with_traced(signature: Signature, source: Source) -> Signature:
    """Return the signature of a module with what its trace tells for certain.

    A dtype that wasi-nn cannot name, such as that of booleans, is what the module takes, since a guest could not give
    it; where a guest can choose, the inputs of the trace were an example.
    """
    known = examples(signature, source).items()
    return with_dtypes(signature, {name: each.dtype for name, each in known if each.dtype not in ELEMENT_TYPES})


def examples(signature: Signature, source: Source) -> Mapping[str, Example]:
    """Return what each input was when the module was traced, by its name; nothing where that is not told.

    The archive has the tensors one after the other, so that of what there may be any number of, nothing is known but
    what all have in common.
    """
    found = _tensors(source)
    names = [parameter.name for parameter in signature.inputs]
    fixed = next((at for at, name in enumerate(names) if EACH in name.split(".")), len(names))
    if len(found) < fixed or (fixed == len(names) and len(found) != fixed):
        return {}
    known = dict(zip(names[:fixed], found[:fixed], strict=True))
    if len(set(found[fixed:])) == 1:
        known.update(dict.fromkeys(names[fixed:], found[fixed]))
    return known


def _tensors(source: Source) -> Sequence[Example]:
    """Return the tensors that `forward` was traced with, in their order.

    PyTorch's own reader would trust the file, which the check of a guest's model does not look at.
    """
    try:
        reader = torch._C.PyTorchFileReader(str(source) if isinstance(source, Path) else io.BytesIO(source))
        if _FILE not in reader.get_all_records() or reader.get_record_size(_FILE) > _LARGEST:
            return ()
        data = reader.get_record(_FILE)
        environment = Environment(
            classes=(),
            enums={},
            size_of=lambda name: sys.maxsize,  # the elements were left out, and nothing reads them
            check_type=lambda kind: None,
        )
        methods = unpickle(data, _FILE, environment)
    except (NnError, RuntimeError):  # it is not as PyTorch writes it
        return ()
    inputs = methods.get("forward") if isinstance(methods, dict) else None
    if not isinstance(inputs, list) or not all(isinstance(value, Tensor) for value in inputs):
        return ()
    return [Example(value.sizes, _DTYPES[value.kind]) for value in inputs]
