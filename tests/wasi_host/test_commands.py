"""Commands in C, Rust and JavaScript: they see the world that they are given, and nothing else."""

from __future__ import annotations

import pytest

import wasi_host
from tests.conftest import ROOT, built
from wasi_host import Files, Folder, Pipe, TestClock, World
from wit_host import GuestTimeout

NEEDS = {
    "c": "build/js/ready",
    "rust": "build/tests/command_rust.wasm",
    "js": "build/js/ready",
}
HINTS = {
    "c": "`make build/js/ready` installs the adapter for WASI 0.1, with npm",
    "rust": "Rust cannot compile to WASI here; run `rustup target add wasm32-wasip1`",
    "js": "`make build/js/ready` installs the engine, with npm",
}


@pytest.fixture(scope="module", params=["c", "rust", "js"])
def command(request, engine):
    language = request.param
    if not (ROOT / NEEDS[language]).exists():
        pytest.skip(f"there is no guest in {language}: {HINTS[language]}")
    return engine.compile(built(f"build/tests/command_{language}.wasm"), buffers=wasi_host.BUFFERS, optimize=False)


def run(engine, command, world, timeout=60):
    with engine.store(timeout=timeout) as store:
        world.add_to_linker(store.linker)
        return store.run_command(command)


def given(files, **more):
    return {
        "arguments": ["command", "one", "two words"],
        "env": {"GREETING": "grüß Gott"},
        "stdin": b"some input",
        "directories": {"/d": files},
        "clock": TestClock(wall=1_000_000_000),
        **more,
    }


def test_a_command_sees_the_world_that_it_is_given(engine, command):
    files = Files({"in.txt": b"some text", "other": b""}, writable=True)
    world = World(**given(files))
    assert run(engine, command, world) == 0
    assert world.output.decode().splitlines() == [
        "arguments: one two words",
        "variable: grüß Gott",
        "input: some input",
        "names: in.txt other out.txt",
        "outside: refused",
        "time: 1000000000",
        "slept: 3600",
    ]
    assert world.errors == b"done\n"
    assert files.read("out.txt") == b"SOME TEXT"
    assert world.open_handles == 0


def test_a_command_reads_and_writes_a_folder_and_nothing_beside_it(engine, command, tmp_path):
    (tmp_path / "secret.txt").write_text("a secret")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "in.txt").write_text("some text")
    world = World(**given(Folder(tmp_path / "d", writable=True)))
    assert run(engine, command, world) == 0
    assert b"outside: refused" in world.output
    assert (tmp_path / "d" / "out.txt").read_text() == "SOME TEXT"


def test_a_command_cannot_write_what_is_read_only(engine, command):
    files = Files({"in.txt": b"some text"})
    assert run(engine, command, World(**given(files))) == 1
    assert files.paths() == ["in.txt"]


def test_the_status_of_a_command_is_that_of_the_run(engine, command):
    files = Files({"in.txt": b""}, writable=True)
    assert run(engine, command, World(**given(files, arguments=["command", "fail"]))) == 1


def test_a_command_that_waits_for_its_input_ends_in_time(engine, command):
    files = Files({"in.txt": b""}, writable=True)
    with pytest.raises(GuestTimeout):
        run(engine, command, World(**given(files, stdin=Pipe())), timeout=0.5)
