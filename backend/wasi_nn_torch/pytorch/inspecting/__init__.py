"""The description of a model; no code of an untrusted model is run for it."""

from __future__ import annotations

from pathlib import Path

from wasi_nn_torch.contract.description import Contents, ModelDescription
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.pytorch.graphs.computing.state import FORWARD
from wasi_nn_torch.pytorch.graphs.loading.formats import admit, native_code, not_a_model, require_no_method
from wasi_nn_torch.pytorch.graphs.loading.shared import Source
from wasi_nn_torch.pytorch.graphs.recognizing.sniff import ModelFormat, sniff, sniff_bytes
from wasi_nn_torch.pytorch.graphs.vetting.refusal import TOO_LARGE_FOR_GUESTS, too_large
from wasi_nn_torch.pytorch.inspecting import aoti, exported, torchscript

_READERS = {
    ModelFormat.EXPORTED_PROGRAM: exported.contents,
    ModelFormat.AOTI_PACKAGE: aoti.contents,
}


def describe(path: Path, name: str, *, trust: bool = False, method: str | None = None) -> ModelDescription:
    """The description of the model in a file, which error texts call `name`; `method` selects one of its methods.

    Loading a model runs its code unless the model passes the check of guest-supplied models. So a model that does not
    pass is loaded only if `trust` is true; of one that passes, the checked bytes are loaded, even if the file changes
    in the meantime. A file that is too large for any guest is not read into memory. Raises ModelError, which says what
    to do, if the file is not a model or the model cannot be used; OSError if the file cannot be read.
    """
    found = sniff(path)
    if found not in (ModelFormat.TORCHSCRIPT, *_READERS):
        raise not_a_model(path, name)
    if path.stat().st_size >= TOO_LARGE_FOR_GUESTS:
        return ModelDescription(found.value, too_large().text, _contents(path, found, name, method) if trust else None)
    data = path.read_bytes()
    found = sniff_bytes(data)
    try:
        admitted, refusal = _admit(data, found), None
    except NnError as error:
        admitted, refusal = None, error.text
    contents: Contents | None = None
    if admitted is not None or trust:
        source: Source = data if admitted is None else admitted
        contents = _contents(source, found, name, method)
    return ModelDescription(found.value, refusal, contents)


def _contents(source: Source, found: ModelFormat, name: str, method: str | None) -> Contents:
    if found is ModelFormat.TORCHSCRIPT:
        return torchscript.contents(source, name, method or FORWARD)
    require_no_method(method, found, name)
    return _READERS[found](source, name)


def _admit(data: bytes, found: ModelFormat) -> bytes:
    """The bytes that would be loaded if a guest supplied this model; raises NnError `security` or `too-large`."""
    if found is ModelFormat.AOTI_PACKAGE:
        raise native_code()
    return admit(data, found)
