"""The calls by which the engine enters a guest: plain ones, and those during which the guest may wait."""

from __future__ import annotations

from .. import capi
from ..crossing.state import HostState


def enter(
    state: HostState,
    function: capi.Function,
    arguments: capi.OwnedValues,
    results: capi.OwnedValues,
    is_async: bool = False,
) -> None:
    """Call a function of a guest; raises `wasmtime.WasmtimeError` if it does not return."""
    if is_async or state.may_wait:
        capi.call_async_guest(function, state.context, arguments, results, state.kept, state.clock.tick)
    else:
        capi.call_guest(function, state.context, arguments, results)
