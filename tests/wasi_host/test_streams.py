"""Streams and pipes: backpressure, ends, failures, and what a guest may not do."""

from __future__ import annotations

import errno
import threading

import pytest

from wasi_bindings.streams import StreamErrorClosed, StreamErrorException, StreamErrorLastOperationFailed
from wasi_host import Limits, Pipe, World
from wit_host import GuestLimit, GuestTrap, Signal

#: Seconds that no test takes.
SOON = 30


class Failing:
    """A source and a sink whose disk is broken."""

    signal = Signal()

    def left(self):
        return 0

    def take(self, most):
        raise OSError(errno.EIO, "the disk is broken", "/home/secret/name")

    def room(self):
        return 10

    put = is_flushed = take

    def close(self):
        pass


def closed(call, *arguments):
    with pytest.raises(StreamErrorException) as raised:
        call(*arguments)
    return raised.value.value == StreamErrorClosed()


# --- reading ---


def test_a_read_returns_what_is_there_and_no_more():
    pipe = Pipe(capacity=10)
    stream = World().input_stream(pipe)
    assert stream.read(5) == b""
    pipe.write(b"abcdefg")
    assert (stream.read(0), stream.read(3), stream.skip(2), stream.read(1 << 60)) == (b"", b"abc", 2, b"fg")
    pipe.finish()
    assert closed(stream.read, 1)
    assert closed(stream.blocking_skip, 1)


def test_one_read_is_limited():
    stream = World(limits=Limits(read=7)).input_stream(bytes(20))
    assert [len(stream.read(1 << 63)) for _ in range(3)] == [7, 7, 6]


def test_a_stream_that_failed_is_closed_and_tells_no_paths():
    world = World()
    stream = world.input_stream(Failing())
    with pytest.raises(StreamErrorException) as raised:
        stream.read(1)
    failure = raised.value.value
    assert isinstance(failure, StreamErrorLastOperationFailed)
    assert failure.value.to_debug_string() == "the disk is broken"
    assert world.hosts.filesystem.filesystem_error_code(failure.value).value == "io"
    assert closed(stream.read, 1)
    failure.value.drop()
    stream.drop()
    assert world.open_handles == 0


# --- writing ---


def test_a_guest_writes_no_more_than_permitted():
    stream = World().output_stream(Pipe(capacity=10))
    with pytest.raises(GuestTrap, match="permitted 0"):
        stream.write(b"x")
    assert stream.check_write() == 10
    stream.write(bytes(6))
    with pytest.raises(GuestTrap, match="writes 5 bytes, and `check-write` permitted 4"):
        stream.write(bytes(5))
    with pytest.raises(GuestTrap, match="permitted 4"):
        stream.write_zeroes(1 << 63)
    with pytest.raises(GuestTrap, match="may write 4096"):
        stream.blocking_write_and_flush(bytes(4097))
    with pytest.raises(GuestTrap, match="may write 4096"):
        stream.blocking_write_zeroes_and_flush(1 << 63)


def test_a_full_pipe_permits_nothing_until_the_host_reads():
    pipe = Pipe(capacity=4)
    stream = World().output_stream(pipe)
    ready = stream.subscribe()
    stream.check_write()
    stream.write(b"abcd")
    assert (stream.check_write(), ready.ready()) == (0, False)
    assert pipe.read(3) == b"abc"
    assert (stream.check_write(), ready.ready()) == (3, True)


def test_a_flush_permits_nothing_until_everything_was_read():
    pipe = Pipe(capacity=4)
    stream = World().output_stream(pipe)
    ready = stream.subscribe()
    stream.check_write()
    stream.write(b"ab")
    stream.flush()
    assert (stream.check_write(), ready.ready()) == (0, False)
    pipe.read()
    assert ready.ready()
    assert stream.check_write() == 4


def test_writing_more_than_a_pipe_holds_waits_for_the_host():
    pipe = Pipe(capacity=10)
    stream = World().output_stream(pipe)
    writer = threading.Thread(target=stream.blocking_write_and_flush, args=[b"0123456789" * 100])
    writer.start()
    received = b""
    while len(received) < 1000:
        received += pipe.read(7, timeout=SOON)
    writer.join(SOON)
    assert received == b"0123456789" * 100
    stream.drop()
    assert pipe.read() == b"", "the guest has ended its stream"


def test_a_stream_that_nobody_reads_is_closed():
    pipe = Pipe(capacity=4)
    stream = World().output_stream(pipe)
    stream.check_write()
    pipe.abandon()
    assert closed(stream.write, b"x")
    assert closed(stream.check_write)
    assert closed(stream.blocking_flush)


def test_a_flush_that_nobody_waits_for_any_more_is_ready_and_fails():
    pipe = Pipe(capacity=4)
    stream = World().output_stream(pipe)
    ready = stream.subscribe()
    stream.check_write()
    stream.write(b"x")
    stream.flush()
    assert not ready.ready()
    pipe.abandon()
    assert ready.ready()
    assert closed(stream.check_write)
    assert stream.left() == 0


def test_the_standard_streams_end_with_their_world():
    pipe, other = Pipe(), Pipe()
    with World(stdin=pipe, stdout=other) as world:
        streams = world.hosts.streams
        for _ in range(2):
            stream = streams.get_stdout()
            stream.check_write()
            stream.write(b"x")
            stream.drop()
            streams.get_stdin().drop()
        assert other.read() == b"xx"
        pipe.write(b"the guest may still read this")
        with pytest.raises(TimeoutError):
            other.read(timeout=0)
    assert other.read() == b""
    with pytest.raises(BrokenPipeError):
        pipe.write(b"x")


def test_a_pipe_that_no_guest_reads_refuses_bytes():
    pipe = Pipe(capacity=4)
    World().input_stream(pipe).drop()
    with pytest.raises(BrokenPipeError, match="reads no more"):
        pipe.write(b"x")


def test_the_host_does_not_wait_for_a_guest_forever():
    pipe = Pipe(capacity=4)
    with pytest.raises(TimeoutError, match="did not read"):
        pipe.write(b"12345", timeout=0.01)
    assert pipe.read() == b"1234"
    with pytest.raises(TimeoutError, match="did not write"):
        pipe.read(timeout=0.01)
    pipe.finish()
    with pytest.raises(ValueError, match="finished before"):
        pipe.write(b"x")


def test_two_streams_of_one_pipe_do_not_write_more_than_it_holds():
    pipe = Pipe(capacity=10)
    world = World(stdout=pipe)
    one, other = world.hosts.streams.get_stdout(), world.hosts.streams.get_stdout()
    assert (one.check_write(), other.check_write()) == (10, 10)
    one.write(bytes(10))
    writer = threading.Thread(target=other.write, args=[bytes(10)])
    writer.start()
    assert len(pipe.read(100)) == 10, "the second stream waits for room"
    writer.join(SOON)
    assert len(pipe.read(100)) == 10


def test_a_splice_moves_what_is_there():
    world = World()
    pipe = Pipe(capacity=4)
    source, stream = world.input_stream(b"abcdefgh"), world.output_stream(pipe)
    assert stream.splice(source, 2) == 2
    assert stream.splice(source, 100) == 2
    assert stream.splice(source, 100) == 0
    assert pipe.read() == b"abcd"
    assert stream.blocking_splice(source, 3) == 3
    assert stream.blocking_splice(source, 0) == 0
    assert pipe.read() == b"efg"
    assert stream.blocking_splice(source, 5) == 1
    assert closed(stream.blocking_splice, source, 5)


# --- limits ---


def test_the_output_of_a_guest_is_limited():
    world = World(limits=Limits(output=10))
    out, err = world.hosts.streams.get_stdout(), world.hosts.streams.get_stderr()
    out.blocking_write_and_flush(b"123456")
    with pytest.raises(GuestLimit, match=r"more than 10 bytes of output; raise the limit `output`"):
        err.blocking_write_and_flush(b"123456")
    assert (world.output, world.errors) == (b"123456", b"1234")


def test_the_handles_of_a_guest_are_limited():
    world = World(limits=Limits(handles=3))
    stream = world.hosts.streams.get_stdin()
    pollables = [stream.subscribe(), world.hosts.monotonic_clock.subscribe_instant(0)]
    with pytest.raises(GuestLimit, match="holds 3 handles"):
        stream.subscribe()
    pollables.pop().drop()
    stream.subscribe()
    assert world.open_handles == 3


def test_one_poll_is_limited():
    world = World(limits=Limits(handles=3))
    pollable = world.hosts.monotonic_clock.subscribe_instant(0)
    assert world.hosts.polling.poll([pollable] * 3) == [0, 1, 2]
    with pytest.raises(GuestLimit, match="polls 4 pollables at once"):
        world.hosts.polling.poll([pollable] * 4)


def test_random_bytes_are_limited():
    with pytest.raises(GuestLimit, match="`random`"):
        World(limits=Limits(random=100)).hosts.randomness.get_random_bytes(101)


def test_a_receiver_may_raise():
    def receive(data):
        raise KeyError(data)

    stream = World(stdout=receive).hosts.streams.get_stdout()
    with pytest.raises(KeyError, match="abc"):
        stream.blocking_write_and_flush(b"abc")


def test_a_seed_repeats_random_numbers():
    draws = [World(seed=seed).hosts.randomness.insecure_seed() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_a_pipe_without_room_is_refused():
    with pytest.raises(ValueError, match="at least 1 byte"):
        Pipe(capacity=0)


def test_the_seed_for_hash_tables_is_the_same_whenever_a_guest_asks():
    one, other = World().hosts.randomness, World().hosts.randomness
    assert one.insecure_seed() == one.insecure_seed()
    assert one.insecure_seed() != other.insecure_seed()
