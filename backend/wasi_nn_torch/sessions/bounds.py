"""The limits that the runtime of guests checks, apart from memory, time and resources."""

from __future__ import annotations

from functools import lru_cache

from wasi_nn_torch.contract.limiting import advice
from wasi_nn_torch.sessions.limits import Limits
from wit_host import Bounds

#: The elements of lists, and the bytes of strings, that a guest may pass in one call of wasi-nn. Python objects are
#: made of them while other threads wait: for 8,192 named tensors, less than 100 ms.
_ELEMENTS = 8192
_TEXT = 1 << 20


@lru_cache(maxsize=64)
def bounds_of(limits: Limits) -> Bounds:
    """The bounds for the guest of a session."""
    return Bounds(
        memories=limits.memories,
        tables=limits.tables,
        table_elements=limits.table_elements,
        instances=limits.instances,
        output=limits.output,
        fuel=limits.fuel,
        elements=_ELEMENTS,
        text=_TEXT,
        advice=advice,
    )
