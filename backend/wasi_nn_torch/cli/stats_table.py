"""The statistics of a session as a table on standard error."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from wasi_nn_torch.contract.ledger import Transfer
from wasi_nn_torch.sessions.stats import SessionStats

_WAYS = {
    Transfer.GUEST_TO_HOST: "guest → host",
    Transfer.HOST_TO_DEVICE: "host → device",
    Transfer.DEVICE_TO_HOST: "device → host",
    Transfer.DEVICE_TO_DEVICE: "device → device",
}

Row = tuple[str, str, str]


def print_stats(stats: SessionStats) -> None:
    """Print a table with sections for calls, errors, transfers, memory and times."""
    table = Table("what", "count", "amount", box=SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    sections = _calls(stats), _errors(stats), _transfers(stats), _memory(stats), _batches(stats), _times(stats)
    for section in sections:
        for row in section:
            table.add_row(*row)
        table.add_section()
    console = Console(stderr=True, highlight=False, markup=False)
    console.print(table, soft_wrap=not console.is_terminal)


def _calls(stats: SessionStats) -> Iterator[Row]:
    for name, count in sorted(stats.calls.items()):
        instance, _, function = name.partition("#")
        interface = instance.partition("@")[0]
        yield f"{interface} {function.removeprefix('[method]')}", f"{count:,}", ""


def _errors(stats: SessionStats) -> Iterator[Row]:
    for code, count in sorted(stats.errors.items()):
        yield f"error {code}", f"{count:,}", ""


def _transfers(stats: SessionStats) -> Iterator[Row]:
    for way, figures in stats.memory.transfers.items():
        yield f"copied {_WAYS[way]}", f"{figures.copies:,}", f"{figures.bytes:,} B"


def _memory(stats: SessionStats) -> Iterator[Row]:
    for place, figures in sorted(stats.memory.places.items()):
        yield f"peak on {place}", f"{figures.peak_tensors:,}", f"{figures.peak_bytes:,} B"
        yield f"live on {place}", f"{figures.tensors:,}", f"{figures.bytes:,} B"


def _batches(stats: SessionStats) -> Iterator[Row]:
    for name, figures in sorted(stats.batching.items()):
        yield f"batches of {name}, mean size", f"{figures.batches:,}", f"{figures.mean_size:.1f}"
        yield "  waiting for them", f"{figures.requests:,}", f"{figures.queue_seconds * 1e3:,.1f} ms"
        yield "  computing them", "", f"{figures.compute_seconds * 1e3:,.1f} ms"
        for what in ("failed_together", "refused", "withdrawn"):
            number = getattr(figures, what)
            if number:
                yield f"  {what.replace('_', ' ')}", f"{number:,}", ""


def _times(stats: SessionStats) -> Iterator[Row]:
    compiling = "loading the guest from the cache" if stats.from_cache else "compiling the guest"
    yield compiling, "", f"{stats.compile_seconds * 1e3:,.1f} ms"
    yield "running the guest", "", f"{stats.run_seconds * 1e3:,.1f} ms"
    yield "  of which computing", f"{stats.memory.computes:,}", f"{stats.memory.compute_seconds * 1e3:,.1f} ms"
    if stats.overdue:
        yield "computing beyond the guest's time", f"{stats.overdue:,}", ""
    if stats.fuel:
        yield "fuel", f"{stats.fuel:,}", ""
    yield f"byte transport: {stats.transport}", "", ""
