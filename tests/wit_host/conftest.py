from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.wit_host.bench import Bench
from wit_host import Store


@pytest.fixture(scope="session")
def bench() -> Bench:
    return Bench()


@pytest.fixture
def store(bench: Bench) -> Iterator[Store]:
    with bench.store() as store:
        yield store
