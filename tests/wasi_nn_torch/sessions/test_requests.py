"""A session whose guest makes requests of HTTP, by a world that the host gives it."""

from __future__ import annotations

import pytest

import wasi_host
from tests.conftest import ROOT, built
from tests.wasi_host.helpers.peers import peer, saying
from wasi_host import Outgoing, World
from wasi_nn_torch import Engine, Limits
from wit_host import LinkError

# Nothing of it depends on the device.
pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(
        not (ROOT / "build/js/ready").exists(),
        reason="there is no adapter for commands; `make build/js/ready` installs it, with npm",
    ),
]


@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_guest_asks_what_its_world_allows(is_allowed):
    with Engine("cpu", guest_models="none") as engine, peer(saying(b"HTTP/1.1 200 OK\r\n\r\nhello")) as server:
        guest = engine.compile(
            built("build/tests/ask_c.wasm"),
            link=lambda linker: wasi_host.add_to_linker(linker, lambda session: session.data),
            buffers=wasi_host.BUFFERS,
        )
        outgoing = Outgoing([f"http://127.0.0.1:{server.port}"]) if is_allowed else None
        world = World(arguments=["ask", f"127.0.0.1:{server.port}", "/"], outgoing=outgoing)
        with engine.session(data=world, limits=Limits(timeout=30)) as session:
            assert session.run(guest) == (0 if is_allowed else 1)
        assert world.output.endswith(b"status: 200\nhello" if is_allowed else b"refused\n")
        assert server.connections == int(is_allowed)


def test_without_a_world_the_error_says_how_to_give_one():
    with (
        Engine("cpu", guest_models="none") as engine,
        engine.session() as session,
        pytest.raises(LinkError, match=r"imports wasi:http/.* offer it by `wasi_host.add_to_linker`, or build"),
    ):
        session.run(built("build/tests/ask_c.wasm"))
