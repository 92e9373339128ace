"""The files of a model: the model itself, or a folder with `model.onnx`, and those that hold its weights."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import onnx
from google.protobuf.message import DecodeError

from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.onnx.protos import tensors_of

#: The name that Wasmtime gives to the model in a folder.
IN_FOLDER = "model.onnx"
FORMAT = "ONNX"

#: The number of the graph among the fields of a `ModelProto`, and the fields whose values are numbers.
_GRAPH: Final = 7
_NUMBERS: Final = frozenset({1, 5})
_OTHERS: Final = frozenset({2, 3, 4, 6, 8, 14, 20, 25, 26})
_NUMBER, _LENGTH = 0, 2
#: The most fields that are looked at, each with at most so many bytes.
_MOST_FIELDS: Final = 1000
_LONGEST: Final = 10
_MOST_SKIPPED: Final = 1 << 40
_NEAR: Final = 1 << 16


def is_onnx(model: bytes | memoryview) -> bool:
    """Whether bytes are those of an ONNX model, which has no magic number; the graph has to begin near the front."""
    return _is_onnx(io.BytesIO(model[:_NEAR]))


def is_onnx_file(path: Path) -> bool:
    """Whether a file, or the one in a folder, is an ONNX model; raises OSError."""
    file = file_of(path)
    if file.is_dir():
        return False
    with file.open("rb") as opened:
        return _is_onnx(opened)


def _is_onnx(file: BinaryIO) -> bool:
    """Whether the fields before the graph are those of a `ModelProto`; reads little, and skips their content."""
    for _ in range(_MOST_FIELDS):
        tag = _number(file)
        field, kind = (0, 0) if tag is None else (tag >> 3, tag & 7)
        if (field, kind) == (_GRAPH, _LENGTH):
            return True
        number = _number(file)
        if number is None or kind != (_NUMBER if field in _NUMBERS else _LENGTH):
            return False
        if kind == _LENGTH:
            if field not in _OTHERS or number > _MOST_SKIPPED:
                return False
            file.seek(number, io.SEEK_CUR)
    return False


def _number(file: BinaryIO) -> int | None:
    """The number at the position of a file; None if there is none."""
    number = 0
    for index in range(_LONGEST):
        byte = file.read(1)
        if not byte:
            return None
        number |= (byte[0] & 0x7F) << 7 * index
        if byte[0] < 0x80:
            return number
    return None


def file_of(path: Path) -> Path:
    """The file of a model, which may be given by its folder."""
    within = path / IN_FOLDER
    return within if within.is_file() else path


def files_of(path: Path) -> list[Path]:
    """All files of a model, that of the model first; raises ModelError, OSError."""
    file = file_of(path)
    return [file, *weights_of(parsed(file.read_bytes(), f"the model file `{file}`"), file)]


def weights_of(model: onnx.ModelProto, file: Path) -> list[Path]:
    """The files with the weights of the model in a file; raises ModelError if one is not there."""
    weights = {name: file.parent / name for name in sorted(set(external_names(model)))}
    missing = next((name for name, path in weights.items() if not path.is_file()), None)
    if missing is not None:
        raise ModelError(
            f"the model file `{file}` has weights in the file {quote(missing)}, which is not in the folder of the "
            "model; put it there"
        )
    return list(weights.values())


def parsed(model: bytes, name: str) -> onnx.ModelProto:
    """The parts of a model, which error texts call `name`; raises ModelError."""
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(model)
    except DecodeError:
        refusal = ModelError(f"{name} is truncated or damaged: it is not a valid ONNX model; copy or download it again")
    else:
        if proto.HasField("graph"):
            return proto
        refusal = ModelError(f"{name} is truncated: it has no graph; copy or download it again")
    raise refusal


def external_names(model: onnx.ModelProto) -> Iterator[str]:
    """The names of files with weights, relative to the model's own file."""
    for tensor in tensors_of(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield next((each.value for each in tensor.external_data if each.key == "location"), "")


def require_whole(model: onnx.ModelProto, name: str) -> None:
    """Raise ModelError if a model that was given as bytes has weights in other files."""
    names = sorted(set(external_names(model)))
    if names:
        raise ModelError(
            f"{name} was given as bytes, but has weights in the file {quote(names[0])}; give the path of the model, or "
            "save it with its weights: onnx.save(model, path, save_as_external_data=False)"
        )
