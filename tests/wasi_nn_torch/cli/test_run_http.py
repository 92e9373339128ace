"""`run --allow-http`: a command that asks a real server, on WASI in Python; the rest of its world is as without it."""

from __future__ import annotations

import os
import subprocess

import pytest
from typer.testing import CliRunner

from tests import warm
from tests.conftest import ROOT, built
from tests.wasi_host.helpers.peers import peer, saying
from wasi_nn_torch.cli import app

# Processes of their own see no simulated accelerator.
pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(
        not (ROOT / "build/js/ready").exists(),
        reason="there is no adapter for commands; `make build/js/ready` installs it, with npm",
    ),
]

HELLO = b"HTTP/1.1 203 Some\r\ncontent-length: 5\r\n\r\nhello"


@pytest.fixture(scope="module")
def guest():
    return built("build/tests/ask_c.wasm")


@pytest.fixture
def server():
    with peer(saying(HELLO)) as server:
        yield server


def cli(*arguments, **options):
    """Run `wasi-nn-torch run` in a process of its own."""
    command = [*warm.python(), "-m", "wasi_nn_torch", "run", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    given = {"stdin": subprocess.DEVNULL} | options if "input" not in options else options
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=120, check=False, **given
    )  # fmt: skip


def asked(guest, server, *options, host="127.0.0.1", **given):
    return cli(*options, guest, f"{host}:{server.port}", "/path?query", **given)


def test_a_command_asks_a_server_that_it_may_ask(guest, server):
    done = asked(guest, server, "--allow-http", f"http://127.0.0.1:{server.port}")
    assert (done.returncode, done.stderr) == (0, "asking\n")
    assert done.stdout.endswith("status: 203\nhello")
    assert server.requests[0].startswith(b"GET /path?query HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "allowed", ["https://127.0.0.1:{port}", "http://127.0.0.1", "http://localhost:{port}", "http://127.0.0.1:1"]
)
def test_no_other_server_is_asked(guest, server, allowed):
    done = asked(guest, server, "--allow-http", allowed.format(port=server.port))
    assert done.returncode == 1
    assert done.stdout.endswith("refused\n")
    assert server.connections == 0


def test_a_name_that_leads_into_the_network_of_the_host_needs_that_network(guest, server):
    origin = f"http://localhost:{server.port}"
    done = asked(guest, server, "--allow-http", origin, host="localhost")
    assert (done.returncode, server.connections) == (1, 0)
    assert done.stdout.endswith("failed\n")
    done = asked(guest, server, "--allow-http", f"{origin}@127.0.0.0/8", host="localhost")
    assert done.stdout.endswith("status: 203\nhello")


def test_several_servers_can_be_allowed(guest, server):
    origins = ["--allow-http", "https://example.com", "--allow-http", f"http://127.0.0.1:{server.port}"]
    assert asked(guest, server, *origins).returncode == 0


def test_the_guest_has_its_input_its_variables_and_its_directories(guest, server, tmp_path):
    allowed = ["--allow-http", f"http://127.0.0.1:{server.port}"]
    own = [*allowed, "--env", "GREETING=good day", "--dir", f"{tmp_path}::/d:rw"]
    done = asked(guest, server, *own, input="some text " * 5000)
    assert done.stdout == f"variable: good day\ninput: {'some text ' * 5000}\nstatus: 203\nhello"
    assert (tmp_path / "answer.txt").read_bytes() == b"hello"


def test_a_directory_that_may_only_be_read_is_not_written_to(guest, server, tmp_path):
    asked(guest, server, "--allow-http", f"http://127.0.0.1:{server.port}", "--dir", f"{tmp_path}::/d")
    assert list(tmp_path.iterdir()) == []


def test_what_the_host_trusts_cannot_be_written_to(guest, server):
    allowed = ["--allow-http", f"http://127.0.0.1:{server.port}"]
    done = asked(guest, server, *allowed, "--dir", f"{ROOT / 'backend'}::/d:rw")
    assert done.returncode == 2
    assert "because a guest could change the package" in done.stderr


def test_the_limit_of_output_holds(guest, server):
    done = asked(guest, server, "--allow-http", f"http://127.0.0.1:{server.port}", "--max-output", "10")
    assert (done.returncode, done.stdout) == (70, "variable: ")
    assert "--max-output" in done.stderr


def test_a_server_that_does_not_answer_is_not_waited_for_beyond_the_timeout(guest):
    def silent(server, connection):
        server.head(connection)
        connection.recv(1)

    with peer(silent) as server:
        done = asked(guest, server, "--allow-http", f"http://127.0.0.1:{server.port}", "--timeout", "500ms")
    assert done.returncode == 70
    assert "did not end within 0.5 s" in done.stderr


def test_input_that_never_comes_does_not_keep_the_process(guest, server):
    reading, writing = os.pipe()
    allowed = ["--allow-http", f"http://127.0.0.1:{server.port}", "--timeout", "1s"]
    try:
        done = asked(guest, server, *allowed, stdin=reading)
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode == 70


# --- without the right ---


def here(*arguments):
    """Run it in this process, for what ends before a guest starts."""
    return CliRunner().invoke(app, ["run", *map(str, arguments)])


def test_without_the_option_the_error_names_it(guest):
    done = here(guest, "127.0.0.1:1", "/")
    assert done.exit_code == 2
    assert "ask_c.wasm imports wasi:http/" in done.stderr
    assert "--allow-http https://example.com" in done.stderr


def test_a_component_that_answers_requests_is_one_for_serve():
    done = here(built("build/tests/http_c.wasm"))
    assert done.exit_code == 2
    assert "http_c.wasm answers requests; run it with `wasi-nn-torch serve --http" in done.stderr


@pytest.mark.parametrize("origin", ["example.com", "https://example.com/path", "http://a@10.0.0.0/99", ""])
def test_what_is_no_origin_is_refused(guest, origin):
    done = here("--allow-http", origin, guest)
    assert done.exit_code == 2
    assert "--allow-http" in done.stderr


def test_a_core_module_makes_no_requests(tmp_path):
    module = tmp_path / "module.wat"
    module.write_text('(module (func (export "_start")))')
    done = here("--allow-http", "https://example.com", module)
    assert done.exit_code == 2
    assert "module.wat is a core module, which cannot make requests; leave out `--allow-http`" in done.stderr
