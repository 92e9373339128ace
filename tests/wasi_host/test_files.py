"""Files in memory and in a folder: both answer in the same way."""

from __future__ import annotations

import errno
import os

import pytest

from tests.wasi_host.helpers.trees import (
    FILES,
    FOLLOW,
    LINKS,
    NO_FLAGS,
    NO_FOLLOW,
    READ,
    WRITE,
    Tree,
    in_memory,
    on_disk,
    open_files,
    refused,
)
from wasi_bindings.types import (
    Advice,
    DescriptorFlags,
    ErrorCodeException,
    NewTimestampNoChange,
    NewTimestampNow,
    NewTimestampTimestamp,
    OpenFlags,
)
from wasi_bindings.wall_clock import Datetime
from wasi_host import Files, Folder, Limits, World
from wit_host import GuestLimit

KINDS = ["memory", "folder"]
CREATE, EXCLUSIVE, TRUNCATE = OpenFlags.CREATE, OpenFlags.EXCLUSIVE, OpenFlags.TRUNCATE


@pytest.fixture(params=KINDS)
def make(request, tmp_path):
    """Makes a tree, once."""
    return in_memory if request.param == "memory" else lambda **given: on_disk(tmp_path, **given)


@pytest.fixture
def tree(make):
    tree = make()
    yield tree
    tree.root.drop()
    assert tree.world.open_handles == 0


# --- reading ---


def test_a_guest_reads_files_in_directories(tree):
    assert [tree.read(path) for path in FILES] == list(FILES.values())
    assert tree.read("sub/../sub/./deep//c.txt") == "content c"


def test_links_that_stay_inside_are_followed(tree):
    assert [tree.read(path) for path in ("in", "to-sub/b.txt", "sub/up", "to-sub/up")] == [
        "content b",
        "content b",
        "content a",
        "content a",
    ]


def test_a_link_at_the_end_is_only_followed_if_asked_for(tree):
    assert refused(tree.read, "in", NO_FOLLOW) == "loop"
    assert tree.root.stat_at(NO_FOLLOW, "in").type.value == "symbolic-link"
    assert tree.root.stat_at(FOLLOW, "in").type.value == "regular-file"
    assert tree.root.readlink_at("in") == "sub/b.txt"
    assert refused(tree.root.readlink_at, "a.txt") == "invalid"
    assert refused(tree.root.readlink_at, "missing") == "no-entry"


def test_a_directory_lists_its_entries(tree):
    kinds = dict.fromkeys(LINKS, "symbolic-link")
    assert tree.names() == {name: kind for name, kind in kinds.items() if "/" not in name} | {
        "a.txt": "regular-file",
        "sub": "directory",
    }
    file = tree.open("a.txt")
    assert refused(file.read_directory) == "not-directory"
    file.drop()


def test_a_file_is_read_in_pieces_to_its_end(tree):
    file = tree.open("a.txt")
    assert [file.read(4, offset) for offset in (0, 4, 8, 12, 1 << 62)] == [
        (b"cont", False),
        (b"ent ", False),
        (b"a", False),
        (b"", True),
        (b"", True),
    ]
    assert file.read(0, 0) == (b"", False)
    stream = file.read_via_stream(3)
    file.drop()
    assert (stream.read(2), stream.skip(1), stream.blocking_read(100)) == (b"te", 1, b"t a"), "the stream goes on"
    stream.drop()


def test_a_file_has_a_size_and_a_type(tree):
    stat = tree.root.stat_at(FOLLOW, "a.txt")
    assert (stat.type.value, stat.size, stat.link_count) == ("regular-file", 9, 1)
    assert tree.root.stat_at(FOLLOW, "sub/").type.value == "directory"
    assert refused(tree.root.stat_at, FOLLOW, "a.txt/") == "not-directory"
    assert tree.root.stat().type.value == tree.root.get_type().value == "directory"


def test_two_descriptors_of_one_file_are_the_same_object(tree):
    one, other, third = tree.open("a.txt"), tree.open("sub/up"), tree.open("in")
    assert one.is_same_object(other)
    assert not one.is_same_object(third)
    assert one.metadata_hash() == other.metadata_hash() == tree.root.metadata_hash_at(FOLLOW, "a.txt")
    assert one.metadata_hash() != third.metadata_hash()
    for each in (one, other, third):
        each.drop()


# --- changing ---


def test_a_guest_writes_files(tree):
    assert tree.create("new", b"0123456789") == 10
    file = tree.open("new", flags=READ | WRITE)
    assert file.write(memoryview(b"ab"), 12) == 2
    assert file.read(100, 0) == (b"0123456789\0\0ab", False)
    file.set_size(3)
    file.set_size(5)
    assert file.read(100, 0) == (b"012\0\0", False)
    stream = file.append_via_stream()
    stream.blocking_write_and_flush(b"end")
    stream.drop()
    stream = file.write_via_stream(1)
    stream.blocking_write_and_flush(b"X")
    stream.blocking_write_zeroes_and_flush(1)
    stream.drop()
    assert file.read(100, 0) == (b"0X\0\0\0end", False)
    file.sync()
    file.sync_data()
    file.advise(0, 1 << 63, Advice.NORMAL)
    file.drop()


def test_a_file_is_made_truncated_or_refused_as_asked_for(tree):
    assert refused(tree.open, "missing") == "no-entry"
    assert refused(tree.open, "a.txt", CREATE | EXCLUSIVE, WRITE) == "exist"
    tree.open("a.txt", CREATE, WRITE).drop()
    assert tree.read("a.txt") == "content a"
    tree.open("a.txt", TRUNCATE, WRITE).drop()
    assert tree.read("a.txt") == ""
    assert refused(tree.open, "a.txt", OpenFlags.DIRECTORY) == "not-directory"
    assert refused(tree.open, "sub", CREATE, WRITE) == "is-directory"
    assert refused(tree.open, "sub", NO_FLAGS, WRITE) == "is-directory"
    assert refused(tree.open, "sub", TRUNCATE, WRITE) == "is-directory"
    assert refused(tree.open, "new/", CREATE, WRITE) == "is-directory"
    assert refused(tree.open, ".", CREATE | EXCLUSIVE, WRITE) == "exist"


def test_a_descriptor_permits_what_it_was_opened_for(tree):
    reading, writing = tree.open("a.txt"), tree.open("a.txt", flags=WRITE)
    assert (reading.get_flags(), writing.get_flags()) == (READ, WRITE)
    assert refused(reading.write, memoryview(b"x"), 0) == "bad-descriptor"
    assert refused(reading.append_via_stream) == "bad-descriptor"
    assert refused(writing.read, 1, 0) == "bad-descriptor"
    assert refused(writing.read_via_stream, 0) == "bad-descriptor"
    assert refused(tree.root.write, memoryview(b"x"), 0) == "bad-descriptor"
    reading.drop()
    writing.drop()


def test_directories_are_made_and_removed(tree):
    root = tree.root
    root.create_directory_at("m")
    root.create_directory_at("m/n/")
    assert refused(root.create_directory_at, "m") == "exist"
    assert refused(root.create_directory_at, ".") == "exist"
    assert refused(root.remove_directory_at, "m") == "not-empty"
    assert refused(root.remove_directory_at, "a.txt") == "not-directory"
    assert refused(root.unlink_file_at, "m") == "is-directory"
    root.remove_directory_at("m/n")
    root.remove_directory_at("m/")
    assert refused(root.remove_directory_at, "m") == "no-entry"
    assert refused(root.remove_directory_at, ".") == "invalid"


def test_nothing_is_made_in_a_directory_that_was_removed(tree):
    tree.root.create_directory_at("m")
    gone = tree.open("m", OpenFlags.DIRECTORY, DescriptorFlags.MUTATE_DIRECTORY)
    tree.root.remove_directory_at("m")
    assert refused(gone.create_directory_at, "n") == "no-entry"
    assert refused(gone.open_at, FOLLOW, "n", CREATE, WRITE) == "no-entry"
    gone.drop()


def test_files_are_moved_and_replaced(tree):
    root = tree.root
    root.rename_at("a.txt", root, "sub/b.txt")
    assert tree.read("sub/b.txt") == "content a"
    root.create_directory_at("m")
    root.create_directory_at("empty")
    assert refused(root.rename_at, "m", root, "m/n") == "invalid"
    assert refused(root.rename_at, "sub/b.txt", root, "m") == "is-directory"
    assert refused(root.rename_at, "m", root, "sub/b.txt") == "not-directory"
    assert refused(root.rename_at, "m", root, "sub") == "not-empty"
    assert refused(root.rename_at, "missing", root, "m") == "no-entry"
    assert refused(root.rename_at, "sub/b.txt", root, "new/") == "not-directory"
    assert refused(root.rename_at, "sub/b.txt/", root, "new") == "not-directory"
    root.rename_at("m", root, "empty")
    root.rename_at("empty", root, "empty")
    assert "m" not in tree.names()


def test_files_and_links_have_several_names(tree):
    root = tree.root
    root.link_at(NO_FOLLOW, "a.txt", root, "again")
    assert root.stat_at(FOLLOW, "again").link_count == 2
    root.unlink_file_at("a.txt")
    assert tree.read("again") == "content a"
    assert refused(root.link_at, FOLLOW, "again", root, "third") == "invalid"
    assert refused(root.link_at, NO_FOLLOW, "sub", root, "third") == "not-permitted"
    assert refused(root.link_at, NO_FOLLOW, "again", root, "in") == "exist"
    root.symlink_at("again", "new-link")
    assert tree.read("new-link") == "content a"
    assert refused(root.symlink_at, "x", "new-link") == "exist"


def test_a_file_that_is_open_outlives_its_name(tree):
    file = tree.open("a.txt")
    tree.root.unlink_file_at("a.txt")
    assert file.read(100, 0) == (b"content a", False)
    file.drop()


def test_times_are_set(tree):
    stamp = NewTimestampTimestamp(Datetime(5, 7))
    tree.root.set_times_at(NO_FOLLOW, "a.txt", NewTimestampNow(), stamp)
    stat = tree.root.stat_at(FOLLOW, "a.txt")
    assert (stat.data_access_timestamp, stat.data_modification_timestamp) == (Datetime(10**9, 0), Datetime(5, 7))
    file = tree.open("a.txt", flags=WRITE)
    file.set_times(stamp, NewTimestampNoChange())
    stat = file.stat()
    assert (stat.data_access_timestamp, stat.data_modification_timestamp) == (Datetime(5, 7), Datetime(5, 7))
    for bad in (Datetime(1 << 63, 0), Datetime(0, 10**9)):
        assert refused(file.set_times, NewTimestampTimestamp(bad), NewTimestampNow()) == "invalid"
    tree.root.set_times_at(FOLLOW, ".", stamp, stamp)
    assert tree.root.stat().data_modification_timestamp == Datetime(5, 7)
    file.drop()


# --- read-only ---


def test_nothing_can_be_changed_unless_it_is_writable(make):
    tree = make(writable=False)
    root = tree.root
    attempts = [
        lambda: tree.open("new", CREATE),
        lambda: tree.open("a.txt", flags=WRITE),
        lambda: tree.open("a.txt", TRUNCATE),
        lambda: root.create_directory_at("m"),
        lambda: root.remove_directory_at("sub"),
        lambda: root.unlink_file_at("a.txt"),
        lambda: root.rename_at("a.txt", root, "b"),
        lambda: root.link_at(NO_FOLLOW, "a.txt", root, "b"),
        lambda: root.symlink_at("a.txt", "b"),
        lambda: root.set_times(NewTimestampNow(), NewTimestampNow()),
        lambda: root.set_times_at(FOLLOW, "a.txt", NewTimestampNow(), NewTimestampNow()),
        lambda: tree.open("a.txt").set_times(NewTimestampNow(), NewTimestampNow()),
        lambda: tree.open("sub").create_directory_at("m"),
        lambda: tree.open("sub").open_at(FOLLOW, "b.txt", NO_FLAGS, WRITE),
    ]
    assert {refused(attempt) for attempt in attempts} == {"not-permitted"}
    file = tree.open("a.txt")
    assert refused(file.write, memoryview(b"x"), 0) == "bad-descriptor"
    assert tree.read("a.txt") == "content a"


def test_a_writable_directory_does_not_open_a_read_only_one(tmp_path):
    for name in ("from", "to"):
        (tmp_path / name).mkdir()
    (tmp_path / "from" / "f").write_text("x")
    given = {"/from": Folder(tmp_path / "from"), "/to": Folder(tmp_path / "to", writable=True)}
    [(one, _), (other, _)] = World(directories=given).hosts.preopens.get_directories()
    assert refused(one.rename_at, "f", other, "f") == "not-permitted"
    assert refused(one.link_at, NO_FOLLOW, "f", other, "f") == "not-permitted"
    other.create_directory_at("d")
    assert refused(other.rename_at, "d", one, "d") == "not-permitted"
    one.drop()
    other.drop()


def test_nothing_moves_between_memory_and_folder(tmp_path):
    given = {"/f": Folder(tmp_path, writable=True), "/m": Files({"x": b""}, writable=True), "/n": Files(writable=True)}
    [(folder, _), (memory, _), (other, _)] = World(directories=given).hosts.preopens.get_directories()
    for place in (folder, other):
        assert refused(memory.rename_at, "x", place, "x") == "cross-device"
        assert refused(memory.link_at, NO_FOLLOW, "x", place, "x") == "cross-device"
    for each in (folder, memory, other):
        each.drop()


# --- limits ---


def test_open_files_are_limited(make):
    tree = make(limits=Limits(descriptors=3))
    held = [tree.open("a.txt"), tree.open("sub")]
    assert refused(tree.open, "a.txt") == refused(tree.root.read_directory) == "insufficient-memory"
    stream = held[0].read_via_stream(0)
    held.pop(0).drop()
    assert refused(tree.open, "a.txt") == "insufficient-memory", "the stream keeps the file open"
    stream.drop()
    tree.open("a.txt").drop()


def test_the_size_of_a_file_is_limited(make):
    tree = make(limits=Limits(file=100))
    file = tree.open("a.txt", flags=READ | WRITE)
    assert refused(file.set_size, 101) == "file-too-large"
    assert refused(file.write, memoryview(b"x"), 100) == "file-too-large"
    assert refused(file.write, memoryview(b"x"), (1 << 64) - 1) == "file-too-large"
    for stream in (file.write_via_stream(100), file.write_via_stream((1 << 64) - 1)):
        stream.check_write()
        assert code_of(stream.write, b"x") == errno.EFBIG
        stream.drop()
    file.set_size(100)
    stream = file.append_via_stream()
    stream.check_write()
    assert code_of(stream.write, b"x") == errno.EFBIG
    assert file.stat().size == 100


def code_of(call, *arguments):
    with pytest.raises(Exception, match="StreamErrorLastOperationFailed") as raised:
        call(*arguments)
    return raised.value.value.value.failure.errno


def test_one_read_is_limited(make):
    tree = make(limits=Limits(read=4))
    assert tree.open("a.txt").read(1 << 63, 0) == (b"cont", False)
    assert tree.open("a.txt").read_via_stream(0).read(1 << 63) == b"cont"


def test_memory_is_limited():
    tree = in_memory(size=1000, most=20)
    tree.create("x", bytes(900))
    assert refused(tree.create, "y", bytes(100)) == "insufficient-space"
    file = tree.open("x", flags=WRITE)
    assert refused(file.set_size, 1 << 29) == "insufficient-space"
    tree.root.unlink_file_at("x")
    assert refused(tree.create, "z", bytes(900)) == "insufficient-space", "it is still open"
    file.drop()
    tree.create("z", bytes(900))
    tree.root.unlink_file_at("z")
    for number in range(3):
        tree.create(f"n{number}")
    assert refused(tree.create, "more") == "insufficient-space"
    assert refused(tree.root.create_directory_at, "more") == "insufficient-space"
    assert refused(tree.root.symlink_at, "a.txt", "more") == "insufficient-space"


def test_listings_are_limited():
    tree = in_memory(most=20)
    held = []
    for _ in range(80 // len(tree.names())):
        held.append(tree.root.read_directory())
    assert refused(tree.root.read_directory) == "insufficient-memory"
    for each in held:
        each.drop()
    tree.root.read_directory().drop()


# --- for the host ---


def test_a_host_looks_into_memory():
    files = Files({"a/b/c": b"1", "empty/": b""}, writable=True)
    assert files.paths() == ["a/", "a/b/", "a/b/c", "empty/"]
    tree = Tree(files)
    tree.create("a/new", b"23")
    tree.root.symlink_at("new", "a/link")
    assert files.read("a/new") == b"23"
    assert files.paths() == ["a/", "a/b/", "a/b/c", "a/link@", "a/new", "empty/"]
    files.write("a/new", b"changed")
    assert tree.read("a/link") == "changed"
    for path in ("missing", "a", "a/link", "a/new/x"):
        with pytest.raises(FileNotFoundError):
            files.read(path)
    with pytest.raises(NotADirectoryError):
        files.write("a/new/x", b"")
    with pytest.raises(IsADirectoryError):
        files.write("a", b"")


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000, "\ud800"])
def test_a_path_that_no_guest_can_use_is_refused(path):
    with pytest.raises(ValueError, match="directory"):
        World(directories={path: Files()})


def test_a_folder_has_to_exist(tmp_path):
    with pytest.raises(NotADirectoryError, match="does not exist"):
        Folder(tmp_path / "missing")
    folder = Folder(tmp_path)
    os.rmdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        World(directories={"/d": folder}).hosts.preopens.get_directories()


def test_errors_that_wasi_does_not_have_are_io():
    from wasi_host.files.errors import answering

    with pytest.raises(ErrorCodeException) as raised, answering():
        raise OSError(errno.EHOSTDOWN, "text")
    assert raised.value.value.value == "io"


def test_a_guest_that_asks_for_its_directories_again_and_again_reaches_its_limit(tmp_path):
    before = open_files()
    directories = {"/memory": Files(), "/folder": Folder(tmp_path)}
    world = World(directories=directories, limits=Limits(descriptors=5))
    kept = [each for _ in range(2) for each, _ in world.hosts.preopens.get_directories()]
    with pytest.raises(GuestLimit, match="holds 5 descriptors"):
        world.hosts.preopens.get_directories()
    assert world.open_handles == 4
    for each in kept:
        each.drop()
    assert open_files() == before
