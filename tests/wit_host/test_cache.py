"""The compile cache: what is found again, what is not trusted, and what happens to the folder."""

from __future__ import annotations

import errno
import hashlib
import hmac
import logging
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import wasmtime
from wasmtime import component

from wit_host import Engine, GuestError, cache_files, made_for, private_copy
from wit_host import cache as cache_module
from wit_host import engine as engine_module
from wit_host.cache import CompileCache
from wit_host.cache_directory import CacheDirectory
from wit_host.compiling import Compiling

#: The secret of the user.
SECRET = b"known to the user only" * 2

posix = pytest.mark.skipif(os.name != "posix", reason="only POSIX has owners and modes of files")


def guest(number: int) -> bytes:
    """A component whose only function returns a number."""
    return bytes(
        wasmtime.wat2wasm(
            f"""(component
                (core module $m (func (export "f") (result i32) i32.const {number}))
                (core instance $i (instantiate $m))
                (func (export "f") (result u32) (canon lift (core func $i "f"))))"""
        )
    )


def answer(engine: wasmtime.Engine, compiled: component.Component) -> int:
    """What the guest's function returns."""
    store = wasmtime.Store(engine)
    instance = component.Linker(engine).instantiate(store, compiled)
    function = instance.get_func(store, "f")
    assert function is not None
    return function(store)


class Cached:
    """A cache on a folder, with an engine of its own, as another process has them."""

    def __init__(self, folder, largest=2 << 30, secret=SECRET):
        self.cache = CompileCache(folder, secret, largest)
        self.directory = self.cache.directory
        self.engine = wasmtime.Engine()

    def compile(self, number, fingerprint="settings"):
        """Compile a guest, which must then work; return whether it came from the folder."""
        compiled = self.cache.compile(
            Compiling(self.engine, None, False), fingerprint, guest(number), component.Component
        )
        assert answer(self.engine, compiled) == number
        return self.cache.supplied(compiled)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def cached(folder):
    return Cached(folder)


@pytest.fixture
def entry(cached):
    """The file of the guest 7."""
    cached.compile(7)
    [entry] = cached.directory.entries()
    return entry.path


def numbers(cached):
    """How many entries there are; nothing else may be in the folder."""
    entries = cached.directory.entries()
    assert {entry.path for entry in entries} == set(cached.directory.folder.iterdir())
    return len(entries)


# --- what is found again ---


def test_a_guest_is_compiled_once_and_then_found_by_every_process(folder):
    assert [Cached(folder).compile(7) for _ in range(3)] == [False, True, True]


def test_each_guest_is_found_by_its_bytes(cached):
    assert [cached.compile(number) for number in (1, 2, 1, 2)] == [False, False, True, True]
    assert numbers(cached) == 2


def test_a_guest_that_is_not_valid_is_not_kept(cached):
    with pytest.raises(wasmtime.WasmtimeError):
        cached.cache.compile(Compiling(cached.engine, None, False), "settings", guest(1) + b"\xff", component.Component)
    assert numbers(cached) == 0


def test_an_entry_is_of_one_fingerprint(cached):
    assert [cached.compile(7, fingerprint) for fingerprint in ("one", "other", "one")] == [False, False, True]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("_FORMAT", 99),
        ("platform.machine", lambda: "z80"),
        ("sys.platform", "cpm"),
        ("installed_wasmtime", lambda: "1"),
    ],
)
def test_an_entry_is_of_one_format_platform_and_version(folder, monkeypatch, place, value):
    Cached(folder).compile(7)
    monkeypatch.setattr(f"wit_host.cache.{place}", value)
    assert [Cached(folder).compile(7) for _ in range(2)] == [False, True]


def test_engines_share_entries_as_long_as_their_settings_are_the_same(folder, monkeypatch):
    def compile_anew():
        engine = Engine(cache=CompileCache(folder, SECRET))
        return engine.is_from_cache(engine.compile(guest(7)))

    assert [compile_anew(), compile_anew()] == [False, True]
    with monkeypatch.context() as patch:
        patch.setitem(engine_module._SETTINGS, "wasm_threads", False)
        assert [compile_anew(), compile_anew()] == [False, True]
        patch.setitem(engine_module._SETTINGS, "wasm_threads", True)
        assert compile_anew() is False

    with monkeypatch.context() as patch:
        patch.setattr(engine_module, "unsupported", lambda: "no memory can be reserved")
        assert [compile_anew(), compile_anew()] == [False, True]

    def relax(config):
        config.cranelift_nan_canonicalization = True

    monkeypatch.setattr(engine_module, "_CHANGES", (*engine_module._CHANGES, relax))
    assert [compile_anew(), compile_anew()] == [False, True]


def test_an_engine_without_a_cache_compiles(folder):
    engine = Engine()
    assert not engine.is_from_cache(engine.compile(guest(7)))


def test_a_guest_that_an_engine_refuses_is_refused_as_without_a_cache(folder):
    with pytest.raises(GuestError, match="is not a valid component"):
        Engine(cache=CompileCache(folder, SECRET)).compile(guest(1) + b"\xff")


def test_hits_misses_and_what_is_stored_are_logged_with_size_and_time(cached, caplog):
    caplog.set_level(logging.INFO, "wit_host")
    cached.compile(7)
    [entry] = cached.directory.entries()
    cached.compile(7)
    size = entry.path.stat().st_size
    assert [record.levelname for record in caplog.records] == ["INFO"] * 3
    miss, stored, hit = (record.getMessage() for record in caplog.records)
    assert miss.startswith(f"miss {entry}: compiled {len(guest(7))} bytes in ")
    assert stored.startswith(f"stored {entry}: {size} bytes in ")
    assert hit.startswith(f"hit {entry}: loaded {size} bytes in ")


# --- what is damaged ---


def cut(share):
    return lambda content: content[: int(len(content) * share)]


def inverted(place):
    def damage(content):
        index = min(int(len(content) * place), len(content) - 1)
        return content[:index] + bytes([content[index] ^ 0xFF]) + content[index + 1 :]

    return damage


DAMAGES = {
    "nothing is left": lambda content: b"",
    "one byte is left": lambda content: content[:1],
    "half is left": cut(0.5),
    "the last byte is gone": lambda content: content[:-1],
    "a byte too many": lambda content: content + b"\0",
    "zeros": lambda content: bytes(len(content)),
    "zeros at the end": lambda content: content[: len(content) // 2] + bytes(len(content) - len(content) // 2),
    "something else": lambda content: b"hello",
    "the component itself": lambda content: guest(7),
    **{f"a byte is wrong at {place:.0%}": inverted(place) for place in (0, 0.001, 0.05, 0.2, 0.5, 0.8, 0.95, 1)},
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_compiled_again_and_whole_afterwards(cached, entry, damage, caplog):
    caplog.set_level(logging.INFO, "wit_host")
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    assert [cached.compile(7), cached.compile(7)] == [False, True]
    assert entry.read_bytes() == whole
    assert numbers(cached) == 1
    assert "its content has changed" in caplog.text


def test_a_wrong_byte_is_noticed_wherever_it_is(cached, entry):
    whole, chance = entry.read_bytes(), random.Random(7)
    for _ in range(200):
        entry.write_bytes(inverted(chance.random())(whole))
        assert cached.compile(7) is False


def place(entry, content, secret=SECRET, key=None):
    """Give an entry another content, and the name that a holder of `secret` gives it."""
    entry.write_bytes(content)
    key = key or entry.name.partition("-")[0]
    tag = hmac.digest(secret, key.encode() + content, "sha256").hex()
    return entry.rename(entry.with_name(f"{key}-{tag}.cwasm"))


@pytest.mark.parametrize("version", [b"49", b"51"])
def test_an_entry_of_another_version_of_wasmtime_is_compiled_again(cached, entry, version, caplog):
    caplog.set_level(logging.INFO, "wit_host")
    content = entry.read_bytes()
    own = made_for.metadata.version("wasmtime").partition(".")[0].encode()
    assert content.count(b"\x02" + own) == 1, "the header of what Wasmtime serializes has another shape"
    renamed = place(entry, content.replace(b"\x02" + own, b"\x02" + version))
    assert [cached.compile(7), cached.compile(7)] == [False, True]
    assert not renamed.exists()
    assert f"incompatible version '{version.decode()}'" in caplog.text


def test_an_entry_of_an_engine_with_other_settings_is_compiled_again(folder):
    config = wasmtime.Config()
    config.epoch_interruption = True
    other, cached = Cached(folder), Cached(folder)
    other.engine = wasmtime.Engine(config)
    other.cache.compile(
        Compiling(other.engine, None, False), "settings", guest(7), component.Component
    )  # its fingerprint is a lie
    assert [cached.compile(7), cached.compile(7)] == [False, True]
    assert numbers(cached) == 1


def test_a_folder_in_the_place_of_an_entry_is_left_alone(cached, entry):
    entry.unlink()
    (entry / "inside").mkdir(parents=True)
    assert [cached.compile(7), cached.compile(7)] == [False, False]
    assert cached.directory.entries() == cached.directory.clear() == []
    assert list(cached.directory.folder.iterdir()) == [entry]


@posix
def test_a_symbolic_link_is_no_entry_and_gives_way_to_one(cached, entry, tmp_path):
    elsewhere = entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(elsewhere)
    assert cached.directory.entries() == cached.directory.clear() == []
    assert [cached.compile(7), cached.compile(7)] == [False, True]
    assert not entry.is_symlink()
    assert elsewhere.exists()


@posix
def test_a_pipe_in_the_place_of_an_entry_is_no_entry(cached, entry):
    entry.unlink()
    os.mkfifo(entry)
    assert [cached.compile(7), cached.compile(7)] == [False, True]


def test_an_entry_that_is_removed_while_it_is_opened_is_compiled_again(cached, entry, monkeypatch):
    def remove_and_open(*args):
        entry.unlink()
        return cache_files.open_entry(*args)

    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "open_entry", remove_and_open)
        assert cached.compile(7) is False
    assert cached.compile(7) is True


# --- what is not authentic ---


def test_an_entry_with_the_right_checksum_but_without_the_secret_is_not_run(cached, entry):
    foreign, key = Cached(cached.directory.folder.with_name("foreign")), entry.name.partition("-")[0]
    foreign.compile(8)
    content = foreign.directory.entries()[0].path.read_bytes()
    entry.unlink()
    for checksum in (hashlib.sha256(content).hexdigest(), hashlib.sha256(content).hexdigest()[:32]):
        entry.with_name(f"{key}-{checksum}.cwasm").write_bytes(content)
    assert [cached.compile(7), cached.compile(7)] == [False, True]
    assert numbers(cached) == 1


def test_an_entry_that_was_signed_with_another_secret_is_not_run(cached, entry, caplog):
    caplog.set_level(logging.INFO, "wit_host")
    other = place(entry, entry.read_bytes(), secret=b"another user's secret" * 2)
    assert [cached.compile(7), cached.compile(7)] == [False, True]
    assert not other.exists()
    assert "was not written with this user's key" in caplog.text


def test_an_entry_under_the_name_of_another_guest_is_not_run(cached, entry):
    cached.compile(8)
    [other] = [each for each in cached.directory.entries() if each.path != entry]
    entry.write_bytes(other.path.read_bytes())
    entry.rename(entry.with_name(f"{entry.name.partition('-')[0]}-{other.tag}.cwasm"))
    assert [cached.compile(7), cached.compile(7)] == [False, True]


def test_what_is_run_is_what_was_authenticated(cached, entry, monkeypatch):
    cached.compile(8)
    [other] = [each for each in cached.directory.entries() if each.path != entry]
    load = private_copy.PrivateCopy.load

    def change_and_load(*args):
        entry.write_bytes(other.path.read_bytes())
        return load(*args)

    monkeypatch.setattr(private_copy.PrivateCopy, "load", change_and_load)
    assert cached.compile(7) is True, "the guest was loaded, and it answered 7"


def test_a_guest_survives_the_truncation_of_its_file(folder):
    code = (
        "import os; from pathlib import Path; from tests.wit_host.test_cache import *; "
        f"cached = Cached({str(folder)!r}); assert not cached.compile(7); "
        "compiling = Compiling(cached.engine, None, False); "
        "kept = cached.cache.compile(compiling, 'settings', guest(7), component.Component); "
        "assert cached.cache.supplied(kept); os.truncate(cached.directory.entries()[0].path, 0); "
        "assert answer(cached.engine, kept) == 7"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has sealed memory")
def test_without_sealed_memory_guests_are_loaded_from_bytes(cached, entry, monkeypatch, tmp_path):
    monkeypatch.setattr(private_copy, "_OPEN_FILES", tmp_path / "none")
    assert cached.compile(7) is True


def test_loading_leaves_no_file_open(cached, entry):
    assert cached.compile(7) is True
    before = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
    for _ in range(10):
        assert cached.compile(7) is True
    assert before == (len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0)


@pytest.mark.parametrize("secret", [b"", b"short", bytes(31)])
def test_a_secret_is_long(folder, secret):
    with pytest.raises(ValueError, match=f"the secret of a cache has {len(secret)} bytes; use at least 32"):
        CompileCache(folder, secret)


# --- who may write there ---


@posix
def test_folder_and_entries_are_for_this_user_alone(tmp_path):
    previous = os.umask(0)
    try:
        cached = Cached(tmp_path / "new" / "cache")
        cached.compile(7)
    finally:
        os.umask(previous)
    [entry] = cached.directory.entries()
    assert cached.directory.folder.stat().st_mode & 0o777 == 0o700
    assert entry.path.stat().st_mode & 0o777 == 0o600


@posix
@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_can_write_to_is_not_used(cached, entry, mode, caplog):
    cached.directory.folder.chmod(mode)
    assert [cached.compile(7), cached.compile(7)] == [False, False]
    assert [record.levelname for record in caplog.records] == ["WARNING"], "it is said once"
    assert caplog.messages == [
        f"{cached.directory.folder} is not used for compiled components, because other users can write to it"
    ]
    assert cached.directory.clear() == []
    cached.directory.folder.chmod(0o755)
    assert cached.compile(7) is True


@posix
def test_a_folder_of_another_user_is_not_used(tmp_path, caplog):
    if os.geteuid() == 0:
        folder = tmp_path / "theirs"
        folder.mkdir(mode=0o700)
        os.chown(folder, 12345, -1)
    else:
        folder = Path("/")
    cached = Cached(folder)
    before = set(folder.iterdir())
    assert [cached.compile(7), cached.compile(7)] == [False, False]
    assert caplog.messages == [f"{folder} is not used for compiled components, because it belongs to another user"]
    assert set(folder.iterdir()) == before


@posix
@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_folder_below_one_that_others_can_write_to_is_not_used(tmp_path, mode, caplog):
    shared = tmp_path / "shared"
    cached = Cached(shared / "mine" / "cache")
    assert cached.compile(7) is False
    shared.chmod(mode)
    assert [cached.compile(7), cached.compile(7)] == [False, False]
    assert caplog.messages == [
        f"{cached.directory.folder} is not used for compiled components, because other users can write to {shared}"
    ]
    assert cached.directory.clear() == []
    shared.chmod(mode | 0o1000)
    assert cached.compile(7) is True, "with the sticky bit, others cannot replace what is in it"


@posix
def test_nothing_is_made_below_a_folder_that_others_can_write_to(tmp_path):
    tmp_path.chmod(0o777)
    assert Cached(tmp_path / "new" / "cache").compile(7) is False
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_folder_behind_a_link_that_others_can_replace_is_not_used(tmp_path):
    (shared := tmp_path / "shared").mkdir()
    (tmp_path / "own").mkdir()
    (shared / "link").symlink_to(tmp_path / "own")
    (tmp_path / "link").symlink_to(Path("shared") / ".." / "shared" / "link")
    cached = Cached(tmp_path / "link" / "cache")
    assert [cached.compile(7), cached.compile(7)] == [False, True]
    shared.chmod(0o777)
    assert cached.compile(7) is False


@posix
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("what", ["a folder", "a link"])
def test_a_folder_below_one_of_another_user_is_not_used(tmp_path, what):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    cached = Cached(tmp_path / "link" / "cache")
    assert [cached.compile(7), cached.compile(7)] == [False, True]
    os.chown(tmp_path / ("theirs" if what == "a folder" else "link"), 12345, -1, follow_symlinks=False)
    assert cached.compile(7) is False


@posix
def test_a_folder_behind_links_without_end_is_not_used(tmp_path, caplog):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert Cached(tmp_path / "loop" / "cache").compile(7) is False
    assert "it cannot be examined: Too many levels of symbolic links" in caplog.text


@posix
def test_an_entry_that_others_can_write_to_is_not_used(cached, entry):
    entry.chmod(0o622)
    assert [cached.compile(7), cached.compile(7)] == [False, True]
    assert entry.stat().st_mode & 0o777 == 0o600


@posix
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
def test_an_entry_of_another_user_is_not_used(cached, entry):
    os.chown(entry, 12345, -1)
    assert [cached.compile(7), cached.compile(7)] == [False, True]


# --- a folder that cannot be used ---


def occupied(tmp_path):
    (tmp_path / "file").write_text("a file")
    return tmp_path / "file"


def below_a_file(tmp_path):
    return occupied(tmp_path) / "cache"


def not_unicode(tmp_path):
    return tmp_path / os.fsdecode(b"\xff")


@pytest.mark.parametrize("place", [occupied, below_a_file, pytest.param(not_unicode, marks=posix)])
def test_where_there_can_be_no_folder_guests_are_compiled(tmp_path, place):
    cached = Cached(place(tmp_path))
    assert [cached.compile(7), cached.compile(7)] == [False, False]
    assert cached.directory.entries() == cached.directory.clear() == []


@posix
@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root can write to every folder")
def test_in_a_folder_that_cannot_be_written_to_entries_are_found_all_the_same(cached, entry, caplog):
    cached.directory.folder.chmod(0o500)
    try:
        assert [cached.compile(7), cached.compile(8), cached.compile(8)] == [True, False, False]
    finally:
        cached.directory.folder.chmod(0o700)
    assert caplog.records == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a folder that not even root can write to")
def test_a_folder_that_not_even_root_can_write_to_does_no_harm(caplog):
    cached = Cached("/proc/self/cache")
    assert [cached.compile(7), cached.compile(7)] == [False, False]
    assert caplog.records == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_once_and_does_no_harm(cached, monkeypatch, caplog, code):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(cache_module.os, "replace", fail)
        assert [cached.compile(7), cached.compile(7), cached.compile(8)] == [False, False, False]
    assert [(record.levelname, "no space left" in record.message) for record in caplog.records] == [("WARNING", True)]
    assert numbers(cached) == 0
    assert [cached.compile(7), cached.compile(7)] == [False, True]


@posix
def test_a_file_that_cannot_be_written_to_its_end_leaves_nothing(folder):
    code = (
        f"import resource; from tests.wit_host.test_cache import Cached; cached = Cached({str(folder)!r}); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); assert not cached.compile(7)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert list(folder.iterdir()) == []


def test_without_a_version_of_wasmtime_nothing_is_kept(folder, monkeypatch, caplog):
    def unknown(name):
        raise made_for.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(made_for.metadata, "version", unknown)
    assert [Cached(folder).compile(7), Cached(folder).compile(7)] == [False, False]
    assert "the version of Wasmtime is not known" in caplog.text


def test_the_folder_stays_where_it_was_when_the_process_changes_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cached = Cached("cache")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    cached.compile(7)
    assert numbers(Cached(tmp_path / "cache")) == 1


# --- how much is kept ---


def use(cached, number, used):
    """Make a guest's entry, last used at a time."""
    before = {entry.key for entry in cached.directory.entries()}
    cached.compile(number)
    [new] = [entry for entry in cached.directory.entries() if entry.key not in before]
    os.utime(new.path, (used, used))
    return new


def test_the_least_recently_used_entries_go_first(folder, caplog):
    caplog.set_level(logging.INFO, "wit_host")
    cached, now = Cached(folder), time.time()
    entries = {number: use(cached, number, now - 100 + number) for number in range(1, 6)}
    cached.compile(1)  # it is now the latest
    cached.directory.largest = 4 * max(entry.size for entry in entries.values())
    cached.compile(6)
    kept = [entry.key for entry in cached.directory.entries()]
    assert kept[:3] == [entries[number].key for number in (4, 5, 1)]
    assert len(kept) == 4
    assert [message.split(":")[0] for message in caplog.messages if message.startswith("evicted")] == [
        f"evicted {entries[number]}" for number in (2, 3)
    ]


def test_what_has_just_been_compiled_stays(folder):
    cached = Cached(folder)
    cached.directory.largest = use(cached, 1, time.time()).size + 100
    cached.compile(2)
    assert [cached.compile(2), numbers(cached)] == [True, 1]


def test_an_entry_that_is_larger_than_all_may_be_is_not_kept(folder):
    cached = Cached(folder)
    use(cached, 1, time.time())
    cached.directory.largest = 100
    assert [cached.compile(2), cached.compile(2)] == [False, False]
    assert cached.compile(1) is True, "nothing had to make room for it"


def test_after_a_clock_was_put_back_entries_from_its_future_go_first(folder):
    cached, now = Cached(folder), time.time()
    old, future = use(cached, 1, now - 1000), use(cached, 2, now + 1e7)
    assert [entry.key for entry in cached.directory.entries()] == [future.key, old.key]
    cached.compile(2)
    assert [entry.key for entry in cached.directory.entries()] == [old.key, future.key], "its use is known again"


@pytest.mark.parametrize("used", [0, 1, 2**33])
def test_odd_times_do_no_harm(folder, used):
    cached = Cached(folder)
    entry = use(cached, 1, used)
    cached.directory.largest = entry.size + 100
    cached.compile(2)
    assert numbers(cached) == 1


def test_what_a_killed_process_left_is_removed_after_a_while(cached, entry):
    left, fresh = (entry.with_name(f"{name}.cwasm-new") for name in ("left", "fresh"))
    left.write_bytes(b"half")
    fresh.write_bytes(b"half")
    os.utime(left, (time.time() - 1e5,) * 2)
    cached.compile(8)
    assert [left.exists(), fresh.exists()] == [False, True]


def test_clear_removes_entries_and_nothing_else(cached, entry):
    cached.compile(8)
    others = {"notes.txt", "a.cwasm", f"{entry.name}.bak", f"x{entry.name}", entry.name.upper() + "x"}
    for name in others:
        entry.with_name(name).write_bytes(b"something")
    removed = cached.directory.clear()
    assert len(removed) == 2
    assert sum(item.size for item in removed) > 0
    assert {path.name for path in cached.directory.folder.iterdir()} == others
    assert cached.compile(7) is False


@posix
def test_a_guest_runs_on_when_its_entry_is_removed(cached, entry):
    compiled = cached.cache.compile(Compiling(cached.engine, None, False), "settings", guest(7), component.Component)
    assert cached.cache.supplied(compiled)
    assert len(cached.directory.clear()) == 1
    assert answer(cached.engine, compiled) == 7


# --- many at once ---


def hammer(folder, seed):
    """Compile guests again and again where there is never room for all of them, and clear the folder at times."""
    chance = random.Random(seed)
    cached = Cached(folder, largest=60_000)
    for _ in range(60):
        cached.compile(chance.randrange(6))
        if chance.random() < 0.1:
            cached.directory.clear()


def test_processes_share_a_folder_that_they_fill_clear_and_read_at_once(folder):
    def start(seed):
        code = f"from tests.wit_host.test_cache import hammer; hammer({str(folder)!r}, {seed})"
        return subprocess.Popen([sys.executable, "-X", "faulthandler", "-c", code], stderr=subprocess.PIPE, text=True)

    processes = [start(seed) for seed in range(4)]
    for process in processes:
        _, stderr = process.communicate(timeout=120)
        assert (process.returncode, stderr) == (0, "")
    assert numbers(Cached(folder)) <= 6


def test_processes_that_want_the_same_guest_at_once_compile_it_once(folder, tmp_path):
    code = (
        "import sys; from tests.wit_host.test_cache import Cached; "
        f"cached = Cached({str(folder)!r}); print(flush=True); sys.stdin.readline(); print(cached.compile(7))"
    )
    pipe = subprocess.PIPE
    processes = [subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) for _ in range(4)]
    for process in processes:
        process.stdout.readline()  # it is ready
    for process in processes:
        process.stdin.write(b"\n")
        process.stdin.flush()
    found = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert sorted(found) == [b"False", b"True", b"True", b"True"]
    assert numbers(Cached(folder)) == 1
    assert not list(folder.glob("*.cwasm-new"))


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such locks")
def test_a_process_that_is_killed_while_it_compiles_does_not_stop_the_others(folder):
    code = (
        "import time; from tests.wit_host.test_cache import Cached; "
        f"cached = Cached({str(folder)!r}); cached.directory.create()\n"
        f"with cached.directory.alone({'0' * 64!r}): print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        process.stdout.readline()  # it holds the lock
        entered = threading.Event()

        def enter():
            with CacheDirectory(folder).alone("0" * 64):
                entered.set()

        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.2)
        process.kill()
        assert entered.wait(30)
        thread.join()
    assert list(folder.iterdir()) == []


def test_a_folder_without_locks_does_no_harm(cached, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("wit_host.cache_directory.lock_file", no_locks)
    assert cached.compile(7) is False
    assert cached.compile(7) is True


def test_threads_share_a_cache(folder):
    cached, faults = Cached(folder, largest=60_000), []

    def work(seed):
        chance = random.Random(seed)
        try:
            for _ in range(30):
                cached.compile(chance.randrange(6))
        except Exception as fault:  # noqa: BLE001  # the main thread looks at it
            faults.append(fault)

    threads = [threading.Thread(target=work, args=[seed]) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert numbers(cached) <= 6
