"""The command line: `wasi-nn-torch cache info` and `cache clear`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from wasi_nn_torch.exits import fail

if TYPE_CHECKING:
    from wit_host.cache import CompileCache, Entry

app = typer.Typer(help="Look at the compiled guests that are kept, or remove them.", no_args_is_help=True)


@app.command()
def info() -> None:
    """Show where compiled guests are kept, how large they are, and when each was last used."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    cache = _cache()
    entries = cache.entries()
    table = Table("compiled guest", "size", "last used", box=SIMPLE_HEAD, pad_edge=False, show_footer=True)
    table.columns[1].justify = "right"
    for entry in reversed(entries):
        table.add_row(str(entry), _megabytes(entry.size), _moment(entry.used))
    table.columns[0].footer = _count(entries)
    table.columns[1].footer = _size(entries)
    table.columns[2].footer = f"at most {_megabytes(cache.largest)}"
    console = Console(highlight=False, markup=False)
    console.print(cache.folder, soft_wrap=True)
    console.print(table, soft_wrap=not console.is_terminal)


@app.command()
def clear() -> None:
    """Remove all compiled guests that are kept, and nothing else."""
    cache = _cache()
    removed = cache.clear()
    print(f"removed {_count(removed)}, {_size(removed)}, from {cache.folder}")
    left = cache.entries()
    if left:
        fail(f"{_count(left)} could not be removed from {cache.folder}; another process may be using them")


def _cache() -> CompileCache:
    """The user's cache, whose folder can be used; it may be missing."""
    from wasi_nn_torch.cache import VARIABLE, user_cache

    cache = user_cache()
    if cache is None:
        fail(f"compiled guests are not kept, because there is no home; name a folder in {VARIABLE}")
    trouble = cache.trouble()
    if trouble:
        fail(f"{cache.folder} is not used for compiled guests, because {trouble}")
    return cache


def _count(entries: list[Entry]) -> str:
    return "1 entry" if len(entries) == 1 else f"{len(entries)} entries"


def _size(entries: Iterable[Entry]) -> str:
    return _megabytes(sum(entry.size for entry in entries))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _moment(seconds: float) -> str:
    """A moment in the local time of this machine, to the minute."""
    try:
        return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"
    except (OverflowError, OSError, ValueError):  # the time of a file can be any number
        return "unknown"
