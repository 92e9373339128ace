"""Pairs of a name and a text, printed as a table on a terminal and as lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wasi_nn_torch.contract.text import printable

Row = tuple[str, str]
"""A name and a text."""


def print_rows(rows: Iterable[Row]) -> None:
    """Print on standard output, with texts made printable; the table does not repeat a name."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        for name, text in rows:
            console.print(f"{name}: {printable(text)}", soft_wrap=True)
        return
    table = Table.grid(padding=(0, 3, 0, 0))
    before = ""
    for name, text in rows:
        table.add_row(Text("" if name == before else name, style="bold"), Text(printable(text)))
        before = name
    console.print(table)
