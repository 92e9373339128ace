"""The WIT that is read from binaries: names, documentation, what several of them say together, and what is refused."""

from __future__ import annotations

import json

import pytest
import wasmtime

from tests.guests.forward import forwarding_guest
from witgen.diagnostics import WitError
from witgen.dump import dump
from witgen.generate import Target, generate
from witgen.resolver import choose_world, resolve, resolve_texts
from witgen.summary import summary


def read(text, **options):
    return resolve_texts({"guest.wat": text}, **options)


def refusal(text):
    with pytest.raises(WitError) as caught:
        read(text)
    return caught.value


def custom(name, content):
    """A custom section."""
    inside = bytes([len(name)]) + name.encode() + content
    assert len(inside) < 1 << 14
    return bytes([0, len(inside) & 0x7F | 0x80, len(inside) >> 7]) + inside


def notes(data, number=1):
    return custom("package-docs", bytes([number]) + json.dumps(data).encode())


def package(*interfaces):
    """A package in the binary form, from the exports of its interfaces by name."""
    types = "\n".join(
        f'(type ${name} (component (type (instance {items})) (export "a:b/{name}" (instance (type 0)))))'
        f'(export "{name}" (type ${name}))'
        for name, items in interfaces
    )
    return bytes(wasmtime.wat2wasm(f"(component {types})"))


# --- components ---


def test_a_component_has_a_world_of_its_imports_and_exports():
    text = """(component
        (import "a:b/i@1.0.0" (instance (export "f" (func (param "x" u8)))))
        (import "log" (func $log (param "text" string)))
        (export "again" (func $log)))"""
    assert summary(read(text)).splitlines() == [
        "package a:b@1.0.0",
        "  interface i: 0 types, 1 function",
        "package root:component",
        "  world root: 2 imports, 1 export",
    ]


def test_bindings_of_a_guest_are_those_of_its_wit_but_for_the_name_of_the_world(tmp_path):
    # a component has the types in the order in which functions need them
    wit = """package test:shapes@1.0.0;
        interface shapes {
            record point { x: s32, y: s32 }
            resource canvas { constructor(size: point); draw: func(what: shape) -> result<u32, string>; }
            variant shape { circle(u32), polygon(list<point>) }
        }
        world w { import shapes; export shapes; import tell: func(what: string); export run: func() -> u32; }"""
    (tmp_path / "shapes.wit").write_text(wit)
    (tmp_path / "guest.wasm").write_bytes(forwarding_guest(wit, "w"))
    of_wit = generate(Target((tmp_path / "shapes.wit",), tmp_path / "bindings"))
    of_guest = generate(Target((tmp_path / "guest.wasm",), tmp_path / "bindings"))
    assert of_guest.keys() == of_wit.keys()
    for file, text in of_guest.items():
        named = text.replace("root:component/root", "test:shapes/w@1.0.0").replace("world `root`", "world `w`")
        named = named.replace("root:component;", "test:shapes@1.0.0;")
        assert named.splitlines() == of_wit[file].splitlines(), file


def test_an_error_about_a_world_shows_nothing_of_the_binary_that_has_it(tmp_path):
    (tmp_path / "guest.wasm").write_bytes(wasmtime.wat2wasm('(component (import "f" (func)))'))
    with pytest.raises(WitError, match="there is no world `rot`") as caught:
        generate(Target((tmp_path / "guest.wasm",), tmp_path / "bindings", "rot"))
    assert str(caught.value).endswith("guest.wasm:1:1: error: there is no world `rot`\n  did you mean `root`?")


def test_a_type_of_another_interface_is_used_from_there():
    text = """(component
        (import "a:b/i" (instance $i (export "t" (type (sub resource)))))
        (alias export $i "t" (type $t))
        (import "j" (instance (export "u" (type (eq $t))) (export "f" (func (param "x" (own $t))))))
        (import "g" (func (param "x" (borrow $t)))))"""
    world = dump(read(text))["worlds"][0]
    # `g` needs a `use`, which the component leaves out
    assert list(world["imports"]) == ["interface-0", "j", "t", "g"]


def test_the_shorter_form_of_a_version_is_completed_by_its_suffix():
    text = b'(component (import "a:b/i@1.0" (instance)))'
    short = bytes(wasmtime.wat2wasm(text.replace(b"@1.0", b"@1.0.0")))
    long = short.replace(b"\x00\x0ba:b/i@1.0.0", b"\x02\x09a:b/i@1.0\x01\x01\x02.7")
    long = long.replace(b"\x0a\x10\x01", bytes([0x0A, 0x10 + len(long) - len(short), 1]))
    resolved = resolve_texts({"guest.wasm": long})
    assert str(resolved.packages[0].name) == "a:b@1.0.7"


def test_core_modules_and_values_that_a_component_imports_are_no_part_of_its_world():
    text = '(component (import "m" (core module)) (import "f" (func)))'
    assert list(read(text).worlds[0].imports) == ["f"]


def test_core_modules_inside_are_not_read(tmp_path):
    component = bytes(wasmtime.wat2wasm('(component (core module) (import "f" (func)))'))
    assert component.count(b"\x01\x08\0asm\x01\0\0\0") == 1
    damaged = component.replace(b"\x01\x08\0asm\x01\0\0\0", b"\x01\x08garbage!")
    assert list(resolve_texts({"guest.wasm": damaged}).worlds[0].imports) == ["f"]


def test_a_core_module_of_several_parts_has_one_world_of_all():
    def world(name):
        text = f"""(component (type (component (type (component (import "{name}" (func))))
            (export "a:b/{name}" (component (type 0))))) (export "{name}" (type 0)))"""
        return custom(f"component-type:{name}", bytes(wasmtime.wat2wasm(text)))

    module = b"\0asm\x01\0\0\0" + world("one") + custom("producers", b"\0") + world("two")
    resolved = resolve_texts({"module.wasm": module})
    root = resolved.worlds[choose_world(resolved)]
    assert (root.name, list(root.imports)) == ("root", ["one", "two"])
    assert [world.name for world in resolved.worlds] == ["one", "two", "root"]


# --- documentation and gates ---


def test_documentation_and_gates_are_in_a_custom_section():
    data = {
        "docs": "the package",
        "interfaces": {
            "i": {
                "docs": "the interface",
                "funcs": {"f": {"docs": "the function", "stability": {"unstable": {"feature": "new"}}}},
                "types": {"t": {"docs": "the type", "items": {"a": "the case"}}},
            }
        },
    }
    binary = package(("i", '(type (enum "a" "b")) (export "t" (type (eq 0))) (export "f" (func))')) + notes(data)
    resolved = resolve_texts({"p.wasm": binary}, all_features=True)
    interface, (kind,) = resolved.interfaces[0], resolved.types
    assert (resolved.packages[0].docs, interface.docs, kind.docs) == ("the package", "the interface", "the type")
    assert kind.kind.cases[0].docs == "the case"
    assert interface.functions["f"].docs == "the function"
    assert interface.functions["f"].stability.feature == "new"
    assert not resolve_texts({"p.wasm": binary}).interfaces[0].functions


def test_the_first_format_has_documentation_of_functions_as_text():
    binary = package(("i", '(export "f" (func)) (export "g" (func))'))
    binary += notes({"interfaces": {"i": {"funcs": {"f": "the function", "g": None}}}}, number=0)
    functions = resolve_texts({"p.wasm": binary}).interfaces[0].functions
    assert (functions["f"].docs, functions["g"].docs) == ("the function", None)


def test_a_component_may_have_documentation_of_several_packages():
    component = bytes(wasmtime.wat2wasm('(component (import "a:b/i@1.0.0" (instance)) (import "c:d/j" (instance)))'))
    for name in ("a:b@1.0.0", "c:d"):
        component += notes({"package": name, "docs": f"that of {name}"})
    assert [each.docs for each in resolve_texts({"guest.wasm": component}).packages] == [
        "that of a:b@1.0.0",
        "that of c:d",
        None,
    ]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (custom("package-docs", b""), "end too early"),
        (custom("package-docs", b"\x07{}"), "format is unfamiliar"),
        (custom("package-docs", b"\x01{"), "not JSON"),
        (custom("package-docs", b"\x01" + b"[" * 9000), "not JSON"),
        (notes([]), "an object is needed"),
        (notes({"docs": 5}), "a text is needed"),
        (notes({"docs": "\ud800"}), "not allowed"),
        (notes({"docs": "\u202e"}), "not allowed"),
        (notes({"interfaces": {"i": {"stability": {"stable": {"since": "1"}}}}}), "is not a version"),
        (notes({"interfaces": {"i": {"stability": {"unstable": {"feature": "a b"}}}}}), "name of a feature"),
        (notes({"package": "a"}), "not the name"),
    ],
)
def test_a_section_of_documentation_that_cannot_be_right_is_refused(section, message):
    with pytest.raises(WitError, match=message) as caught:
        resolve_texts({"p.wasm": package(("i", "")) + section})
    assert caught.value.line == 0


# --- several packages ---

PARTIAL = """(component
    (type (component
        (import "c:d/j" (instance $j {j}))
        (type (instance {i}))
        (export "a:{name}/i" (instance (type 0)))))
    (export "i" (type 0)))"""


def partial(name, items):
    return PARTIAL.format(name=name, j=items, i="")


def test_what_several_binaries_show_of_a_package_is_put_together():
    parts = {
        "one": '(export "r" (type $r (sub resource))) (export "[method]r.m" (func (param "self" (borrow $r))))',
        "two": '(export "r" (type $r (sub resource))) (export "[static]r.s" (func)) (export "f" (func))',
    }
    dependencies = [{f"{name}.wat": partial(name, items)} for name, items in parts.items()]
    resolved = resolve_texts({"x.wit": "package x:y;"}, dependencies=dependencies)
    (found,) = (each for each in resolved.interfaces if each.name == "j")
    assert list(found.functions) == ["[method]r.m", "[static]r.s", "f"]


def test_a_package_that_is_there_as_a_whole_counts_more_than_a_part_of_it():
    dependencies = [
        {"one.wat": partial("one", '(export "f" (func))')},
        {"cd.wit": "package c:d; interface j { f: func(); g: func(); } interface k {}"},
    ]
    resolved = resolve_texts({"x.wit": "package x:y;"}, dependencies=dependencies)
    (package,) = (each for each in resolved.packages if each.name.name == "d")
    assert list(package.interfaces) == ["j", "k"]


def test_binaries_that_contradict_each_other_are_refused():
    parts = {"one": '(export "f" (func))', "two": '(export "f" (func (result u8)))'}
    dependencies = [{f"{name}.wat": partial(name, items)} for name, items in parts.items()]
    with pytest.raises(WitError, match="`f` differs from that in another file") as caught:
        resolve_texts({"x.wit": "package x:y;"}, dependencies=dependencies)
    assert caught.value.file == "two.wat"
    assert "one.wat@0x" in caught.value.hint


def test_text_may_use_a_package_in_the_binary_form(tmp_path):
    (tmp_path / "deps").mkdir()
    (tmp_path / "deps/x.wasm").write_bytes(package(("i", '(type u8) (export "t" (type (eq 0)))')))
    (tmp_path / "main.wit").write_text("package x:y; interface j { use a:b/i.{t}; f: func() -> t; }")
    assert [str(each.name) for each in resolve(tmp_path).packages] == ["a:b", "x:y"]


def test_an_error_in_text_about_a_binary_is_shown_with_its_line(tmp_path):
    (tmp_path / "x.wasm").write_bytes(package(("i", "")))
    (tmp_path / "main.wit").write_text("package x:y;\ninterface j { use a:b/i.{t}; }")
    with pytest.raises(WitError) as caught:
        resolve(tmp_path / "main.wit", tmp_path / "x.wasm")
    assert (caught.value.line, caught.value.source_line) == (2, "interface j { use a:b/i.{t}; }")


# --- refusals ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(module)", "does not say which world it is for"),
        ("(component (type $r (record)) (export", "not WebAssembly text"),
        ('(component (type $r (list u8)) (export "r" (type $r)))', "neither a function nor an interface"),
        ('(component (import "a:b/i" (instance (export "x" (instance)))))', "neither a type nor a function"),
        ('(component (import "url=<https://example.com>" (func)))', "is not a name that WIT can have"),
        ('(component (import "a:b/i" (func)))', "is not a name that WIT can have"),
        ('(component (import "a:b:c/i" (instance)))', "is not the name of an interface"),
        ('(component (import "[get]level" (func (result u32))))', "is a getter or setter"),
        ('(component (import "i" (instance (export "[static][set]r.most" (func)))))', "is a getter or setter"),
        (
            '(component (import "i" (instance (type $r (record (field "a" u8))) (export "f" (func (result $r))))))',
            "a record is used here that has no name",
        ),
        (
            '(component (import "i" (instance (type $e (enum "a" "b")) (export "f" (func (result $e))))))',
            "an enum is used here that has no name",
        ),
        (
            '(component (import "i" (instance (type $f (func)) (export "f" (type (eq $f))))))',
            "the type of a function",
        ),
    ],
)
def test_what_is_no_world_of_wit_is_refused(text, message):
    assert message in refusal(text).message


def test_the_refusal_of_a_getter_says_why():
    hint = refusal('(component (import "[get]level" (func (result u32))))').hint
    assert hint == "Wasmtime refuses components that have them; use functions"


@pytest.mark.parametrize(
    ("imported", "exported", "message"),
    [
        ('(type u8) (export "t" (type (eq 0)))', '(type u16) (export "t" (type (eq 0)))', "type `t` has another type"),
        ('(export "f" (func))', '(export "f" (func (result u8)))', "function `f` has another type"),
    ],
)
def test_an_interface_that_is_not_the_same_everywhere_is_refused(imported, exported, message):
    text = f"""(component
        (type (component (type (component
            (import "a:b/i" (instance {imported})) (export "a:b/i" (instance {exported}))))
            (export "a:b/w" (component (type 0)))))
        (export "w" (type 0)))"""
    assert message in refusal(text).message


def test_an_error_names_the_offset_of_a_binary():
    error = refusal('(component (import "a:b:c/i" (instance)))')
    assert str(error).startswith("guest.wat@0x")
    assert (error.line, error.column) == (0, 0x10)


def test_all_functions_that_cannot_be_bound_are_named_with_their_offsets(tmp_path):
    text = '(component (import "i" (instance (export "f" (func async)) (export "g" (func async)))))'
    (tmp_path / "guest.wasm").write_bytes(wasmtime.wat2wasm(text))
    with pytest.raises(WitError) as caught:
        generate(Target((tmp_path / "guest.wasm",), tmp_path / "bindings"))
    assert len(caught.value.others) == 1
    assert {error.line for error in (caught.value, *caught.value.others)} == {0}
