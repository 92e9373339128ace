"""Whether a model that a guest brought along may be loaded: a look at the archive, before anything of it is loaded.

The threat. A guest is WebAssembly that nobody trusts, and a TorchScript archive is a program: `torch.jit.load` compiles
its code and runs each `__setstate__`; the code can call `torch.save` (writes any file of the host), `torch.from_file`
(reads any), every custom operator that some library registered, and print. Besides, PyTorch's loader trusts archives:
pickles in bad order and objects of another class than declared corrupt the host's memory, and deep nesting ends it.

The principle. What is known to be harmless passes, and nothing else. In this order:

- `untrusted.archive`: the ZIP is laid out exactly as PyTorch lays it out, so that PyTorch reads what is checked here.
- `untrusted.definitions`, `untrusted.source`: the code is in the dialect that PyTorch prints and calls only functions
  and methods of its own and operators from the next module. None of it runs while the model is loaded.
- `untrusted.operators`: an operator takes tensors and numbers, and a string, which may be a path, in a listed few only.
- `untrusted.pickled`, `untrusted.state`: the pickles make only tensors within the archive, plain values and objects of
  the archive's classes, each of the type that the code declares for it.

What it does not promise. It is no boundary: PyTorch's kernels and compiler have faults of their own, and some kernels
that ordinary models need do not look at all of their arguments. Nor does it promise that the model ends, or is content
with little memory, or stays on one device; that the random state of the process is left alone; that what a model warns
of, which goes to Python's `warnings`, is worth reading. Limits on time and memory are for others to set.
"""

from __future__ import annotations

from collections.abc import Iterable

from wasi_nn_torch.pytorch.graphs.untrusted.archive import Archive
from wasi_nn_torch.pytorch.graphs.untrusted.definitions import Program
from wasi_nn_torch.pytorch.graphs.untrusted.pickled import Environment, unpickle
from wasi_nn_torch.pytorch.graphs.untrusted.refusal import refusal
from wasi_nn_torch.pytorch.graphs.untrusted.source import check_source, check_type
from wasi_nn_torch.pytorch.graphs.untrusted.state import check_constants, check_model, check_positions

_MODEL, _CONSTANTS = "data.pkl", "constants.pkl"
_CODE, _POSITIONS = ".py", ".debug_pkl"

#: Real models have some 100 kB of code and three times as much in pickles. A syntax tree takes hundreds of times the
#: memory of its text, and a pickle some microseconds for each of its bytes.
_LARGEST_FILE = 1 << 20
_MOST_CODE = 2 << 20
_MOST_PICKLES = 8 << 20


def check_torchscript(data: bytes | bytearray | memoryview) -> None:
    """Return if a TorchScript archive may be loaded although a guest brought it; see above for what that means.

    Raises NnError `security` with a text that says what was found, where in the archive, and what to do. An archive
    that is broken, or differs from what `torch.jit.save` writes, cannot be judged and is refused too. Raises
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
    """Require that files are there, and that neither one of them nor all together are too large to be checked."""
    total = 0
    for path in paths:
        size = archive.size(path)
        if size is None:
            raise refusal(path, "it is missing")
        total += size
        if size > largest or total > most:
            raise refusal(path, f"it is too large to be checked ({size} bytes, {total} with those before it)")


def _unpickle(archive: Archive, path: str, program: Program) -> object:
    tensors = path.removesuffix(".pkl")
    environment = Environment(
        classes=program.classes.keys(),
        enums=program.enums,
        size_of=lambda name: archive.size(f"{tensors}/{name}"),
        check_type=lambda kind: check_type(kind, path, program),
    )
    return unpickle(archive.read(path), path, environment)
