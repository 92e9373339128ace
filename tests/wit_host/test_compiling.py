"""Engines whose guests another function compiles, such as one in another process."""

from __future__ import annotations

import pytest
import wasmtime

from wit_host import CompileCache, CompileTask, Engine, GuestError, precompile

COMMAND = b'(module (memory (export "memory") 1) (func (export "_start")))'
COMPONENT = b"""
(component
  (core module $m (func (export "run") (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance (export "wasi:cli/run@0.2.0") (export "run" (func $run))))
"""


class Compiler:
    """Compiles in this process, and keeps what it was asked for."""

    def __init__(self):
        self.tasks: list[CompileTask] = []

    def __call__(self, task):
        self.tasks.append(task)
        return precompile(task)


def run(engine, text, optimize=True):
    if text is COMMAND:
        with engine.core_store() as store:
            return store.run_command(engine.compile_module(text, optimize=optimize))
    with engine.store() as store:
        return store.run_command(engine.compile(text, optimize=optimize))


@pytest.mark.parametrize("transports", [("pointer", "latin-1"), ()], ids=["by pointer", "as lists"])
@pytest.mark.parametrize("text", [COMMAND, COMPONENT], ids=["a core module", "a component"])
def test_what_a_compiler_returns_is_run(text, transports):
    compiler = Compiler()
    assert run(Engine(compiler=compiler, transports=transports), text) == 0
    [task] = compiler.tasks
    assert task.wasm == bytes(wasmtime.wat2wasm(text))
    assert task.is_component is (text is COMPONENT)


def test_what_a_compiler_returns_is_kept_in_the_cache(tmp_path):
    compiler = Compiler()
    for expected in (False, True):
        engine = Engine(compiler=compiler, cache=CompileCache(tmp_path / "cache", bytes(32)))
        assert engine.is_from_cache(engine.compile(COMPONENT)) is expected
    assert len(compiler.tasks) == 1
    engine = Engine(cache=CompileCache(tmp_path / "cache", bytes(32)))
    assert engine.is_from_cache(engine.compile(COMPONENT)), "it is the same as without a compiler"


def test_a_guest_that_a_compiler_refuses_is_refused():
    with pytest.raises(GuestError, match="guest is not a valid component: "):
        Engine(compiler=precompile).compile(b"\0asm\x0d\0\x01\0\x63")


def test_other_exceptions_of_a_compiler_pass(tmp_path):
    def fail(task):
        raise TimeoutError

    with pytest.raises(TimeoutError):
        Engine(compiler=fail, cache=CompileCache(tmp_path / "cache", bytes(32))).compile(COMPONENT)
    assert list((tmp_path / "cache").iterdir()) == []


# --- without optimization ---


@pytest.mark.parametrize("compiler", [None, Compiler()], ids=["in the engine", "elsewhere"])
@pytest.mark.parametrize("text", [COMMAND, COMPONENT], ids=["a core module", "a component"])
def test_a_guest_runs_without_optimization(text, compiler):
    engine = Engine(compiler=compiler)
    assert run(engine, text, optimize=False) == 0
    if compiler is not None:
        assert compiler.tasks[-1].optimize is False


def test_without_optimization_the_code_is_another():
    wasm = bytes(wasmtime.wat2wasm(COMPONENT))
    fast, quick = (precompile(CompileTask(wasm, True, True, optimize)) for optimize in (True, False))
    assert fast != quick


def test_the_cache_tells_guests_with_and_without_optimization_apart(tmp_path):
    engine = Engine(cache=CompileCache(tmp_path / "cache", bytes(32)))

    def is_cached(optimize):
        return engine.is_from_cache(engine.compile(COMPONENT, optimize=optimize))

    assert [is_cached(optimize) for optimize in (True, False, True, False)] == [False, False, True, True]


@pytest.mark.parametrize("compile_", [Engine.compile, Engine.compile_module])
def test_an_engine_with_a_configuration_compiles_as_that_says(compile_):
    engine = Engine(config=wasmtime.Config())
    with pytest.raises(ValueError, match="an engine with a `config` compiles as that says; leave out `optimize`"):
        compile_(engine, COMPONENT if compile_ is Engine.compile else COMMAND, optimize=False)


def test_a_compiler_does_not_know_a_configuration():
    with pytest.raises(ValueError, match="a compiler cannot have the settings of `config`; leave one of them out"):
        Engine(compiler=precompile, config=wasmtime.Config())


@pytest.mark.parametrize(
    ("method", "guest", "reason"),
    [
        ("compile", b"", "the guest is not a valid component: it is empty"),
        ("compile_module", b" \n", "the guest is not a valid core module: it is empty"),
        ("compile", b"(module)", "; it is a core module, which `compile_module` compiles"),
        ("compile_module", b"(component)", "; it is a component, which `compile` compiles"),
    ],
)
def test_what_is_not_what_was_asked_for_is_told_by_what_it_is(method, guest, reason):
    with pytest.raises(GuestError) as caught:
        getattr(Engine(), method)(guest)
    assert str(caught.value).endswith(reason)
