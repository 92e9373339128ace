"""The inputs that a TorchScript module was traced with, which its archive may hold."""

import sys
from collections.abc import Sequence
from pathlib import Path

from wasi_nn_torch.errors import NnError
from wasi_nn_torch.pytorch.graphs.loading import Source
from wasi_nn_torch.pytorch.graphs.untrusted.archive import Archive
from wasi_nn_torch.pytorch.graphs.untrusted.pickled import Environment, Tensor, unpickle

_FILE = "traced_inputs.pkl"
_LARGEST = 1 << 20

Example = tuple[int, ...]
"""The shape of one input."""


def traced_inputs(source: Source, method: str = "forward") -> Sequence[Example | None]:
    """Return the shapes of the arguments of a method, None for what is no tensor; nothing where they are not told.

    PyTorch's own reader would trust the file, which the check of a guest's model does not look at.
    """
    data = source.read_bytes() if isinstance(source, Path) else source
    try:
        archive = Archive(memoryview(data).cast("B"))
        size = archive.size(_FILE)
        if size is None or size > _LARGEST:
            return ()
        environment = Environment(
            classes=(),
            enums={},
            size_of=lambda name: sys.maxsize,  # the elements were left out, and nothing reads them
            check_type=lambda kind: None,
        )
        methods = unpickle(archive.read(_FILE), _FILE, environment)
    except NnError:  # it is not as PyTorch writes it
        return ()
    inputs = methods.get(method) if isinstance(methods, dict) else None
    if not isinstance(inputs, list):
        return ()
    return [value.sizes if isinstance(value, Tensor) else None for value in inputs]
