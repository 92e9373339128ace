"""Bindings for a guest of which there is no WIT, only the component."""

from __future__ import annotations

import importlib

import pytest

from tests.conftest import ROOT
from wit_host import Engine, LinkError
from witgen.generate import Target, generate, write

PLUGIN = ROOT / "build/plugins/plugin.wasm"


@pytest.fixture(scope="module")
def bindings(tmp_path_factory):
    """The package of the plug-in of the example, made from the plug-in itself."""
    if not PLUGIN.is_file():
        pytest.skip(f"{PLUGIN} is not built: `make test` builds it")
    folder = tmp_path_factory.mktemp("bindings")
    target = Target((PLUGIN,), folder / "plugin_from_guest", without_wasi=True)
    write(target, generate(target))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield importlib.import_module("plugin_from_guest")


@pytest.fixture(scope="module")
def engine(compile_cache):
    return Engine(cache=compile_cache)


@pytest.fixture(scope="module")
def plugin(engine, bindings):
    return engine.compile(PLUGIN, buffers=bindings.BUFFERS, optimize=False)


def test_a_component_has_everything_that_bindings_need(bindings, engine, plugin):
    class Notes(bindings.notes.Host):
        def get_notebook(self, name):
            return None

    with engine.store() as store:
        store.linker.add_wasi()
        bindings.add_to_linker(store.linker, Notes())
        guest = bindings.Guest(store.instantiate(plugin))
        assert {action.name for action in guest.actions.available()} == {"words", "todo"}


def test_without_wasi_the_engine_has_to_define_it(bindings, engine, plugin):
    class Notes(bindings.notes.Host):
        def get_notebook(self, name):
            return None

    with engine.store() as store:
        bindings.add_to_linker(store.linker, Notes())
        with pytest.raises(LinkError, match=r"call `linker\.add_wasi\(\)`"):
            store.instantiate(plugin)
