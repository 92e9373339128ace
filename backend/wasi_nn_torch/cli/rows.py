"""Names and what is said of them: a table on a terminal, a line for each elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = tuple[str, str]
"""A name, and what is said of it."""


def printable(text: str) -> str:
    """A text of which every character can be shown: what comes from a file may hold commands for a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def print_rows(rows: Iterable[Row]) -> None:
    """Print on standard output; a name that is the same as the one before is not repeated in the table."""
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
