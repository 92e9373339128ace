"""A guest that gives back what it is given, by way of the host: each value crosses four times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.guests.forward import forwarding_guest
from tests.wit_host.helpers.host import Host
from wit_host import GuestFunction, GuestInterface
from wit_host import values as wit

NAME = "test:echo/api"


class Echo(GuestInterface):
    """What the guest exports; `seen` is what the host's function got."""

    seen: list[object]

    def __call__(self, *arguments: object) -> object:
        [function] = self._instance.functions
        return function(self, *arguments)


@contextmanager
def echo(host: Host, type_: str, codec: wit.Codec, declarations: str = "", answer=None) -> Iterator[Echo]:
    """A guest that exports `f: func(v: …) -> …` by calling the import of that name; `answer` is what the host does."""
    text = f"""package test:echo;
        interface api {{ {declarations} f: func(v: {type_}) -> {type_}; }}
        world w {{ import api; export api; }}"""
    seen: list[object] = []
    function = GuestFunction[object]("f", {"v": codec}, codec)

    def implementation(value: object) -> object:
        seen.append(value)
        return value if answer is None else answer(value)

    with host.store() as store:
        store.linker.instance(NAME).function("f", implementation, {"v": codec}, codec)
        interface = Echo(store.instantiate(host.engine.compile(forwarding_guest(text))), NAME, [function])
        interface.seen = seen
        yield interface
