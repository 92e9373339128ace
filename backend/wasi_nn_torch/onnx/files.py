"""The files of a model: the model itself, or a folder with `model.onnx`, and those that hold its weights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.onnx.protos import tensors_of

#: The name that Wasmtime gives to the model in a folder.
IN_FOLDER = "model.onnx"
FORMAT = "ONNX"

#: The version of the format, followed by the tag of another field of a `ModelProto`.
_HEAD = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x22\x28\x32\x3a\x42]")
_HEAD_SIZE = 3


def is_onnx(model: bytes | memoryview) -> bool:
    """Whether bytes begin as an ONNX model, which has no magic number, does."""
    return _HEAD.match(bytes(model[:_HEAD_SIZE])) is not None


def is_onnx_file(path: Path) -> bool:
    """Whether a file, or the model in a folder, begins as an ONNX model does; raises OSError."""
    file = file_of(path)
    with file.open("rb") as opened:
        return is_onnx(opened.read(_HEAD_SIZE))


def file_of(path: Path) -> Path:
    """The file of a model, which may be given by its folder."""
    within = path / IN_FOLDER
    return within if within.is_file() else path


def files_of(path: Path) -> list[Path]:
    """All files of a model, that of the model first; raises ModelError, OSError."""
    file = file_of(path)
    with file.open("rb") as opened:
        model = parsed(opened.read(), f"the model file `{file}`")
    weights = {name: file.parent / name for name in sorted(set(external_names(model)))}
    missing = next((name for name, path in weights.items() if not path.is_file()), None)
    if missing is not None:
        raise ModelError(
            f"the model file `{file}` has weights in the file {quote(missing)}, which is not in the folder of the "
            "model; put it there"
        )
    return [file, *weights.values()]


def parsed(model: bytes, name: str) -> onnx.ModelProto:
    """The parts of a model, which error texts call `name`; raises ModelError."""
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(model)
    except DecodeError:
        refusal = ModelError(f"{name} is truncated or damaged: it is not a valid ONNX model; copy or download it again")
    else:
        return proto
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
