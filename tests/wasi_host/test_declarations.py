"""The declarations of WASI that `wasi_host` implements are those that the engine implements."""

from __future__ import annotations

import re

import pytest

import wasi_host
from tests.conftest import ROOT
from tests.guests.tools import wasm_tools
from wasi_host import World
from wit_host import LinkError

WIT = ROOT / "wit/wasi"


@pytest.fixture(scope="module")
def everything():
    """A component that imports every function that is declared."""
    core = wasm_tools("component", "embed", WIT, "--dummy", "--world", "imports")
    return wasm_tools("component", "new", "-", stdin=core)


@pytest.fixture(scope="module", params=["0.2.0", "0.2.9", "0.2.57"])
def of_version(request, everything):
    """The same in another version, in the text format."""
    text = wasm_tools("print", "-", stdin=everything).decode()
    return wasm_tools("parse", "-", stdin=text.replace("@0.2.0", f"@{request.param}").encode())


def test_the_engine_has_every_function_with_the_same_type(engine, everything):
    with engine.store() as store:
        store.linker.add_wasi()
        store.instantiate(engine.compile(everything))


def test_a_guest_of_any_version_gets_every_function(engine, of_version):
    guest = engine.compile(of_version, buffers=wasi_host.BUFFERS)
    with engine.store() as store:
        World().add_to_linker(store.linker)
        store.instantiate(guest)
    assert len(guest.imports) == 27


def test_a_guest_of_another_generation_gets_nothing(engine, everything):
    text = wasm_tools("print", "-", stdin=everything).decode().replace("@0.2.0", "@0.3.0")
    guest = engine.compile(wasm_tools("parse", "-", stdin=text.encode()), buffers=wasi_host.BUFFERS)
    with engine.store() as store:
        World().add_to_linker(store.linker)
        with pytest.raises(LinkError, match=re.escape("@0.3.0")):
            store.instantiate(guest)
