"""The commands `wasi-nn-torch cache info` and `cache clear`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wasi_nn_torch.cli.exits import fail
from wasi_nn_torch.contract.sizes import spell_size

if TYPE_CHECKING:
    from wit_host import CacheDirectory, CacheEntry

app = typer.Typer(help="List or remove cached compiled guests.", no_args_is_help=True)


@app.command(epilog="Example: wasi-nn-torch cache info --json")
def info(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show the cache directory, and the size and last use of each compiled guest in it."""
    from wasi_nn_torch.sessions.cache import key_trouble

    cache = _directory()
    trouble = key_trouble(cache.folder)
    if trouble:
        fail(f"compiled guests are not cached: {trouble}")
    if as_json:
        print(json.dumps(_facts(cache), indent=2))
    else:
        _print(cache)


@app.command(epilog="Example: wasi-nn-torch cache clear guest.wasm")
def clear(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Remove only guests with this name or key.", show_default=False)
    ] = None,
) -> None:
    """Remove compiled guests from the cache, by default all of them."""
    cache = _directory()
    keys = None if name is None else _called(cache, name)
    removed = cache.clear(keys)
    print(f"removed {_count(removed)}, {_size(removed)}, from {cache.folder}")
    left = [entry for entry in cache.entries() if keys is None or entry.key in keys]
    if left:
        fail(f"{_count(left)} could not be removed from {cache.folder}; they may be in use by another process")


def _directory() -> CacheDirectory:
    """The directory of the user's cache, which is safe to use, or does not exist yet."""
    from wasi_nn_torch.sessions.cache import VARIABLE, user_cache_directory

    cache = user_cache_directory()
    if cache is None:
        fail(f"compiled guests are not cached, because there is no home directory; set {VARIABLE} to a directory")
    trouble = cache.trouble()
    if trouble:
        fail(f"{cache.folder} is not used for compiled guests, because {trouble}")
    return cache


def _called(cache: CacheDirectory, name: str) -> set[str]:
    """The keys of the entries with this name, this key, or this key as `info` shows it."""
    names = cache.names()
    keys = {entry.key for entry in cache.entries() if name in (names.get(entry.key), entry.key, str(entry))}
    if not keys:
        fail(f"no compiled guest has the name or key `{name}`; list them with `wasi-nn-torch cache info`")
    return keys


def _facts(cache: CacheDirectory) -> dict[str, object]:
    """The JSON object of `--json`; sizes are in bytes, times in UTC."""
    names = cache.names()
    entries = [
        {"name": names.get(entry.key), "key": entry.key, "bytes": entry.size, "last_used": _instant(entry.used)}
        for entry in reversed(cache.entries())
    ]
    return {
        "folder": str(cache.folder),
        "key_file": str(_key_file()),
        "most_bytes": cache.largest,
        "entries": entries,
    }


def _key_file() -> Path | None:
    from wasi_nn_torch.sessions.cache_key import key_path

    return key_path()


def _print(cache: CacheDirectory) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    entries, names = cache.entries(), cache.names()
    table = Table("compiled guest", "size", "last used", "key", box=SIMPLE_HEAD, pad_edge=False, show_footer=True)
    table.columns[1].justify = "right"
    for entry in reversed(entries):
        table.add_row(names.get(entry.key, "unknown"), spell_size(entry.size), _moment(entry.used), str(entry))
    table.columns[0].footer = _count(entries)
    table.columns[1].footer = _size(entries)
    table.columns[2].footer = f"at most {spell_size(cache.largest)}"
    console = Console(highlight=False, markup=False)
    console.print(cache.folder, soft_wrap=True)
    console.print(table, soft_wrap=not console.is_terminal)
    console.print(f"authenticated with the key {_key_file()}", soft_wrap=True)


def _count(entries: list[CacheEntry]) -> str:
    return "1 entry" if len(entries) == 1 else f"{len(entries)} entries"


def _size(entries: Iterable[CacheEntry]) -> str:
    return spell_size(sum(entry.size for entry in entries))


def _moment(seconds: float) -> str:
    """A time of day on this machine, to the minute."""
    try:
        return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"
    except (OverflowError, OSError, ValueError):  # the time of a file can be any number
        return "unknown"


def _instant(seconds: float) -> str | None:
    """A time in ISO 8601, to the second."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):
        return None
