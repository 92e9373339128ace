"""The inputs that a TorchScript module was traced with, which its archive may hold."""

from __future__ import annotations

import io
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath

import torch

from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.pytorch.dtypes import ELEMENT_TYPES
from wasi_nn_torch.pytorch.graphs.inputs.parameters import EACH, Argument, Group, Many, Parameter, Path, spelled
from wasi_nn_torch.pytorch.graphs.inputs.signature import Signature
from wasi_nn_torch.pytorch.graphs.loading.declaring import with_dtypes
from wasi_nn_torch.pytorch.graphs.loading.shared import Source
from wasi_nn_torch.pytorch.graphs.vetting.pickled import Environment, Tensor, unpickle

_FILE = "traced_inputs.pkl"
_LARGEST = 1 << 20
_BROKEN_ARCHIVE = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError)
#: The dtypes by their names in archives.
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


@dataclass(frozen=True)
class Example:
    """One tensor that a module was traced with."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def with_traced(signature: Signature, source: Source, method: str) -> Signature:
    """The signature of a method, with the dtypes that its trace determines.

    If an input of the trace has a dtype that wasi-nn cannot name, such as bool, the module takes that dtype, since a
    guest could not choose it; any other dtype is only an example.
    """
    known = examples(signature, source, method).items()
    return with_dtypes(signature, {name: each.dtype for name, each in known if each.dtype not in ELEMENT_TYPES})


def examples(signature: Signature, source: Source, method: str) -> Mapping[str, Example]:
    """The inputs that the method was traced with, by name; empty if the archive does not have them."""
    values = _values(source, method)
    if len(values) != len(signature.parameters):
        return {}
    pairs = zip(signature.parameters, values, strict=True)
    return {name: each for argument, value in pairs for name, each in _examples(argument, value, (argument.name,))}


def _examples(argument: Argument, value: object, path: Path) -> Iterator[tuple[str, Example]]:
    match argument, value:
        case Parameter(), Tensor():
            yield spelled(path), Example(value.sizes, _DTYPES[value.kind])
        case Group(parts=parts), tuple() | list() if len(value) == len(parts):
            for part, each in zip(parts, value, strict=True):
                yield from _examples(part, each, (*path, part.name))
        case Many(item=item), dict():
            for key, each in value.items():
                yield from _examples(item, each, (*path, key))
        case Many(item=item), list():
            found = [tuple(_examples(item, each, (*path, EACH))) for each in value]
            if len({tuple((name, each.dtype) for name, each in part) for part in found}) == 1:  # later parts are alike
                yield from found[0]
            for position, each in enumerate(value):
                yield from _examples(item, each, (*path, position))


def _values(source: Source, method: str) -> Sequence[object]:
    """The arguments that the method was traced with, in their order: tensors, and containers of them.

    PyTorch's own reader would trust the file, which the check of guest-supplied models does not cover.
    """
    try:
        data = _record(source)
        if data is None:
            return ()
        environment = Environment(
            classes=(),
            enums={},
            size_of=lambda name: sys.maxsize,  # the archive omits the elements, and nothing reads them
            check_type=lambda kind: None,
        )
        methods = unpickle(data, _FILE, environment)
    except (NnError, *_BROKEN_ARCHIVE):  # PyTorch does not write such a file
        return ()
    inputs = methods.get(method) if isinstance(methods, dict) else None
    return inputs if isinstance(inputs, list) else ()


def _record(source: Source) -> bytes | None:
    """The part of the archive with the inputs; None without one, or if it is too large to be what PyTorch wrote."""
    with zipfile.ZipFile(source if isinstance(source, FilePath) else io.BytesIO(source)) as archive:
        for entry in archive.infolist():
            if entry.filename.partition("/")[2] == _FILE and entry.file_size <= _LARGEST:
                return archive.read(entry)
    return None
