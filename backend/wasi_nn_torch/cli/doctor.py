"""The command `wasi-nn-torch doctor`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from wasi_nn_torch.contract.findings import Finding

_STYLES = {"ok": "green", "missing": "yellow", "broken": "bold red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check this machine for everything that guests need, and show how to fix problems.

    The exit status is 0 if guests can run, otherwise 1.
    """
    from wasi_nn_torch.contract.findings import Health
    from wasi_nn_torch.doctor.checks import examine

    findings = list(examine())
    can_run = all(finding.health is not Health.BROKEN for finding in findings)
    if as_json:
        print(json.dumps({"can_run": can_run, "findings": [_plain(finding) for finding in findings]}, indent=2))
    else:
        _print(findings)
    raise typer.Exit(0 if can_run else 1)


def _plain(finding: Finding) -> dict[str, str | None]:
    return {
        "name": finding.name,
        "health": finding.health.value,
        "text": finding.text,
        "remedy": finding.remedy,
    }


def _print(findings: Iterable[Finding]) -> None:
    """Print a table on a terminal; elsewhere a line for each finding, and one for each remedy."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    table = Table.grid(padding=(0, 3, 0, 0))
    for finding in findings:
        health = finding.health.value
        if console.is_terminal:
            table.add_row(Text(health, _STYLES[health]), Text(finding.name, "bold"), Text(finding.text))
            if finding.remedy is not None:
                table.add_row("", "", Text(f"→ {finding.remedy}"))
            continue
        console.print(f"{health:7} {finding.name}: {finding.text}", soft_wrap=True)
        if finding.remedy is not None:
            console.print(f"        → {finding.remedy}", soft_wrap=True)
    if console.is_terminal:
        console.print(table)
