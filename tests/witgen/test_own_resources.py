"""Hosts name their own classes for the resources in their functions, and need no `isinstance`."""

from __future__ import annotations

import typing

import pytest

from tests.golden.bindings.resources.bindings import store
from tests.witgen.helpers.checkers import CHECKERS, errors
from wit_host import Err, Ok, Some, TypeVar
from witgen.generate import Target, generate

#: A host whose functions take and return its own `Blob`, which has more than the Protocol asks for.
HOST = '''
from __future__ import annotations

from tests.golden.bindings.resources.bindings import meter, store
from wit_host import Err, Linker, Ok


class Failure(store.Failure):
    def reason(self) -> str:
        return "lost"

    def drop(self) -> None:
        pass


class Blob(store.Blob["Blob"]):
    def __init__(self, content: bytes) -> None:
        self.content = content

    def length(self) -> int:
        return len(self.content)

    def read(self, start: int, end: int) -> bytes:
        return self.content[start:end]

    def slice(self, start: int, end: int) -> Blob:
        return Blob(self.content[start:end])

    def append(self, other: Blob) -> int:
        self.content += other.content
        return len(self.content)

    def drop(self) -> None:
        pass


class Host(store.Host[Blob, Failure]):
    def new_blob(self, content: memoryview) -> Blob:
        return Blob(bytes(content))

    def blob_join(self, blobs: list[Blob]) -> Blob:
        return Blob(b"".join(blob.content for blob in blobs))

    def swap(self, v: store.Pair[Blob]) -> store.Pair[Blob]:
        longest = v.left if v.right is None else max(v.left, v.right, key=lambda blob: len(blob.content))
        swapped = store.Pair(longest, v.left)
        return swapped

    def hold(self, v: store.Holder[Blob]) -> store.Holder[Blob]:
        match v:
            case store.HolderOne(blob):
                return store.HolderMany([Blob(blob.content)])
            case store.HolderMany(blobs):
                joined = store.HolderOne(Blob(b"".join(blob.content for blob in blobs)))
                return joined
            case store.HolderNobody():
                return v

    def rename(self, v: list[store.Named[Blob]]) -> list[tuple[str, Blob]]:
        return [(name.upper(), Blob(blob.content)) for name, blob in v]

    def total(self, first: Blob, others: list[tuple[str, Blob]]) -> int:
        return len(first.content) + sum(len(blob.content) for _, blob in others)

    def find(self, name: str) -> Blob:
        raise store.StoreFailureError(Failure())

    def nested(self, v: Ok[Blob] | Err[Failure] | None) -> Ok[Blob] | Err[Failure] | None:
        return v


class Meter(meter.Host[Blob]):
    def measure(self, v: Blob) -> int:
        return len(v.content)

    def pass_on(self, v: Blob) -> Blob:
        return v


class Duck:
    """It has the functions, and derives from nothing."""

    def measure(self, v: Blob) -> int:
        return len(v.content)

    def pass_on(self, v: Blob) -> Blob:
        return v


class Renaming(meter.Host[Blob]):
    """Its parameters have names of its own."""

    def measure(self, blob: Blob, unit: int = 1) -> int:
        return len(blob.content) // unit

    def pass_on(self, given: Blob) -> Blob:
        return given


class RenamingDuck:
    def measure(self, blob: Blob) -> int:
        return len(blob.content)

    def pass_on(self, given: Blob) -> Blob:
        return given


def given(pair: store.Pair[Blob], many: store.HolderMany[Blob]) -> tuple[store.Pair, store.Holder]:
    return pair, many  # as a guest is given them


def define(linker: Linker) -> None:
    store.add_to_linker(linker, Host())
    meter.add_to_linker(linker, Meter())
    meter.add_to_linker(linker, Duck())
    meter.add_to_linker(linker, Renaming())
    meter.add_to_linker(linker, RenamingDuck())
'''
#: The same for hosts of any class, as the bindings have it if nothing is named.
PLAIN = """

class PlainPair(Failure):
    def swap(self, v: store.Pair) -> store.Pair:
        made = store.Pair(Blob(b""), v.left)
        return made

    def hold(self, v: store.Holder) -> store.Holder:
        held = store.HolderMany([Blob(b"")])
        return v if isinstance(v, store.HolderNobody) else held


class PlainMeter(meter.Host):
    def measure(self, v: store.Blob) -> int:
        return v.length()

    def pass_on(self, v: store.Blob) -> store.Blob:
        return v.slice(0, 1)


def define_plain(linker: Linker) -> None:
    meter.add_to_linker(linker, PlainMeter())
"""


def bindings_of(directory, text):
    path = directory / "some.wit"
    path.write_text(text)
    return generate(Target((path,), directory / "bindings"))


#: Changes of the host that make it wrong, each with the class or function that checkers name.
WRONG = {
    "class Meter(meter.Host[Blob])": ("class Meter(meter.Host[int])", "int"),
    "def blob_join(self, blobs: list[Blob]) -> Blob:": ("def blob_join(self, blobs: list[int]) -> Blob:", "blob_join"),
    "def append(self, other: Blob) -> int:": ("def append(self, other: Failure) -> int:", "append"),
    "def slice(self, start: int, end: int) -> Blob:": ("def slice(self, start: int, end: int) -> Failure:", "slice"),
    "def swap(self, v: store.Pair[Blob]) -> store.Pair[Blob]:": (
        "def swap(self, v: store.Pair[Failure]) -> store.Pair[Blob]:",
        "swap",
    ),
    "return store.HolderMany([Blob(blob.content)])": ("return store.HolderMany([Blob(blob.pages)])", "pages"),
    "def total(self, first: Blob,": ("def total(self, first: Failure,", "total"),
}


@pytest.fixture(scope="module", params=CHECKERS)
def said(request, tmp_path_factory):
    """What a checker says of the host as it is, and of one with all those changes."""
    text = HOST
    for right, (wrong, _) in WRONG.items():
        assert text.count(right) == 1
        text = text.replace(right, wrong)
    return errors(request.param, tmp_path_factory.mktemp("said"), {"right": HOST + PLAIN, "wrong": text})


def test_a_host_with_classes_of_its_own_needs_no_cast(said):
    assert said["right"] == ""


def test_checkers_report_what_does_not_fit(said):
    for _, name in WRONG.values():
        assert f'"{name}"' in said["wrong"]


def test_variables_have_the_variance_that_follows_from_their_uses(tmp_path):
    text = """package a:b;
    interface i {
        resource given; resource taken; resource both; resource listed; resource kept;
        record holder { inside: list<kept>, other: option<taken> }
        variant either { one(kept), other(list<taken>), neither }
        type named = tuple<string, either>;
        f: func(a: borrow<taken>, b: option<both>, c: list<listed>, d: named) -> tuple<list<given>, option<both>>;
        g: func(d: holder);
    }
    world w { import i; }"""
    printed = bindings_of(tmp_path, text)["i.py"]
    assert "class Host(Protocol[TakenT_contra, BothT, ListedT, KeptT_contra, GivenT_co]):" in printed
    assert 'GivenT_co = TypeVar("GivenT_co", bound="Given", default="Given", covariant=True)' in printed
    assert 'TakenT_contra = TypeVar("TakenT_contra", bound="Taken", default="Taken", contravariant=True)' in printed
    assert 'BothT = TypeVar("BothT", bound="Both", default="Both")' in printed
    assert "class Holder(Generic[KeptT_co, TakenT_co]):\n" in printed
    assert "    inside: list[KeptT_co]\n    other: TakenT_co | None\n" in printed
    assert "Either: TypeAlias = EitherOne[KeptT_co] | EitherOther[TakenT_co] | EitherNeither\n" in printed
    assert "Named: TypeAlias = tuple[str, Either[KeptT_co, TakenT_co]]\n" in printed
    assert "def g(self, d: Holder[KeptT_contra, TakenT_contra], /) -> None:" in printed


def test_types_that_double_with_each_line_keep_their_names(tmp_path):
    doubling = " ".join(f"type t{n} = tuple<t{n - 1}, t{n - 1}>;" for n in range(1, 60))
    text = f"package a:b; interface i {{ resource r; type t0 = r; {doubling} f: func(a: t3) -> r; g: func(a: t59); }}"
    printed = bindings_of(tmp_path, text + " world w { import i; }")["i.py"]
    assert "class Host(Protocol[RT]):" in printed
    assert "def f(self, a: T3[RT], /) -> RT:" in printed
    assert "T5: TypeAlias = tuple[T4[RT_co], T4[RT_co]]\n" in printed
    assert "T6: TypeAlias = tuple[T5, T5]\n" in printed, "spelled out, it has more than a hundred types in it"
    assert "def g(self, a: T59, /) -> None:" in printed


def test_an_interface_without_resources_has_a_plain_host(tmp_path):
    printed = bindings_of(tmp_path, "package a:b; interface i { f: func() -> u8; } world w { import i; }")["i.py"]
    assert "class Host(Protocol):" in printed
    assert "TypeVar" not in printed


def test_the_name_of_a_variable_makes_way_for_a_type(tmp_path):
    text = "package a:b; interface i { resource r; record r-t { a: u8 } f: func(a: r) -> r; g: func() -> r-t; }"
    printed = bindings_of(tmp_path, text + " world w { import i; }")["i.py"]
    assert "class RT:" in printed
    assert "class Host(Protocol[RT_]):" in printed


def test_a_variable_does_not_come_into_the_classes_of_a_guest(tmp_path):
    text = "package a:b; interface i { resource r; record held { a: r } f: func(a: held) -> held; }"
    files = bindings_of(tmp_path, text + " world w { import i; export i; }")
    assert "class Held(Generic[RT_co]):" in files["i.py"]
    assert "class Held:" in files["exports/i.py"]
    assert "TypeVar" not in files["exports/i.py"]


def test_a_record_with_more_resources_than_a_class_can_be_generic_over_has_any(tmp_path):
    resources = " ".join(f"resource r{n};" for n in range(101))
    fields = ", ".join(f"field{n}: r{n}" for n in range(101))
    text = f"package a:b; interface i {{ {resources} record all {{ {fields} }} f: func(a: all) -> r7; }}"
    printed = bindings_of(tmp_path, text + " world w { import i; }")["i.py"]
    assert "class All:\n" in printed
    assert "    field7: R7\n" in printed
    assert "def f(self, a: All, /) -> R7T_co:" in printed


def test_another_name_of_a_handle_is_not_generic(tmp_path):
    text = """package a:b;
    interface i { resource r; type h = own<r>; type g = h; type l = list<g>; record held { a: g } }
    interface j { use i.{g, l, held}; type k = g; f: func(a: k, b: option<g>, c: held) -> l; }
    world w { import j; }"""
    files = bindings_of(tmp_path, text)
    for alias in ("H: TypeAlias = R\n", "G: TypeAlias = H\n", "L: TypeAlias = list[RT_co]\n"):
        assert f"\n{alias}" in files["i.py"]
    assert "    a: RT_co\n" in files["i.py"]
    assert "def f(self, a: RT, b: RT | None, c: Held[RT], /) -> L[RT]:" in files["j.py"]


def test_resources_beside_a_long_type_have_the_right_variance(tmp_path):
    doubling = " ".join(f"type t{n} = tuple<t{n - 1}, t{n - 1}>;" for n in range(1, 60))
    text = f"package a:b; interface i {{ resource r; type t0 = r; {doubling} f: func(a: tuple<r, t59>) -> r; }}"
    printed = bindings_of(tmp_path, text + " world w { import i; }")["i.py"]
    assert "def f(self, a: tuple[RT, T59], /) -> RT:" in printed


@pytest.mark.parametrize("generic", [store.Pair, store.HolderOne, Ok, Err, Some])
def test_at_run_time_a_value_can_be_made_with_its_classes_named(generic):
    given = ["left", None] if generic is store.Pair else ["left"]
    assert generic[str](*given) == generic(*given)


def test_at_run_time_a_variable_is_one_of_typing_and_the_class_generic():
    variable = TypeVar("variable", bound="Nothing", default="Nothing", covariant=True)
    assert isinstance(variable, typing.TypeVar)
    assert variable.__covariant__
    assert typing.get_args(store.Host[int, str]) == (int, str)
