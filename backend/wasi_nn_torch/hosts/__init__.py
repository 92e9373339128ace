"""One thin adapter for each version of wasi-nn, all over the same backend."""

from __future__ import annotations

from wasi_nn_torch.hosts import v2024_10_28
from wasi_nn_torch.serving import Serving
from wit_host import Linker

#: What guests may import, all at once.
VERSIONS = (v2024_10_28,)
#: The interfaces whose bytes cross at the speed of memory.
BUFFERS = tuple(name for version in VERSIONS for name in version.BUFFERS)


def add_to_linker(linker: Linker, serving: Serving) -> None:
    """Define every version in `linker` for one guest."""
    for version in VERSIONS:
        version.add_to_linker(linker, serving)
