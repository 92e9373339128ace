"""Model → resolve JSON: which fields there are, how things are numbered, and what holds for every package.

Whether whole packages come out as the reference prints them is for test_differential.py; nothing here needs it.
"""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, assume, given, settings

import witgen
from tests.witgen.helpers.strategies import projects
from tests.witgen.helpers.writer import Project
from witgen.dump import dump
from witgen.resolver import resolve_texts

PRIMITIVES = frozenset("bool u8 u16 u32 u64 s8 s16 s32 s64 f32 f64 char string error-context".split())


def dumped(text, **options):
    return dump(resolve_texts({"test.wit": text}, **options))


# --- examples ---


def test_a_resource_its_handles_and_its_functions():
    whole = dumped("""
        package ex:a;
        interface i {
          resource r { constructor(n: u32); get: func() -> option<r>; }
          all: func() -> list<r>;
        }
    """)
    anonymous = {"name": None, "owner": None}
    assert whole == {
        "worlds": [],
        "interfaces": [
            {
                "name": "i",
                "types": {"r": 0},
                "functions": {
                    "[constructor]r": {
                        "name": "[constructor]r",
                        "kind": {"constructor": 0},
                        "params": [{"name": "n", "type": "u32"}],
                        "result": 2,
                    },
                    "[method]r.get": {
                        "name": "[method]r.get",
                        "kind": {"method": 0},
                        "params": [{"name": "self", "type": 1}],
                        "result": 3,
                    },
                    "all": {"name": "all", "kind": "freestanding", "params": [], "result": 4},
                },
                "package": 0,
            }
        ],
        "types": [
            {"name": "r", "kind": "resource", "owner": {"interface": 0}},
            {**anonymous, "kind": {"handle": {"borrow": 0}}},
            {**anonymous, "kind": {"handle": {"own": 0}}},
            {**anonymous, "kind": {"option": 2}},
            {**anonymous, "kind": {"list": 2}},
        ],
        "packages": [{"name": "ex:a", "interfaces": {"i": 0}, "worlds": {}}],
    }


def test_a_world_and_what_its_exports_use():
    whole = dumped("""
        package ex:b;
        interface t { type x = u32; }
        interface u { use t.{x}; f: func(a: x); }
        world w { import log: func(s: string); export run: func(); export u; }
    """)
    log = {"name": "log", "kind": "freestanding", "params": [{"name": "s", "type": "string"}]}
    assert [interface["name"] for interface in whole["interfaces"]] == ["t", "u"]
    assert whole["types"] == [
        {"name": "x", "kind": {"type": "u32"}, "owner": {"interface": 0}},
        {"name": "x", "kind": {"type": 0}, "owner": {"interface": 1}},
    ]
    assert whole["worlds"] == [
        {
            "name": "w",
            "imports": {"interface-0": {"interface": {"id": 0}}, "log": {"function": log}},
            "exports": {
                "run": {"function": {"name": "run", "kind": "freestanding", "params": []}},
                "interface-1": {"interface": {"id": 1}},
            },
            "package": 0,
        }
    ]


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("type t = u8;", {"type": "u8"}),
        ("record t { a: u8 }", {"record": {"fields": [{"name": "a", "type": "u8"}]}}),
        ("record t {}", {"record": {"fields": []}}),
        ("flags t { a, b }", {"flags": {"flags": [{"name": "a"}, {"name": "b"}]}}),
        ("variant t { a, b(u8) }", {"variant": {"cases": [{"name": "a", "type": None}, {"name": "b", "type": "u8"}]}}),
        ("enum t { a, %b }", {"enum": {"cases": [{"name": "a"}, {"name": "b"}]}}),
        ("resource t;", "resource"),
        ("type t = tuple<u8, char>;", {"tuple": {"types": ["u8", "char"]}}),
        ("type t = tuple<>;", {"tuple": {"types": []}}),
        ("type t = option<f32>;", {"option": "f32"}),
        ("type t = list<bool>;", {"list": "bool"}),
        ("type t = list<s64, 4>;", {"fixed-length-list": ["s64", 4]}),
        ("type t = map<string, error-context>;", {"map": ["string", "error-context"]}),
        ("type t = result;", {"result": {"ok": None, "err": None}}),
        ("type t = result<_, u8>;", {"result": {"ok": None, "err": "u8"}}),
        ("type t = future;", {"future": None}),
        ("type t = stream<u8>;", {"stream": "u8"}),
    ],
)  # fmt: skip
def test_every_kind_of_type_has_its_form(written, kind):
    whole = dumped(f"package a:b; interface i {{ {written} }}")
    assert whole["types"] == [{"name": "t", "kind": kind, "owner": {"interface": 0}}]


@pytest.mark.parametrize(
    ("attributes", "stability"),
    [
        ("@since(version = 1.0.0)", {"stable": {"since": "1.0.0"}}),
        ("@unstable(feature = f)", {"unstable": {"feature": "f"}}),
        (
            "@deprecated(version = 1.1.0) @since(version = 1.0.0)",
            {"stable": {"since": "1.0.0", "deprecated": "1.1.0"}},
        ),
    ],
)
def test_docs_gates_and_external_ids_are_there_where_they_were_written(attributes, stability):
    text = f'package a:b@1.0.0; interface i {{ /// docs\n {attributes} @external-id("x") f: async func(); g: func(); }}'
    functions = dumped(text, all_features=True)["interfaces"][0]["functions"]
    assert functions["f"] == {
        "name": "f",
        "kind": "async-freestanding",
        "params": [],
        "docs": {"contents": "docs"},
        "stability": stability,
        "external_id": "x",
    }
    assert functions["g"].keys() == {"name", "kind", "params"}


@pytest.mark.parametrize(
    ("written", "sort", "parts"),
    [
        ("record t { /// one\n a: u8 }", "record", "fields"),
        ("variant t { /// one\n a }", "variant", "cases"),
        ("flags t { /// one\n a }", "flags", "flags"),
        ("enum t { /// one\n a }", "enum", "cases"),
    ],
)
def test_the_parts_of_a_type_have_docs_of_their_own(written, sort, parts):
    [definition] = dumped(f"package a:b; interface i {{ {written} }}")["types"]
    assert definition["kind"][sort][parts][0]["docs"] == {"contents": "one"}
    assert "docs" not in definition


def test_empty_comments_are_empty_docs():
    assert dumped("///\npackage a:b;")["packages"] == [
        {"name": "a:b", "docs": {"contents": ""}, "interfaces": {}, "worlds": {}}
    ]


def test_a_copied_interface_says_what_it_is_a_copy_of():
    whole = dumped("package a:b; world v { import x: interface {} } world w { include v; }")
    assert [interface.get("clone_of") for interface in whole["interfaces"]] == [None, 0]
    assert "clone_of" not in whole["interfaces"][0]


# --- what holds for every package ---


def references(kind):
    """The type ids in a kind, wherever they are: nothing else in it is a number, except the length of a list."""
    match kind:
        case {"fixed-length-list": [item, _]}:
            return references(item)
        case dict():
            return [id for key, part in kind.items() if key not in ("name", "docs") for id in references(part)]
        case list():
            return [id for part in kind for id in references(part)]
        case int():
            return [kind]
        case None | str():
            return []
    raise AssertionError(kind)


def functions_of(whole):
    for interface in whole["interfaces"]:
        yield from interface["functions"].items()
    for world in whole["worlds"]:
        for items in (world["imports"], world["exports"]):
            yield from ((key, item["function"]) for key, item in items.items() if "function" in item)


def used_interfaces(whole, interface):
    """The interfaces whose types an interface has aliases of."""
    for id in whole["interfaces"][interface]["types"].values():
        match whole["types"][id]["kind"]:
            case {"type": int(target)}:
                owner = whole["types"][target]["owner"]["interface"]
                if owner != interface:
                    yield owner


def check_types(whole):
    for id, definition in enumerate(whole["types"]):
        assert all(0 <= other < id for other in references(definition["kind"])), f"type {id} has to come later"
        assert (definition["name"] is None) == (definition["owner"] is None)
    for place, interface in enumerate(whole["interfaces"]):
        for name, id in interface["types"].items():
            assert whole["types"][id]["name"] == name
            assert whole["types"][id]["owner"] == {"interface": place}


def check_functions(whole):
    for key, function in functions_of(whole):
        assert function["name"] == key
        types = [parameter["type"] for parameter in function["params"]]
        types += [function["result"]] if "result" in function else []
        assert all(type in PRIMITIVES or 0 <= type < len(whole["types"]) for type in types)


def check_worlds(whole):
    for world in whole["worlds"]:
        for key, item in [*world["imports"].items(), *world["exports"].items()]:
            if key.startswith("interface-"):
                assert item["interface"]["id"] == int(key.removeprefix("interface-"))
            if "type" in item:
                assert whole["types"][item["type"]]["name"] == key
        before = set()
        for item in world["imports"].values():
            if "interface" in item:
                missing = set(used_interfaces(whole, item["interface"]["id"])) - before - {item["interface"]["id"]}
                assert not missing, "an interface has to be imported before those that use it"
                before.add(item["interface"]["id"])


def check_packages(whole):
    for place, package in enumerate(whole["packages"]):
        for part in ("interfaces", "worlds"):
            assert list(package[part].values()) == sorted(package[part].values()), (
                "names stand in the order of their ids"
            )
            for name, id in package[part].items():
                assert (whole[part][id]["name"], whole[part][id]["package"]) == (name, place)


def features(value):
    """The features that are named anywhere."""
    if isinstance(value, dict):
        if isinstance(value.get("unstable"), dict):
            yield value["unstable"]["feature"]
        for part in value.values():
            yield from features(part)
    elif isinstance(value, list):
        for part in value:
            yield from features(part)


@settings(max_examples=100, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(projects())
def test_what_is_dumped_is_consistent_in_itself(project: Project):
    with TemporaryDirectory() as directory:
        try:
            whole = witgen.resolve(project.put(Path(directory)), project.all_features, project.features)
        except witgen.WitError:
            assume(False)
    check_types(whole)
    check_functions(whole)
    check_worlds(whole)
    check_packages(whole)
    assert project.all_features or set(features(whole)) <= project.features, "what a feature hides may be nowhere"
    assert json.loads(json.dumps(whole)) == whole


# --- ways to get it ---

TYPO = "package a:b;\ninterface i { f: func(a: t); }\n"


def witgen_resolve(*arguments):
    command = [sys.executable, "-m", "witgen", "resolve", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def wit(tmp_path):
    path = tmp_path / "a.wit"
    path.write_text(
        "package a:b;\ninterface i { @unstable(feature = one) f: func(); @unstable(feature = two) g: func(); }"
    )
    return path


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], []),
        (["--features", "one"], ["f"]),
        (["--features", "one,two"], ["f", "g"]),
        (["--all-features"], ["f", "g"]),
    ],
)
def test_the_command_prints_one_object(wit, options, names):
    result = witgen_resolve(wit, "--json", *options)
    assert (result.returncode, result.stderr) == (0, "")
    assert list(json.loads(result.stdout)["interfaces"][0]["functions"]) == names


def test_the_command_says_what_is_wrong_and_prints_nothing_else(tmp_path):
    path = tmp_path / "a.wit"
    path.write_text(TYPO)
    result = witgen_resolve(path, "--json")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{path}:2:26: error: type `t` is not defined\n")
    assert "Traceback" not in result.stderr


def test_the_command_without_json_gives_a_line_for_each_interface_and_world(tmp_path):
    path = tmp_path / "a.wit"
    path.write_text("package a:b; interface i { type t = u8; f: func(); } world w { import i; export g: func(); }")
    assert witgen_resolve(path).stdout.splitlines() == [
        "package a:b",
        "  interface i: 1 type, 1 function",
        "  world w: 1 import, 1 export",
    ]


def test_an_error_in_process_has_its_place(tmp_path):
    path = tmp_path / "a.wit"
    path.write_text(TYPO)
    with pytest.raises(witgen.WitError) as caught:
        witgen.resolve(path)
    error = caught.value
    assert (error.file, error.line, error.column, error.message) == (str(path), 2, 26, "type `t` is not defined")


def test_importing_witgen_does_not_import_the_parser():
    code = "import sys, witgen; print(sorted({'lark', 'jinja2', 'typer'} & sys.modules.keys()))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
