"""The cache of compiled guests from the command line: its place, its contents, and clearing it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests import warm
from tests.conftest import KEPT
from wasi_nn_torch import Engine
from wasi_nn_torch.cli import app
from wasi_nn_torch.sessions.cache import user_cache, user_cache_directory
from wasi_nn_torch.sessions.cache_key import key_path

# Processes of their own see no simulated accelerator.
pytestmark = pytest.mark.cpu

GUEST = '(component (import "acme:rockets/launch@1.0.0" (instance (export "f" (func)))))'


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def cli(directory):
    """Run `wasi-nn-torch` in a process of its own, with a cache of its own."""

    def run(*arguments, **variables):
        command = [*warm.python(), "-m", "wasi_nn_torch", *map(str, arguments)]
        environment = {
            **os.environ,
            "WASI_NN_TORCH_CACHE": str(directory),
            "COLUMNS": "100",
            "NO_COLOR": "1",
            **variables,
        }
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)

    return run


@pytest.fixture
def here(directory, monkeypatch):
    """Run it in this process, which has imported everything already."""

    def run(*arguments):
        for name, value in {"WASI_NN_TORCH_CACHE": str(directory), "COLUMNS": "100", "NO_COLOR": "1"}.items():
            monkeypatch.setenv(name, value)
        result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
        return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def kept(directory, monkeypatch):
    """Keep a guest for each text that is given."""
    monkeypatch.setenv("WASI_NN_TORCH_CACHE", str(directory))

    def keep(*texts):
        with Engine("cpu") as engine:
            for text in texts:
                engine.compile(text.encode())
        return user_cache_directory().entries()

    return keep


def rows(result):
    """The printed lines, each with single spaces."""
    assert (result.returncode, result.stderr) == (0, "")
    return [" ".join(line.split()) for line in result.stdout.splitlines() if line.strip(" ─━╶╴")]


# --- running guests ---


def test_a_guest_is_compiled_by_the_first_run_and_found_by_the_second(cli, tmp_path):
    (tmp_path / "guest.wat").write_text('(module (memory (export "memory") 1) (func (export "_start")))')
    first, second = (cli("run", "--stats", tmp_path / "guest.wat") for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0)
    assert " compiling the guest " in first.stderr
    assert " loading the guest from the cache " in second.stderr
    assert " compiling the guest " not in second.stderr


def test_without_the_cache_nothing_is_kept(cli, directory, tmp_path):
    (tmp_path / "guest.wat").write_text(GUEST)
    assert cli("run", "--no-cache", tmp_path / "guest.wat").returncode == 70
    assert not directory.exists()
    assert cli("run", tmp_path / "guest.wat").returncode == 70
    assert len(list(directory.glob("*.cwasm"))) == 1


def test_with_v_it_is_said_what_the_cache_did(cli, tmp_path):
    (tmp_path / "guest.wat").write_text(GUEST)
    first, second = (cli("run", "-v", tmp_path / "guest.wat").stderr for _ in range(2))
    assert "INFO wit_host.cache: miss " in first
    assert "INFO wit_host.cache: stored " in first
    assert "INFO wit_host.cache: hit " in second


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has modes of files")
def test_a_directory_that_others_can_write_to_is_reported_and_the_guest_runs(cli, directory, tmp_path):
    directory.mkdir()
    directory.chmod(0o777)
    (tmp_path / "guest.wat").write_text(GUEST)
    result = cli("run", tmp_path / "guest.wat")
    assert result.stderr.splitlines()[0].startswith(f"WARNING wit_host.cache: {directory} is not used")
    assert "imports acme:rockets/launch@1.0.0" in result.stderr
    assert list(directory.iterdir()) == []


def test_a_guest_knows_whether_it_was_found(directory, monkeypatch):
    monkeypatch.setenv("WASI_NN_TORCH_CACHE", str(directory))
    found = []
    for cache in (True, True, False):
        with Engine("cpu", cache=cache) as engine:
            guest = engine.compile(GUEST.encode())
            found.append(guest.from_cache)
            assert guest.compile_seconds > 0
    assert found == [False, True, False]


# --- its place ---


@pytest.mark.skipif(sys.platform != "linux", reason="the user's cache directory is found by other rules there")
def test_guests_are_kept_in_the_users_cache_directory(tmp_path, monkeypatch):
    monkeypatch.delenv("WASI_NN_TORCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache_directory().folder == tmp_path / "wasi-nn-torch" / "compiled"
    monkeypatch.setenv("WASI_NN_TORCH_CACHE", str(tmp_path / "chosen"))
    assert user_cache_directory().folder == tmp_path / "chosen"


def test_nothing_is_kept_for_users_without_a_home(cli, monkeypatch):
    monkeypatch.delenv("WASI_NN_TORCH_CACHE")
    monkeypatch.setattr("wasi_nn_torch.sessions.cache.user_cache_path", lambda *_, **__: Path("~/.cache/wasi-nn-torch"))
    assert user_cache() is None
    with Engine("cpu") as engine:
        assert engine.compile(GUEST.encode()).from_cache is False


def test_tests_leave_the_users_own_alone():
    assert user_cache_directory().folder.parent == KEPT
    assert key_path().is_relative_to(KEPT)


# --- info ---


def test_info_of_a_cache_that_is_not_there_yet(cli, directory):
    assert rows(cli("cache", "info")) == [
        str(directory),
        "compiled guest size last used key",
        "0 entries 0 B at most 2.1 GB",
        f"authenticated with the key {key_path()}",
    ]
    assert not directory.exists(), "looking makes nothing"


def test_looking_makes_no_key(cli, tmp_path):
    result = cli("cache", "info", XDG_STATE_HOME=str(tmp_path / "state"))
    assert result.returncode == 0
    assert not (tmp_path / "state").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the user's state directory is found by other rules there")
def test_a_key_that_others_can_read_is_reported_and_the_guest_runs(cli, directory, tmp_path):
    (tmp_path / "guest.wat").write_text(GUEST)
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    assert "imports acme:rockets/launch@1.0.0" in cli("run", tmp_path / "guest.wat", **state).stderr
    [key] = (tmp_path / "state" / "wasi-nn-torch" / "keys").iterdir()
    key.chmod(0o644)
    reason = f"the key {key} is not used, because other users have access to it; remove it to get a new one"
    warning, *_, error = cli("run", tmp_path / "guest.wat", **state).stderr.splitlines()
    assert warning == f"WARNING wasi_nn_torch.sessions.cache: compiled guests are not kept: {reason}"
    assert "imports acme:rockets/launch@1.0.0" in error
    result = cli("cache", "info", **state)
    assert (result.returncode, result.stderr) == (2, f"error: compiled guests are not cached: {reason}\n")
    assert rows(cli("cache", "clear", **state))[0].startswith("removed 1 entry, "), "clearing needs no key"


@pytest.fixture
def run_each(here, tmp_path):
    """Compile guests by running them, each under a name; none is one that can be run."""

    def run(**guests):
        for name, text in guests.items():
            (tmp_path / name).write_text(text)
            assert here("run", tmp_path / name).returncode == 70
        return user_cache_directory().entries()

    return run


def test_info_lists_guests_with_size_and_last_use_the_latest_first(here, directory, run_each, monkeypatch):
    monkeypatch.setenv("WASI_NN_TORCH_CACHE", str(directory))
    older, newer = run_each(**{"rockets.wat": GUEST, "nothing.wat": "(component)"})
    os.utime(older.path, (1_000_000_000, 1_000_000_000))
    moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(1_000_000_000))
    result = rows(here("cache", "info"))
    assert result[2].startswith("nothing.wat ")
    assert result[2].endswith(f" {newer}")
    assert result[3].startswith("rockets.wat ")
    assert result[3].endswith(f" {moment} {older}")
    assert result[4].startswith("2 entries ")


def test_info_as_json_has_names_keys_bytes_and_moments(here, directory, run_each, monkeypatch):
    monkeypatch.setenv("WASI_NN_TORCH_CACHE", str(directory))
    [entry] = run_each(**{"rockets.wat": GUEST})
    os.utime(entry.path, (1_000_000_000, 1_000_000_000))
    assert json.loads(here("cache", "info", "--json").stdout) == {
        "folder": str(directory),
        "key_file": str(key_path()),
        "most_bytes": 2 << 30,
        "entries": [
            {"name": "rockets.wat", "key": entry.key, "bytes": entry.size, "last_used": "2001-09-09T01:46:40+00:00"}
        ],
    }


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (None, "unknown"),
        (b"", "unknown"),
        (b"\xff\xfe", "unknown"),
        (b"x" * 10_000, "unknown"),
        (b"\x1b[31mred\nx", "\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}x"),
    ],
)
def test_a_name_that_is_missing_or_damaged_does_no_harm(here, kept, directory, written, shown):
    [entry] = kept(GUEST)
    name = directory / f"{entry.key}.cwasm-name"
    name.unlink()
    if written is not None:
        name.write_bytes(written)
    assert rows(here("cache", "info"))[2].startswith(f"{shown} ")
    assert rows(here("cache", "clear"))[0].startswith("removed 1 entry, ")


def test_a_name_is_short_and_printable(here, kept, directory, tmp_path):
    name = "a\nb" + "x" * 200 + ".wat"
    (tmp_path / name).write_text("(component)")
    here("run", tmp_path / name)
    [listed] = json.loads(here("cache", "info", "--json").stdout)["entries"]
    assert listed["name"] == "a\N{REPLACEMENT CHARACTER}b" + "x" * 60 + "…"


@pytest.mark.parametrize("command", ["info", "clear"])
@pytest.mark.skipif(os.name != "posix", reason="only POSIX has modes of files")
def test_a_directory_that_is_not_used_is_reported(here, kept, directory, command):
    kept(GUEST)
    directory.chmod(0o777)
    result = here("cache", command)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"error: {directory} is not used for compiled guests, because other users can write to it\n"
    )
    assert len(list(directory.glob("*.cwasm"))) == 1


# --- clear ---


def test_clear_removes_entries_only_and_says_how_many(cli, kept, directory):
    kept(GUEST, "(component)")
    (directory / "notes.txt").write_text("mine")
    [said] = rows(cli("cache", "clear"))
    assert re.fullmatch(rf"removed 2 entries, [0-9.]+ kB, from {re.escape(str(directory))}", said)
    assert [path.name for path in directory.iterdir()] == ["notes.txt"]
    assert rows(cli("cache", "clear")) == [f"removed 0 entries, 0 B, from {directory}"]


@pytest.mark.parametrize("by", ["its name", "its key", "the key that info shows"])
def test_clear_removes_one_guest(here, directory, run_each, monkeypatch, by):
    monkeypatch.setenv("WASI_NN_TORCH_CACHE", str(directory))
    entry, other = run_each(**{"rockets.wat": GUEST, "nothing.wat": "(component)"})
    name = {"its name": "rockets.wat", "its key": entry.key, "the key that info shows": str(entry)}[by]
    assert rows(here("cache", "clear", name))[0].startswith("removed 1 entry, ")
    assert [left.key for left in user_cache_directory().entries()] == [other.key]


def test_clear_of_a_guest_that_is_not_kept(here, kept):
    kept(GUEST)
    result = here("cache", "clear", "rockets.wat")
    assert result.returncode == 2
    assert result.stderr.startswith("error: no compiled guest has the name or key `rockets.wat`; ")
    assert len(user_cache_directory().entries()) == 1


def test_clear_where_there_is_nothing_makes_nothing(cli, directory):
    assert rows(cli("cache", "clear")) == [f"removed 0 entries, 0 B, from {directory}"]
    assert not directory.exists()


# --- the program itself ---


@pytest.mark.parametrize("command", ["info", "clear"])
def test_looking_at_the_cache_does_not_import_torch(command):
    code = (
        "import sys; from typer.testing import CliRunner; from wasi_nn_torch.cli import app; "
        f"assert CliRunner().invoke(app, ['cache', '{command}']).exit_code == 0; "
        "raise SystemExit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("arguments", [[], ["cache"], ["run"], ["cache", "info"]], ids=" ".join)
def test_help_loads_neither_torch_nor_wasmtime(arguments):
    code = (
        "import sys; from typer.testing import CliRunner; from wasi_nn_torch.cli import app; "
        f"assert CliRunner().invoke(app, [*{arguments}, '--help']).exit_code == 0; "
        "raise SystemExit('torch' in sys.modules or 'wasmtime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
