"""What all stores share: the compiler, and the clock.

In: components. Out: what they are compiled to, and stores to run them in.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import wasmtime
from wasmtime import component

from . import capi
from .component import InvalidComponent, prepare
from .errors import GuestError
from .store import Store
from .ticker import Ticker

logger = logging.getLogger(__name__)


class Engine:
    """Compiles guests, and makes the stores that they run in, which may be in threads side by side.

    `cache` keeps compiled guests in Wasmtime's cache in the user's cache folder.
    """

    def __init__(self, *, cache: bool = False) -> None:
        self._engine = wasmtime.Engine(_config(cache))
        self._ticker = Ticker(self._engine)

    def compile(self, guest: str | os.PathLike[str] | bytes, name: str | None = None) -> component.Component:
        """Compile a component, given by its path or bytes, in the binary or the text format.

        Any number of stores may run it. `name` is what messages call it, by default the file's name. Raises OSError
        where the file cannot be read, GuestError where it is no component that is valid.
        """
        if isinstance(guest, bytes):
            wasm, file = guest, "the guest"
        else:
            wasm, file = Path(guest).read_bytes(), Path(guest).name
        try:
            if not wasm.startswith(b"\0asm"):
                wasm = bytes(wasmtime.wat2wasm(wasm))
            return component.Component(self._engine, prepare(wasm))
        except (wasmtime.WasmtimeError, InvalidComponent) as error:
            raise GuestError(f"{name or file} is not a valid component: {' '.join(str(error).split())}") from None

    def store(
        self,
        *,
        wasi: wasmtime.WasiConfig | None = None,
        memory: int | None = None,
        timeout: float | None = None,
    ) -> Store:
        """A store for one guest; use it in a `with` block.

        `wasi` is what the guest sees of the host's system, by default nothing. `memory` is the most bytes that each of
        its linear memories may have, `timeout` the most seconds of wall-clock time that each call of it may take.
        """
        return Store(self._engine, self._ticker, wasi or wasmtime.WasiConfig(), memory=memory, timeout=timeout)


def _config(cache: bool) -> wasmtime.Config:
    config = wasmtime.Config()
    config.epoch_interruption = True
    config.wasm_component_model_map = True
    config.wasm_component_model_implements = True
    capi.allow_many_borrows(config)
    if cache:
        try:
            config.cache = True
        except wasmtime.WasmtimeError as error:
            logger.warning("compiled guests are not cached: %s", " ".join(str(error).split()))
    return config
