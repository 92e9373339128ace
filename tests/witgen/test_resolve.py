"""Syntax → model: what names mean, how things are numbered, and what is refused on the way."""

from pathlib import Path

import pytest

from witgen.diagnostics import WitError
from witgen.model import (
    Alias,
    Borrow,
    FixedLengthList,
    FunctionSort,
    InterfaceOwner,
    List,
    Map,
    Option,
    Own,
    Primitive,
    Resource,
    Result,
    Stability,
    WorldOwner,
)
from witgen.resolver import choose_world, resolve, resolve_texts

WIT = Path(__file__).parents[2] / "wit"


def resolved(text, **options):
    return resolve_texts({"test.wit": text}, **options)


def in_package(text, **options):
    return resolved(f"package a:b;\n{text}", **options)


def in_interface(text, **options):
    return in_package(f"interface i {{\n{text}\n}}", **options)


def kinds(model):
    return [definition.kind for definition in model.types]


def names(items):
    return list(items)


def functions(model, interface=0):
    return model.interfaces[interface].functions


def refusal(text, **options):
    with pytest.raises(WitError) as caught:
        resolved(text, **options)
    return caught.value


# --- wasi-nn ---


@pytest.mark.parametrize("version", ["2024-06-25", "2024-08-19", "2024-10-28"])
def test_wasi_nn_resolves(version):
    model = resolve(WIT / version)
    package = model.packages[model.main]
    assert str(package.name) == f"wasi:nn@0.2.0-rc-{version}"
    assert set(package.interfaces) == {"tensor", "graph", "inference", "errors"}
    assert names(model.worlds[choose_world(model)].imports) == [0, 1, 2, 3]


# --- types ---


def test_types_are_numbered_in_the_order_in_which_they_are_needed():
    model = in_interface("resource r { constructor(n: u32); get: func() -> option<r>; }\n all: func() -> list<r>;")
    assert kinds(model) == [Resource(), Borrow(0), Own(0), Option(2), List(2)]
    assert model.types[0].owner == InterfaceOwner(0)
    assert all(definition.owner is None and definition.name is None for definition in model.types[1:])


def test_a_constructor_a_method_and_a_static_function_have_their_full_names():
    model = in_interface("resource r { constructor(n: u32); get: func(); of: static async func() -> r; }")
    constructor, method, static = functions(model).values()
    assert names(functions(model)) == ["[constructor]r", "[method]r.get", "[static]r.of"]
    assert [f.sort for f in (constructor, method, static)] == [
        FunctionSort.CONSTRUCTOR,
        FunctionSort.METHOD,
        FunctionSort.STATIC,
    ]
    assert kinds(model)[constructor.result] == Own(0)
    assert (method.parameters[0].name, kinds(model)[method.parameters[0].type]) == ("self", Borrow(0))
    assert [f.is_async for f in (constructor, method, static)] == [False, False, True]
    assert {f.resource for f in (constructor, method, static)} == {0}


def test_a_resource_in_the_place_of_a_value_is_an_owned_handle():
    model = in_interface("resource r;\n record x { a: r, b: own<r>, c: list<r> }\n f: func(a: r);")
    record = model.types[model.interfaces[0].types["x"]].kind
    handle = record.fields[0].type
    assert kinds(model)[handle] == Own(0)
    assert record.fields[1].type == handle
    assert kinds(model)[record.fields[2].type] == List(handle)
    assert functions(model)["f"].parameters[0].type == handle


def test_an_alias_keeps_pointing_at_the_resource():
    model = in_interface("resource r;\n type a = r;\n type o = own<r>;\n type b = borrow<a>;\n f: func(a: a);")
    types = model.interfaces[0].types
    assert [kinds(model)[types[name]] for name in ("a", "o", "b")] == [Alias(0), Own(0), Borrow(types["a"])]
    assert kinds(model)[functions(model)["f"].parameters[0].type] == Own(types["a"])


def test_the_same_anonymous_type_is_there_once_in_a_package():
    model = in_package("interface i { f: func(a: list<u8>) -> list<u8>; }\ninterface j { g: func(a: list<u8>); }")
    assert kinds(model) == [List(Primitive.U8)]


def test_a_type_definition_is_never_shared_with_an_anonymous_type():
    model = in_interface("type bytes = list<u8>;\n f: func(a: list<u8>) -> bytes;")
    assert kinds(model) == [List(Primitive.U8), List(Primitive.U8)]
    assert functions(model)["f"].result == 0


def test_types_may_be_declared_in_any_order():
    model = in_interface("record a { b: b, c: option<c> }\n type b = c;\n type c = u32;")
    assert names(model.interfaces[0].types) == ["c", "b", "a"]


def test_a_type_waits_for_the_place_of_a_use_that_it_needs():
    model = in_package("interface i { record a { t: t } resource r; use j.{t}; }\ninterface j { type t = u8; }")
    assert names(model.interfaces[1].types) == ["t", "r", "a"]


def test_every_kind_of_type_is_resolved():
    model = in_interface("""
        type fixed = list<u8, 4>;
        type m = map<string, u8>;
        type r = result<_, string>;
        flags fl { a, b }
        variant v { a, b(u8) }
    """)
    of = {name: model.types[id].kind for name, id in model.interfaces[0].types.items()}
    assert of["fixed"] == FixedLengthList(Primitive.U8, 4)
    assert of["m"] == Map(Primitive.STRING, Primitive.U8)
    assert of["r"] == Result(None, Primitive.STRING)
    assert [flag.name for flag in of["fl"].flags] == ["a", "b"]
    assert [(case.name, case.type) for case in of["v"].cases] == [("a", None), ("b", Primitive.U8)]


def test_a_type_refers_to_lower_ids_only():
    model = in_interface("f: func(a: list<option<tuple<u8, list<r>>>>) -> result<r, string>;\n resource r;")
    for id, definition in enumerate(model.types):
        match definition.kind:
            case List(type=inner) | Option(type=inner) if isinstance(inner, int):
                assert inner < id


# --- names ---


def test_use_brings_a_type_in_under_its_own_or_another_name():
    model = in_package("interface a { use b.{t, t as u}; f: func(x: u); }\ninterface b { type t = u8; }")
    first, second = model.interfaces
    assert (first.name, second.name) == ("b", "a")
    assert names(second.types) == ["t", "u"]
    assert [kinds(model)[id] for id in second.types.values()] == [Alias(0), Alias(0)]


def test_interfaces_may_stand_in_several_files():
    model = resolve_texts(
        {
            "one.wit": "interface a { use b.{t}; }",
            "two.wit": "package a:b;\ninterface b { type t = u8; }",
        }
    )
    assert names(model.packages[0].interfaces) == ["b", "a"]


def test_a_use_at_the_top_is_known_in_its_own_file_only():
    files = {
        "one.wit": "package a:b;\nuse c as d;\ninterface x { use d.{t}; }\ninterface c { type t = u8; }",
        "two.wit": "interface y { use d.{t}; }",
    }
    with pytest.raises(WitError, match="`d` is not defined") as caught:
        resolve_texts(files)
    assert (caught.value.file, caught.value.line, caught.value.column) == ("two.wit", 1, 19)


def test_a_use_at_the_top_may_name_an_interface_of_a_sibling_file():
    model = resolve_texts(
        {
            "one.wit": "package a:b;\nuse c;\ninterface x { use c.{t}; }",
            "two.wit": "interface c { type t = u8; }",
        }
    )
    assert len(model.interfaces) == 2


def test_packages_are_numbered_dependencies_first():
    model = resolved("""
        package z:main;
        use a:first/x@1.0.0;
        interface i { use x.{t}; }
        package a:first@1.0.0 { interface x { use b:second/y.{t}; } }
        package b:second { interface y { type t = u8; } }
        package a:first { interface x { type t = u8; } }
    """)
    assert [str(package.name) for package in model.packages] == ["a:first", "b:second", "a:first@1.0.0", "z:main"]
    assert model.main == 3


def test_a_resource_of_another_package_is_used_through_an_alias():
    model = resolved("""
        package a:b;
        interface i { use c:d/j.{r}; f: func(x: borrow<r>) -> r; }
        package c:d { interface j { resource r; } }
    """)
    function = model.interfaces[1].functions["f"]
    assert kinds(model) == [Resource(), Alias(0), Borrow(1), Own(1)]
    assert (function.parameters[0].type, function.result) == (2, 3)


def test_a_nested_package_does_not_see_the_file_around_it():
    error = refusal("package a:b;\ninterface i { type t = u8; }\npackage c:d { interface j { use i.{t}; } }")
    assert (error.line, error.column) == (3, 33)


# --- files ---


def test_a_directory_is_read_with_its_deps(tmp_path):
    (tmp_path / "deps/io/deps/ignored").mkdir(parents=True)
    (tmp_path / "deps/io/deps/ignored/x.wit").write_text("nonsense")
    (tmp_path / "a.wit").write_text("package a:b;\ninterface i { use c:io/j.{t}; use c:cli/k.{u}; }")
    (tmp_path / "notes.txt").write_text("not WIT")
    (tmp_path / "deps/io/io.wit").write_text("package c:io;\ninterface j { type t = u8; }")
    (tmp_path / "deps/cli.wit").write_text("package c:cli;\ninterface k { type u = u8; }")
    assert [str(package.name) for package in resolve(tmp_path).packages] == ["c:io", "c:cli", "a:b"]


def test_an_error_names_the_file_as_the_caller_did(tmp_path):
    (tmp_path / "a.wit").write_text("package a:b;\ninterface i { f: func(x: y); }")
    with pytest.raises(WitError) as caught:
        resolve(str(tmp_path))
    assert (caught.value.file, caught.value.line, caught.value.column) == (str(tmp_path / "a.wit"), 2, 26)


@pytest.mark.parametrize("name", ["missing.wit", "empty", "text.wasm", "nul\0"])
def test_what_cannot_be_read_is_a_diagnostic(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.wasm").write_text("package a:b;")
    with pytest.raises(WitError) as caught:
        resolve(tmp_path / name)
    assert (caught.value.line, caught.value.column) == (1, 1)


def test_docs_may_stand_on_one_package_line_only():
    files = {"one.wit": "/// one\npackage a:b;", "two.wit": "package a:b;"}
    assert resolve_texts(files).packages[0].docs == "one"
    with pytest.raises(WitError) as caught:
        resolve_texts(files | {"two.wit": "\n// two\npackage a:b;"})
    assert (caught.value.file, caught.value.line) == ("two.wit", 2)


# --- worlds ---


def test_a_world_imports_what_its_items_use():
    model = in_package("""
        interface t { type x = u32; }
        interface u { use t.{x}; f: func(a: x); }
        world w { import log: func(s: string); export run: func(); export u; }
    """)
    world = model.worlds[0]
    assert names(world.imports) == [0, "log"]
    assert names(world.exports) == ["run", 1]
    assert model.types[1].kind == Alias(0)


def test_imports_are_sorted_by_what_they_are():
    model = in_package("""
        interface i { type t = u8; }
        world w {
            resource r { m: func(); }
            import f: func();
            type own-type = u8;
            import label: i;
            use i.{t};
            import inline: interface { g: func(); }
        }
    """)
    assert names(model.worlds[0].imports) == [
        "label", "inline", 0, "t", "r", "own-type", "f", "[method]r.m",
    ]  # fmt: skip


def test_a_labelled_import_shares_the_interface():
    model = in_package("interface i {}\nworld w { import one: i; import two: i; import i; export i: i; }")
    items = model.worlds[0].imports
    assert names(items) == ["one", "two", 0]
    assert {item.interface for item in items.values()} == {0}


def test_interfaces_inside_worlds_come_after_the_named_ones():
    model = in_package("world w { import x: interface { f: func(); } }\ninterface i {}")
    assert [interface.name for interface in model.interfaces] == ["i", None]
    assert model.worlds[0].imports["x"].interface == 1


def test_an_interface_in_a_world_does_not_see_the_types_of_the_world():
    error = refusal("package a:b;\nworld w { type t = u8; import x: interface { f: func(a: t); } }")
    assert (error.line, error.column) == (2, 57)


def test_types_of_a_world_belong_to_it():
    model = in_package("world w { type t = u8; export t: func(); }")
    assert model.types[0].owner == WorldOwner(0)


def test_an_exported_dependency_is_exported_first():
    model = in_package("""
        interface a { type t = u8; }
        interface b { use a.{t}; }
        world w { export b; export a; }
    """)
    world = model.worlds[0]
    assert (names(world.imports), names(world.exports)) == ([], [0, 1])


def test_an_export_may_not_reach_an_interface_both_ways():
    error = refusal(
        "package a:b;\ninterface a { type t = u8; }\ninterface b { use a.{t}; }\ninterface c { use b.{t}; }\n"
        "world w { export a; export c; }"
    )
    assert error.line == 5
    in_package("interface a { type t = u8; }\ninterface b { use a.{t}; }\nworld w { import a; export a; export b; }")


@pytest.mark.parametrize("exports", ["export x: interface { use t.{a}; } export y: t;", "export y: u; export x: t;"])
def test_an_interface_that_exports_need_as_an_import_may_not_get_a_label_afterwards(exports):
    interfaces = "interface t { type a = u8; }\ninterface u { use t.{a}; }"
    assert refusal(f"package a:b;\n{interfaces}\nworld w {{ {exports} }}").line == 4
    in_package(f"{interfaces}\nworld w {{ export x: t; export y: u; }}")


def test_an_export_that_another_one_needs_first_has_the_gate_of_that_one_and_no_docs():
    model = in_package("""
        interface t { type a = u8; }
        interface u { use t.{a}; }
        world w {
            /// docs of u
            @unstable(feature = x) @external-id("u") export u;
            /// docs of t
            @external-id("t") export t;
        }
    """, all_features=True)  # fmt: skip
    t, u = model.worlds[0].exports.values()
    assert (t.interface, t.docs, t.stability, t.external_id) == (0, None, Stability(feature="x"), "u")
    assert u.docs == "docs of u"


def test_include_copies_plain_names_and_shares_interfaces():
    model = in_package("""
        interface i {}
        world one { import i; import f: func(); export g: func(); resource r { m: func(); } }
        world two { include one with { f as h, r as s } }
    """)
    two = model.worlds[1]
    assert names(two.imports) == [0, "s", "h", "[method]s.m"]
    assert names(two.exports) == ["g"]
    copied = model.types[two.imports["s"].type]
    assert (copied.name, copied.owner) == ("s", WorldOwner(1))
    method = two.imports["[method]s.m"].function
    assert method.name == "[method]s.m"
    assert kinds(model)[method.parameters[0].type] == Borrow(two.imports["s"].type)


def test_the_first_of_two_new_names_counts():
    model = in_package("world v { import f: func(); }\nworld w { include v with { f as g, f as h } }")
    assert names(model.worlds[1].imports) == ["g"]


def test_include_copies_interfaces_that_are_written_inside_the_world():
    model = in_package("world one { import x: interface { resource r; f: func() -> r; } }\nworld two { include one; }")
    original, copy = (model.worlds[n].imports["x"].interface for n in (0, 1))
    assert model.interfaces[copy].clone_of == original
    assert model.types[model.interfaces[copy].types["r"]].owner == InterfaceOwner(copy)
    assert kinds(model)[model.interfaces[copy].functions["f"].result] == Own(model.interfaces[copy].types["r"])


def test_an_include_from_another_package_loses_since():
    text = """
        package a:b;
        world w {{ include c:d/v@1.0.0; }}
        package c:d@1.0.0 {{ @since(version = 1.0.0) interface i {{}} world v {{ {gate} import i; }} }}
    """
    (kept,) = resolved(text.format(gate="@unstable(feature = f)"), all_features=True).worlds[1].imports.values()
    (dropped,) = resolved(text.format(gate="@since(version = 1.0.0)")).worlds[1].imports.values()
    assert (kept.stability, dropped.stability) == (Stability(feature="f"), None)


# --- gates ---

GATED = "@unstable(feature = one) type t = u8;\n @unstable(feature = one) f: func(a: t);\n g: func();"


def test_what_a_feature_hides_is_not_there_unless_it_is_on():
    assert (in_interface(GATED).types, names(functions(in_interface(GATED)))) == ((), ["g"])
    for options in ({"features": ["one"]}, {"all_features": True}):
        model = in_interface(GATED, **options)
        assert model.types[0].stability == Stability(feature="one")
        assert names(functions(model)) == ["f", "g"]


def test_unnamed_types_inherit_the_gate_of_where_they_are_written():
    model = in_interface("@unstable(feature = one) record r { a: list<option<u8>> }", all_features=True)
    assert {definition.stability for definition in model.types} == {Stability(feature="one")}


def test_since_is_kept_with_deprecated_beside_it():
    model = resolved("package a:b@1.2.0;\n@since(version = 1.0.0) @deprecated(version = 2.0.0) interface i {}")
    assert model.interfaces[0].stability == Stability(since="1.0.0", deprecated="2.0.0")


def test_hidden_interfaces_and_worlds_take_no_number():
    model = in_package("@unstable(feature = x) interface a {}\n@unstable(feature = x) world v {}\nworld w { import b; }"
                       "\ninterface b {}")  # fmt: skip
    assert (model.packages[0].interfaces, model.packages[0].worlds) == ({"b": 0}, {"w": 0})


def test_hidden_things_may_refer_to_hidden_things_of_other_packages():
    model = resolved("""
        package a:b;
        interface i { @unstable(feature = x) use c:d/j.{nothing}; @unstable(feature = x) f: func() -> nothing; }
        package c:d { interface j {} }
    """)
    assert names(functions(model, 1)) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("interface i {\n@unstable(feature = x) type t = u8;\nf: func(a: t);\n}", (4, 1)),
        ("interface i {\n@unstable(feature = x) type t = u8;\nrecord r { a: u8, b: t }\n}", (4, 19)),
        ("interface i {\n@unstable(feature = x) type t = u8;\ntype u = t;\n}", (4, 6)),
        ("@unstable(feature = x) interface i {\ntype t = u8;\n}", (3, 6)),
        ("interface i {\n@unstable(feature = x) resource r { m: func(); }\n}", (3, 37)),
        ("@unstable(feature = x) world v {}\nworld w { include v; }", (3, 19)),
        ("@unstable(feature = x) interface i {}\nworld w { import i; }", (3, 18)),
        ("package c:d { @unstable(feature = x) interface i {} }\nuse c:d/i as j;", (3, 9)),
    ],
)
def test_what_is_kept_may_not_refer_to_what_is_hidden(text, place):
    error = refusal(f"package a:b;\n{text}")
    assert (error.line, error.column) == place
    assert error.hint, "say how to fix it"


def test_since_may_not_be_later_than_the_package():
    error = refusal("package a:b@1.0.0-rc;\n@since(version = 1.0.0)\ninterface i {}")
    assert (error.line, error.column) == (3, 11)


# --- keys ---


def test_a_plain_name_and_an_interface_are_never_one_item():
    model = in_package("""
        interface i { f: func(); }
        world w { import interface-0: func(); import i; export i; export interface-0: func(); }
        world v { include w with { interface-0 as interface-1 } }
    """)
    w, v = model.worlds
    assert (set(w.imports), set(w.exports)) == ({0, "interface-0"}, {0, "interface-0"})
    assert (set(v.imports), set(v.exports)) == ({0, "interface-1"}, {0, "interface-1"})


# --- choosing a world ---

TWO_WORLDS = "package a:b@1.0.0; world one {} world two {} package c:d@1.0.0 { world one {} world three {} }"


@pytest.mark.parametrize(
    ("name", "full"),
    [("two", "a:b/two@1.0.0"), ("c:d/three", "c:d/three@1.0.0"), ("c:d/one@1.0.0", "c:d/one@1.0.0")],
)
def test_a_world_is_chosen_by_name_or_path(name, full):
    model = resolved(TWO_WORLDS)
    world = model.worlds[choose_world(model, name)]
    assert model.packages[world.package].name.of(world.name) == full


@pytest.mark.parametrize("name", [None, "three", "c:d/x", "x"])
def test_a_world_has_to_be_there_and_only_once(name):
    with pytest.raises(WitError):
        choose_world(resolved(TWO_WORLDS), name)


@pytest.mark.parametrize("main", ["", "world mine {}"])
@pytest.mark.parametrize("version", ["", "@1.2.0"])
def test_a_world_that_another_package_has_is_named_in_full(main, version):
    model = resolved(f"package a:b; {main} package fastly:compute{version} {{ world service {{}} }}")
    with pytest.raises(WitError, match="there is no world `service`") as caught:
        choose_world(model, "service")
    assert f"`fastly:compute/service{version}`" in caught.value.hint


def test_a_missing_world_is_told_in_the_file_of_the_package():
    with pytest.raises(WitError) as caught:
        choose_world(resolve_texts({"empty.wit": "package a:b;"}), "w")
    assert (caught.value.file, caught.value.line, caught.value.column) == ("empty.wit", 1, 1)


def test_each_package_that_has_the_world_is_named():
    model = resolved("package a:b; package c:d@1.0.0 { world w {} } package c:d@2.0.0 { world w {} }")
    with pytest.raises(WitError) as caught:
        choose_world(model, "w")
    assert caught.value.hint.endswith("write `c:d/w@1.0.0` or `c:d/w@2.0.0`")


def test_a_package_without_worlds_may_be_generated_for_that_of_another():
    with pytest.raises(WitError) as caught:
        choose_world(resolved("package a:b; package c:d { world w {} }"))
    assert caught.value.hint == "name one of another package: `c:d/w`"
    with pytest.raises(WitError) as caught:
        choose_world(resolved("package a:b;"))
    assert caught.value.hint == "add one: `world name { … }`"


def test_two_versions_make_a_path_without_version_ambiguous():
    model = resolved("package a:b; package c:d@1.0.0 { world w {} } package c:d@2.0.0 { world w {} }")
    with pytest.raises(WitError, match="more than one"):
        choose_world(model, "c:d/w")


# --- size ---


def test_long_chains_need_no_stack():
    aliases = "\n".join(f"type t{n} = t{n + 1};" for n in range(3000))
    assert len(in_interface(f"{aliases}\n type t3000 = u8;").types) == 3001
    chain = "\n".join(f"interface i{n} {{ use i{n + 1}.{{t}}; }}" for n in range(1500))
    model = in_package(
        f"{chain}\ninterface i1500 {{ type t = u8; }}\nworld w {{ export i0; }}\nworld v {{ import i0; }}"
    )
    assert len(model.worlds[1].imports) == 1501
