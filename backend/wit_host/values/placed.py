"""Results that begin with bytes, if they are `ok`, in functions that return their address and their length instead.

In: the codec of such a result. Out: the value with an address and a length in the place of the bytes.
"""

from __future__ import annotations

from ..capi import Value
from ..crossing.state import HostState
from ..misfits import Misfit
from .cases import Result
from .codec import Codec
from .scalars import U32
from .sequences import ByteList, Tuple

_PAIR = Tuple(U32, U32)


def begins_with_bytes(result: Codec | Result | None) -> bool:
    """Return whether this is the codec of a `result` with `list<u8>`, or a tuple that begins with it, as its `ok`."""
    ok = result.ok if isinstance(result, Result) else None
    return isinstance(ok, ByteList) or (isinstance(ok, Tuple) and isinstance(ok.elements[0], ByteList))


class Placed:
    """The codec of such a result, whose bytes are elsewhere."""

    def __init__(self, result: Result) -> None:
        ok = result.ok
        self._tuple = ok if isinstance(ok, Tuple) else None
        elements = (_PAIR, *self._tuple.elements[1:]) if self._tuple else ()
        self._result = Result(Tuple(*elements) if elements else _PAIR, result.err, result.error)

    def bytes_of(self, item: object) -> object:
        """Return the bytes of an answer; raises `Misfit` if it is not a tuple of the right length."""
        if self._tuple is None:
            return item
        if not isinstance(item, tuple) or len(item) != len(self._tuple.elements):
            raise Misfit(TypeError, f"a tuple of {len(self._tuple.elements)} is needed, not {type(item).__name__}")
        return item[0]

    def lower(self, state: HostState, value: Value, item: object, pair: tuple[int, int]) -> None:
        """Answer `ok` with an address and a length in the place of the bytes."""
        placed = (pair, *item[1:]) if isinstance(item, tuple) and self._tuple is not None else pair
        self._result.lower(state, value, placed)
