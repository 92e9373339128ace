"""The fork server: workers start, answer, end and leave nothing, whoever ends first."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from wasi_nn_torch.workers.channel import Channel, ChannelClosed, InvalidMessage
from wasi_nn_torch.workers.confinement import Confinement, lacking
from wasi_nn_torch.workers.forkserver import Workers
from wasi_nn_torch.workers.server_process import WorkerError

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(bool(lacking()), reason=f"a process cannot be confined here: {', '.join(lacking())}"),
]

HERE = "tests.wasi_nn_torch.workers.targets"
MOST = 1 << 20


@pytest.fixture(scope="module")
def workers():
    started = Workers(f"{HERE}:answer", ["json", f"{HERE}:load"])
    yield started
    started.close()


def ask(worker, request: str, patience=None):
    worker.channel.send(request.encode(), patience=patience)
    return json.loads(worker.channel.receive(patience))


def is_running(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def with_parent(pid: int) -> list[int]:
    """A worker and its server."""
    return [pid, parent_of(pid)]


def kill(pid: int) -> None:
    assert pid > 1
    os.kill(pid, signal.SIGKILL)


def wait_until_gone(pid: int) -> None:
    end = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < end, f"process {pid} still runs"
        time.sleep(0.01)


def test_a_worker_has_what_was_loaded_and_nothing_else(workers, monkeypatch):
    monkeypatch.setenv("SECRET", "a password")
    worker = workers.start(Confinement(), MOST)
    assert ask(worker, "loaded") is True
    assert ask(worker, "environment") == {}
    assert ask(worker, "descriptors") == 4, "three that lead nowhere, and its channel"
    assert ask(worker, "modules") == [], "no PyTorch, and no code of the host's sessions"
    assert worker.end() == -signal.SIGKILL


def test_workers_have_processes_of_their_own(workers):
    first, second = (workers.start(Confinement(), MOST) for _ in range(2))
    assert len({ask(first, "pid"), ask(second, "pid"), os.getpid()}) == 3
    assert ask(first, "pid") == first.pid
    first.end()
    assert ask(second, "pid") == second.pid
    second.end()


def test_the_status_says_how_a_worker_ended(workers):
    worker = workers.start(Confinement(), MOST)
    worker.channel.send(b"crash")
    with pytest.raises(ChannelClosed):
        worker.channel.receive()
    assert worker.end() == -signal.SIGSEGV
    assert worker.end() == -signal.SIGSEGV, "a second call says the same"
    assert worker.has_ended


def test_a_worker_that_is_ended_is_gone(workers):
    worker = workers.start(Confinement(), MOST)
    pid = ask(worker, "pid")
    worker.channel.send(b"loop")
    worker.end()
    assert not is_running(pid)
    assert not Path(f"/proc/{pid}").exists(), "not even a zombie is left"


def test_waiting_ends_when_patience_does(workers):
    worker = workers.start(Confinement(), MOST)
    end = time.monotonic() + 0.2

    def patience() -> float:
        if time.monotonic() > end:
            raise TimeoutError
        return 0.01

    with pytest.raises(TimeoutError):
        ask(worker, "loop", patience)
    worker.end()


@pytest.mark.parametrize("request_", ["announce", "flood"])
def test_a_message_that_is_too_long_is_refused_before_it_takes_memory(workers, request_):
    worker = workers.start(Confinement(), MOST)
    worker.channel.send(request_.encode())
    with pytest.raises(InvalidMessage, match=rf"at most {MOST} are allowed"):
        worker.channel.receive()
    worker.end()


def test_descriptors_that_a_worker_sends_are_discarded(workers):
    worker = workers.start(Confinement(), MOST)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        assert ask(worker, "send a descriptor") == "sent"
    assert len(os.listdir("/proc/self/fd")) == before
    worker.end()


def test_threads_start_workers_at_the_same_time(workers):
    pids = []

    def start():
        for _ in range(5):
            worker = workers.start(Confinement(), MOST)
            pids.append(ask(worker, "pid"))
            worker.end()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 20
    assert not any(map(is_running, pids))


def test_an_answer_that_was_not_read_is_not_taken_for_the_next_one(workers, monkeypatch):
    workers.start(Confinement(), MOST).end()
    server = workers._server
    receive = server.control.receive

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(server.control, "receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        workers.start(Confinement(), MOST)
    monkeypatch.setattr(server.control, "receive", receive)
    first, second = (workers.start(Confinement(), MOST) for _ in range(2))
    assert ask(first, "pid") == first.pid
    assert ask(second, "pid") == second.pid
    first.end()
    second.end()


def test_starting_and_ending_workers_leaves_no_descriptor(workers):
    workers.start(Confinement(), MOST).end()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(30):
        workers.start(Confinement(), MOST).end()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_server_that_was_killed_is_started_again():
    workers = Workers(f"{HERE}:answer")
    worker = workers.start(Confinement(), MOST)
    kill(parent_of(worker.pid))
    wait_until_gone(worker.pid)
    worker.end()
    again = workers.start(Confinement(), MOST)
    assert ask(again, "pid") == again.pid
    again.end()
    workers.close()


def test_a_server_that_cannot_load_says_why():
    workers = Workers(f"{HERE}:answer", ["no_such_module"])
    with pytest.raises(WorkerError, match="No module named 'no_such_module'"):
        workers.start(Confinement(), MOST)
    workers.close()


def test_a_server_that_ends_before_it_is_asked_is_told_and_leaves_no_process(monkeypatch):
    monkeypatch.setattr("multiprocessing.spawn.get_executable", lambda: shutil.which("false"))
    children = Path("/proc/thread-self/children")
    before = children.read_text()
    for _ in range(5):  # it may end before or after the host has sent what it needs
        with pytest.raises(WorkerError, match="the server of worker processes ended"):
            Workers(f"{HERE}:answer").start(Confinement(), MOST)
    assert children.read_text() == before


def test_a_system_without_room_for_a_process_is_told_and_other_workers_go_on():
    workers = Workers(f"{HERE}:answer", [f"{HERE}:fork_once"])
    worker = workers.start(Confinement(), MOST)
    with pytest.raises(WorkerError, match="could not be started: Resource temporarily unavailable"):
        workers.start(Confinement(), MOST)
    assert ask(worker, "pid") == worker.pid
    worker.end()
    workers.close()


def test_closing_ends_the_server_and_its_workers():
    workers = Workers(f"{HERE}:answer")
    worker = workers.start(Confinement(), MOST)
    server = parent_of(worker.pid)
    workers.close()
    wait_until_gone(worker.pid)
    assert not is_running(server)
    worker.end()


HOST = f"""
import os, sys, time
from wasi_nn_torch.workers.confinement import Confinement
from wasi_nn_torch.workers.forkserver import Workers
workers = Workers("{HERE}:answer")
worker = workers.start(Confinement(), 1000)
print(worker.pid, flush=True)
worker.channel.send(b"loop")
"""


def started_by(program: str) -> tuple[subprocess.Popen, list[int]]:
    host = subprocess.Popen([sys.executable, "-c", HOST + textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    return host, with_parent(int(host.stdout.readline()))


@pytest.mark.parametrize(
    "program", ["time.sleep(60)", "sys.exit(0)", "os._exit(3)", "os.kill(os.getpid(), 11)"], ids=lambda text: text
)
def test_nothing_is_left_when_the_host_ends(program):
    host, pids = started_by(program)
    if "sleep" in program:
        host.kill()
    host.wait(timeout=60)
    for pid in pids:
        wait_until_gone(pid)


def test_a_fork_of_the_host_has_its_own_server_and_keeps_nothing_alive():
    host, pids = started_by(
        """
        child = os.fork()
        if not child:
            other = workers.start(Confinement(), 1000)
            print(other.pid, flush=True)
            time.sleep(60)
        time.sleep(60)
        """
    )
    others = with_parent(int(host.stdout.readline()))
    assert not set(pids) & set(others)
    host.kill()
    host.wait(timeout=60)
    for pid in pids:
        wait_until_gone(pid)
    kill(parent_of(others[1]))
    for pid in others:
        wait_until_gone(pid)


def test_a_channel_carries_descriptors_and_long_messages():
    here, there = Channel.pair(1 << 24)
    other = Channel(there)
    long = os.urandom(1 << 22)
    reading, writing = os.pipe()
    thread = threading.Thread(target=here.send, args=(long,), kwargs={"descriptors": [reading]})
    thread.start()
    content, descriptors = other.receive_with_descriptors()
    thread.join()
    assert content == long
    os.write(writing, b"through the pipe")
    assert os.read(descriptors[0], 100) == b"through the pipe"
    for descriptor in (reading, writing, *descriptors):
        os.close(descriptor)
    here.close()
    with pytest.raises(ChannelClosed):
        other.receive()
    other.close()
