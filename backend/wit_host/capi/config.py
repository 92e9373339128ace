"""Settings of an engine that wasmtime's package has no name for."""

from __future__ import annotations

import wasmtime
from wasmtime import _ffi as ffi


def allow_many_borrows(config: wasmtime.Config) -> None:
    """Let a guest lend a host function more than one resource at once.

    With its support for concurrent calls, which is on by default, this engine traps there.
    """
    ffi.wasmtime_config_concurrency_support_set(config.ptr(), False)
