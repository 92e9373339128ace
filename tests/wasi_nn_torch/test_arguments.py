"""Arguments of wrong types and values: each error names the argument, at once, and nothing has begun."""

from __future__ import annotations

import math
from collections.abc import Hashable
from pathlib import Path

import pytest

from wasi_nn_torch import Batch, CompileLimits, Directory, Engine, InvalidGuest, Limits, NnError, per_session

pytestmark = pytest.mark.cpu

GUEST = b"""(module
    (memory (export "memory") 1)
    (func (export "double") (param i32) (result i32) (i32.add (local.get 0) (local.get 0))))"""
NUMBERS = b"""(module
    (func (export "narrow") (param i32) (result i32) (local.get 0))
    (func (export "wide") (param i64) (result i64) (local.get 0)))"""

_NEVER = [b"x", 1.5, math.nan, 1j, [1], {1: 2}, (None,), object(), Path("x")]
#: Objects of wrong types, by what an argument takes.
WRONG = {
    "flag": [None, "no", 0, 1, *_NEVER],
    "whole": ["1", True, *_NEVER],
    "whole or None": ["1", True, *_NEVER],
    "seconds": ["1", True, b"x", 1j, [1], {1: 2}, object(), Path("x")],
    "text": [None, 0, True, *_NEVER],
    "text or None": [0, True, *_NEVER],
    "texts": [None, "abc", 0, *_NEVER],
    "texts or None": ["abc", 0, *_NEVER],
    "dict": ["abc", "", 0, False, b"x", [1], (), object(), Path("x")],
    "function": ["abc", 0, *_NEVER],
    "one of ours": ["abc", "", 0, False, *_NEVER, {}],
    "choice": [0, *_NEVER],
    "sizes": ["16", None, 16, b"x", {8: 16}, ("8",), (8.0,), (True,)],
    "guest": [None, 0, True, 1.5, [1], {1: 2}, object()],
}

ENGINE = {
    "guest_models": "choice", "guest_devices": "flag", "waive": "texts", "model_bytes": "whole or None",
    "release": "choice", "threads": "whole or None", "cache": "flag", "compile_limits": "one of ours",
    "imports": "texts", "async_threads": "whole or None", "async_queue": "whole or None", "fuel": "flag",
    "async_types": "flag",
}  # fmt: skip
COMPILE = {"link": "function", "buffers": "texts", "optimize": "flag", "name": "text or None"}
SESSION = {
    "args": "texts", "env": "dict", "dirs": "dict", "limits": "one of ours", "graphs": "texts or None",
    "priority": "whole",
}  # fmt: skip
POOL = {
    **{name: kind for name, kind in SESSION.items() if name == "graphs"},
    "cls": "function", "size": "whole", "max_uses": "whole or None", "by_tenant": "flag", "limits": "one of ours",
    "make_data": "function",
}  # fmt: skip
BATCH = {"max_size": "whole", "max_delay": "seconds", "preferred": "sizes", "max_queue": "whole", "trial": "flag"}


@pytest.fixture(scope="module")
def engine():
    with Engine(cache=False) as engine:
        yield engine


@pytest.fixture(scope="module")
def guest(engine):
    return engine.compile(GUEST)


def refuses(call, parameters):
    """Call with each wrong value of each parameter, and see that TypeError names the parameter."""
    for name, kind in parameters.items():
        for value in WRONG[kind]:
            if kind == "function" and callable(value):
                continue
            with pytest.raises(TypeError) as caught:
                call(**{name: value})
            assert name in str(caught.value), (name, value, str(caught.value))


def test_engines_refuse_arguments_of_other_types():
    refuses(Engine, ENGINE)


def test_engines_refuse_choices_that_do_not_exist():
    with pytest.raises(ValueError, match=r"^`guest_models` is `some`; choose one of `none`, `isolated`, `any`, `check"):
        Engine(guest_models="some")
    with pytest.raises(ValueError, match=r"^`release` is `host`; choose one of `pool`, `driver`$"):
        Engine(release="host")
    with pytest.raises(ValueError, match="at most 65536 threads, but 1180591620717411303424 were requested"):
        Engine(threads=1 << 70)


@pytest.mark.parametrize("cls", [Limits, CompileLimits], ids=lambda cls: cls.__name__)
def test_limits_are_numbers(cls):
    fields = cls.__dataclass_fields__
    refuses(cls, {name: "seconds" if name in ("timeout", "seconds") else "whole or None" for name in fields})


def test_batches_are_of_numbers():
    refuses(Batch, BATCH)


def test_a_directory_is_writable_only_if_that_is_a_bool():
    refuses(lambda **given: Directory(**{"path": "out", **given}), {"path": "text", "writable": "flag"})


def test_compiling_refuses_arguments_of_other_types(engine):
    refuses(lambda **given: engine.compile(GUEST, **given), COMPILE)


@pytest.mark.parametrize("begin", ["compile", "run", "start", "pool"])
def test_what_is_not_a_guest_is_refused(engine, begin):
    for value in WRONG["guest"]:
        with (
            engine.session() as session,
            pytest.raises(TypeError, match=r"^a guest takes the path of a file"),
        ):
            getattr(session if begin in ("run", "start") else engine, begin)(value)
    with engine.session() as session, pytest.raises(InvalidGuest, match="does not exist: no path contains a NUL"):
        getattr(session if begin in ("run", "start") else engine, begin)("a\0b")


def test_sessions_refuse_arguments_of_other_types_and_count_none_of_them(engine):
    before = engine.stats.opened
    refuses(engine.session, SESSION)
    assert engine.stats.opened == before


def test_a_session_can_be_used_after_a_wrong_argument(engine, guest):
    with engine.session() as session:
        refuses(lambda cls: session.start(guest, cls), {"cls": "function"})
        assert session.start(guest).call("double", 4) == 8


def test_directories_and_variables_of_sessions_are_texts(engine, tmp_path):
    for value in (1, None, b"x", ("a",)):
        for given in ({"dirs": {value: "x"}}, {"dirs": {str(tmp_path): value}}, {"env": {value: "x"}}):
            with pytest.raises(TypeError, match=r"^the guest's (directory|variable name) takes a str, not "):
                engine.session(**given)
    with pytest.raises(NotADirectoryError, match=r"^guest directory `` does not exist"):
        engine.session(dirs={"": "x"})


@pytest.mark.parametrize("name", ["", "=", "LANG=C"])
def test_the_name_of_a_variable_can_be_told_from_its_value(engine, name):
    with pytest.raises(ValueError, match=r"^the guest's variable name '.*' is empty, or contains `=`"):
        engine.session(env={name: "x"})


def test_a_guest_has_a_name_for_each_directory(engine, tmp_path):
    for guest in ("", Directory):
        with pytest.raises(ValueError, match="the guest's name of a directory is empty"):
            engine.session(dirs={str(tmp_path): guest if isinstance(guest, str) else guest("")})


def test_a_directory_is_not_an_input(engine, tmp_path):
    with pytest.raises(IsADirectoryError, match="`stdin` is a directory; name a file"):
        engine.session(stdin=tmp_path)


def test_pools_refuse_arguments_of_other_types(engine, guest):
    refuses(lambda **given: engine.pool(guest, **given), POOL)


def test_a_tenant_that_could_change_is_refused(engine, guest):
    with engine.pool(guest, by_tenant=True) as pool:
        for tenant in ([], {}, {"acme"}, bytearray()):
            assert not isinstance(tenant, Hashable)
            with pytest.raises(TypeError, match=r"^`tenant` takes what can be hashed, such as a str, not "):
                pool.lease(tenant=tenant)
        refuses(pool.lease, {"timeout": "seconds"})


def test_the_names_of_graphs_are_texts(engine):
    for value in WRONG["text"]:
        for call in (engine.graph, engine.files, engine.unregister):
            with pytest.raises(TypeError, match=r"^the name of a graph takes a str, not "):
                call(value)
    with pytest.raises(NnError, match="not-found"):
        engine.graph("net")
    refuses(lambda limits: engine.graph("net", limits), {"limits": "one of ours"})


def test_only_guests_are_prepared_and_only_functions_are_called_for_each_session(engine):
    refuses(lambda prepare: engine.prepare(prepare), {"prepare": "one of ours"})
    with pytest.raises(TypeError, match=r"^`per_session` takes a function of the session's `data`, not str"):
        per_session("host")


def test_the_code_of_an_error_is_one_of_wasi_nn():
    refuses(lambda code: NnError(code, "text"), {"code": "one of ours"})


def test_memory_of_a_core_module_is_read_and_written_by_whole_numbers_and_bytes(engine, guest):
    with engine.session() as session:
        instance = session.start(guest)
        refuses(lambda address: instance.read(address, 1), {"address": "whole"})
        refuses(lambda length: instance.read(0, length), {"length": "whole"})
        refuses(lambda address: instance.write(address, b"1"), {"address": "whole"})
        for value in ("text", [1], 1, None):
            with pytest.raises(TypeError, match=r"^`data` takes bytes, not "):
                instance.write(0, value)
        instance.write(0, memoryview(b"\1\0\2\0\3\0").cast("H"))
        assert instance.read(0, 8) == b"\1\0\2\0\3\0\0\0"
        for value in (None, b"double", 1, []):
            with pytest.raises(TypeError, match=r"^the name of an export takes a str, not "):
                instance.call(value)


@pytest.mark.parametrize(("name", "bits"), [("narrow", 32), ("wide", 64)])
def test_numbers_that_a_core_module_cannot_take_are_refused_and_all_others_taken(engine, name, bits):
    with engine.session() as session:
        instance = session.start(NUMBERS)
        for number in (1 << bits, -(1 << bits - 1) - 1, 1 << 70):
            with pytest.raises(ValueError, match=f"^argument 1 of {name} is {number}, which is not a number of {bits}"):
                instance.call(name, number)
        assert instance.call(name, -(1 << bits - 1)) == -(1 << bits - 1)
        assert instance.call(name, (1 << bits) - 1) == -1
