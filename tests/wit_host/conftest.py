from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.wit_host.helpers.host import Host
from wit_host import Store


@pytest.fixture(scope="session")
def host() -> Host:
    return Host()


@pytest.fixture
def store(host: Host) -> Iterator[Store]:
    with host.store() as store:
        yield store
