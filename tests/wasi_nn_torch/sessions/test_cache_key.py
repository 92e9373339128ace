"""The key of compiled guests: who may know it, where it is, and that all processes have the same one."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wasi_nn_torch import Engine
from wasi_nn_torch.sessions.cache import VARIABLE, user_cache
from wasi_nn_torch.sessions.cache_key import UnusableKey, find_key, find_or_make_key, key_path

pytestmark = pytest.mark.cpu

posix = pytest.mark.skipif(os.name != "posix", reason="only POSIX has owners and modes of files")
root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
linux = pytest.mark.skipif(sys.platform != "linux", reason="the user's directories are found by other rules there")

GUEST = b"(component)"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "keys" / "compiled-guests"


@pytest.fixture
def made(path):
    """A file with a key."""
    find_or_make_key(path)
    return path


@pytest.fixture
def user(tmp_path, monkeypatch):
    """The directories of a user, without anything in them; returns the file of the key."""
    monkeypatch.delenv(VARIABLE)
    for name in ("state", "cache"):
        monkeypatch.setenv(f"XDG_{name.upper()}_HOME", str(tmp_path / name))
    return key_path()


# --- the file ---


def test_a_key_is_made_once(path):
    assert find_key(path) is None
    key = find_or_make_key(path)
    assert len(key) == 32
    assert find_or_make_key(path) == find_key(path) == key
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_each_key_is_another(path):
    first = find_or_make_key(path)
    path.unlink()
    assert find_or_make_key(path) != first


@posix
def test_a_key_is_for_this_user_alone(path):
    previous = os.umask(0)
    try:
        find_or_make_key(path)
    finally:
        os.umask(previous)
    assert [each.stat().st_mode & 0o777 for each in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]


def test_processes_that_make_the_key_at_the_same_time_agree(path):
    code = (
        "import sys; from pathlib import Path; from wasi_nn_torch.sessions.cache_key import find_or_make_key; "
        "print(flush=True); sys.stdin.readline(); print(find_or_make_key(Path(sys.argv[1])).hex())"
    )
    pipe = subprocess.PIPE
    processes = [subprocess.Popen([sys.executable, "-c", code, path], stdin=pipe, stdout=pipe) for _ in range(4)]
    for process in processes:
        process.stdout.readline()  # it is ready
    for process in processes:
        process.stdin.write(b"\n")
        process.stdin.flush()
    keys = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert keys == {find_or_make_key(path).hex().encode()}
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@posix
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o604, 0o602, 0o610, 0o777])
def test_a_key_that_others_have_access_to_is_not_used(made, mode):
    made.chmod(mode)
    with pytest.raises(UnusableKey, match="because other users have access to it; remove it to get a new one"):
        find_or_make_key(made)
    made.unlink()
    assert len(find_or_make_key(made)) == 32


@root
def test_a_key_of_another_user_is_not_used(made):
    os.chown(made, 12345, -1)
    with pytest.raises(UnusableKey, match="because it belongs to another user"):
        find_or_make_key(made)


@posix
@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_key_below_a_directory_that_others_can_write_to_is_not_used(made, mode):
    made.parent.parent.chmod(mode)
    with pytest.raises(UnusableKey, match=f"because other users can write to {made.parent.parent}"):
        find_or_make_key(made)


@posix
def test_no_key_is_made_below_a_directory_that_others_can_write_to(path, tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(UnusableKey, match="other users can write to"):
        find_or_make_key(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"short", bytes(31), bytes(33)])
def test_a_key_of_another_length_is_not_used(made, content):
    made.write_bytes(content)
    with pytest.raises(UnusableKey, match="because it does not have 32 bytes; remove it to get a new one"):
        find_or_make_key(made)


@posix
@pytest.mark.parametrize("what", ["a link", "a directory", "a pipe"])
def test_only_a_file_is_a_key(made, tmp_path, what):
    made.rename(tmp_path / "elsewhere")
    {
        "a link": lambda: made.symlink_to(tmp_path / "elsewhere"),
        "a directory": made.mkdir,
        "a pipe": lambda: os.mkfifo(made, 0o600),
    }[what]()
    with pytest.raises(UnusableKey, match="remove it to get a new one"):
        find_or_make_key(made)


# --- the cache of the user ---


@linux
def test_the_key_is_apart_from_the_cache_wherever_that_is(user, tmp_path, monkeypatch):
    assert user == tmp_path / "state" / "wasi-nn-torch" / "keys" / "compiled-guests"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "chosen"))
    assert key_path() == user


@linux
@pytest.mark.parametrize("folder", ["state", "state/wasi-nn-torch/keys", "link"])
def test_a_cache_that_contains_its_key_is_not_used(user, tmp_path, monkeypatch, folder, caplog):
    (tmp_path / "state").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "state")
    monkeypatch.setenv(VARIABLE, str(tmp_path / folder))
    assert user_cache() is None
    assert f"contains the key {user}; name another directory in {VARIABLE}" in caplog.text
    assert not user.exists()


@linux
def test_with_a_key_that_others_know_guests_are_compiled_each_time(user, caplog):
    def compiled():
        with Engine("cpu") as engine:
            return engine.compile(GUEST).from_cache

    assert [compiled(), compiled()] == [False, True]
    user.chmod(0o644)
    assert [compiled(), compiled()] == [False, False]
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    user.unlink()
    assert [compiled(), compiled()] == [False, True], "what was made with the old key is not used"


@linux
@posix
def test_without_a_place_for_the_key_guests_are_compiled_each_time(user, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "state").write_text("a file")
    with Engine("cpu") as engine:
        assert engine.compile(GUEST).from_cache is False
    assert user_cache() is None
    assert "cannot be written: " in caplog.text
    assert not (tmp_path / "cache").exists()


@linux
def test_nothing_is_kept_for_users_without_a_place_for_the_key(user, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("wasi_nn_torch.sessions.cache_key.user_state_path", lambda *_, **__: Path("~/x"))
    assert user_cache() is None
    assert "this user has no home directory" in caplog.text
