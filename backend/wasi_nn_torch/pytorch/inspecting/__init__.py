"""The description of a model: in this process if its source is trusted, else to be made in a worker."""

from __future__ import annotations

from pathlib import Path

from wasi_nn_torch.contract.description import Contents, ModelDescription
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.pytorch.graphs.computing.state import FORWARD
from wasi_nn_torch.pytorch.graphs.loading.formats import admit, native_code, not_a_model, require_no_method
from wasi_nn_torch.pytorch.graphs.loading.shared import Bytes, Source
from wasi_nn_torch.pytorch.graphs.recognizing.sniff import ModelFormat, sniff, sniff_bytes
from wasi_nn_torch.pytorch.graphs.vetting.refusal import TOO_LARGE_FOR_GUESTS, too_large
from wasi_nn_torch.pytorch.inspecting import aoti, exported, torchscript

_READERS = {
    ModelFormat.EXPORTED_PROGRAM: exported.contents,
    ModelFormat.AOTI_PACKAGE: aoti.contents,
}


def describe(path: Path, name: str, *, method: str | None = None) -> ModelDescription:
    """The description of a trusted model in a file, which error texts call `name`; `method` selects one of its methods.

    Loading a model runs its code. Raises ModelError, which says what to do, if the file is not a model or the model
    cannot be used; OSError if the file cannot be read.
    """
    found = require_model(path, name)
    if path.stat().st_size >= TOO_LARGE_FOR_GUESTS:
        return ModelDescription(found.value, too_large().text, _contents(path, found, name, method))
    data = path.read_bytes()
    found = sniff_bytes(data)
    try:
        _admit(data, found)
    except NnError as error:
        refusal: str | None = error.text
    else:
        refusal = None
    return ModelDescription(found.value, refusal, _contents(data, found, name, method))


def describe_if_admitted(data: Bytes, name: str, method: str | None = None) -> ModelDescription:
    """The description of a model that nobody vouches for, to be called in a worker.

    A model that does not pass the check of guest-supplied models is not loaded; of one that passes, what the check
    returned is loaded. Raises ModelError.
    """
    found = sniff_bytes(data)
    try:
        admitted = _admit(data, found)
    except NnError as error:
        return ModelDescription(found.value, error.text, None)
    return ModelDescription(found.value, None, _contents(admitted, found, name, method))


def require_model(path: Path, name: str) -> ModelFormat:
    """The format of the model in a file; raises ModelError if it is not a model that can be loaded, OSError."""
    found = sniff(path)
    if found not in (ModelFormat.TORCHSCRIPT, *_READERS):
        raise not_a_model(path, name)
    return found


def refusal_without_reading(path: Path, found: ModelFormat) -> str | None:
    """The error text for a guest if the format or the size of a file suffice to refuse it."""
    if path.stat().st_size >= TOO_LARGE_FOR_GUESTS:
        return too_large().text
    return native_code().text if found is ModelFormat.AOTI_PACKAGE else None


def _contents(source: Source, found: ModelFormat, name: str, method: str | None) -> Contents:
    if found is ModelFormat.TORCHSCRIPT:
        return torchscript.contents(source, name, method or FORWARD)
    require_no_method(method, found, name)
    return _READERS[found](source, name)


def _admit(data: Bytes, found: ModelFormat) -> Bytes:
    """The bytes that would be loaded if a guest supplied this model; raises NnError `security` or `too-large`."""
    if found is ModelFormat.AOTI_PACKAGE:
        raise native_code()
    return admit(data, found)
