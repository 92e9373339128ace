"""Guests that try to leave their directory, to use what is not a file, or to exhaust the host."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time

import pytest

from tests.wasi_host.helpers.trees import (
    FOLLOW,
    NO_FLAGS,
    NO_FOLLOW,
    READ,
    WRITE,
    in_memory,
    on_disk,
    open_files,
    refused,
)
from wasi_bindings.types import ErrorCodeException, NewTimestampNow, OpenFlags

CREATE = OpenFlags.CREATE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="guests get no folders on Windows")

#: Paths that lead out, with the code that each is refused with.
OUTWARD = {
    "..": "not-permitted",
    "../secret": "not-permitted",
    "./../secret": "not-permitted",
    "sub/../../secret": "not-permitted",
    "sub/../sub/../../d/a.txt": "not-permitted",
    "../d/a.txt": "not-permitted",
    "/": "not-permitted",
    "/etc/passwd": "not-permitted",
    "//etc/passwd": "not-permitted",
    "out": "not-permitted",
    "out/": "not-permitted",
    "out-and-in": "not-permitted",
    "absolute": "not-permitted",
    "to-sub/../../secret": "not-permitted",
    "loop": "loop",
    "one": "loop",
    "one/x": "loop",
    "nowhere": "no-entry",
    "": "no-entry",
    "a.txt\0": "invalid",
    "sub\0/b.txt": "invalid",
    "a.txt/x": "not-directory",
    "a.txt/": "not-directory",
    "a.txt/..": "not-directory",
    "a.txt/../a.txt": "not-directory",
    "x" * 256: "name-too-long",
    "ä" * 128: "name-too-long",
    "sub/" + "./" * 2100: "name-too-long",
    "..\\secret": "no-entry",
    "C:\\Windows": "no-entry",
    "missing/../a.txt": "no-entry",
}


@pytest.fixture(params=["memory", "folder"])
def tree(request, tmp_path):
    return in_memory() if request.param == "memory" else on_disk(tmp_path)


@pytest.fixture
def disk(tmp_path):
    return on_disk(tmp_path)


@pytest.mark.parametrize("path", OUTWARD, ids=lambda path: repr(path)[:30])
def test_no_path_leads_out(path, tree):
    root, now = tree.root, NewTimestampNow()
    assert refused(tree.read, path) == OUTWARD[path]
    assert refused(root.stat_at, FOLLOW, path) == OUTWARD[path]
    assert refused(root.metadata_hash_at, FOLLOW, path) == OUTWARD[path]
    assert refused(root.set_times_at, FOLLOW, path, now, now) == OUTWARD[path]
    assert refused(tree.open, path, OpenFlags.TRUNCATE, WRITE) == OUTWARD[path]
    assert tree.world.open_handles == 1, "nothing stays open"


@pytest.mark.parametrize("path", ["../new", "/tmp/new", "sub/../../new", "to-sub/../../new", "new\0", "n" * 256, ""])
def test_nothing_is_made_outside(path, tree, tmp_path):
    root = tree.root
    before = sorted(os.listdir(tmp_path))
    for attempt in (
        lambda: tree.open(path, CREATE, WRITE),
        lambda: root.create_directory_at(path),
        lambda: root.symlink_at("a.txt", path),
        lambda: root.link_at(NO_FOLLOW, "a.txt", root, path),
        lambda: root.rename_at("a.txt", root, path),
        lambda: root.rename_at(path, root, "b"),
        lambda: root.link_at(NO_FOLLOW, path, root, "b"),
        lambda: root.unlink_file_at(path),
        lambda: root.remove_directory_at(path),
        lambda: root.readlink_at(path),
    ):
        assert refused(attempt) in ("not-permitted", "invalid", "name-too-long", "no-entry")
    assert sorted(os.listdir(tmp_path)) == before
    assert tree.read("a.txt") == "content a"


@pytest.mark.parametrize("link", ["out", "absolute", "out-and-in"])
def test_a_file_is_not_made_where_a_link_leads(link, disk, tmp_path):
    assert refused(disk.open, link, CREATE, WRITE) == "not-permitted"
    assert refused(disk.open, link, CREATE, WRITE, NO_FOLLOW) == "loop"
    assert refused(disk.open, link, CREATE | OpenFlags.EXCLUSIVE, WRITE, NO_FOLLOW) == "exist"
    assert (tmp_path / "secret").read_text() == "the secret"


def test_a_link_that_leads_nowhere_makes_a_file_inside_only(tree):
    tree.create("nowhere", b"made")
    assert tree.read("missing") == "made"


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "sub/../../secret", "..", "", "a\0b", "x" * 5000])
def test_no_link_is_made_that_leads_out(target, tree):
    assert refused(tree.root.symlink_at, target, "new") in ("not-permitted", "no-entry", "invalid", "name-too-long")


def test_a_link_may_lead_up_if_it_stays_inside(tree):
    tree.root.symlink_at("../../a.txt", "sub/deep/new")
    assert tree.read("sub/deep/new") == "content a"
    assert refused(tree.root.symlink_at, "../../../a.txt", "sub/deep/out") == "not-permitted"


def test_a_subdirectory_confines_too(tree):
    sub = tree.open("sub", OpenFlags.DIRECTORY)
    for path in ("..", "../a.txt", "up", "deep/../../a.txt"):
        assert refused(sub.open_at, FOLLOW, path, NO_FLAGS, READ) == "not-permitted"
    sub.drop()


def test_links_at_the_host_are_not_trusted_when_read(tree):
    """A guest must not learn where the host's links lead, if that is an absolute path of the host."""
    assert refused(tree.root.readlink_at, "absolute") == "not-permitted"


@pytest.fixture
def hidden(disk):
    """A directory `sub` that may be entered, but not listed, and one that may not be entered; root might do it all."""
    if not hasattr(os, "O_PATH"):
        pytest.skip("this system opens a directory only for those who may list it")
    root, is_root = disk.given.path, os.geteuid() == 0
    os.makedirs(f"{root}/closed/x")
    os.chmod(f"{root}/sub", 0o311)
    os.chmod(f"{root}/closed", 0o600)
    if is_root:
        os.seteuid(65534)
    try:
        yield disk
    finally:
        if is_root:
            os.seteuid(0)
        os.chmod(f"{root}/sub", 0o755)
        os.chmod(f"{root}/closed", 0o755)


def test_a_path_leads_through_a_directory_that_cannot_be_listed(hidden):
    assert hidden.read("sub/b.txt") == hidden.read("to-sub/deep/../b.txt") == "content b"
    assert hidden.root.stat_at(FOLLOW, "sub/.").type.value == "directory"
    assert refused(hidden.open, "sub") == refused(hidden.open, "sub/.") == "access"
    assert refused(hidden.read, "closed/x") == "access"
    hidden.open("sub/deep").drop()


def test_the_times_of_a_directory_that_a_path_leads_to_are_set(tree):
    now = NewTimestampNow()
    for path in ("sub", "sub/", "sub/.", "sub/deep/..", "to-sub/.", "."):
        tree.root.set_times_at(FOLLOW, path, now, now)
        assert tree.root.stat_at(FOLLOW, path).data_modification_timestamp.seconds == 10**9


def test_deep_directories_are_refused_before_the_host_runs_out_of_files(disk):
    os.makedirs(disk.given.path + "/d" * 150)
    before = open_files()
    assert refused(disk.open, "/".join(["d"] * 140)) == "name-too-long"
    disk.open("/".join(["d"] * 120)).drop()
    assert open_files() == before


def test_links_that_grow_are_refused(tree):
    """Each link leads through the one before it twice: 2^20 steps."""
    root = tree.root
    root.create_directory_at("g")
    root.symlink_at(".", "g/l0")
    for number in range(1, 20):
        root.symlink_at(f"l{number - 1}/l{number - 1}", f"g/l{number}")
    assert refused(tree.open, "g/l19") == "loop"


# --- things that are not files ---


@pytest.fixture
def special(disk):
    root = disk.given.path
    os.mkfifo(f"{root}/fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{root}/socket")
    try:
        os.mknod(f"{root}/null", 0o020666, os.makedev(1, 3))
    except PermissionError:
        os.mkfifo(f"{root}/null")
    return disk


@pytest.mark.parametrize("name", ["fifo", "socket", "null"])
@pytest.mark.parametrize("flags", [READ, WRITE, READ | WRITE])
@pytest.mark.parametrize("open_flags", [NO_FLAGS, CREATE, OpenFlags.TRUNCATE])
def test_devices_fifos_and_sockets_are_not_opened(name, flags, open_flags, special):
    before = open_files()
    assert refused(special.open, name, open_flags, flags) == "not-permitted"
    assert open_files() == before


def test_a_guest_sees_what_it_cannot_open(special):
    names = special.names()
    assert (names["fifo"], names["socket"]) == ("fifo", "socket")
    assert special.root.stat_at(NO_FOLLOW, "fifo").type.value == "fifo"


def test_a_fifo_that_takes_the_place_of_a_file_is_not_waited_for(disk):
    """Between the look and the opening, another program replaces the file."""
    root = disk.given.path
    stop = threading.Event()

    def swap():
        os.mkfifo(f"{root}/fifo")
        while not stop.is_set():
            for other in ("fifo", "file"):
                if other == "file":
                    with open(f"{root}/file", "w") as file:
                        file.write("x")
                os.replace(f"{root}/{other}", f"{root}/x")
                if other == "fifo":
                    os.mkfifo(f"{root}/fifo")

    seen = _while(swap, stop, lambda: _outcome(lambda: disk.read("x")))
    assert seen <= {"x", "", "not-permitted", "no-entry"}
    assert "x" in seen


def test_names_that_are_not_unicode_do_not_reach_a_guest(disk):
    if os.fsencode("\udcff") != b"\xff":
        pytest.skip("this system has no names that are not Unicode")
    with open(os.fsencode(disk.given.path) + b"/\xff", "w"):
        pass
    assert refused(disk.names) == "illegal-byte-sequence"
    assert disk.world.open_handles == 1


# --- races ---


def _outcome(call):
    try:
        return call()
    except ErrorCodeException as refusal:
        return refusal.value.value


def _while(change, stop, look, seconds=1.0):
    """What `look` returned while `change` ran in another thread."""
    thread = threading.Thread(target=change)
    thread.start()
    seen, end = set(), time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            seen.add(look())
    finally:
        stop.set()
        thread.join()
    return seen


@pytest.mark.parametrize("target", ["..", "/", "../../.."])
@pytest.mark.parametrize("path", ["x/secret", "x/../secret", "x/d/../../secret"])
def test_a_directory_that_becomes_a_link_does_not_lead_out(target, path, disk, tmp_path):
    """The race that a check before the opening loses."""
    root, stop = disk.given.path, threading.Event()
    os.mkdir(f"{root}/dir")
    os.mkdir(f"{root}/dir/d")
    os.symlink(target, f"{root}/link")
    os.rename(f"{root}/dir", f"{root}/x")

    def swap():
        for _ in itertools.count():
            os.rename(f"{root}/x", f"{root}/dir")
            os.rename(f"{root}/link", f"{root}/x")
            os.rename(f"{root}/x", f"{root}/link")
            os.rename(f"{root}/dir", f"{root}/x")
            if stop.is_set():
                return

    before = open_files()
    seen = _while(swap, stop, lambda: _outcome(lambda: disk.read(path)), 0.3)
    assert "the secret" not in seen
    assert seen & {"no-entry", "not-permitted", "not-directory"}
    assert open_files() == before
    assert (tmp_path / "secret").exists()


def test_a_file_that_becomes_a_link_does_not_lead_out(disk):
    root, stop = disk.given.path, threading.Event()
    os.symlink("../secret", f"{root}/l")

    def swap():
        while not stop.is_set():
            os.rename(f"{root}/a.txt", f"{root}/x")
            os.rename(f"{root}/x", f"{root}/a.txt")
            os.rename(f"{root}/l", f"{root}/x")
            os.rename(f"{root}/x", f"{root}/l")

    def write():
        file = disk.open("x", CREATE, READ | WRITE)
        try:
            return file.read(100, 0)[0].decode()
        finally:
            file.drop()

    seen = _while(swap, stop, lambda: _outcome(write))
    assert "the secret" not in seen


def test_a_directory_that_is_moved_out_does_not_lead_up(disk, tmp_path):
    """A guest that holds a directory keeps it, but `..` leads to where it was found, not to where it is."""
    sub = disk.open("sub", OpenFlags.DIRECTORY)
    os.rename(f"{disk.given.path}/sub", tmp_path / "moved")
    assert refused(sub.open_at, FOLLOW, "../secret", NO_FLAGS, READ) == "not-permitted"
    sub.drop()


def test_nothing_stays_open_after_any_attack(disk):
    before = open_files()
    for path in OUTWARD:
        refused(disk.read, path)
        refused(disk.root.stat_at, FOLLOW, path)
        refused(disk.root.create_directory_at, f"{path}/new")
    assert open_files() == before
    disk.root.drop()
    assert open_files() == before - 1
