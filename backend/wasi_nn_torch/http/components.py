"""Components that answer requests of HTTP themselves: instances of one, lent from a pool for each request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import wasi_host
from wasi_host import World
from wasi_host.http import Request, Response
from wasi_http_bindings import Guest
from wasi_http_bindings.types import ErrorCode
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.engine import Engine
from wasi_nn_torch.http.admission import Gate
from wasi_nn_torch.http.instances import Instances
from wasi_nn_torch.http.lines import Lines
from wasi_nn_torch.http.output import begin_output, log_output
from wasi_nn_torch.http.settings import ComponentSettings, Reuse
from wasi_nn_torch.sessions.guests import Guest as Compiled
from wasi_nn_torch.sessions.guests import InvalidGuest
from wasi_nn_torch.sessions.pool import Pool
from wasi_nn_torch.sessions.session import Session
from wasi_nn_torch.sessions.worlds import world_limits
from wit_host import Linker
from wit_host.core import CoreLinker

#: Takes the answer of a component, or the reason why it has none, on the thread of its guest.
Give = Callable[[Response | ErrorCode], object]


class Component:
    """A component. Raises InvalidGuest and GuestError if it cannot be compiled or started, or answers no requests."""

    kind = "component"
    is_ready = True

    def __init__(self, engine: Engine, name: str, settings: ComponentSettings, gate: Gate) -> None:
        self.name = name
        self.gate = gate
        self._engine = engine
        self._settings = settings
        self._instances = Instances(self._load, self._open_pool, _nothing, settings.graphs)

    @property
    def path(self) -> str:
        """The beginning of the paths of its requests."""
        return self._settings.path

    @property
    def replaced(self) -> Mapping[str, int]:
        """How many of its instances were ended, by the reason."""
        return self._instances.replaced

    def reload(self) -> None:
        """Use the component that the file holds now; requests that run are answered by the old one.

        Raises the errors of the constructor, after which nothing has changed. It may run in any thread.
        """
        self._instances.reload()

    def use_new(self, graph: str) -> None:
        """If it may hold a graph that was replaced, answer later requests by instances that get the new one."""
        self._instances.renew_for(graph)

    async def answer(self, tenant: str | None, request: Request, give: Give) -> None:
        """Have an instance answer a request, and return when it has done everything; `give` gets the answer.

        Raises `HttpError` with status 503 if too many requests wait, and the errors of guests.
        """
        async with self.gate.place(), self._instances.lent(tenant) as (session, guest):
            await session.call_async(_handle, session, guest, request, give)

    def close(self) -> None:
        """End the instances, each as soon as it has answered."""
        self._instances.close()

    def _load(self) -> Compiled:
        link = partial(_link, self.name)
        return self._engine.compile(self._settings.guest, link, wasi_host.BUFFERS, name=self.name)

    def _open_pool(self, compiled: Compiled) -> Pool[Guest]:
        settings = self._settings
        return self._engine.pool(
            compiled,
            Guest,
            size=settings.concurrency,
            max_uses=1 if settings.reuse is Reuse.NEVER else settings.max_uses,
            by_tenant=True,
            graphs=settings.graphs,
            limits=settings.limits,
            make_data=partial(_Surroundings, self.name, settings),
        )


class _Surroundings:
    """What one instance gets beside its graphs: its world, and the log of what it prints."""

    def __init__(self, name: str, settings: ComponentSettings) -> None:
        self.lines = Lines(partial(log_output, f"the component {name}"))
        self.world = World(
            arguments=[name],
            env=settings.env,
            stdout=self.lines.write,
            stderr=self.lines.write,
            outgoing=settings.outgoing,
            limits=world_limits(settings.limits),
        )


def _nothing(guest: Guest) -> None:
    """A component answers requests only."""


def _link(name: str, linker: Linker | CoreLinker) -> None:
    if isinstance(linker, CoreLinker):
        raise InvalidGuest(
            f"{quote(name)} is a core module; what answers HTTP is a component that exports "
            "`wasi:http/incoming-handler`"
        )
    wasi_host.add_to_linker(linker, lambda session: cast(_Surroundings, session.data).world)


def _handle(session: Session, guest: Guest, request: Request, give: Give) -> None:
    """Call the component on the thread of its guest."""
    around = cast(_Surroundings, session.data)
    begin_output()
    try:
        guest.incoming_handler.handle(*around.world.hosts.http_types.request(request, give))
    finally:
        around.lines.flush()
