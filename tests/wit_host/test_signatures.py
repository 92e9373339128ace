"""What a guest says of its imports is compared with what the host has, before anything of the guest runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, Flag, auto

import pytest

from tests.wit_host.helpers.host import THING, Thing
from tests.wit_host.helpers.wat import API, Import
from wit_host import GuestFunction, GuestInterface, LinkError, Resource
from wit_host import ResultError as Refusal
from wit_host import values as wit


class Colour(Enum):
    RED = "red"
    DARK_BLUE = "dark-blue"


class Access(Flag):
    READ = auto()
    WRITE = auto()


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y_axis: int


@dataclass(frozen=True, slots=True)
class Circle:
    value: float


@dataclass(frozen=True, slots=True)
class Empty:
    pass


COLOUR = wit.Enum(Colour)
ACCESS = wit.Flags(Access, ["read", "write"])
POINT = wit.Record(Point, {"x": wit.S32, "y-axis": wit.S32})
SHAPE = wit.Variant({"circle": (Circle, wit.F64), "empty": (Empty, None)})
SOME_TYPES = {
    "bool": wit.BOOL,
    "s8": wit.S8,
    "u8": wit.U8,
    "s16": wit.S16,
    "u16": wit.U16,
    "s32": wit.S32,
    "u32": wit.U32,
    "s64": wit.S64,
    "u64": wit.U64,
    "f32": wit.F32,
    "f64": wit.F64,
    "char": wit.CHAR,
    "string": wit.STRING,
    "(list u8)": wit.BYTES,
    "(list u32)": wit.List(wit.U32),
    "(tuple u8 u8)": wit.Tuple(wit.U8, wit.U8),
    "(tuple u8 u8 u8)": wit.FixedLengthList(wit.U8, 3),
    "(option u8)": wit.Option(wit.U8),
    "(option (option u8))": wit.NestedOption(wit.Option(wit.U8)),
    "(result u8 (error string))": wit.NestedResult(wit.U8, wit.STRING),
    "(result (error string))": wit.NestedResult(None, wit.STRING),
    "(result)": wit.NestedResult(None, None),
    "(map string u32)": wit.Map(wit.STRING, wit.U32),
    "$colour": COLOUR,
    "$access": ACCESS,
    "$point": POINT,
    "$shape": SHAPE,
    "(own $thing)": wit.Own(THING),
    "(borrow $thing)": wit.Borrow(THING),
}
NAMED = """
    (type $colours (enum "red" "dark-blue")) (export "colour" (type $colour (eq $colours)))
    (type $accesses (flags "read" "write")) (export "access" (type $access (eq $accesses)))
    (type $points (record (field "x" s32) (field "y-axis" s32))) (export "point" (type $point (eq $points)))
    (type $shapes (variant (case "circle" f64) (case "empty"))) (export "shape" (type $shape (eq $shapes)))"""


def importing(function: str, types: str = NAMED) -> str:
    """A component that imports the function `f` of this type, and does nothing."""
    return f"""(component (import "{API}" (instance
        (export "thing" (type $thing (sub resource))) {types} (export "f" (func {function})))))"""


def instantiate(host, text, parameters, result=None) -> None:
    with host.store() as store:
        instance = store.linker.instance(API)
        instance.resource(THING)
        instance.function("f", lambda *_: None, parameters, result)
        store.instantiate(host.engine.compile(text.encode()), "guest")


def refusal(host, text, parameters, result=None) -> str:
    """What the guest is told, after the part that is the same every time."""
    with pytest.raises(LinkError) as caught:
        instantiate(host, text, parameters, result)
    start = f"guest imports {API}#f with another type: "
    assert str(caught.value).startswith(start)
    return str(caught.value)[len(start) :]


def test_a_guest_cannot_pass_a_number_where_the_host_reads_a_pointer(host):
    called = []
    imports = {"put": Import('(param "v" u64)', "(param i64)")}
    with pytest.raises(LinkError, match="parameter v: this host has string, the guest has u64"):
        host.run(
            imports,
            "(call put (i64.const 12345))",
            lambda instance: instance.function("put", called.append, {"v": wit.STRING}, None),
        )
    assert called == []


@pytest.mark.parametrize("type_", SOME_TYPES)
def test_a_type_fits_its_own_codec_and_no_other(host, type_):
    for other, codec in SOME_TYPES.items():
        if other == type_:
            instantiate(host, importing(f'(param "v" {type_})'), {"v": codec})
        else:
            assert refusal(host, importing(f'(param "v" {type_})'), {"v": codec}).startswith("parameter v")


@pytest.mark.parametrize("type_", [name for name in SOME_TYPES if "borrow" not in name])
def test_results_are_compared_too(host, type_):
    instantiate(host, importing(f"(result {type_})"), {}, SOME_TYPES[type_])
    other = wit.U16 if type_ == "string" else wit.STRING
    assert refusal(host, importing(f"(result {type_})"), {}, other).startswith("result: this host has")


@pytest.mark.parametrize(
    ("function", "parameters", "result", "message"),
    [
        ("", {"a": wit.U32}, None, "this host has 1 parameter, the guest has 0 parameters"),
        (
            '(param "a" u32) (param "b" u32)',
            {"a": wit.U32},
            None,
            "this host has 1 parameter, the guest has 2 parameters",
        ),
        ("", {}, wit.U32, "result: this host has u32, the guest has none"),
        ("(result u32)", {}, None, "result: this host has none, the guest has u32"),
        ("", {}, wit.Result(None, None, Refusal), "result: this host has result, the guest has none"),
        ("(result u32)", {}, wit.Result(wit.U32, None, Refusal), "result: this host has result, the guest has u32"),
        (
            "(result (result u32 (error u8)))",
            {},
            wit.Result(wit.U32, wit.STRING, Refusal),
            "result.err: this host has string, the guest has u8",
        ),
        (
            "(result (result (error u8)))",
            {},
            wit.Result(wit.U32, wit.U8, Refusal),
            "result.ok: this host has u32, the guest has none",
        ),
    ],
)
def test_what_is_missing_or_too_much_is_told(host, function, parameters, result, message):
    assert refusal(host, importing(function), parameters, result) == message


@pytest.mark.parametrize(
    ("types", "codec", "message"),
    [
        (
            '(record (field "x" s32) (field "z" s32))',
            POINT,
            "v: this host has the fields x, y-axis, the guest has x, z",
        ),
        (
            '(record (field "y-axis" s32) (field "x" s32))',
            POINT,
            "v: this host has the fields x, y-axis, the guest has y-axis, x",
        ),
        ('(record (field "x" s32) (field "y-axis" u32))', POINT, "v.y_axis: this host has s32, the guest has u32"),
        ('(record (field "x" s32))', POINT, "v: this host has the fields x, y-axis, the guest has x"),
        ('(enum "dark-blue" "red")', COLOUR, "v: this host has the cases red, dark-blue, the guest has dark-blue, red"),
        (
            '(enum "red" "dark-blue" "uv")',
            COLOUR,
            "v: this host has the cases red, dark-blue, the guest has red, dark-blue, uv",
        ),
        ('(flags "read")', ACCESS, "v: this host has the flags read, write, the guest has read"),
        ('(variant (case "circle" f32) (case "empty"))', SHAPE, "v.circle: this host has f64, the guest has f32"),
        ('(variant (case "circle") (case "empty"))', SHAPE, "v.circle: this host has f64, the guest has none"),
        ('(variant (case "circle" f64) (case "empty" u8))', SHAPE, "v.empty: this host has none, the guest has u8"),
    ],
)
def test_the_parts_of_a_type_are_compared_by_name_and_order(host, types, codec, message):
    named = f'(type $t {types}) (export "t" (type $v (eq $t)))'
    assert refusal(host, importing('(param "v" $v)', named), {"v": codec}) == f"parameter {message}"


@pytest.mark.parametrize(
    ("type_", "codec", "message"),
    [
        ("(list (list u16))", wit.List(wit.BYTES), "v[][]: this host has u8, the guest has u16"),
        (
            "(tuple u8 (option string))",
            wit.Tuple(wit.U8, wit.Option(wit.U8)),
            "v[1]: this host has u8, the guest has string",
        ),
        ("(map u8 u32)", wit.Map(wit.STRING, wit.U32), "v[key]: this host has string, the guest has u8"),
        ("(map string u8)", wit.Map(wit.STRING, wit.U32), "v[]: this host has u32, the guest has u8"),
        ("(tuple u8 u8)", wit.Tuple(wit.U8), "v: this host has tuple of 1, the guest has tuple of 2"),
        (
            "(tuple u8 u8)",
            wit.FixedLengthList(wit.U8, 3),
            "v: this host has list of 3, the guest has list or tuple of 2",
        ),
    ],
)
def test_a_misfit_is_told_by_its_path(host, type_, codec, message):
    assert refusal(host, importing(f'(param "v" {type_})'), {"v": codec}) == f"parameter {message}"


def test_another_resource_is_another_type(host):
    other = Resource[Thing]("other")
    types = NAMED + '(export "other" (type $other (sub resource)))'
    with host.store() as store:
        instance = store.linker.instance(API)
        instance.resource(THING)
        instance.resource(other)
        instance.function("f", lambda *_: None, {"v": wit.Own(THING)}, None)
        message = "parameter v: this host has own of resource thing, the guest has own of another resource"
        with pytest.raises(LinkError, match=message):
            store.instantiate(host.engine.compile(importing('(param "v" (own $other))', types).encode()))


def test_a_resource_that_another_interface_uses_is_the_same(host):
    text = """(component
        (import "a:b/things" (instance $t (export "thing" (type (sub resource)))))
        (alias export $t "thing" (type $thing))
        (import "a:b/users" (instance
          (alias outer 1 $thing (type $x)) (export "thing" (type $y (eq $x)))
          (export "f" (func (param "v" (borrow $y)))))))"""
    with host.store() as store:
        store.linker.instance("a:b/things").resource(THING)
        store.linker.instance("a:b/users").function("f", lambda *_: None, {"v": wit.Borrow(THING)}, None)
        store.instantiate(host.engine.compile(text.encode()))


def test_the_interface_of_a_resource_is_named_if_it_is_not_defined_at_all(host):
    """As when the bindings of that interface are those of another package, which was forgotten."""
    text = """(component
        (import "a:b/things" (instance $t (export "thing" (type (sub resource)))))
        (alias export $t "thing" (type $thing))
        (import "a:b/users" (instance
          (alias outer 1 $thing (type $x)) (export "thing" (type $y (eq $x)))
          (export "f" (func (param "v" (borrow $y)))))))"""
    with host.store() as store:
        store.linker.instance("a:b/users").function("f", lambda *_: None, {"v": wit.Borrow(THING)}, None)
        with pytest.raises(
            LinkError, match=r"imports a:b/users#thing, a resource of a:b/things, which this host does not provide$"
        ):
            store.instantiate(host.engine.compile(text.encode()))


def test_a_resource_of_the_right_name_from_elsewhere_is_another_one(host):
    text = """(component
        (import "a:b/things" (instance (export "thing" (type (sub resource)))))
        (import "a:b/users" (instance (export "thing" (type $x (sub resource)))
          (export "f" (func (param "v" (borrow $x)))))))"""
    with host.store() as store:
        store.linker.instance("a:b/things").resource(THING)
        store.linker.instance("a:b/users").function("f", lambda *_: None, {"v": wit.Borrow(THING)}, None)
        with pytest.raises(LinkError, match="imports a:b/users#thing, which this host does not provide"):
            store.instantiate(host.engine.compile(text.encode()))


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ('(export "g" (func))', "g"),
        ('(export "other" (type (sub resource)))', "other"),
        ('(export "f" (type (sub resource)))', "f"),
        ('(export "thing" (func))', "thing"),
        ('(export "inner" (instance))', "inner"),
    ],
)
def test_what_the_host_does_not_have_is_named(host, item, name):
    text = f'(component (import "{API}" (instance {item})))'
    with pytest.raises(LinkError, match=f"^guest imports {re.escape(API)}#{name}, which this host does not provide$"):
        instantiate(host, text, {})


def test_functions_and_resources_of_the_world_are_compared_too(host):
    text = """(component
        (import "thing" (type $thing (sub resource)))
        (import "log" (func (param "text" {})))
        (import "use" (func (param "t" (own $thing)))))"""
    for type_, error in (("string", None), ("u64", "guest imports log with another type: parameter text")):
        with host.store() as store:
            root = store.linker.root()
            root.resource(THING)
            root.function("log", lambda *_: None, {"text": wit.STRING}, None)
            root.function("use", lambda *_: None, {"t": wit.Own(THING)}, None)
            guest = host.engine.compile(text.format(type_).encode())
            if error is None:
                store.instantiate(guest, "guest")
            else:
                with pytest.raises(LinkError, match=error):
                    store.instantiate(guest, "guest")


def test_a_type_that_is_shared_many_times_over_is_looked_at_as_far_as_the_hosts_own(host):
    """Written out, the guest's type has as many parts as the engine takes; the host's has 32."""
    doubled = "".join(f"(type $t{n + 1} (tuple $t{n} $t{n}))" for n in range(17))
    text = importing('(param "v" $t17)', f"(type $t0 (tuple u8 u8)) {doubled}")
    guest = host.engine.compile(text.encode())
    codec: wit.Codec = wit.U8
    for _ in range(5):
        codec = wit.Tuple(codec, codec)
    with host.store() as store:
        instance = store.linker.instance(API)
        instance.resource(THING)
        instance.function("f", lambda *_: None, {"v": codec}, None)
        with pytest.raises(
            LinkError, match=re.escape("parameter v[0][0][0][0][0]: this host has u8, the guest has tuple")
        ):
            store.instantiate(guest)


def test_a_long_list_of_names_is_not_quoted_in_full(host):
    fields = " ".join(f'(field "name-{n}" u8)' for n in range(1000))
    named = f'(type $t (record {fields})) (export "t" (type $v (eq $t)))'
    assert len(refusal(host, importing('(param "v" $v)', named), {"v": POINT})) < 300


def test_a_name_is_defined_once(host):
    with host.store() as store:
        instance = store.linker.instance(API)
        instance.resource(THING)
        instance.function("f", lambda: None, {}, None)
        with pytest.raises(ValueError, match=f"{API}#f is defined twice"):
            instance.function("f", lambda: None, {}, None)
        with pytest.raises(ValueError, match=f"{API}#thing is defined twice"):
            instance.resource(THING)
        with pytest.raises(ValueError, match=f"{API} is defined twice"):
            store.linker.instance(API)


def test_each_store_compares_a_guest_with_its_own_definitions(host):
    guest = host.compile(
        {"f": Import('(param "v" (list u32))', "(param i32 i32)")}, "(call f (i32.const 0) (i32.const 0))"
    )
    got = []
    for codec in (wit.List(wit.U32), wit.List(wit.U64), wit.List(wit.U32)):
        with host.store() as store:
            store.linker.instance(API).function("f", got.append, {"v": codec}, None)
            store.linker.instances[API].resource(THING)
            if codec.element is wit.U32:
                assert store.run_command(guest) == 0
            else:
                with pytest.raises(LinkError, match=r"parameter v\[\]: this host has u64, the guest has u32"):
                    store.run_command(guest)
    assert got == [[], []]


LABELLED = """(component
  (import "x" (implements "test:host/api") (instance $x (export "f" (func (param "v" {theirs})))))
  (alias export $x "f" (func $f))
  (core func $f (canon lower (func $f)))
  (core module $main
    (import "x" "f" (func $f (param {core})))
    (func (export "run") (param {core}) (call $f (local.get 0))))
  (core instance $main (instantiate $main (with "x" (instance (export "f" (func $f))))))
  (func (export "run") (param "v" {theirs}) (canon lift (core func $main "run")))
)"""
RUN = GuestFunction[None]("run", {"v": wit.U32}, None)


def labelled(theirs, core):
    return LABELLED.format(theirs=theirs, core=core).encode()


@pytest.mark.parametrize("name", ["x", API])
def test_a_label_is_served_by_a_definition_of_its_name_or_of_what_it_is_a_label_for(host, name):
    got = []
    with host.store() as store:
        store.linker.instance(name).function("f", got.append, {"v": wit.U32}, None)
        RUN(GuestInterface(store.instantiate(host.engine.compile(labelled("u32", "i32"))), None, [RUN]), 7)
    assert got == [7]


@pytest.mark.parametrize("name", ["x", API])
def test_a_label_does_not_lead_around_the_comparison(host, name):
    with host.store() as store:
        store.linker.instance(name).function("f", print, {"v": wit.U32}, None)
        with pytest.raises(LinkError, match="imports x#f with another type: parameter v: this host has u32"):
            store.instantiate(host.engine.compile(labelled("u64", "i64")))
