"""Resources of the host and of the guest cross in every position, and each is dropped once."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tests.bindings.guests import open_guest
from tests.golden.bindings.resources.bindings import Guest, add_to_linker, exports, store
from wit_host import Err, GuestError, Ok


class Failure:
    def __init__(self, why):
        self.why = why

    def reason(self):
        return self.why

    def drop(self):
        pass


class Blob:
    """A blob of the host; the guest has a proxy for each, by which every call comes here."""

    drops: ClassVar[list[bytes]] = []

    def __init__(self, content):
        self.content = bytes(content)

    def length(self):
        return len(self.content)

    def read(self, start, end):
        return self.content[start:end]

    def slice(self, start, end):
        if end > len(self.content):
            raise store.StoreFailureError(Failure(f"there are {len(self.content)} bytes"))
        return Blob(self.content[start:end])

    def append(self, other):
        self.content += other.content
        other.drop()
        return len(self.content)

    def drop(self):
        Blob.drops.append(self.content)


class Host:
    """Serves every interface of the world."""

    def __init__(self):
        self.dropped_counters = []
        self.scale = 2

    def new_blob(self, content):
        return Blob(content)

    def blob_join(self, blobs):
        return Blob(b"".join(blob.content for blob in blobs))

    def swap(self, v):
        return v if v.right is None else store.Pair(v.right, v.left)

    def hold(self, v):
        return v

    def rename(self, v):
        return [(name.upper(), blob) for name, blob in v]

    def total(self, first, others):
        return len(first.content) + sum(len(blob.content) for _, blob in others)

    def find(self, name):
        if name == "nothing":
            raise store.StoreFailureError(Failure("there is nothing"))
        return Blob(name.encode())

    def nested(self, v):
        return v

    def measure(self, v):
        return 2 * len(v.content) // self.scale

    def pass_on(self, v):
        return v

    def dropped(self, number):
        self.dropped_counters.append(number)


@pytest.fixture
def host():
    return Host()


@pytest.fixture
def guest(host):
    Blob.drops = []
    with open_guest("resources", lambda linker: add_to_linker(linker, host, host, host)) as instance:
        yield Guest(instance)


def content(blob):
    return blob.read(0, blob.length())


# --- resources of the guest ---


def test_a_resource_of_the_guest_is_made_called_and_dropped(guest):
    with guest.store.new_blob(b"some bytes") as blob:
        assert blob.length() == 10
        assert blob.read(5, 10) == b"bytes"
        assert Blob.drops == []
    assert Blob.drops == [b"some bytes"]


def test_dropping_twice_drops_once(guest):
    blob = guest.store.new_blob(b"a")
    blob.drop()
    blob.drop()
    assert Blob.drops == [b"a"]


def test_a_dropped_resource_cannot_be_used(guest):
    blob = guest.store.new_blob(b"a")
    blob.drop()
    with pytest.raises(ValueError, match="blob"):
        blob.length()


def test_what_is_given_away_belongs_to_the_guest(guest):
    first, second = guest.store.new_blob(b"ab"), guest.store.new_blob(b"c")
    assert first.append(second) == 3
    assert Blob.drops == [b"c"]
    with pytest.raises(ValueError, match="blob"):
        second.length()
    assert content(first) == b"abc"


def test_a_static_function_borrows_a_list_of_resources(guest):
    blobs = [guest.store.new_blob(part) for part in (b"a", b"b", b"c")]
    assert content(guest.store.blob_join(blobs)) == b"abc"
    assert [content(blob) for blob in blobs] == [b"a", b"b", b"c"]


def test_an_error_may_be_a_resource(guest):
    blob = guest.store.new_blob(b"abc")
    assert content(blob.slice(1, 2)) == b"b"
    with pytest.raises(exports.store.StoreFailureError) as caught:
        blob.slice(0, 9)
    assert caught.value.value.reason() == "there are 3 bytes"


def test_resources_cross_in_records_variants_and_lists(guest):
    new = guest.store.new_blob
    swapped = guest.store.swap(exports.store.Pair(new(b"l"), new(b"r")))
    assert (content(swapped.left), content(swapped.right)) == (b"r", b"l")
    assert guest.store.swap(exports.store.Pair(new(b"l"), None)).right is None
    [one, two] = guest.store.hold(exports.store.HolderMany([new(b"1"), new(b"2")])).value
    assert (content(one), content(two)) == (b"1", b"2")
    assert guest.store.hold(exports.store.HolderNobody()) == exports.store.HolderNobody()
    [(name, renamed)] = guest.store.rename([("a", new(b"x"))])
    assert (name, content(renamed)) == ("A", b"x")


def test_resources_are_lent_in_every_position(guest):
    first, second = guest.store.new_blob(b"abc"), guest.store.new_blob(b"de")
    assert guest.store.total(first, [("x", second), ("y", first)]) == 8
    assert first.length() == 3


def test_resources_cross_in_nested_results(guest):
    assert guest.store.nested(None) is None
    found = guest.store.nested(Ok(guest.store.new_blob(b"n")))
    assert isinstance(found, Ok)
    assert content(found.value) == b"n"
    with pytest.raises(exports.store.StoreFailureError) as caught:
        guest.store.find("nothing")
    again = guest.store.nested(Err(caught.value.value))
    assert isinstance(again, Err)
    assert again.value.reason() == "there is nothing"


def test_another_interface_uses_the_resource(guest):
    blob = guest.store.new_blob(b"four")
    assert guest.meter.measure(blob) == 4
    assert content(guest.meter.pass_on(blob)) == b"four"


def test_a_resource_without_a_host_behind_it_lives_in_the_guest(guest, host):
    with guest.counters.new_counter(7) as counter:
        assert counter.value() == 7
        counter.touch()
        assert guest.counters.look(counter) == 7
    assert host.dropped_counters == [7]
    assert guest.counters.take(guest.counters.make(9)) == 9
    assert host.dropped_counters == [7, 9]


def test_what_is_left_is_dropped_with_the_store(host):
    Blob.drops = []
    with open_guest("resources", lambda linker: add_to_linker(linker, host, host, host)) as instance:
        kept = [Guest(instance).store.new_blob(b"kept")]
        assert Blob.drops == []
    assert Blob.drops == [b"kept"]
    kept[0].drop()


def test_a_resource_of_another_guest_is_refused(guest, host):
    with open_guest("resources", lambda linker: add_to_linker(linker, host, host, host)) as instance:
        other = Guest(instance).store.new_blob(b"other")
        with pytest.raises(ValueError, match="guest"):
            guest.store.total(other, [])
        assert other.length() == 5


def test_arguments_that_do_not_fit_leave_everything_as_it_was(guest):
    blob = guest.store.new_blob(b"a")
    with pytest.raises(TypeError, match=r"store@1.0.0#swap: v.right: Blob is needed, not str"):
        guest.store.swap(exports.store.Pair(blob, "no blob"))
    assert blob.length() == 1


def test_an_exception_of_the_host_comes_out_as_itself(guest, host):
    host.scale = 0
    blob = guest.store.new_blob(b"a")
    with pytest.raises(ZeroDivisionError):
        guest.meter.measure(blob)
    assert Blob.drops == [b"a"], "a guest that trapped holds nothing"
    with pytest.raises(GuestError, match="stopped before by ZeroDivisionError"):
        blob.length()
