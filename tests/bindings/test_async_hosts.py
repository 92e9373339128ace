"""Hosts whose functions are coroutines, through the bindings that declare them so."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.bindings.guests import open_guest
from tests.golden.bindings.async_hosts.bindings import Guest, add_to_linker, pages
from wit_host import ResultError, awaiting_in


class Page(pages.Page):
    """A page; each method gives way to the event loop before it answers."""

    def __init__(self, address):
        self.address = address
        self.drops = 0

    async def text(self):
        await asyncio.sleep(0)
        if self.address == "missing":
            raise ResultError("not found")
        return f"the text of {self.address}"

    async def links(self):
        await asyncio.sleep(0)
        return [Page(f"{self.address}/{number}") for number in range(2)]

    async def content(self):
        await asyncio.sleep(0)
        return self.address.encode()

    def drop(self):
        self.drops += 1


class Web(pages.Host):
    """The functions of the interface and of the world."""

    def __init__(self):
        self.stored = []
        self.threads = set()

    async def new_page(self, address):
        await asyncio.sleep(0)
        return Page(address)

    async def page_open(self, address):
        await asyncio.sleep(0)
        if address == "closed":
            raise ResultError("closed")
        return Page(address)

    async def fetch(self, address):
        await asyncio.sleep(0)
        if address == "missing":
            raise ResultError("not found")
        return bytes(100)

    async def store(self, entries):
        await asyncio.sleep(0)
        self.stored += entries

    async def await_(self, seconds):
        self.threads.add(threading.current_thread())
        await asyncio.sleep(seconds)

    async def now(self):
        await asyncio.sleep(0)
        return 1 << 40


def used(use):
    """Call `use` with a guest and its host, on a thread beside an event loop."""

    async def run():
        loop, host = asyncio.get_running_loop(), Web()

        def inside():
            with (
                awaiting_in(loop),
                open_guest("async_hosts", lambda linker: add_to_linker(linker, host, host)) as instance,
            ):
                return use(Guest(instance), host)

        return await asyncio.to_thread(inside)

    return asyncio.run(run())


def test_functions_answer():
    assert used(lambda guest, host: guest.now()) == 1 << 40
    assert used(lambda guest, host: bytes(guest.pages.fetch("home"))) == bytes(100)


def test_they_run_on_the_thread_of_the_event_loop():
    def use(guest, host):
        guest.pages.await_(0.01)
        return host.threads, threading.current_thread()

    threads, own = used(use)
    assert threads == {threading.main_thread()} != {own}


def test_they_answer_with_errors():
    def use(guest, host):
        with pytest.raises(ResultError, match="not found"):
            guest.pages.fetch("missing")
        with pytest.raises(ResultError, match="closed"):
            guest.pages.page_open("closed")
        return True

    assert used(use)


def test_constructors_static_functions_and_methods_are_coroutines():
    def use(guest, host):
        with guest.pages.new_page("a") as made, guest.pages.page_open("b") as opened:
            texts = [made.text(), opened.text(), *(link.text() for link in made.links())]
            return texts, bytes(opened.content())

    texts, content = used(use)
    assert texts == [f"the text of {name}" for name in ("a", "b", "a/0", "a/1")]
    assert content == b"b"


def test_their_arguments_stay_valid():
    def use(guest, host):
        entries = [pages.Entry("x", b"1"), pages.Entry("y", b"22")]
        guest.pages.store(entries)
        return host.stored == entries

    assert used(use)


def test_without_an_event_loop_they_cannot_be_called():
    with (
        open_guest("async_hosts", lambda linker: add_to_linker(linker, Web(), Web())) as instance,
        pytest.raises(TypeError, match="now is a coroutine function, which needs an event loop"),
    ):
        Guest(instance).now()
