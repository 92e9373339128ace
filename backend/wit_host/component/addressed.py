"""Lists of numbers by address, in calls of exported functions.

In: a function that was added for that, and Python arguments. Out: the result of the guest. The host asks the guest's
allocator for memory, copies each list there, calls the function with addresses, reads the result where the guest stored
it, and calls `post-return`, by which the guest frees it.
"""

from __future__ import annotations

from typing import Any

from .. import capi
from ..crossing import transport
from ..crossing.memory import LinearMemory
from ..crossing.state import HostState
from ..errors import GuestTrap
from ..misfits import Misfit, wrong_value
from ..values import U32, ByteList, Codec, List
from ..values.stored import Stored
from .entering import enter

#: Numbers in a list, as the guest stores them: the bytes, and the size of each number.
Numbers = tuple[transport.Source, int]


class Addressed:
    """The functions of an instance by which one of its functions takes and returns lists of numbers.

    `allocator` is missing if it takes none, `after` if the guest has nothing to free.
    """

    __slots__ = ("_after", "_allocator")

    def __init__(self, allocator: capi.Function | None, after: capi.Function | None) -> None:
        self._allocator = allocator
        self._after = after

    def give(self, state: HostState, argument: capi.Value, numbers: Numbers) -> None:
        """Copy numbers to memory that the guest allocates, and make `argument` their address and amount.

        Raises `Misfit` for memory that the guest does not have, and the exceptions of calls and of a `ByteSource`.
        """
        source, size = numbers
        address = _call(self._allocator, state, 0, 0, size, source.nbytes)
        if address % size:
            raise Misfit(GuestTrap, f"the guest allocated it at {address}, which is not a multiple of {size}")
        _write(state.memory.only, address, source)
        capi.new_tuple(argument, 2)
        for element, number in zip(capi.elements(argument), (address, source.nbytes // size), strict=True):
            U32.lower(state, element, number)

    def take(self, state: HostState, stored: Stored, result: capi.Value) -> Any:  # noqa: ANN401  # as the codec lifts it
        """Return the result at the address in `result`, and let the guest free it; raises `Misfit`."""
        at = U32.lift(state, result)
        if at % stored.alignment:
            raise Misfit(GuestTrap, f"the guest stored it at {at}, which is not a multiple of {stored.alignment}")
        answer = stored.read(state, state.memory.only, at)
        if self._after is not None:
            _call(self._after, state, at, returns=False)
        return answer


def numbers_of(codec: Codec, item: object) -> Numbers:
    """Return a list of numbers as it is stored; raises `Misfit` if it is not one of this type."""
    content: transport.Source
    if isinstance(codec, List) and codec.number is not None:
        content, size = codec.packed(item)
    else:
        content, size = transport.as_source(item), 1
    if content.nbytes >= 1 << 32:
        raise wrong_value(f"a guest's memory has no room for {content.nbytes} bytes")
    return content, size


def takes_numbers(codec: Codec) -> bool:
    """Whether a parameter is a list of numbers."""
    return isinstance(codec, ByteList) or (isinstance(codec, List) and codec.number is not None)


def _call(function: capi.Function | None, state: HostState, *numbers: int, returns: bool = True) -> int:
    """Call a function of numbers, which the component has if it is needed, since it was rewritten for it."""
    if function is None:
        raise RuntimeError("a guest takes lists without an allocator; please report this error of the host")
    with capi.owned_values(len(numbers)) as arguments, capi.owned_values(int(returns)) as results:
        for at, number in enumerate(numbers):
            U32.lower(state, arguments[at], number)
        enter(state, function, arguments, results)
        return U32.lift(state, results[0]) if returns else 0


def _write(memory: LinearMemory, address: int, source: transport.Source) -> None:
    view = memory.view(address, source.nbytes)
    try:
        transport.write_bytes(source, view)
    finally:
        view.release()
    if memory.is_viewed:
        raise Misfit(RuntimeError, "its `write_into` kept a view of the memory of the guest, beyond the call")
