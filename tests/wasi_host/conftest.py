from __future__ import annotations

import pytest

from tests.wasi_host.helpers.probe import Probe
from wit_host import Engine


@pytest.fixture(scope="session")
def engine(compile_cache):
    return Engine(cache=compile_cache)


@pytest.fixture(scope="session")
def probe(engine, probe_file):
    """The Python guest of the tests, on `wasi_host`."""
    return Probe(engine, probe_file)
