"""The identification of files that are offered as models but cannot be loaded: other formats, pickles, directories.

They are identified by content, with bounded reads; nothing is unpickled.
"""

from __future__ import annotations

import io
import itertools
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.pytorch.graphs.recognizing.magic_numbers import CONVERT, HEAD, SAVE, Finding, identify_head
from wasi_nn_torch.pytorch.graphs.recognizing.sniff import BROKEN, ZIP, Bounded

_UNKNOWN = Finding("not a PyTorch model", SAVE)
_OFFER = f"and offer the module itself: Engine.register(name, module); or {SAVE}"

_AGAIN = "copy or download it again"

_MOST_FILES = 1000
_DIRECTORY_END = b"PK\x05\x06"
_LONGEST_DIRECTORY_END = 22 + 0xFFFF

#: The class of the first object in a pickle, as `torch.save(model)` writes it now, and as it did in older versions.
_OBJECT = re.compile(rb"\x80[\x02-\x05](?:\(X\x06\0\0\0module(?:q.|r....))?c([\w.]+)\n([\w.]+)\n", re.DOTALL)
_CONTAINERS = frozenset({"OrderedDict", "defaultdict", "dict", "list", "set"})
_LIGHTNING = b"pytorch-lightning_version"

_Names = frozenset[str]


def identify(source: Path | bytes | bytearray | memoryview) -> Finding:
    """The finding about a source in a format that cannot be loaded. Raises OSError if a file cannot be read."""
    if not isinstance(source, Path):
        return _identify(io.BytesIO(source))
    if source.is_dir():
        return _of_directory(source)
    with source.open("rb") as file:
        return _identify(file)


def _identify(file: BinaryIO) -> Finding:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(HEAD)
    if head.startswith(ZIP):
        return _of_archive(file, size)
    if head.startswith(b"\x80"):
        return _of_pickle(head)
    return identify_head(head, size) or _UNKNOWN


# --- pickles ---


def _of_pickle(head: bytes) -> Finding:
    if _LIGHTNING in head:
        return Finding(
            "a Lightning checkpoint: weights without the code of a model",
            f"load it with its class's load_from_checkpoint, {_OFFER}",
        )
    found = [(match[1].decode(), match[2].decode()) for match in _OBJECT.finditer(head)]
    objects = [f"{module}.{name}" for module, name in found if name not in _CONTAINERS]
    if objects:
        return Finding(
            f"a pickled object of the class {quote(objects[0])} without its code, as torch.save(model) writes it",
            f"load it in your program, {_OFFER}",
        )
    return Finding(
        "a state dict or another pickle: weights without the code of a model",
        f"build the module, load this into it with load_state_dict, {_OFFER}",
    )


# --- archives ---


@dataclass(frozen=True)
class _Kind:
    """A kind of archive or directory, recognized by the names in it, without the root that all of them share."""

    matches: Callable[[_Names], bool]
    what: str
    advice: str


def _has(*needed: str) -> Callable[[_Names], bool]:
    return lambda names: names.issuperset(needed)


def _ends(*suffixes: str) -> Callable[[_Names], bool]:
    """Whether there is a name with each of these endings."""
    return lambda names: all(any(name.endswith(suffix) for name in names) for suffix in suffixes)


_ARCHIVES = (
    _Kind(
        lambda names: not names.isdisjoint({".data/extern_modules", ".data/python_version"}),
        "a torch.package archive, which contains Python code",
        f"load it with torch.package.PackageImporter(path).load_pickle(…), {_OFFER}",
    ),
    _Kind(_has("bytecode.pkl"), "a model for PyTorch's mobile interpreter", SAVE),
    _Kind(_has("config.json", "metadata.json"), "a Keras model", CONVERT),
    _Kind(
        lambda names: bool(names) and all(name.endswith(".npy") for name in names),
        "NumPy arrays (.npz)",
        f"they may be weights, without the code of a model; {SAVE}",
    ),
)


def _of_archive(file: BinaryIO, size: int) -> Finding:
    try:
        with zipfile.ZipFile(Bounded(file)) as archive:
            return _of_names(archive) or _of_pickle_within(archive)
    except BROKEN:
        return _broken_archive(file, size)


def _of_names(archive: zipfile.ZipFile) -> Finding | None:
    names = archive.namelist()
    root = names[0].split("/")[0] + "/" if names else ""
    within = frozenset(name.removeprefix(root) for name in names)
    for kind in _ARCHIVES:
        if kind.matches(within) or kind.matches(frozenset(names)):
            return Finding(kind.what, kind.advice)
    if not any(name.endswith("data.pkl") for name in names):
        return Finding(f"a ZIP archive of other files: {quote_all(names)}", f"name the model's own file; or {SAVE}")
    return None


def _of_pickle_within(archive: zipfile.ZipFile) -> Finding:
    names = archive.namelist()
    if any("code/" in name for name in names):
        return Finding("a PyTorch archive with other bytes before it, or with missing parts", _AGAIN)
    with archive.open(next(name for name in names if name.endswith("data.pkl"))) as entry:
        return _of_pickle(entry.read(HEAD))


def _broken_archive(file: BinaryIO, size: int) -> Finding:
    """The finding about an archive without a readable directory, which is at its end and so missing if truncated."""
    file.seek(max(0, size - _LONGEST_DIRECTORY_END))
    if _DIRECTORY_END in file.read(_LONGEST_DIRECTORY_END):
        return Finding("a damaged archive", _AGAIN)
    return Finding(f"a truncated archive: it ends after {size} bytes, without its directory", _AGAIN)


# --- directories ---

_DIRECTORIES = (
    _Kind(_has("saved_model.pb"), "a directory with a TensorFlow SavedModel", CONVERT),
    _Kind(
        lambda names: "config.json" in names and any(name.endswith((".safetensors", ".bin")) for name in names),
        "a directory with a Hugging Face checkpoint: weights without the code of a model",
        f"load it with from_pretrained(directory), {_OFFER}",
    ),
    _Kind(_ends(".xml", ".bin"), "a directory with an OpenVINO model", CONVERT),
    _Kind(_has("data.pkl", "version"), "a directory with the files of a PyTorch archive", "name the archive itself"),
)


def _of_directory(directory: Path) -> Finding:
    names = sorted(entry.name for entry in itertools.islice(directory.iterdir(), _MOST_FILES))
    for kind in _DIRECTORIES:
        if kind.matches(frozenset(names)):
            return Finding(kind.what, kind.advice)
    models = [name for name in names if name.endswith((".pt", ".pt2", ".pth"))]
    there = f": it has {quote_all(models)}" if models else ""
    return Finding("a directory", f"name the file in it that holds the model{there}")
