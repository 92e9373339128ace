from __future__ import annotations

import pytest

from tests.wasi_host.helpers.probe import Probe
from wit_host import CompileCache, Engine


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    return Engine(cache=CompileCache(tmp_path_factory.mktemp("wasi") / "compiled", bytes(32)))


@pytest.fixture(scope="session")
def probe(engine, probe_file):
    """The Python guest of the tests, on `wasi_host`."""
    return Probe(engine, probe_file)
