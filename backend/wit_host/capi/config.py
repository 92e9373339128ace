"""Settings of an engine that wasmtime's package does not offer."""

from __future__ import annotations

import wasmtime
from wasmtime import _ffi as ffi


def allow_many_borrows(config: wasmtime.Config) -> None:
    """Let a guest pass more than one borrowed resource to a host function.

    The engine traps on such a call while its support for concurrent calls is on, which is the default.
    """
    ffi.wasmtime_config_concurrency_support_set(config.ptr(), False)


def allow_async_types(config: wasmtime.Config) -> None:
    """Let guests have streams, futures and async functions in their types, in each of the ways to implement these.

    The engine runs such functions on stacks of their own, on which the host functions run that they call, too. So these
    stacks are as large as those of threads; memory is taken as they are used.
    """
    ffi.wasmtime_config_wasm_component_model_async_stackful_set(config.ptr(), True)
    ffi.wasmtime_config_async_stack_size_set(config.ptr(), _STACK)


#: The size of a stack for async functions, in bytes.
_STACK = 8 << 20


def count_fuel(config: wasmtime.Config) -> None:
    """Count the fuel that guests consume, about one unit for each instruction, which makes their code slower."""
    config.consume_fuel = True


def compile_quickly(config: wasmtime.Config) -> None:
    """Compile in less than half the time, to slower and larger code; engines without this setting can load it."""
    config.cranelift_opt_level = "none"
    ffi.wasmtime_config_cranelift_flag_set(config.ptr(), b"regalloc_algorithm", b"single_pass")
