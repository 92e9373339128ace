"""One thin adapter for each version of wasi-nn, and one for core modules, all on the same `Serving`."""

from __future__ import annotations

from functools import partial

from wasi_nn_torch.hosts import v2024_06_25, v2024_08_19, v2024_10_28, witx
from wasi_nn_torch.hosts.resources import ErrorResource, require_passable
from wasi_nn_torch.hosts.served import Served, ServedModule
from wasi_nn_torch.serving.refusals import Refusals
from wasi_nn_torch.serving.serving import Serving
from wit_host import Component, Linker, Store
from wit_host.core import CoreLinker, CoreModule, CoreStore

#: The versions that guests may import, any number of them at once.
VERSIONS = (v2024_06_25, v2024_08_19, v2024_10_28)
#: The interfaces whose bytes cross at the speed of memory.
BUFFERS = tuple(name for version in VERSIONS for name in version.BUFFERS)

#: The prefix of the names of all interfaces of wasi-nn.
_PACKAGE = "wasi:nn/"


def are_imported_by(guest: Component | CoreModule) -> bool:
    """Whether a guest imports any version of wasi-nn."""
    if isinstance(guest, CoreModule):
        return any(each.module == witx.MODULE for each in guest.compiled.imports)
    return any((each.implements or name).startswith(_PACKAGE) for name, each in guest.imports.items())


def is_wasi_imported_by(guest: Component | CoreModule) -> bool:
    """Whether a guest imports WASI itself, and so can read its arguments and use its streams."""
    if isinstance(guest, CoreModule):
        return any(each.module != witx.MODULE and each.module.startswith("wasi_") for each in guest.compiled.imports)
    names = [each.implements or name for name, each in guest.imports.items()]
    return any(name.startswith("wasi:") and not name.startswith(_PACKAGE) for name in names)


def add_to_linker(linker: Linker) -> None:
    """Define every version in `linker`, for the stores that `serve` prepares."""
    for version in VERSIONS:
        version.add_to_linker(linker)


def add_to_core_linker(linker: CoreLinker) -> None:
    """Define `wasi_ephemeral_nn` in `linker`, for the stores that `serve` prepares."""
    witx.add_to_linker(linker)


def serve(store: Store | CoreStore, serving: Serving, data: object = None) -> None:
    """Let the guest of `store` use `serving`, which records each error; `data` is for `per_session`."""
    if isinstance(store, CoreStore):
        store.data = ServedModule(serving, data, store.memory, store.resources)
    else:
        store.data = Served(serving, data)
        store.on_error(partial(_record, serving.refusals))
        store.on_pass(partial(require_passable, serving))


def _record(refusals: Refusals, function: str, error: object) -> None:
    if isinstance(error, ErrorResource):
        refusals.record(function, error.kind.value, error.data())
