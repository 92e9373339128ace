"""What a world gives to a guest, apart from files and streams."""

from __future__ import annotations

import pytest

from wasi_bindings.network import ErrorCodeException, IpAddressFamily
from wasi_bindings.wall_clock import Datetime
from wasi_host import SystemClock, TestClock, World
from wit_host import Err, GuestExit, Ok


@pytest.mark.parametrize("family", IpAddressFamily)
def test_there_are_no_sockets(family):
    sockets = World().hosts.sockets
    network = sockets.instance_network()
    for attempt in (
        lambda: sockets.create_tcp_socket(family),
        lambda: sockets.create_udp_socket(family),
        lambda: sockets.resolve_addresses(network, "localhost"),
    ):
        with pytest.raises(ErrorCodeException) as raised:
            attempt()
        assert raised.value.value.value == "access-denied"


def test_a_guest_exits_with_0_or_1():
    for status, number in ((Ok(None), 0), (Err(None), 1)):
        with pytest.raises(GuestExit) as raised:
            World().hosts.exit.exit(status)
        assert raised.value.status == number


def test_there_is_a_terminal_only_if_it_is_given():
    for is_there in (False, True):
        world = World(terminal=is_there)
        terminals = world.hosts.terminals
        found = [terminals.get_terminal_stdin(), terminals.get_terminal_stdout(), terminals.get_terminal_stderr()]
        assert [each is not None for each in found] == [is_there] * 3
        assert world.open_handles == 3 * is_there
        for each in found:
            if each is not None:
                each.drop()
        assert world.open_handles == 0


def test_a_test_gives_the_time_of_day():
    clock = TestClock(wall=10.5)
    hosts = World(clock=clock).hosts
    clock.advance(2)
    assert hosts.wall_clock.now() == Datetime(12, 500_000_000)
    assert hosts.monotonic_clock.now() == 2_000_000_000
    assert (hosts.wall_clock.resolution(), hosts.monotonic_clock.resolution()) == (Datetime(0, 1), 1)


def test_a_time_of_day_before_1970_is_1970():
    assert World(clock=TestClock(wall=-5)).hosts.wall_clock.now() == Datetime(0, 0)


def test_the_clocks_of_the_system_go_on():
    clock = SystemClock()
    before = clock.monotonic()
    assert clock.left(before) <= 0 < clock.left(before + 10**12)
    assert clock.resolution() >= 1
    assert clock.wall() > 1_600_000_000 * 10**9


def test_a_moment_at_the_end_of_time_can_be_waited_for():
    clock = World().hosts.monotonic_clock
    for make in (clock.subscribe_instant, clock.subscribe_duration):
        pollable = make((1 << 64) - 1)
        assert not pollable.ready()
        pollable.drop()


def test_a_guest_begins_in_no_directory():
    environment = World(arguments=["a", "b"], env={"X": "y"}).hosts.environment
    assert environment.initial_cwd() is None
    assert (list(environment.get_arguments()), list(environment.get_environment())) == (["a", "b"], [("X", "y")])
