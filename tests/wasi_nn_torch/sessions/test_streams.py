"""The standard streams of a guest: the types that a caller may give for them, and exceptions of their functions."""

from __future__ import annotations

import io
import sys
import threading
from contextvars import ContextVar

import pytest

from wasi_nn_torch import Engine, GuestCancelled, Limits

# The device does not matter here.
pytestmark = pytest.mark.cpu

#: Copies its standard input to its standard output, at most 64 bytes, and then does what it is told.
ECHO = r"""(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\20\00\00\00\40\00\00\00")
  (func (export "_start")
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
    (drop (call $write (i32.const {stream}) (i32.const 0) (i32.const 1) (i32.const 8)))
    {after}))"""


def echo(after="", stream=1):
    return ECHO.replace("{after}", after).replace("{stream}", str(stream)).encode()


@pytest.fixture
def engine():
    with Engine(cache=False) as engine:
        yield engine


def run(engine, guest, **streams):
    with engine.session(limits=Limits(timeout=60), **streams) as session:
        return session.run(guest)


@pytest.mark.parametrize("stream", [1, 2], ids=["stdout", "stderr"])
def test_a_function_for_output_sees_the_context_of_the_call(engine, stream):
    """The engine calls it on another thread."""
    caller = ContextVar("caller")
    caller.set("me")
    seen = []
    run(
        engine,
        echo(stream=stream),
        stdin=b"x",
        **{["stdout", "stderr"][stream - 1]: lambda _: seen.append(caller.get())},
    )
    assert seen == ["me"]


def test_a_guest_reads_bytes(engine):
    heard = []
    run(engine, echo(), stdin=b"some bytes", stdout=heard.append)
    assert b"".join(heard) == b"some bytes"


@pytest.mark.parametrize("kind", ["path", "text path", "file", "buffer", "bytearray", "nothing"])
def test_a_guest_reads_whatever_holds_bytes(kind, tmp_path, engine):
    path = tmp_path / "input"
    path.write_bytes(b"" if kind == "nothing" else b"in a file")
    heard = io.BytesIO()
    with path.open("rb") as file:
        given = {
            "path": path,
            "text path": str(path),
            "file": file,
            "buffer": io.BytesIO(b"in a file"),
            "bytearray": bytearray(b"in a file"),
            "nothing": b"",
        }
        run(engine, echo(), stdin=given[kind], stdout=heard)
    assert heard.getvalue() == path.read_bytes()


@pytest.mark.parametrize("stream", [1, 2])
def test_a_guest_writes_to_open_files_which_stay_open(stream, tmp_path, engine):
    path = tmp_path / "output"
    for buffering in (0, -1):
        with path.open("wb", buffering=buffering) as file:
            run(engine, echo(stream=stream), stdin=b"hello", **{("stdout", "stderr")[stream - 1]: file})
            file.write(b"!")
        assert path.read_bytes() == b"hello!"


def test_a_file_that_takes_a_little_at_a_time_gets_all_of_it(engine):
    class Slow(io.RawIOBase):
        content = b""

        def write(self, data):
            self.content += data[:2]
            return min(2, len(data))

    slow = Slow()
    run(engine, echo(), stdin=b"hello", stdout=slow)
    assert slow.content == b"hello"


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        (
            {"stdin": io.StringIO("x")},
            "`stdin` takes a path, bytes or a file that is open in .*, not StringIO",
        ),
        ({"stdin": 7}, "`stdin` takes .*, not int"),
        (
            {"stdout": io.StringIO()},
            "`stdout` takes a function that takes bytes, or a file .*, not StringIO",
        ),
        ({"stderr": sys.__stderr__}, r"`stderr` takes .*, not TextIOWrapper; give its `\.buffer`"),
        ({"stdout": 7}, "`stdout` takes .*, not int"),
    ],
)
def test_a_stream_of_another_type_is_refused(streams, message, engine):
    with pytest.raises(TypeError, match=message):
        engine.session(**streams)


def test_a_missing_input_file_is_an_error(tmp_path, engine):
    with pytest.raises(FileNotFoundError, match="missing"):
        engine.session(stdin=tmp_path / "missing")


@pytest.mark.parametrize("after", ["", "(loop $again (br $again))", "(unreachable)"])
def test_an_exception_of_an_output_is_passed_on_unchanged(after, engine, capfd):
    def full(_):
        raise BlockingIOError("the queue is full")

    with pytest.raises(BlockingIOError, match="the queue is full"):
        run(engine, echo(after), stdin=b"hello", stdout=full)
    assert capfd.readouterr() == ("", "")


def test_a_session_is_cancelled_from_another_thread(engine):
    with engine.session(stdin=b"", stdout=lambda _: None) as session:
        threading.Timer(0.2, session.cancel).start()
        with pytest.raises(GuestCancelled):
            session.run(echo("(loop $again (br $again))"))
        session.cancel()
    assert engine.stats.ended == {"cancelled": 1}


def test_a_session_that_was_cancelled_does_not_run_its_guest(engine):
    heard = []
    with engine.session(stdin=b"hello", stdout=heard.append) as session:
        session.cancel()
        with pytest.raises(GuestCancelled):
            session.run(echo())
    assert not heard


def test_a_guest_of_another_engine_is_refused_with_advice(engine):
    with Engine(cache=False) as other, engine.session() as session:
        guest = other.compile(echo())
        with pytest.raises(ValueError, match="was compiled by another Engine; compile it with the one"):
            session.run(guest)
