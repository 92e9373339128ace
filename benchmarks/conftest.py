"""The fixtures of the benchmarks: running guests, and the table at the end."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from rich.console import Console

from benchmarks.comparison import Comparison, Row, table

ROOT = Path(__file__).parent.parent
_ROWS = pytest.StashKey[list[Row]]()


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> list[Row]:
    """The lines of the table."""
    return request.config.stash.setdefault(_ROWS, [])


@pytest.fixture
def compare(benchmark: BenchmarkFixture, rows: list[Row]) -> Comparison:
    return Comparison(benchmark, rows)


@pytest.fixture(scope="session")
def bindings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """The bindings that witgen generates for the imports of `guests.BARE`."""
    from benchmarks.guests import WIT
    from witgen.generate import Target, generate, write

    directory = tmp_path_factory.mktemp("bindings")
    wit = directory / "bench.wit"
    wit.write_text(WIT)
    target = Target((wit,), directory, package="bench_bindings")
    write(target, generate(target))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(directory)
        yield importlib.import_module("bench_bindings")
        sys.modules.pop("bench_bindings", None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(_ROWS, [])
    if not rows:
        return
    text = io.StringIO()
    width = max(terminalreporter._tw.fullwidth, 150)
    Console(file=text, force_terminal=terminalreporter.hasmarkup, width=width).print(table(rows))
    terminalreporter.write_line("")
    terminalreporter.write(text.getvalue())
