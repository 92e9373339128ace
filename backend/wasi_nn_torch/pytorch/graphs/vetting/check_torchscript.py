"""The check of a guest-supplied TorchScript archive, before any part of it is loaded.

Threat. A guest is untrusted WebAssembly, and a TorchScript archive is a program: `torch.jit.load` compiles its code and
runs each `__setstate__`; the code can call `torch.save` (which writes any file of the host), `torch.from_file` (which
reads any file) and every custom operator that a library has registered, and it can print. Moreover, PyTorch's loader
trusts archives: malformed pickles, and objects of another class than declared, corrupt the host's memory, and deep
nesting crashes the process.

Principle. Only what is known to be harmless passes. The steps are:

- `archive`: the ZIP is laid out exactly as PyTorch lays it out, so that PyTorch reads what is checked here.
- `definitions`, `source`: the code is in the dialect that PyTorch prints, and calls only its own
  functions and methods, and operators that the next module allows. None of it runs while the model is loaded.
- `operators`: operators take tensors and numbers; only a listed few take strings, which could be paths.
- `pickled`, `state`: the pickles create only tensors within the archive, plain values and objects
  of the archive's classes, each of the type that the code declares for it.

Limits. The check is not a security boundary: PyTorch's kernels and compiler have bugs of their own, and some kernels
that ordinary models need do not validate all of their arguments. The check does not guarantee that the model
terminates, uses little memory, stays on one device, leaves the random state of the process alone, or issues meaningful
warnings through Python's `warnings`. Limits on time and memory are set elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable

from wasi_nn_torch.pytorch.graphs.vetting.archive import Archive
from wasi_nn_torch.pytorch.graphs.vetting.definitions import Program
from wasi_nn_torch.pytorch.graphs.vetting.pickled import Environment, unpickle
from wasi_nn_torch.pytorch.graphs.vetting.refusal import refusal
from wasi_nn_torch.pytorch.graphs.vetting.source import check_source, check_type
from wasi_nn_torch.pytorch.graphs.vetting.state import check_constants, check_model, check_positions

_MODEL, _CONSTANTS = "data.pkl", "constants.pkl"
_CODE, _POSITIONS = ".py", ".debug_pkl"

#: The limits on files, in bytes. Real models have about 100 kB of code and three times as much in pickles. A syntax
#: tree takes hundreds of times the memory of its text, and a pickle takes some microseconds per byte.
_LARGEST_FILE = 1 << 20
_MOST_CODE = 2 << 20
_MOST_PICKLES = 8 << 20


def check_torchscript(data: bytes | bytearray | memoryview) -> None:
    """Check that a guest-supplied TorchScript archive may be loaded; the module's docstring says what that means.

    Raises NnError `security` with a text that says what was found, where in the archive, and what to do. An archive
    that is broken, or differs from what `torch.jit.save` writes, cannot be checked and is refused too. Raises
    `too-large` if it has 4 GiB or more.
    """
    archive = Archive(memoryview(data).cast("B"))
    code = [path for path in archive if path.endswith(_CODE)]
    positions = [path for path in archive if path.endswith(_POSITIONS)]
    _require_size(archive, code, _LARGEST_FILE, _MOST_CODE)
    _require_size(archive, [_MODEL, _CONSTANTS, *positions], _MOST_PICKLES, _MOST_PICKLES)

    program = check_source({path: archive.read(path) for path in code})
    check_model(_unpickle(archive, _MODEL, program), _MODEL, program)
    check_constants(_unpickle(archive, _CONSTANTS, program), _CONSTANTS)
    for path in positions:
        check_positions(_unpickle(archive, path, program), path)


def _require_size(archive: Archive, paths: Iterable[str], largest: int, most: int) -> None:
    """Require that files exist, and that neither any of them nor their total is too large to check."""
    total = 0
    for path in paths:
        size = archive.size(path)
        if size is None:
            raise refusal(path, "it is missing")
        total += size
        if size > largest or total > most:
            raise refusal(path, f"it is too large to check ({size} bytes, {total} with the files before it)")


def _unpickle(archive: Archive, path: str, program: Program) -> object:
    tensors = path.removesuffix(".pkl")
    environment = Environment(
        classes=program.classes.keys(),
        enums=program.enums,
        size_of=lambda name: archive.size(f"{tensors}/{name}"),
        check_type=lambda kind: check_type(kind, path, program),
    )
    return unpickle(archive.read(path), path, environment)
