"""Opening a guest: its store, for what it is linked with.

In: a guest, and what its session grants it. Out: the store, and the two ways to begin: run it, or start it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from wasi_nn_torch.sessions.guests import Guest
from wasi_nn_torch.sessions.limits import Limits
from wasi_nn_torch.sessions.runtime import Runtime
from wit_host import Instance, LinkError, Store, WasiConfig
from wit_host.core import CoreInstance, CoreModule, CoreStore, LinkedModule

#: The export of a core module that is a command, and the beginning of the interface that such a component exports.
_START, _RUN = "_start", "wasi:cli/run@"


class Opened(NamedTuple):
    """A guest in its store: `run` runs it to completion, `start` starts it so that its exports can be called."""

    store: Store | CoreStore
    run: Callable[[], int]
    start: Callable[[], Instance | CoreInstance]


def open_guest(runtime: Runtime, guest: Guest, wasi: WasiConfig | None, limits: Limits) -> Opened:
    """Open a store for a guest; raises LinkError if it imports what this host does not provide."""
    linked = guest.linked
    if isinstance(linked, LinkedModule):
        core_store = runtime.open_core_store(wasi, limits)
        return Opened(core_store, partial(core_store.run_command, linked), partial(core_store.instantiate, linked))
    store = runtime.open_store(wasi, limits)
    return Opened(store, partial(store.run_command, linked), partial(store.instantiate, linked))


def require_startable(guest: Guest) -> None:
    """Raise LinkError for a command, which has nothing to call once it has started."""
    if isinstance(guest.compiled, CoreModule):
        if any(export.name == _START for export in guest.compiled.compiled.exports):
            raise LinkError(
                f"{guest.name} is a command, which runs and ends; run it with `session.run`, or build it as a reactor, "
                "in C with `-mexec-model=reactor`"
            )
    elif guest.compiled.exports and all(name.startswith(_RUN) for name in guest.compiled.exports):
        raise LinkError(
            f"{guest.name} is a command, which runs and ends; run it with `session.run`, or build it with a world that "
            "exports the functions to call"
        )
