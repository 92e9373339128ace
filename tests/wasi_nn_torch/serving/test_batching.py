"""Batches without any engine: whose requests are computed together, by whom, and what happens to the others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import pytest

from wasi_nn_torch import Batch
from wasi_nn_torch.contract.deadline import Deadline
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.serving.batching import Batcher, Member
from wasi_nn_torch.serving.batching.company import Company
from wasi_nn_torch.serving.batching.figures import Tally
from wasi_nn_torch.serving.batching.queue import PATIENCE, Entry, Queue

# Nothing of it depends on the device.
pytestmark = pytest.mark.cpu

#: In seconds; far longer than anything here takes.
ENOUGH = 20


@dataclass(eq=False)
class Number:
    """A request to double a number; -1 makes a computation fail."""

    value: int = 0
    kind: Hashable = "number"
    rows: int = 1
    answer: int | None = None
    has_failed: bool = False


@dataclass(eq=False)
class Doubling:
    """A graph that notes its batches, and waits at its door before each."""

    lanes: int = 1
    most: int = 1000
    batches: list[list[int]] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    door: Callable[[], object] = lambda: None

    def compute_together(self, requests: Sequence[Number]) -> bool:
        values = [request.value for request in requests]
        self.batches.append(values)
        self.threads.append(threading.current_thread().name)
        self.door()
        if len(values) > 1 and (-1 in values or len(values) > self.most):
            return False
        for request in requests:
            request.has_failed = request.value == -1
            request.answer = 2 * request.value
        return True


class Callers:
    """Callers of one batcher, each in a thread; `hold` keeps the first batch from ending until `release`."""

    def __init__(self, batch: Batch | None = None, graph: Doubling | None = None) -> None:
        self.graph = graph or Doubling()
        self.tally = Tally()
        self.batcher = Batcher("net", self.graph, batch or Batch(), self.tally)
        self.threads: dict[str, threading.Thread] = {}
        self.outcomes: dict[str, object] = {}
        self._arrived, self._opened = threading.Event(), threading.Event()

    def hold(self) -> None:
        self.graph.door = self._wait
        self._start("first", Member(), Deadline(), [0], {})
        assert self._arrived.wait(ENOUGH)

    def _wait(self) -> None:
        self._arrived.set()
        assert self._opened.wait(ENOUGH)

    def release(self) -> None:
        self._opened.set()
        self.join()

    def join(self) -> None:
        for thread in self.threads.values():
            thread.join(ENOUGH)
            assert not thread.is_alive(), f"{thread.name} was left waiting"

    def ask(
        self, name: str, *values: int, member: Member | None = None, deadline: Deadline | None = None, **request: object
    ) -> Member:
        """Ask for these numbers one after the other, in a new thread, and return when the first of them waits."""
        member, deadline = member or Member(), deadline or Deadline()
        waiting = self.batcher.waiting
        self._start(name, member, deadline, values, request)
        until(lambda: self.batcher.waiting > waiting or not self.threads[name].is_alive())
        return member

    def _start(
        self, name: str, member: Member, deadline: Deadline, values: Sequence[int], request: dict[str, object]
    ) -> None:
        def call() -> None:
            try:
                for value in values:
                    self.outcomes[name] = self.call(member, Number(value, **request), deadline)
            except BaseException as error:  # noqa: BLE001  # it is the outcome
                self.outcomes[name] = error

        self.threads[name] = threading.Thread(target=call, name=name)
        self.threads[name].start()

    def call(self, member: Member, request: Number, deadline: Deadline) -> int | None:
        entry = Entry(member, request)
        try:
            self.batcher.compute(entry, deadline)
            return request.answer
        finally:
            self.batcher.wake_next(entry)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + ENOUGH
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.001)


# --- together ---


def test_requests_that_come_while_a_batch_is_computed_are_computed_together():
    callers = Callers()
    callers.hold()
    for value in range(1, 6):
        callers.ask(f"caller {value}", value)
    callers.release()
    assert callers.graph.batches == [[0], [1, 2, 3, 4, 5]]
    assert callers.outcomes == {"first": 0, **{f"caller {value}": 2 * value for value in range(1, 6)}}


def test_one_of_the_callers_computes_for_all_in_its_own_thread():
    callers = Callers()
    callers.hold()
    callers.ask("a", 1)
    callers.ask("b", 2)
    callers.release()
    assert callers.graph.threads == ["first", "a"]


def test_only_requests_of_one_kind_are_joined():
    callers = Callers()
    callers.hold()
    callers.ask("a", 1, kind="short")
    callers.ask("b", 2, kind="long")
    callers.ask("c", 3, kind="short")
    callers.ask("d", 4, kind=None)
    callers.ask("e", 5, kind=None)
    callers.release()
    assert callers.graph.batches == [[0], [1, 3], [2], [4], [5]]


def test_a_batch_has_at_most_so_many_rows():
    callers = Callers(Batch(max_size=4))
    callers.hold()
    callers.ask("a", 1, rows=3)
    callers.ask("b", 2, rows=3)
    callers.ask("c", 3)
    callers.ask("d", 4, rows=9)
    callers.release()
    assert callers.graph.batches == [[0], [1, 3], [2], [4]]


def test_a_batch_has_the_largest_preferred_size_that_is_reached():
    callers = Callers(Batch(max_size=16, preferred=(4, 2)))
    callers.hold()
    for value in range(1, 8):
        callers.ask(str(value), value)
    callers.release()
    assert [len(batch) for batch in callers.graph.batches] == [1, 4, 2, 1]


def test_another_kind_is_computed_beside_if_there_is_a_lane_for_it():
    callers = Callers(graph=Doubling(lanes=2))
    callers.hold()
    callers.graph.door = lambda: None
    callers.ask("a", 1, kind="other")
    until(lambda: "a" in callers.outcomes)
    callers.ask("b", 2)
    assert callers.batcher.waiting == 1
    callers.release()


# --- fair ---


def test_sessions_take_turns():
    callers = Callers(Batch(max_size=2))
    callers.hold()
    many = Member()
    for value in range(1, 8):
        callers.ask(f"many {value}", value, member=many)
    callers.ask("single", 100)
    callers.release()
    assert callers.graph.batches[1] == [1, 100]


def test_sessions_with_a_higher_priority_go_first():
    callers = Callers(Batch(max_size=2))
    callers.hold()
    callers.ask("low", 1, 1, member=Member(-1))
    callers.ask("usual", 2)
    callers.ask("high", 3, member=Member(5))
    callers.ask("other", 4)
    callers.release()
    assert callers.graph.batches[1:] == [[3, 2], [4, 1], [1]]


def test_a_low_priority_is_not_starved():
    queue, low = Queue(), Entry(Member(-1), Number())
    queue.add(low)
    for _ in range(PATIENCE):
        high = Entry(Member(1), Number(kind="other"))
        queue.add(high)
        assert next(iter(queue)) is high
        queue.take(high, 16)
    queue.add(Entry(Member(1), Number()))
    assert next(iter(queue)) is low


def test_requests_of_one_session_keep_their_order():
    queue, member = Queue(), Member()
    entries = [Entry(member, Number(value)) for value in range(3)]
    for entry in entries:
        queue.add(entry)
    assert queue.take(entries[0], 16) == entries
    assert queue.length == 0


# --- full, late, cancelled ---


def test_a_full_queue_answers_at_once():
    callers = Callers(Batch(max_queue=2))
    callers.hold()
    callers.ask("a", 1)
    callers.ask("b", 2)
    callers.ask("c", 3)
    assert isinstance(callers.outcomes["c"], NnError)
    assert callers.outcomes["c"].text == (
        "the queue of the graph `net` is full: 2 requests wait (limit 2); try again later, or ask the operator to "
        "raise `max_queue`"
    )
    assert callers.tally.refused == 1
    callers.release()
    assert callers.graph.batches == [[0], [1, 2]]


def test_a_request_whose_time_is_over_leaves_the_queue():
    callers = Callers()
    callers.hold()
    late = Deadline()
    late.start(0.05)
    callers.ask("late", 1, deadline=late)
    callers.ask("other", 2)
    until(lambda: "late" in callers.outcomes)
    assert callers.outcomes["late"].code is ErrorCode.TIMEOUT
    assert callers.batcher.waiting == 1
    callers.release()
    assert callers.graph.batches == [[0], [2]]
    assert callers.tally.withdrawn == 1


def test_a_request_that_is_cancelled_leaves_the_queue():
    callers = Callers()
    callers.hold()
    deadline = Deadline()
    callers.ask("cancelled", 1, deadline=deadline)
    deadline.cancel()
    until(lambda: "cancelled" in callers.outcomes)
    callers.release()
    assert callers.graph.batches == [[0]]


def test_a_leader_whose_time_is_over_hands_over():
    callers = Callers(Batch(max_delay=2.0))
    company = callers.batcher._schedule.company
    company.answer(Member(), "number", time.perf_counter())  # so that the leader waits for company
    deadline = Deadline()
    callers.ask("leader", 1, deadline=deadline)
    callers.ask("next", 2)
    deadline.cancel()
    callers.join()
    assert callers.outcomes["leader"].code is ErrorCode.TIMEOUT
    assert callers.outcomes["next"] == 4


def test_a_leader_that_is_interrupted_leaves_the_others_to_the_next():
    callers = Callers()
    callers.hold()
    callers.ask("a", 1)
    callers.ask("b", 2)
    callers.ask("c", 3)

    def door() -> None:
        if threading.current_thread().name == "a":
            raise KeyboardInterrupt

    callers.graph.door = door
    callers.release()
    assert isinstance(callers.outcomes["a"], KeyboardInterrupt)
    assert (callers.outcomes["b"], callers.outcomes["c"]) == (4, 6)
    assert callers.graph.batches == [[0], [1, 2, 3], [2, 3]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_child_of_a_fork_does_not_wait_for_the_callers_of_its_parent():
    callers = Callers()
    callers.hold()
    callers.ask("waits", 1)
    child = os.fork()
    if not child:
        callers.graph.door = lambda: None
        try:
            os._exit(callers.call(Member(), Number(21), Deadline()) or 0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    callers.release()
    assert os.waitstatus_to_exitcode(status) == 42


# --- apart ---


def test_a_request_that_makes_a_batch_fail_fails_alone():
    callers = Callers()
    callers.hold()
    requests = {name: callers.ask(name, value) for name, value in (("a", 1), ("bad", -1), ("c", 3))}
    callers.release()
    assert (callers.outcomes["a"], callers.outcomes["c"]) == (2, 6)
    assert callers.graph.batches == [[0], [1, -1, 3], [3], [-1], [1]]
    assert [member.is_apart for member in requests.values()] == [False, True, False]
    assert callers.tally.failed_together == 1


def test_whoever_made_a_batch_fail_is_not_joined_again():
    callers = Callers()
    bad = Member()
    bad.is_apart = True
    callers.hold()
    callers.ask("bad", 1, member=bad)
    callers.ask("b", 2)
    callers.ask("c", 3)
    callers.release()
    assert callers.graph.batches == [[0], [1], [2, 3]]


def test_a_batch_that_is_too_large_is_made_smaller():
    callers = Callers(graph=Doubling(most=2))
    callers.hold()
    for value in range(1, 5):
        callers.ask(str(value), value, member=Member())
    callers.release()
    assert callers.graph.batches[:2] == [[0], [1, 2, 3, 4]]
    assert [callers.outcomes[str(value)] for value in range(1, 5)] == [2, 4, 6, 8]
    assert callers.batcher._schedule._size("number", 10) == 2


# --- company ---


def test_a_lone_session_is_never_made_to_wait():
    callers, member = Callers(Batch(max_delay=30.0)), Member()
    for _ in range(5):
        assert callers.batcher.enter(callers, member)
        callers.batcher.leave(callers, member, 1)
    assert callers.tally.figures().sizes == {1: 5}
    assert callers.tally.queue_seconds == 0.0


def test_as_many_sessions_as_there_are_lanes_do_not_wait_for_each_other():
    callers, members = Callers(graph=Doubling(lanes=2)), [Member(), Member(), Member()]
    assert callers.batcher.enter("a", members[0])
    assert callers.batcher.enter("b", members[1])
    assert not callers.batcher.enter("c", members[2])
    callers.batcher.leave("a", members[0], 1)
    assert callers.batcher.enter("c", members[2])
    for name, member in (("b", members[1]), ("c", members[2]), ("d", members[0])):
        callers.batcher.leave(name, member, 1)
    assert callers.tally.figures().sizes == {1: 3}
    company = callers.batcher._schedule.company
    for member in members[:2]:
        company.answer(member, "number", time.perf_counter())
    assert not callers.batcher.enter("c", members[2])


def test_a_session_is_expected_for_four_times_the_delay():
    company, member = Company(0.05), Member()
    company.answer(member, "kind", now=50.0)
    assert company.expected("kind", 50.1) == (1, pytest.approx(50.2))
    assert company.expected("other kind", 50.1)[0] == 0
    assert company.expected("kind", 50.3)[0] == 0


def returning(company: Company, member: Member, now: float, times: int, after: float) -> float:
    """A member gets an answer and comes back, again and again; returns the time when it has come back."""
    for _ in range(times):
        company.answer(member, "kind", now)
        now += after
        company.arrive(member, now)
    return now


def test_a_session_that_usually_comes_back_later_is_not_waited_for():
    company, member = Company(0.002), Member()
    now = returning(company, member, 50.0, times=5, after=0.1)
    company.answer(member, "kind", now)
    assert company.expected("kind", now)[0] == 0


def test_a_session_that_is_late_now_and_then_is_waited_for():
    company, member = Company(0.002), Member()
    now = 50.0
    for _ in range(10):
        now = returning(company, member, now, times=3, after=0.001)
        now = returning(company, member, now, times=1, after=0.1)
    company.answer(member, "kind", now)
    assert company.expected("kind", now)[0] == 1


def test_a_session_that_became_slow_or_fast_is_noticed():
    company, member = Company(0.002), Member()
    now = returning(company, member, 50.0, times=50, after=0.001)
    now = returning(company, member, now, times=8, after=0.1)
    assert member.promptness < 0.5
    returning(company, member, now, times=8, after=0.001)
    assert member.promptness > 0.5


def test_without_a_delay_nobody_is_waited_for():
    company = Company(0.0)
    company.answer(Member(), "kind", now=50.0)
    assert not company.kinds


def test_a_session_that_ends_is_not_expected():
    company, member = Company(1.0), Member()
    company.answer(member, "kind", now=50.0)
    company.forget(member)
    assert company.expected("kind", 50.0)[0] == 0
    assert company.others(Member(), 50.0) == 0


def test_the_last_one_that_is_expected_computes_the_batch():
    callers = Callers(Batch(max_delay=ENOUGH))
    now = time.perf_counter()
    members = {name: Member() for name in ("a", "b", "c")}
    for member in members.values():
        callers.batcher._schedule.company.answer(member, "number", now)
    for name, member in members.items():
        callers.ask(name, 1, member=member)
    callers.join()
    assert callers.graph.threads == ["c"]
    assert callers.graph.batches[-1] == [1, 1, 1]


# --- what is chosen, what is counted ---


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_size": 1}, "max_size is 1; give a whole number of at least 2"),
        ({"max_queue": 0}, "max_queue is 0; give a whole number of at least 1"),
        ({"max_delay": -1.0}, "max_delay is -1.0; give seconds, from 0 to 60"),
        ({"max_delay": float("nan")}, "max_delay is nan; give seconds, from 0 to 60"),
        ({"preferred": (32,)}, "the preferred size 32 is above max_size, which is 16"),
        ({"preferred": (0,)}, "a preferred size is 0; give a whole number of at least 1"),
    ],
)
def test_numbers_out_of_range_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        Batch(**options)


def test_the_figures_have_sizes_and_times():
    callers = Callers()
    callers.hold()
    member = callers.ask("a", 1)
    callers.ask("b", 2, rows=3)
    callers.release()
    figures = callers.tally.figures()
    assert figures.sizes == {1: 1, 4: 1}
    assert (figures.requests, figures.batches, figures.mean_size) == (3, 2, 2.5)
    assert 0 < figures.longest_wait <= figures.queue_seconds
    assert figures.compute_seconds > 0
    assert member.tally.figures().sizes == {4: 1}
    assert figures.to_dict()["sizes"] == {"1": 1, "4": 1}
