"""Corners of files that programs of other test suites look into: slashes at the end, flags, and far positions."""

from __future__ import annotations

import pytest

from tests.wasi_host.helpers.trees import FOLLOW, NO_FLAGS, NO_FOLLOW, READ, WRITE, in_memory, on_disk, refused
from wasi_bindings.streams import StreamErrorException
from wasi_bindings.types import DescriptorFlags, OpenFlags

CREATE, EXCLUSIVE, TRUNCATE, DIRECTORY = OpenFlags.CREATE, OpenFlags.EXCLUSIVE, OpenFlags.TRUNCATE, OpenFlags.DIRECTORY
MUTATE, NOTHING = DescriptorFlags.MUTATE_DIRECTORY, DescriptorFlags(0)


@pytest.fixture(params=["memory", "folder"])
def tree(request, tmp_path):
    tree = in_memory() if request.param == "memory" else on_disk(tmp_path)
    yield tree
    tree.root.drop()
    assert tree.world.open_handles == 0


# --- slashes at the end ---


@pytest.mark.parametrize(("name", "error"), [("missing/", "no-entry"), ("sub/", "exist"), ("a.txt/", "not-directory")])
def test_a_link_is_not_made_where_a_directory_is_named(tree, name, error):
    assert refused(tree.root.symlink_at, "a.txt", name) == error
    assert refused(tree.root.link_at, NO_FOLLOW, "a.txt", tree.root, name) == error


@pytest.mark.parametrize(
    ("name", "error"), [("missing/", "no-entry"), ("sub/", "is-directory"), ("a.txt/", "not-directory")]
)
def test_a_directory_is_not_unlinked_as_a_file(tree, name, error):
    assert refused(tree.root.unlink_file_at, name) == error


@pytest.mark.parametrize(
    ("name", "error"), [("missing/", "no-entry"), ("sub/", "not-permitted"), ("a.txt/", "not-directory")]
)
def test_a_directory_gets_no_second_name(tree, name, error):
    assert refused(tree.root.link_at, NO_FOLLOW, name, tree.root, "new") == error


@pytest.mark.parametrize("name", ["a.txt/", "sub/", "to-sub/", "nowhere/", "loop//"])
def test_a_directory_is_not_made_where_something_is(tree, name):
    before = tree.names()
    assert refused(tree.root.create_directory_at, name) == "exist"
    assert tree.names() == before, "nothing is made where a link leads"


def test_the_open_directory_itself_is_busy_when_it_is_moved(tree):
    root = tree.root
    assert refused(root.rename_at, ".", root, "new") == "busy"
    assert refused(root.rename_at, "sub", root, ".") == "busy"
    assert refused(root.rename_at, "a.txt", root, "sub/..") == "busy"


@pytest.mark.parametrize("path", ["sub/.", "sub/./", "to-sub/."])
def test_a_directory_is_not_moved_or_removed_from_inside(tree, path):
    root, before = tree.root, tree.names()
    root.create_directory_at("empty")
    assert refused(root.rename_at, path, root, "new") == "busy"
    assert refused(root.rename_at, "empty", root, path) == "busy"
    assert refused(root.remove_directory_at, path) == "invalid"
    assert refused(root.remove_directory_at, "empty/.") == "invalid"
    assert refused(root.create_directory_at, path) == "exist"
    assert refused(root.unlink_file_at, path) == "is-directory"
    root.remove_directory_at("empty")
    assert tree.names() == before


def test_nothing_is_made_inside_of_what_is_missing(tree):
    before = tree.names()
    assert refused(tree.root.create_directory_at, "missing/.") == "no-entry"
    assert refused(tree.root.rename_at, "sub", tree.root, "missing/.") == "no-entry"
    assert refused(tree.open, "missing/.", CREATE, WRITE) == "no-entry"
    assert refused(tree.open, "a.txt/.", CREATE, WRITE) == "not-directory"
    assert tree.names() == before


def test_a_link_may_lead_to_the_inside_of_a_directory(tree):
    tree.root.symlink_at("sub/.", "new")
    tree.root.symlink_at("../sub/./deep/.", "sub/deeper")
    assert tree.read("new/b.txt") == "content b"
    assert tree.read("sub/deeper/c.txt") == "content c"


# --- opening ---


@pytest.mark.parametrize("path", ["a.txt/", "sub/b.txt/", "in/", "a.txt/."])
@pytest.mark.parametrize("flags", [TRUNCATE, TRUNCATE | CREATE])
def test_a_file_that_is_named_as_a_directory_keeps_its_content(tree, path, flags):
    assert refused(tree.open, path, flags, WRITE) in ("not-directory", "is-directory")
    assert (tree.read("a.txt"), tree.read("sub/b.txt")) == ("content a", "content b")


@pytest.mark.parametrize("path", ["out/", "loop/", "nowhere/", "sub/", "in/"])
def test_nothing_is_made_by_a_name_with_a_slash(tree, path):
    before = tree.names()
    assert refused(tree.open, path, CREATE, WRITE) == "is-directory"
    assert tree.names() == before


@pytest.mark.parametrize("flags", [CREATE, EXCLUSIVE, TRUNCATE])
def test_a_directory_is_opened_as_it_is(tree, flags):
    assert refused(tree.open, "sub", DIRECTORY | flags, READ) == "invalid"


@pytest.mark.parametrize("create", [CREATE, TRUNCATE, CREATE | TRUNCATE])
def test_what_makes_or_empties_a_file_opens_it_for_writing(tree, create):
    for asked, permitted in ((NOTHING, READ | WRITE), (READ, READ | WRITE), (WRITE, WRITE)):
        file = tree.open("a.txt", create, asked)
        assert file.get_flags() == permitted
        assert file.write(memoryview(b"text"), 0) == 4
        file.drop()


def test_a_new_file_can_be_written_whatever_was_asked_for(tree):
    file = tree.open("new", CREATE | EXCLUSIVE, READ)
    assert file.get_flags() == READ | WRITE
    assert file.write(memoryview(b"text"), 0) == 4
    assert file.read(10, 0) == (b"text", False)
    file.drop()


def test_a_file_has_the_flags_of_a_file_and_a_directory_those_of_a_directory(tree):
    for asked in (NOTHING, MUTATE):
        file = tree.open("a.txt", flags=asked)
        assert (file.get_flags(), file.read(3, 0)) == (READ, (b"con", False))
        file.drop()
    for asked in (NOTHING, READ, MUTATE, READ | MUTATE):
        directory = tree.open("sub", flags=asked)
        assert directory.get_flags() == READ | asked
        directory.drop()


@pytest.mark.parametrize("make", [in_memory, on_disk])
def test_a_directory_that_is_only_read_is_opened_without_the_right_to_change_it(make, tmp_path):
    tree = make(writable=False) if make is in_memory else make(tmp_path, writable=False)
    directory = tree.open("sub", flags=READ | MUTATE)
    assert directory.get_flags() == READ
    assert refused(directory.create_directory_at, "new") == "not-permitted"
    directory.drop()
    file = tree.open("a.txt", flags=READ | MUTATE)
    assert file.get_flags() == READ
    file.drop()
    tree.root.drop()


@pytest.mark.parametrize("name", ["FILE_INTEGRITY_SYNC", "DATA_INTEGRITY_SYNC", "REQUESTED_WRITE_SYNC"])
def test_no_file_is_opened_with_a_promise_that_would_not_be_kept(tree, name):
    sync = DescriptorFlags[name]
    assert refused(tree.open, "a.txt", NO_FLAGS, READ | WRITE | sync) == "unsupported"
    assert refused(tree.open, "new", CREATE, WRITE | sync) == "unsupported"
    assert "new" not in tree.names()


def test_a_new_file_is_not_made_where_a_link_leads(tree):
    assert refused(tree.open, "nowhere", CREATE | EXCLUSIVE, WRITE, FOLLOW) == "exist"
    assert "missing" not in tree.names()
    tree.open("nowhere", CREATE, WRITE, FOLLOW).drop()
    assert tree.names()["missing"] == "regular-file"


@pytest.mark.parametrize("path", [".", "sub", "a.txt", "missing/x"])
def test_a_directory_is_not_made_by_opening_it(tree, path):
    assert refused(tree.open, path, CREATE | DIRECTORY, READ) == "invalid"


# --- what does not fit ---


def test_a_directory_is_not_read_or_written_as_a_file(tree):
    assert refused(tree.root.read, 1, 0) == "bad-descriptor"
    assert refused(tree.root.read_via_stream, 0) == "bad-descriptor"
    assert refused(tree.root.set_size, 0) == "bad-descriptor"


def test_the_size_of_a_file_that_is_only_read_cannot_be_set(tree):
    file = tree.open("a.txt")
    assert refused(file.set_size, 100) == "invalid"
    assert file.stat().size == 9
    file.drop()


@pytest.mark.parametrize("offset", [(1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_nothing_is_read_beyond_the_largest_position(tree, offset):
    file = tree.open("a.txt")
    assert refused(file.read, 1, offset) == "invalid"
    stream = file.read_via_stream(offset)
    with pytest.raises(StreamErrorException) as raised:
        stream.read(1)
    failed = raised.value.value.value
    assert tree.world.hosts.filesystem.filesystem_error_code(failed).value == "invalid"
    failed.drop()
    stream.drop()
    assert file.read(1, (1 << 63) - 2) == (b"", True)
    file.drop()


# --- links whose names end with a slash ---


@pytest.mark.parametrize("name", ["to-sub/", "nowhere/", "in/", "loop/"])
def test_a_link_is_neither_moved_nor_removed_as_the_directory_that_it_leads_to(tree, name):
    root, before = tree.root, tree.names()
    root.create_directory_at("empty")
    assert refused(root.rename_at, name, root, "new") == "not-directory"
    assert refused(root.rename_at, "empty", root, name) == "not-directory"
    assert refused(root.remove_directory_at, name) == "not-directory"
    root.remove_directory_at("empty")
    assert tree.names() == before


def test_a_directory_is_moved_under_names_that_end_with_a_slash(tree):
    tree.root.rename_at("sub//", tree.root, "new/")
    assert tree.read("new/b.txt") == "content b"
    assert refused(tree.root.rename_at, "a.txt", tree.root, "file/") == "not-directory"
    assert refused(tree.root.rename_at, "a.txt/", tree.root, "file") == "not-directory"
