"""The other golden packages, each run on a guest of its world."""

from __future__ import annotations

import pytest

from tests.bindings.guests import open_guest
from tests.golden.bindings.conventions import bindings as conventions
from tests.golden.bindings.documented import bindings as documented
from tests.golden.bindings.lookalikes import bindings as lookalikes
from tests.golden.bindings.members import bindings as members
from tests.golden.bindings.versions import bindings as versions
from tests.golden.bindings.worlds import bindings as worlds
from wit_host import ResultError


class Same:
    """Gives back what it is given; a pair of arguments as a tuple."""

    def __getattr__(self, name):
        return lambda *arguments: arguments[0] if len(arguments) == 1 else arguments or None


# --- names ---


class Linker:
    def __init__(self, text):
        self.text = text

    def drop_(self):
        return 1

    def class_(self, import_, host, wit):
        return f"{self.text} {import_} {host} {wit}"

    def resource(self):
        return Linker(self.text + "!")

    def drop(self):
        pass


class Ugly(Same):
    def new_linker(self, self_, linker):
        return Linker(f"{linker}{self_}")

    def linker_from(self, none):
        return Linker(str(none))

    def print(self, print_):
        if not print_:
            raise conventions.interface.TypeErrorException(9)
        return print_

    def async_def(self, v):
        return conventions.interface.ABC.X

    def return_(self, v, w):
        raise conventions.interface.InterfaceEnumError(v)

    def add_to_linker(self, v):
        return v if isinstance(v, int) else conventions.interface.Value(5)

    def ints(self, v, w):
        return conventions.interface.Int(v.a + w.a)

    def convert(self, v, w, x):
        return conventions.wit_.Int(v.a + len(w))


@pytest.fixture(scope="module")
def ugly():
    with open_guest("conventions", lambda linker: conventions.add_to_linker(linker, *[Ugly()] * 4)) as instance:
        yield conventions.Guest(instance)


def test_functions_with_ugly_names_are_called(ugly):
    interface = ugly.interface
    record = conventions.interface.Record(type=1, class_="c", self=True, list_=[2], int_=-3, value=None)
    assert interface.lambda_(record) == record
    assert interface.pass_(conventions.interface.HostNone()) == conventions.interface.HostNone()
    assert interface.print("text") == "text"
    with pytest.raises(conventions.interface.TypeErrorException) as caught:
        interface.print("")
    assert caught.value.value == 9
    with pytest.raises(conventions.interface.InterfaceEnumError):
        interface.return_(conventions.interface.Enum_.MRO, conventions.interface.Flags.READ_ALL)
    assert interface.new_linker_(4) == 4
    assert interface.is_(1, "url") == (1, "url")
    assert interface.add_to_linker(None) == conventions.interface.Value(5)
    assert interface.async_def(conventions.interface.ABC_(1)).value == "x"
    assert ugly.wit.convert(conventions.interface.Int(3), "url", conventions.wit_.Protocol_.TCP).a == 6
    assert ugly.exports.export(7) == 7
    assert ugly.host(8) == 8
    assert ugly.add_to_linker(9) == 9


def test_methods_with_ugly_names_are_called(ugly):
    with ugly.interface.new_linker(1, "a") as linker:
        assert linker.drop_() == 1
        assert linker.class_(1, 2, 3) == "a1 1 2 3"
        assert linker.resource().class_(0, 0, 0) == "a1! 0 0 0"
    assert ugly.interface.linker_from(5).class_(0, 0, 0) == "5 0 0 0"


# --- names that look like other names ---


class Counted(Same):
    """Answers with what it is given, and a number of its own added to it."""

    def __init__(self, number):
        self.number = number

    def __getattr__(self, name):
        return lambda v: v + self.number


class Number:
    def __init__(self, value):
        self.value = value

    def get(self):
        return self.value

    def drop(self):
        pass


class Second(Counted):
    def new_interface_0(self, v):
        return Number(v + self.number)


def test_plain_names_and_interfaces_are_called_each_for_itself():
    api = lookalikes
    hosts = [Counted(1), Counted(10), Counted(30), Counted(40), Second(50)]
    with open_guest("lookalikes", lambda linker: api.add_to_linker(linker, *hosts)) as instance:
        guest = api.Guest(instance)
        assert guest.interface_0(0) == 1
        assert (guest.first.f(0), guest.interface_2.f(0)) == (10, 40)
        assert guest.interface_1.interface_1(0) == 30
        assert guest.second.interface_0_get(0) == 50
        with guest.second.new_interface_0(1) as number:
            assert number.get() == 51


# --- members of classes ---


class File(members.files.File):
    def __init__(self, number):
        self.number = number

    def open(self):
        return True

    def id(self):
        return self.number

    def bytes(self):
        return "bytes"

    def list(self, v):
        return v or None

    def type(self):
        return "type"

    def property(self):
        return "property"

    def abstractmethod_(self):
        return "abstractmethod"

    def class_(self):
        return "class"

    def int_(self):
        return 7

    def memoryview_(self, v):
        return len(v)

    def drop(self):
        pass


class Files(Same):
    def new_file(self, id_):
        return File(id_)

    def open(self, name):
        if not name:
            raise ResultError("there is no name")
        return File(len(name))

    def sum(self, v):
        return sum(v)


def test_members_of_classes_keep_the_names_of_builtins_that_their_class_does_not_mention():
    host = Files()
    with open_guest("members", lambda linker: members.add_to_linker(linker, host, host)) as instance:
        guest = members.Guest(instance)
        with guest.files.new_file(5) as file:
            assert (file.open(), file.id(), file.bytes(), file.list("v")) == (True, 5, "bytes", "v")
            assert (file.type(), file.property(), file.abstractmethod_()) == ("type", "property", "abstractmethod")
            assert (file.class_(), file.int_(), file.memoryview(b"abc")) == ("class", 7, 3)
        with guest.files.open("name") as file:
            assert file.id() == 4
        with pytest.raises(ResultError, match="there is no name"):
            guest.files.open("")
        entry = members.files.Entry(type="t", id=1, hash="h", object=True, super=None, bytes=0.5)
        taken = members.files.Taken(1, "s", ["l"], {"d": 1}, b"b", (True, 0.5), False, 1.5)
        assert guest.files.max(entry, taken) == (entry, taken)
        assert (guest.files.sum([1, 2]), guest.files.tuple_(3), guest.files.float_(0.5)) == (3, 3, 0.5)
        assert (guest.files.abstractmethod_(1), guest.files.unmentioned(0.5)) == (1, 0.5)
        assert (guest.input("i"), guest.str_("s")) == ("i", "s")


# --- what is left out ---


class Library(Same):
    def new_shelf(self, start):
        return Shelf(start)

    def shelf_of(self, words):
        return Shelf(words[-1])

    def swap(self, v, w, x, y):
        return documented.words.Pair(v.right, v.left)


class Shelf:
    def __init__(self, word):
        self.word = word

    def last(self):
        return self.word

    def drop(self):
        pass


def test_an_interface_with_types_that_python_cannot_have_serves_its_functions():
    hosts = [Library() for _ in range(5)]
    with open_guest("documented", lambda linker: documented.add_to_linker(linker, *hosts)) as instance:
        guest = documented.Guest(instance)
        words = documented.words
        swapped = guest.words.swap(words.Pair("l", "r"), words.EitherNone(), words.Colour.RED, words.Marks.FIRST)
        assert swapped == words.Pair("r", "l")
        assert guest.words.shelf_of(["a", "b"]).last() == "b"
        assert guest.here.g(3) == 3
    assert not hasattr(documented.shelves, "Feed")


# --- worlds ---


class Pen:
    def __init__(self, width=1):
        self.thickness = width
        self.drops = 0

    def width(self):
        return self.thickness

    def drop(self):
        self.drops += 1


class Desk(Same):
    def __init__(self):
        self.drawn = []

    def new_pen(self, width):
        return Pen(width)

    def pen_thickest(self, pens):
        return max(pen.thickness for pen in pens)

    def frame_it(self, v):
        if not v.tags:
            raise ResultError("there are no tags")
        return v

    def draw(self, with_, what):
        self.drawn.append((with_.thickness, what))

    def area(self, v):
        if v.width > 100:
            raise worlds.shapes.ShapesFailureError(worlds.shapes.FailureTooLarge(v))
        return v.width * v.height

    def write(self, v, text):
        return v is worlds.log.Level.DEBUG and text == "text"


class Spare(Desk):
    def area(self, v):
        return 1000 + super().area(v)


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def world(desk):
    with open_guest("worlds", lambda linker: worlds.add_to_linker(linker, desk, desk, desk, Spare())) as instance:
        yield worlds.Guest(instance)


def test_bare_functions_take_types_of_the_world(world):
    frame = worlds.Frame(worlds.shapes.Size(1, 2), worlds.units.Unit.FOOT, ["tag"])
    assert world.frame_it(frame) == frame
    with pytest.raises(ResultError) as caught:
        world.frame_it(worlds.Frame(worlds.shapes.Size(1, 2), worlds.units.Unit.FOOT, []))
    assert caught.value.value == "there are no tags"


def test_a_resource_of_the_world_is_lent_and_given(world, desk):
    pen = Pen(3)
    world.draw(pen, "a line")
    assert desk.drawn == [(3, "a line")]
    assert world.lend(pen) is pen
    assert pen.drops == 0, "it came back"


def test_interfaces_with_and_without_a_name_are_called(world):
    assert world.shapes.area(worlds.shapes.Size(3, 4)) == 12
    with pytest.raises(worlds.shapes.ShapesFailureError) as caught:
        world.shapes.area(worlds.shapes.Size(101, 1))
    match caught.value.value:
        case worlds.shapes.FailureTooLarge(size):
            assert size.width == 101
        case other:
            pytest.fail(f"{other} was raised")
    assert world.log.write(worlds.exports.log.Level.DEBUG, "text") is True
    assert world.log.measure((1.5, worlds.units.Unit.METRE)) == (1.5, worlds.units.Unit.METRE)


def test_an_interface_under_a_label_has_an_implementation_of_its_own(world):
    assert world.spare.area(worlds.shapes.Size(3, 4)) == 1012


# --- versions ---


def test_versions_and_packages_stand_side_by_side():
    with open_guest("versions", lambda linker: versions.add_to_linker(linker, *[Same()] * 4)) as instance:
        guest = versions.Guest(instance)
        old, new = versions.types_v1_0_0.Item("old", 1), versions.types_v2_0_0.Item("new", 0.5, ["tag"])
        assert guest.types_v1_0_0.swap(old) == old
        assert guest.types_v2_0_0.swap(new) == new
        basket = versions.other_types.Basket([old])
        assert guest.other_types.shake(basket) == basket
        assert guest.single.upgrade(basket, new) == (basket, new)
        with pytest.raises(TypeError, match=r"#swap: v: \S+types_v1_0_0.Item is needed, not \S+types_v2_0_0.Item"):
            guest.types_v1_0_0.swap(new)
