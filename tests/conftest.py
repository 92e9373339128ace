"""Fixtures for the tests of every package: what `make` has built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", choices=["compare", "write"], default="compare", help="what to do with golden files")


def built(path: str) -> Path:
    """A file that `make test` builds before it runs the tests."""
    file = ROOT / path
    if not file.exists():
        pytest.fail(f"{path} is missing: run `make test` once, or `make {path}`", pytrace=False)
    return file


@pytest.fixture(scope="session", autouse=True)
def _compiled_guests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep compiled guests away from the user's own; all tests of a run, and their processes, share one folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WASI_NN_TORCH_CACHE", str(tmp_path_factory.mktemp("compiled")))
        yield


@pytest.fixture(scope="session")
def probe_file() -> Path:
    """The guest that does what a test tells it; see `tests/guests/probe/app.py`."""
    return built("build/tests/probe.wasm")
