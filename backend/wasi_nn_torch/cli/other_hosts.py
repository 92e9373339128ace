"""Options of the command lines of Wasmtime and WasmEdge, and their counterparts here.

`docs/coming-from.md` has the complete tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from wasi_nn_torch.cli.stats_option import CommandWithStats

_WASI = (
    "wasi-nn is always available; for `nn-graph` use --graph NAME=PATH, for `inherit-env` use --env NAME per variable, "
    "for `http` --allow-http ORIGIN per server"
)
_WASM = (
    "for `max-memory-size` use --max-memory SIZE, for `max-memories` and the like --max-memories N, for `timeout` "
    "--timeout TIME, for `fuel` --max-fuel N"
)
_COMPILED = "guests are always compiled; --no-cache disables the cache of compiled guests"
_NETWORK = "guests have no sockets; for requests of HTTP use --allow-http ORIGIN"
_FUNCTION = "only commands can be run; to call other exports from Python, generate bindings with witgen"

#: The counterpart of each option, or the reason why there is none.
COUNTERPARTS: Mapping[str, str] = {
    # Wasmtime
    "-S": _WASI,
    "--wasi": _WASI,
    "-W": _WASM,
    "--wasm": _WASM,
    "-O": "for `opt-level=0` use --no-optimize; for models use --graph NAME=PATH,optimize=none|freeze|compile",
    "-C": _COMPILED,
    "--codegen": _COMPILED,
    "--allow-precompiled": _COMPILED,
    "--mapdir": "use --dir HOST::GUEST, with the host's path first",
    "--wasm-timeout": "use --timeout TIME",
    "--invoke": _FUNCTION,
    "--preload": "a guest is a single file; for a model use --graph NAME=PATH",
    "--tcplisten": _NETWORK,
    # WasmEdge
    "--nn-preload": "for NAME:PyTorch:CPU:PATH use --graph NAME=PATH,device=cpu",
    "--time-limit": "use --timeout TIME, with a unit: 500ms",
    "--memory-page-limit": "use --max-memory SIZE; a page is 64KiB",
    "--gas-limit": "use --max-fuel N, which counts instructions of WebAssembly",
    "--reactor": _FUNCTION,
    "--enable-all-statistics": "use --stats",
    "--enable-time-measuring": "use --stats",
    "--force-interpreter": _COMPILED,
    "--enable-jit": _COMPILED,
    "--forbidden-plugin": "plugins are not supported; backends are Python packages",
}


class RunCommand(CommandWithStats):
    """The command `run`: it explains options of other hosts, and passes arguments after GUEST to the guest."""

    def make_context(self, *arguments: object, **options: object) -> typer.Context:
        """Parse the command line; for an option of another host, report its counterpart."""
        try:
            return super().make_context(*arguments, **options)  # type: ignore[arg-type, return-value]
        except Exception as error:
            option = str(getattr(error, "option_name", ""))
            if option not in COUNTERPARTS:
                raise
        raise typer.BadParameter(COUNTERPARTS[option], param_hint=option)

    def shell_complete(self, ctx: typer.Context, incomplete: str) -> list[Any]:  # type: ignore[override]
        """Complete options, but only before GUEST."""
        return [] if ctx.params.get("guest") else super().shell_complete(ctx, incomplete)
