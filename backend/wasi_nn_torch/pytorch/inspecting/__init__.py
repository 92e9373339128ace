"""Telling what a model is, without running anything of one that nobody vouches for."""

from pathlib import Path

from wasi_nn_torch.description import Contents, ModelDescription
from wasi_nn_torch.errors import NnError
from wasi_nn_torch.pytorch.graphs.formats import admit, native_code, not_a_model
from wasi_nn_torch.pytorch.graphs.loading import Source
from wasi_nn_torch.pytorch.graphs.sniff import ModelFormat, sniff, sniff_bytes
from wasi_nn_torch.pytorch.graphs.untrusted.refusal import TOO_LARGE_FOR_GUESTS, too_large
from wasi_nn_torch.pytorch.inspecting import aoti, exported, torchscript

_READERS = {
    ModelFormat.TORCHSCRIPT: torchscript.contents,
    ModelFormat.EXPORTED_PROGRAM: exported.contents,
    ModelFormat.AOTI_PACKAGE: aoti.contents,
}


def describe(path: Path, name: str, *, trust: bool = False) -> ModelDescription:
    """Tell what a file is; a text calls it `name`.

    Loading a model runs code of it unless it passes the check for guests' models. So one that does not pass is loaded
    only where `trust` says so, and of one that passes what was checked is loaded, whatever the file is by then. What
    is larger than any guest is not read into memory. Raises ModelError, which says what to do, for what is no model, or
    one that cannot be used; OSError if it cannot be read.
    """
    found = sniff(path)
    if found not in _READERS:
        raise not_a_model(found, name)
    if path.stat().st_size >= TOO_LARGE_FOR_GUESTS:
        return ModelDescription(found.value, too_large().text, _READERS[found](path, name) if trust else None)
    data = path.read_bytes()
    found = sniff_bytes(data)
    try:
        admitted, refusal = _admit(data, found), None
    except NnError as error:
        admitted, refusal = None, error.text
    contents: Contents | None = None
    if admitted is not None or trust:
        source: Source = data if admitted is None else admitted
        contents = _READERS[found](source, name)
    return ModelDescription(found.value, refusal, contents)


def _admit(data: bytes, found: ModelFormat) -> bytes:
    """Return what of a model a guest might load; raises NnError `security` or `too-large`."""
    if found is ModelFormat.AOTI_PACKAGE:
        raise native_code()
    return admit(data)
