"""The options of `wasi-nn-torch run` for the limits of a session, one for each, with their default values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Final

import typer

from wasi_nn_torch.cli.exits import bad_value
from wasi_nn_torch.cli.option_values import duration, size
from wasi_nn_torch.contract.limiting import LIMITS, Unit
from wasi_nn_torch.sessions.limits import Limits, default_limits

#: The heading of `--help`.
PANEL = "Limits"
#: The word that lifts a limit, and its value: that of an option which was not given is None.
_NONE = "none"
_LIFTED: Final = -1
_DEFAULTS = {row.name: row.default for row in default_limits()}


def _count(text: str) -> int:
    with bad_value():
        if not (text.isascii() and text.isdigit()):
            raise ValueError(f"`{text}` is not a number of at least 0; give digits, or `{_NONE}` to lift the limit")
        return int(text)


def _or_none(parse: Callable[[str], float]) -> Callable[[str], float]:
    """A parser for the values that `parse` takes, and for the word that lifts the limit."""

    def parse_limit(text: str) -> float:
        return _LIFTED if text.strip().lower() == _NONE else parse(text)

    return parse_limit


_PARSERS = {Unit.BYTES: ("SIZE|none", size), Unit.COUNT: ("N|none", _count), Unit.SECONDS: ("TIME|none", duration)}


def _option(name: str) -> Any:  # noqa: ANN401  # an annotation that typer reads
    text = LIMITS[name]
    metavar, parse = _PARSERS[text.unit]
    return typer.Option(
        text.option,
        metavar=metavar,
        parser=_or_none(parse),
        help=f"Limit for {text.meaning}.",
        show_default=_DEFAULTS[name],
        rich_help_panel=PANEL,
    )


Timeout = Annotated[float | None, _option("timeout")]
MaxMemory = Annotated[int | None, _option("memory")]
MaxMemories = Annotated[int | None, _option("memories")]
MaxTables = Annotated[int | None, _option("tables")]
MaxTableElements = Annotated[int | None, _option("table_elements")]
MaxInstances = Annotated[int | None, _option("instances")]
MaxHostMemory = Annotated[int | None, _option("host_bytes")]
MaxDeviceMemory = Annotated[int | None, _option("device_bytes")]
MaxTensors = Annotated[int | None, _option("tensors")]
MaxResources = Annotated[int | None, _option("resources")]
MaxOutput = Annotated[int | None, _option("output")]
MaxFuel = Annotated[int | None, _option("fuel")]
NoLimits = Annotated[
    bool, typer.Option("--no-limits", help="Lift all limits except those that are given.", rich_help_panel=PANEL)
]

CompileTimeout = Annotated[
    float | None,
    typer.Option(
        metavar="TIME",
        parser=duration,
        help="Limit for the time to compile the guest, by default 2min.",
        rich_help_panel=PANEL,
    ),
]
CompileMemory = Annotated[
    int | None,
    typer.Option(
        metavar="SIZE",
        parser=size,
        help="Limit for the memory to compile the guest, by default 2GiB.",
        rich_help_panel=PANEL,
    ),
]
CompileInProcess = Annotated[
    bool,
    typer.Option(
        "--compile-in-process",
        help="Compile a trusted guest in this process, without limits.",
        rich_help_panel=PANEL,
    ),
]


def limits(no_limits: bool, given: Mapping[str, float | None]) -> Limits:
    """The limits of a session: the values of the options that were given, and for others the default or none."""
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    lifted = {name: None if value == _LIFTED else value for name, value in values.items()}
    return replace(Limits.none() if no_limits else Limits(), **lifted)
