"""Options of Wasmtime's and WasmEdge's command lines, for people who come from there: what to write here.

`docs/coming-from.md` is the long form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from wasi_nn_torch.cli.stats_option import CommandWithStats

_WASI = (
    "wasi-nn is always there; for `nn-graph` write --graph NAME=PATH, for `inherit-env` --env NAME for each variable"
)
_WASM = "for `max-memory-size` write --max-memory SIZE, for `timeout` --timeout TIME; there is no fuel"
_COMPILED = "guests are always compiled; with --no-cache what they are compiled to is not kept"
_NETWORK = "guests get no network"
_FUNCTION = "only commands run here, from their beginning; in Python, witgen makes bindings to call other exports"

#: What to write for an option, or why there is nothing to write.
COUNTERPARTS: Mapping[str, str] = {
    # Wasmtime
    "-S": _WASI,
    "--wasi": _WASI,
    "-W": _WASM,
    "--wasm": _WASM,
    "-C": _COMPILED,
    "--codegen": _COMPILED,
    "--allow-precompiled": _COMPILED,
    "--mapdir": "write --dir HOST::GUEST, the host's path first",
    "--wasm-timeout": "write --timeout TIME",
    "--invoke": _FUNCTION,
    "--preload": "a guest is one file; for a model write --graph NAME=PATH",
    "--tcplisten": _NETWORK,
    # WasmEdge
    "--nn-preload": "for NAME:PyTorch:CPU:PATH write --graph NAME=PATH,device=cpu",
    "--time-limit": "write --timeout TIME, with a unit: 500ms",
    "--memory-page-limit": "write --max-memory SIZE; a page is 64KiB",
    "--gas-limit": "there is no gas; write --timeout TIME",
    "--reactor": _FUNCTION,
    "--enable-all-statistics": "write --stats",
    "--enable-time-measuring": "write --stats",
    "--force-interpreter": _COMPILED,
    "--enable-jit": _COMPILED,
    "--forbidden-plugin": "there are no plugins; backends are Python packages",
}


class RunCommand(CommandWithStats):
    """The command `run`, which knows the options of others, and that what follows the guest is the guest's."""

    def make_context(self, *arguments: object, **options: object) -> typer.Context:
        """Parse the command line; an option of another host is answered by what to write here."""
        try:
            return super().make_context(*arguments, **options)  # type: ignore[arg-type, return-value]
        except Exception as error:
            option = str(getattr(error, "option_name", ""))
            if option not in COUNTERPARTS:
                raise
        raise typer.BadParameter(COUNTERPARTS[option], param_hint=option)

    def shell_complete(self, ctx: typer.Context, incomplete: str) -> list[Any]:  # type: ignore[override]
        """What a shell offers; after the guest no option of ours."""
        return [] if ctx.params.get("guest") else super().shell_complete(ctx, incomplete)
