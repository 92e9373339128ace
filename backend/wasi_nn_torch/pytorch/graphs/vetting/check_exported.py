"""The check of a guest-supplied exported program, which rebuilds the archive from the parts that pass.

Threat. `torch.export.load` unpickles the sample inputs and may unpickle weights and constants; it evaluates size
expressions and runs guards; it prints the names in the program into Python code and runs that; it imports any module
that the description of a container names; and it looks up the function that a node calls anywhere in PyTorch.

Principle. Only what is known to be harmless passes. The archive is rebuilt from the parts that pass, so that PyTorch's
readers cannot find anything in it that was not checked. The steps are:

- `archive`: the ZIP is laid out exactly as PyTorch lays it out.
- `exported.program`: the program has only known fields and the operators that TorchScript may call.
- `exported.public`: internals of PyTorch that decomposed programs call are replaced by public operators.
- `exported.expressions`: sizes and guards are arithmetic.
- `exported.payloads`: tensors are raw bytes that lie within their files.

Sample inputs, positions in source files and other notes are dropped. The limits are those of the check of TorchScript;
in addition, numbers that are not tensors are unbounded in Python.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping

from wasi_nn_torch.pytorch.graphs.vetting.archive import Archive
from wasi_nn_torch.pytorch.graphs.vetting.exported.payloads import paths_in, tensors_within
from wasi_nn_torch.pytorch.graphs.vetting.exported.program import program
from wasi_nn_torch.pytorch.graphs.vetting.exported.shape import Misfit, Shape, parse
from wasi_nn_torch.pytorch.graphs.vetting.refusal import refusal

_FILES = re.compile(
    r"""(?: models/model\.json
        |   data/(?:weights|constants)/(?:\w+_[0-9]{1,9}|model\.pt|model_(?:weights|constants)_config\.json)
        |   data/sample_inputs/model\.pt
        |   archive_format | archive_version | (?:\.data/)?version | byteorder | \.format_version | \.storage_alignment
        |   \.data/serialization_id | extra/[A-Za-z0-9_./-]+ )""",
    re.VERBOSE | re.ASCII,
)
_PICKLES = re.compile(r"data/(?:weights|constants)/(?:(?:custom|opaque)_obj_[0-9]+|model\.pt)", re.ASCII)

_PROGRAM = "models/model.json"
_TABLES = {directory: f"data/{directory}/model_{directory}_config.json" for directory in ("weights", "constants")}
_NOTES = {
    "archive_format": b"pt2",
    "archive_version": b"0",
    ".data/version": b"6\n",
    "byteorder": b"little",
    "data/sample_inputs/model.pt": b"",
}

#: The most JSON that is parsed, in bytes: large models have a few MB, which take ten times the memory once parsed.
_LARGEST_JSON = 16 << 20


def check_exported(data: bytes | bytearray | memoryview) -> bytes:
    """A rebuilt archive of a guest-supplied exported program, which may be loaded.

    Raises NnError `security` with a text that says what was found, where in the archive, and what to do. An archive
    that is broken, or differs from what `torch.export.save` writes, cannot be checked and is refused too. Raises
    `too-large` if it has 4 GiB or more.
    """
    archive = Archive(memoryview(data).cast("B"), _FILES)
    for path in archive:
        if _PICKLES.fullmatch(path):
            raise refusal(path, "it is a pickle, which can run arbitrary code")
    if archive.size("byteorder") not in (None, 6):  # "little"
        raise refusal("byteorder", "the tensors are not in the byte order of this machine")
    files = dict(_NOTES)
    files[_PROGRAM] = _dump(_checked(archive, _PROGRAM, program))
    for directory, path in _TABLES.items():
        table = _checked(archive, path, tensors_within(archive, directory))
        files[path] = _dump(table)
        files.update(_contents(archive, paths_in(table, directory)))
    return _written(files)


def _checked(archive: Archive, path: str, shape: Shape) -> object:
    size = archive.size(path)
    if size is None:
        raise refusal(path, "it is missing")
    if size > _LARGEST_JSON:
        raise refusal(path, f"it is too large to check ({size} bytes)")
    try:
        return shape(parse(archive.read(path)))
    except Misfit as misfit:
        place = misfit.place()
        where = f"{path} at {place}" if place else path
        reason = misfit.what
    except RecursionError:
        where, reason = path, "it is nested too deeply"
    raise refusal(where, reason)


def _contents(archive: Archive, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """The contents of files, which together may not exceed the archive's size: PyTorch does not compress tensors."""
    room = archive.packed_size
    for path in paths:
        room -= archive.size(path) or 0
        if room < 0:
            raise refusal(path, "its unpacked size exceeds that of the archive")
        yield path, archive.read(path)


def _dump(value: object) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


def _written(files: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for path, content in files.items():
            archive.writestr(f"model/{path}", content)
    return file.getvalue()
