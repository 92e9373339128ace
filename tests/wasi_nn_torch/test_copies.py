"""Pickles and copies: of values, which other processes may get, and of objects that belong to one process."""

from __future__ import annotations

import copy
import pickle

import pytest

from wasi_nn_torch import (
    Batch,
    CompileLimits,
    Directory,
    Elements,
    Engine,
    ErrorCode,
    GuestLimit,
    GuestTimeout,
    Limits,
    NnError,
    per_session,
)

pytestmark = pytest.mark.cpu

GUEST = b'(module (func (export "_start")))'
WAYS = {"pickle": lambda item: pickle.loads(pickle.dumps(item)), "copy": copy.copy, "deepcopy": copy.deepcopy}


@pytest.fixture(params=WAYS)
def again(request):
    return WAYS[request.param]


def test_values_are_the_same_again(again):
    with Engine(cache=False) as engine:
        guest = engine.compile(GUEST)
        with engine.session() as session:
            session.run(guest)
        with engine.pool(b"(module)") as pool:
            stats = [engine.stats, session.stats, pool.stats]
    elements = Elements(memoryview(bytearray(b"1234")), (2, 2), "uint8")
    for value in (
        Limits(timeout=2),
        Batch(preferred=(8, 4)),
        CompileLimits(),
        Directory("out", True),
        elements,
        *stats,
    ):
        assert again(value) == value


@pytest.mark.parametrize(
    "error",
    [
        NnError(ErrorCode.TOO_LARGE, "too many", "tensors"),
        GuestLimit("text", "memory", "at f\nat g"),
        GuestTimeout("t"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_keep_their_text_and_attributes(again, error):
    error.add_note("in the service")
    found = again(error)
    assert (type(found), str(found), found.args, vars(found)) == (type(error), str(error), error.args, vars(error))


def test_what_belongs_to_one_process_says_so(again):
    with Engine(cache=False) as engine:
        guest = engine.compile(GUEST)
        with engine.session() as session, engine.pool(b"(module)") as pool:
            for item in (engine, guest, session, pool, pool.lease()):
                name = type(item).__name__
                with pytest.raises(
                    TypeError, match=f"^{name} cannot be pickled or copied, since it belongs to one pro"
                ):
                    again(item)


def test_a_stand_in_for_the_hosts_of_sessions_has_only_functions_of_wit():
    host = per_session(lambda data: data)
    assert not hasattr(host, "__fspath__")
    assert copy.copy(host).log is not None
    assert copy.deepcopy(host).log is not None
