"""The limits of a session: their defaults, their documentation, and the text for a guest that passes one."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import fields, replace

import pytest
from typer.testing import CliRunner

from tests import warm
from tests.conftest import ROOT
from wasi_nn_torch import Engine, GuestError, GuestTimeout, Limits
from wasi_nn_torch.cli import app
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import STAGING, Ledger
from wasi_nn_torch.contract.limiting import LIMITS, advice
from wasi_nn_torch.sessions.limits import default_limits, spell_limit
from wit_host import GuestLimit

# The device does not matter here.
pytestmark = pytest.mark.cpu

NAMES = [field.name for field in fields(Limits)]


@pytest.fixture(scope="module")
def engine():
    with Engine("cpu", cache=False) as engine:
        yield engine


# --- defaults ---


def test_every_limit_but_time_and_fuel_has_a_default():
    assert {name for name in NAMES if getattr(Limits(), name) is None} == {"timeout", "fuel"}


def test_all_limits_can_be_lifted_and_each_of_them():
    assert all(getattr(Limits.none(), name) is None for name in NAMES)
    for name in NAMES:
        lifted = replace(Limits(), **{name: None})
        assert getattr(lifted, name) is None
        assert [getattr(lifted, other) for other in NAMES if other != name] == [
            getattr(Limits(), other) for other in NAMES if other != name
        ]


def test_every_limit_has_an_option_and_a_description():
    assert sorted(LIMITS) == sorted(NAMES)


def test_the_table_in_the_documentation_has_the_defaults():
    text = (ROOT / "docs" / "embedding.md").read_text()
    section = text.split("\n## Limits\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{row.name}` | `{row.option}` | {row.default} | {row.meaning} |" for row in default_limits()]


def test_the_help_has_the_defaults(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    text = CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1"}).invoke(app, ["run", "--help"]).output
    for row in default_limits():
        [line] = [line for line in text.splitlines() if line.startswith(f"│ {row.option} ")]
        assert f"[default: ({row.default})]" in line
        assert row.meaning in line


def test_the_doctor_has_the_defaults():
    findings = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)["findings"]
    [text] = [each["text"] for each in findings if each["name"] == "limits of a session"]
    for row in default_limits():
        assert f"{row.name} {row.default}" in text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("memory", 1 << 30, "1 GiB"),
        ("memory", 1000, "1,000 B"),
        ("tensors", 10_000, "10,000"),
        ("timeout", 0.5, "0.5 s"),
        ("timeout", None, "none"),
    ],
)
def test_a_limit_is_spelled_as_people_write_it(name, value, text):
    assert spell_limit(name, value) == text


# --- texts ---


@pytest.mark.parametrize("name", NAMES)
def test_the_advice_names_the_limit_in_python_and_on_the_command_line(name):
    assert f"`{name}`" in advice(name)
    assert f"`Limits({name}=…)`" in advice(name)
    assert f"`{LIMITS[name].option}`" in advice(name)


@pytest.mark.parametrize(
    ("name", "grant"),
    [
        ("host_bytes", lambda ledger: ledger.grant(STAGING, 2, "it")),
        ("device_bytes", lambda ledger: ledger.grant("cpu", 2, "it")),
        ("tensors", lambda ledger: ledger.grant_one_more("it")),
    ],
)
def test_what_the_ledger_refuses_names_the_limit(name, grant):
    with pytest.raises(NnError) as caught:
        grant(Ledger(device_limit=1, host_limit=1, tensor_limit=0))
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert caught.value.text.endswith(advice(name))


PROGRAM = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $stat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "\\40\\00\\00\\00{size}")
  (data (i32.const 64) "out\\0aerr\\0a")
  {items}
  (func (export "_start") (local $i i32) {body}))"""


def program(body, items="", size=1000):
    return PROGRAM.format(body=body, items=items, size="".join(f"\\{byte:02x}" for byte in size.to_bytes(4, "little")))


def write(stream, times=1):
    """Write the piece of `size` bytes several times, whatever the result is."""
    one = f"(drop (call $write (i32.const {stream}) (i32.const 0) (i32.const 1) (i32.const 32)))"
    if times == 1:
        return one
    again = f"(br_if $l (i32.lt_u (local.get $i) (i32.const {times})))"
    return f"(local.set $i (i32.const 0)) (loop $l {one} (local.set $i (i32.add (local.get $i) (i32.const 1))) {again})"


@pytest.mark.parametrize(
    ("name", "value", "wat"),
    [
        ("memory", 1 << 16, program("")),
        ("memories", 1, program("", "(memory 1)")),
        ("tables", 1, program("", "(table 1 funcref) (table 1 funcref)")),
        ("table_elements", 1, program("", "(table 2 funcref)")),
        ("instances", 0, program("")),
        ("output", 999, program(write(1))),
    ],
)
def test_a_guest_that_passes_a_limit_ends_with_the_advice(engine, name, value, wat):
    limits = replace(Limits(), **{name: value})
    with engine.session(limits=limits, stdout=lambda data: None) as session, pytest.raises(GuestLimit) as caught:
        session.run(wat.encode())
    assert caught.value.limit == name
    assert advice(name) in str(caught.value)


def test_a_guest_that_runs_too_long_ends_with_the_advice(engine):
    with engine.session(limits=Limits(timeout=0.1)) as session, pytest.raises(GuestTimeout) as caught:
        session.run(program("(loop $l (br $l))").encode())
    assert advice("timeout") in str(caught.value)


def test_a_guest_that_consumes_all_its_fuel_ends_with_the_advice():
    with Engine("cpu", cache=False, fuel=True) as engine:
        with engine.session(limits=Limits(fuel=1000)) as session, pytest.raises(GuestLimit) as caught:
            session.run(program("(loop $l (br $l))").encode())
        assert caught.value.limit == "fuel"
        assert advice("fuel") in str(caught.value)
        assert session.stats.fuel == 1000


def test_fuel_can_only_be_limited_if_it_is_counted(engine):
    with pytest.raises(
        ValueError, match=r"the limit `fuel` needs an engine that counts it; make it with `Engine\(fuel"
    ):
        engine.session(limits=Limits(fuel=1000))


def test_a_guest_that_is_refused_memory_and_fails_ends_with_the_advice(engine):
    with engine.session(limits=Limits(memory=1 << 18)) as session:
        with pytest.raises(GuestError) as caught:
            session.run(program("(drop (memory.grow (i32.const 100))) (unreachable)").encode())
        assert advice("memory") in str(caught.value)
        assert session.last_refusal.function == "memory.grow"


def test_a_guest_that_is_refused_memory_and_goes_on_is_not_stopped(engine):
    with engine.session(limits=Limits(memory=1 << 18)) as session:
        assert session.run(program("(drop (memory.grow (i32.const 100)))").encode()) == 0
        assert session.stats.errors == {"too-large": 1}
        assert "its memory could not grow by 6.25 MiB" in session.last_refusal.text


# --- output ---


def heard(engine, wat, output, **streams):
    """What was written to the receivers, and the error of the run."""
    out, err, error = [], [], None
    with engine.session(limits=Limits(output=output), **{"stdout": out.append, "stderr": err.append, **streams}) as it:
        try:
            it.run(wat.encode())
        except GuestLimit as limit:
            error = limit
    return b"".join(out), b"".join(err), error


def test_output_up_to_the_limit_is_delivered_and_nothing_beyond(engine):
    assert [len(part) for part in heard(engine, program(write(1, 3)), 3000)[:2]] == [3000, 0]
    out, _, error = heard(engine, program(write(1, 3)), 2500)
    assert len(out) == 2500
    assert "the guest wrote more than 2500 bytes of output" in str(error)


def test_both_streams_count_together(engine):
    out, err, error = heard(engine, program(write(1) + write(2) + write(1)), 2500)
    assert len(out) + len(err) == 2500
    assert error is not None


def test_a_guest_that_writes_for_ever_is_ended(engine):
    endless = program("(loop $l " + write(1) + "(br $l))")
    out, _, error = heard(engine, endless, 100_000)
    assert len(out) == 100_000
    assert error.limit == "output"


def command_line(tmp_path, wat, *options, **how):
    (tmp_path / "guest.wat").write_text(wat)
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(wasmtime_bytes(wat))
    command = [*warm.python(), "-m", "wasi_nn_torch", "run", "--no-cache", *options, str(guest)]
    return subprocess.run(command, timeout=120, check=False, **how)


def wasmtime_bytes(wat):
    import wasmtime

    return bytes(wasmtime.wat2wasm(wat))


def test_the_streams_of_the_host_are_counted_too(tmp_path):
    ended = command_line(tmp_path, program(write(1, 3)), "--max-output", "2500B", capture_output=True)
    assert (ended.returncode, len(ended.stdout)) == (70, 2500)
    assert b"--max-output" in ended.stderr
    for option in (["--max-output", "none"], ["--no-limits"], ["--no-limits", "--max-output", "3000B"]):
        ended = command_line(tmp_path, program(write(1, 3)), *option, capture_output=True)
        assert (ended.returncode, len(ended.stdout)) == (0, 3000)


def test_the_streams_of_the_host_keep_bytes_and_order(tmp_path):
    one = "(i32.store (i32.const 0) (i32.const {at}))" + write("{stream}")
    both = one.format(at=64, stream=1) + one.format(at=68, stream=2)
    ended = command_line(tmp_path, program(both * 200, size=4), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert ended.stdout == b"out\nerr\n" * 200


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipe whose reader can be closed first")
def test_a_stream_of_the_host_that_nobody_reads_is_an_error_of_the_guest_alone(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    fails = f"(if (i32.eqz {write(1)[6:-1]}) (then (unreachable))) (call $exit (i32.const 7))"
    try:
        ended = command_line(tmp_path, program(fails), stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert ended.returncode == 7, ended.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
def test_a_terminal_of_the_host_is_a_terminal_for_the_guest_and_a_pipe_is_not(tmp_path):
    import pty

    kind = "(drop (call $stat (i32.const 1) (i32.const 1024))) (call $exit (i32.load8_u (i32.const 1024)))"
    terminal, its_end = pty.openpty()
    try:
        assert command_line(tmp_path, program(kind), stdout=its_end).returncode == 2, "a character device"
    finally:
        os.close(terminal)
        os.close(its_end)
    assert command_line(tmp_path, program(kind), stdout=subprocess.PIPE).returncode != 2


# --- options ---


@pytest.mark.parametrize("name", NAMES)
def test_each_limit_can_be_given_and_lifted_on_the_command_line(name, tmp_path, monkeypatch):
    seen = []

    def session(self, *, limits, **_):
        seen.append(limits)
        raise ValueError("seen")

    monkeypatch.setattr(Engine, "session", session)
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(wasmtime_bytes(program("")))
    for options in (["5"], ["none"], ["5", "--no-limits"]):
        CliRunner().invoke(app, ["run", "--no-cache", LIMITS[name].option, *options, str(guest)])
    given, lifted, alone = seen
    assert given == replace(Limits(), **{name: 5})
    assert lifted == replace(Limits(), **{name: None})
    assert alone == replace(Limits.none(), **{name: 5})


@pytest.mark.parametrize("value", ["-1", "1.5", "many", "٣"])
def test_a_number_that_is_none_is_refused(value, tmp_path):
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["run", "--max-memories", value, str(tmp_path / "guest")])
    assert result.exit_code == 2
    assert re.search("is not a number of at least 0; give digits, or `none`", result.output)
