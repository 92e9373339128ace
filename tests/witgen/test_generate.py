"""From WIT to a package on disk."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from witgen import WitError
from witgen.cli import app
from witgen.generate import Target, compare, generate, write
from witgen.project import configured

COUNTER = """
package acme:count@1.0.0;

/// Counts things.
interface counting {
    /// Which way.
    enum direction { up, down }

    /// Something that counts.
    resource counter {
        /// Makes one.
        constructor(start: u32);
        step: func(way: direction) -> result<u32, direction>;
        parse: static func(text: string) -> counter;
    }

    type names = list<tuple<string, option<u64>>>;

    sum: func(counters: list<borrow<counter>>, weights: list<f64>) -> names;
    raw: func(%import: list<u8>) -> list<u8>;
}

world host { import counting; }
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own: a directory with one WIT file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "count.wit").write_text(COUNTER)
    return tmp_path


TARGET = Target((Path("count.wit"),), Path("bindings"))


def witgen(*arguments):
    """Run `witgen` in this process, which takes a tenth of the time."""
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


def program(*arguments):
    """Run `witgen` in a process of its own."""
    command = [sys.executable, "-m", "witgen", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def bindings_of(directory, text):
    path = directory / "given.wit"
    path.write_text(text)
    return generate(Target((path,), directory / "out"))


# --- the committed bindings ---


@pytest.mark.parametrize("target", configured(ROOT / "pyproject.toml"), ids=lambda target: target.directory.name)
def test_the_committed_bindings_are_what_the_wit_says(target, monkeypatch):
    monkeypatch.chdir(ROOT)
    difference = compare(target, generate(target))
    assert not difference, f"{difference}\naccept it with `make bindings`"


# --- what is generated ---


def test_the_result_is_one_module_for_each_interface(project):
    assert sorted(generate(TARGET)) == ["__init__.py", "counting.py", "py.typed"]


def test_the_same_wit_gives_the_same_bytes(project):
    assert generate(TARGET) == generate(TARGET)


def test_each_function_is_typed_and_documented(project):
    text = generate(TARGET)["counting.py"]
    for line in [
        "    def step(self, way: Direction, /) -> int:",
        "    def new_counter(self, start: int, /) -> CounterT:",
        "    def counter_parse(self, text: str, /) -> CounterT:",
        "class Host(Protocol[CounterT]):",
        "    def sum(self, counters: list[CounterT], weights: list[float], /) -> Names:",
        "    def raw(self, import_: memoryview, /) -> Bytes:",
        "Names: TypeAlias = list[tuple[str, int | None]]",
        "class CountingDirectionError(ResultError[Direction]):",
        '    """Something that counts."""',
    ]:
        assert f"{line}\n" in text


def test_generated_code_is_formatted_and_clean_for_linters_and_mypy(project):
    write(TARGET, generate(TARGET))
    for command in (
        ["ruff", "format", "--isolated", "--config", "line-length=120", "--check", "bindings"],
        ["ruff", "check", "--isolated", "--config", "line-length=120", "--select", "E,F,I,UP,B,RUF", "bindings"],
        ["mypy", "--strict", "bindings"],
    ):
        result = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, check=False, timeout=120
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_documentation_cannot_break_out_of_its_docstring(project):
    text = (
        'package a:b; /// """ + quit() + """ \\\ninterface i { /// ends with "\n enum e { x } } world w { import i; }'
    )
    for file in bindings_of(project, text).values():
        compile(file, "generated", "exec")


THIRTY_THREE = ", ".join(f"b{number}" for number in range(33))
REFUSED = {
    "a stream": ("f: func(s: stream<u8>);", "function `f` cannot be bound: stream is not supported"),
    "an async function with a stream": ("f: async func(s: stream<u8>);", "function `f` cannot be bound: "),
    "a future": ("f: func() -> future<u8>;", "function `f` cannot be bound: future is not supported"),
    "an error context": ("f: func() -> error-context;", "function `f` cannot be bound: error-context is not supported"),
    "a list of them": ("f: func() -> list<error-context>;", "function `f` cannot be bound: error-context is not"),
    "a stream in a record": (
        "record r { a: stream<u8> } f: func(x: r);",
        "function `f` cannot be bound: stream is not",
    ),
    "a future of a method": (
        "resource r { m: func(v: future); }",
        "function `[method]r.m` cannot be bound: future is",
    ),
    "an error that is one": ("f: func() -> result<u8, future>;", "function `f` cannot be bound: future is not"),
    "an alias": ("type a = option<stream>; f: func(v: a);", "function `f` cannot be bound: stream is not supported"),
    "an empty record": ("record r {}", "type `r` cannot be bound: an empty `record` is not supported"),
    "empty flags": ("flags r {}", "type `r` cannot be bound: an empty `flags` is not supported"),
    "a list of nothing": ("f: func(v: list<u8, 0>);", "function `f` cannot be bound: a `list` of length 0 is not"),
    "a list of nothing in a type": ("type a = list<u8, 0>;", "type `a` cannot be bound: a `list` of length 0 is not"),
    "an empty record beside a stream": (
        "record r {} record s { a: stream, b: r }",
        "type `r` cannot be bound: an empty",
    ),
    "an empty tuple": ("f: func(v: tuple<>);", "function `f` cannot be bound: an empty `tuple` is not supported"),
    "too many flags": (f"flags r {{ {THIRTY_THREE} }}", "type `r` cannot be bound: 33 flags are not supported"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("direction", ["import", "export"])
def test_what_cannot_be_bound_is_refused_where_it_stands(project, case, direction):
    wit, message = REFUSED[case]
    with pytest.raises(WitError) as caught:
        bindings_of(project, f"package a:b;\ninterface i {{\n  {wit}\n}}\nworld w {{ {direction} i; }}\n")
    assert message in caught.value.message
    assert caught.value.line == 3
    assert f"\n  3 |   {wit[:80]}" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("item", ["import f: async func();", "export f: func(v: stream);"])
def test_a_bare_function_that_cannot_be_bound_is_refused(project, item):
    with pytest.raises(WitError, match="function `f` cannot be bound"):
        bindings_of(project, f"package a:b; world w {{ {item} }}")


def refusals(directory, text):
    """What is refused, by line."""
    with pytest.raises(WitError) as caught:
        bindings_of(directory, text)
    return {error.line: error.message for error in (caught.value, *caught.value.others)}


def test_all_that_cannot_be_bound_is_reported_at_once(project):
    found = refusals(
        project,
        """package a:b;
        interface i {
            one: async func();
            two: func(v: stream<u8>);
            fine: func();
            resource r {
                three: async func();
                four: func() -> result<u8, future>;
            }
            record empty {}
        }
        interface j { five: func() -> error-context; }
        world w {
            import i;
            export j;
            import six: async func();
            export seven: async func(v: future);
            import x: interface {
                eight: async func();
            }
        }""",
    )
    assert found == {
        3: "function `one` cannot be bound: async is not supported",
        4: "function `two` cannot be bound: stream is not supported",
        7: "function `[method]r.three` cannot be bound: async is not supported",
        8: "function `[method]r.four` cannot be bound: future is not supported",
        10: "type `empty` cannot be bound: an empty `record` is not supported",
        12: "function `five` cannot be bound: error-context is not supported",
        16: "function `six` cannot be bound: async is not supported",
        17: "function `seven` cannot be bound: future is not supported",
        19: "function `eight` cannot be bound: async is not supported",
    }


def test_every_async_function_is_reported_however_many_they_are(project):
    lines = "".join(f"g{number}: async func();\n" for number in range(50))
    assert len(refusals(project, f"package a:b; interface i {{ {lines} }} world w {{ import i; export i; }}")) == 50


def test_what_cannot_be_bound_in_several_files_is_shown_with_the_line_of_each(project):
    (project / "wit" / "deps").mkdir(parents=True)
    (project / "wit" / "a.wit").write_text("package a:b; world w { import c:d/i;\nimport f: async func(); }")
    (project / "wit" / "deps" / "c.wit").write_text("package c:d; interface i {\n  g: func(v: stream); }")
    result = witgen("generate", "wit", "--out", "bindings")
    assert result.returncode == 1
    assert "  2 | import f: async func(); }\n" in result.stderr
    assert "  2 |   g: func(v: stream); }\n" in result.stderr
    assert result.stderr.endswith("\n2 errors\n")
    assert not TARGET.out.exists()


UNUSED = {
    "a record with a stream": "record unused { s: stream<u8> }",
    "a variant": "variant unused { a, b(future) }",
    "an alias": "type unused = option<error-context>;",
    "a future": "type unused = future<u8>;",
    "one that only another unused one has": "record inner { s: stream } type unused = list<inner>;",
    "one that is too long": f"type a = list<u8>; type unused = tuple<{', '.join(['a'] * 101)}>;",
}


@pytest.mark.parametrize("case", UNUSED)
@pytest.mark.parametrize("direction", ["import", "export"])
def test_a_type_that_python_cannot_have_is_left_out_if_nothing_uses_it(project, case, direction):
    text = f"package a:b; interface i {{ {UNUSED[case]} ok: func() -> u32; }} world w {{ {direction} i; }}"
    files = bindings_of(project, text)
    module = files["i.py" if direction == "import" else "exports/i.py"]
    assert "    def ok(self) -> int:\n" in module
    assert "Unused" not in module
    assert re.search(r"Left out, as no function uses it .*: .*`unused`\.", module)


def test_a_use_of_a_type_that_python_cannot_have_is_left_out_if_no_function_does(project):
    more = "interface t { record s { v: stream } } interface u { use t.{s}; type v = list<s>; ok: func(); }"
    files = world(project, "import u; use t.{s as other}; type mine = tuple<other>;", more)
    assert "`v`" in files["u.py"]
    assert "`mine`" in files["__init__.py"]
    assert {"t.py", "u.py"} <= files.keys()


def test_interfaces_that_a_component_cannot_tell_apart_are_refused(project):
    found = refusals(project, "package a:b; interface f {}\ninterface F {}\nworld w { import f; import F; export F; }")
    assert found == {2: "`a:b/f` and `a:b/F` cannot both be imported: they differ only in case"}
    assert "f.py" in world(project, "import f; export F;", "interface f {} interface F {}")


def test_an_interface_whose_module_no_file_can_be_called_after_is_refused(project):
    longest = "a" + "b" * 251
    assert f"{longest}.py" in world(project, f"import {longest};", f"interface {longest} {{ f: func(); }}")
    for name in (f"{longest}b", f"import-{longest[:240]}-and-{longest[:240]}"):
        found = refusals(project, f"package a:b;\ninterface {name} {{ f: func(); }}\nworld w {{ export {name}; }}")
        assert list(found) == [2]
        assert "cannot be bound: the name of its module has" in found[2]
        assert "characters (limit 252)" in found[2]


def test_types_that_double_with_each_line_are_refused_where_they_have_to_be_spelled_out(project):
    lines = "".join(f"type t{n + 1} = tuple<t{n}, t{n}>;\n" for n in range(40))
    with pytest.raises(WitError, match="too long to spell out"):
        world(project, "import t;", f"interface t {{ type t0 = list<u8>; {lines} f: func(v: t40); }}")
    aliases = world(project, "import t;", f"interface t {{ type t0 = u8; {lines} f: func(v: t40); }}")
    assert "T40: TypeAlias = tuple[T39, T39]\n" in aliases["t.py"]


@pytest.mark.parametrize("inner", ["u8", "list<u8>"])
def test_long_chains_of_types_are_no_problem(project, inner):
    lines = "".join(f"type t{n + 1} = t{n};\n" for n in range(3000))
    world(project, "import t;", f"interface t {{ type t0 = {inner}; {lines} f: func(v: t3000); }}")


def test_types_whose_python_names_are_one_are_told_apart(project):
    text = world(project, "import t;", "interface t { variant a-b { c(u8) } record AB { c: u8 } enum a-b-c { x } }")[
        "t.py"
    ]
    for line in ["class ABC(Enum):", "class ABC_:", "AB: TypeAlias = ABC_", "class AB_:", "AB__ = wit.Record(AB_,"]:
        assert line in text


# --- what a world has ---


def world(project, items, more=""):
    return bindings_of(project, f"package a:b; interface i {{ f: func(); }} {more} world w {{ {items} }}")


def test_a_world_that_only_imports_has_no_guest(project):
    files = world(project, "import i;")
    assert sorted(files) == ["__init__.py", "i.py", "py.typed"]
    assert "Guest" not in files["__init__.py"]


def test_a_world_that_only_exports_has_no_linker(project):
    files = world(project, "export i;")
    assert sorted(files) == ["__init__.py", "exports/__init__.py", "exports/i.py", "py.typed"]
    assert "add_to_linker" not in files["__init__.py"]
    assert "self.i = exports.i.Guest(instance)\n" in files["__init__.py"]


def test_an_empty_world_has_an_empty_package(project):
    assert sorted(world(project, "")) == ["__init__.py", "py.typed"]


def test_a_label_gives_an_interface_a_module_of_its_own(project):
    files = world(project, "import i; import primary: i; import %second: i;")
    assert {"i.py", "primary.py", "second.py"} <= files.keys()
    assert 'linker.instance("primary")' in files["primary.py"]
    assert 'linker.instance("a:b/i")' in files["i.py"]


def test_an_interface_that_is_imported_and_exported_has_its_plain_types_once(project):
    more = "interface t { record rec { a: u8 } resource s; f: func(v: rec, w: s); }"
    files = world(project, "import t; export t;", more)
    assert "from ..t import REC, Rec\n" in files["exports/t.py"]
    assert "class S(GuestResource)" in files["exports/t.py"]
    assert "class S(Protocol)" in files["t.py"]


def test_exported_interfaces_use_the_types_of_exported_ones(project):
    more = "interface t { resource res; } interface u { use t.{res}; f: func(v: res); }"
    exported = world(project, "import t; export t; export u;", more)["exports/u.py"]
    assert "from .t import RES, Res\n" in exported
    imported = world(project, "import t; export u;", more)["exports/u.py"]
    assert "from ..t import RES, Res\n" in imported


def test_modules_are_told_apart_by_what_differs(project):
    (project / "wit" / "deps").mkdir(parents=True)
    (project / "wit" / "w.wit").write_text(
        "package a:b; world w { import x:y/t@1.0.0; import x:y/t@2.0.0-rc.1; import x:z/t; import v:z/u; import x:z/u; "
        "import t; import x:z/alone; } interface t {}"
    )
    packages = {
        "x:y@1.0.0": "interface t {}",
        "x:y@2.0.0-rc.1": "interface t {}",
        "x:z": "interface t {} interface u {} interface alone {}",
        "v:z": "interface u {}",
    }
    for number, (name, text) in enumerate(packages.items()):
        (project / "wit" / "deps" / f"{number}.wit").write_text(f"package {name}; {text}")
    assert sorted(generate(Target((Path("wit"),), Path("out")))) == [
        "__init__.py",
        "alone.py",
        "b_t.py",
        "py.typed",
        "t_v1_0_0.py",
        "t_v2_0_0_rc_1.py",
        "v_z_u.py",
        "x_z_u.py",
        "z_t.py",
    ]


def test_more_wit_may_be_given_than_one_path(project):
    (project / "types.wit").write_text("package a:types; interface t { record rec { a: u8 } }")
    (project / "main.wit").write_text("package a:main; world w { use a:types/t.{rec}; export f: func(v: rec); }")
    assert witgen("generate", "main.wit", "types.wit", "--out", "bindings").returncode == 0
    assert "from .t import REC, Rec\n" in (project / "bindings" / "__init__.py").read_text()


# --- features ---

UNSTABLE = """package a:b;
interface i { @unstable(feature = new) f: func(); @unstable(feature = newer) g: func(); h: func(); }
world w { import i; }"""


@pytest.mark.parametrize(
    ("options", "entry", "functions"),
    [
        ([], "", ["h"]),
        (["--features", "new"], 'features = ["new"]', ["f", "h"]),
        (["--features", "new, newer"], 'features = ["new", "newer"]', ["f", "g", "h"]),
        (["--features", "new", "--features", "newer"], 'features = ["new", "newer"]', ["f", "g", "h"]),
        (["--all-features"], "all-features = true", ["f", "g", "h"]),
    ],
)
def test_unstable_functions_are_bound_if_their_feature_is_on(project, options, entry, functions):
    (project / "unstable.wit").write_text(UNSTABLE)
    assert witgen("generate", "unstable.wit", "--out", "bindings", *options).returncode == 0
    text = (project / "bindings" / "i.py").read_text()
    assert re.findall(r"    def (\w)\(self\)", text) == functions
    assert witgen("check", "unstable.wit", "--out", "bindings", *options).returncode == 0
    (project / "pyproject.toml").write_text(
        f'[[tool.witgen.packages]]\nwit = "unstable.wit"\nout = "bindings"\n{entry}\n'
    )
    assert witgen("check").returncode == 0


def test_the_command_for_stale_bindings_names_the_features(project):
    (project / "unstable.wit").write_text(UNSTABLE)
    result = witgen("check", "unstable.wit", "--out", "bindings", "--features", "newer,new")
    assert "run `witgen generate unstable.wit --out bindings --features newer,new`" in result.stderr


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('features = "new"', "`features` has to be a list of strings"),
        ("features = [3]", "`features` has to be a list of strings"),
        ('all-features = "yes"', "`all-features` has to be true or false"),
        ("partial = 1", "`partial` has to be true or false"),
        ('lists = "numpie"', "`lists` has to be `list`, `array` or `numpy`"),
        ("lists = 1", "`lists` has to be `list`, `array` or `numpy`"),
        ("world = []", "`world` has to be a string"),
    ],
)
def test_values_of_another_form_are_refused_by_name(project, entry, message):
    (project / "pyproject.toml").write_text(f'[[tool.witgen.packages]]\nwit = "count.wit"\nout = "b"\n{entry}\n')
    result = witgen("generate")
    assert (result.returncode, result.stderr) == (2, f"error: pyproject.toml: {message}\n")


@pytest.mark.parametrize("wit", ["3", '["count.wit", 3]', "{}"])
def test_paths_of_another_form_are_refused_by_name(project, wit):
    (project / "pyproject.toml").write_text(f'[[tool.witgen.packages]]\nwit = {wit}\nout = "b"\n')
    assert witgen("generate").stderr == "error: pyproject.toml: `wit` has to be a path or a list of them\n"


def test_more_than_one_path_can_be_resolved(project):
    (project / "types.wit").write_text("package a:types; interface t { @unstable(feature = new) type a = u8; }")
    (project / "main.wit").write_text("package a:main; interface i { use a:types/t.{}; }")
    printed = witgen("resolve", "main.wit", "types.wit", "--features", "new").stdout
    assert printed.splitlines() == [
        "package a:types",
        "  interface t: 1 type, 0 functions",
        "package a:main",
        "  interface i: 0 types, 0 functions",
    ]


# --- what is left out ---

WITH_WASI = """package a:b;
interface mine { use wasi:io/streams@0.2.0.{input}; f: func(source: input); }
world w {
    import wasi:io/error@0.2.0; import wasi:io/streams@0.2.0; import wasi:random/random@0.2.0;
    import wasi:random/random@0.3.0; import wasi:http/types@0.2.0;
    %s
    export wasi:cli/run@0.2.0;
}
package wasi:io@0.2.0 {
    interface error { resource error; }
    interface streams { use error.{error}; resource input { last: func() -> error; } }
}
package wasi:random@0.2.0 { interface random { get: func() -> u64; } }
package wasi:random@0.3.0 { interface random { get: func() -> u64; } }
package wasi:http@0.2.0 { interface types { get: func() -> u64; } }
package wasi:cli@0.2.0 { interface run { run: func() -> result; } }
"""


@pytest.mark.parametrize(
    ("item", "modules"),
    [
        ("", []),
        ("import mine;", ["error", "mine", "streams"]),
        ("export mine;", ["error", "streams"]),
        ("use wasi:io/error@0.2.0.{error};", ["error"]),
    ],
)
def test_without_wasi_only_imports_that_nothing_else_needs_are_left_out(project, item, modules):
    (project / "with_wasi.wit").write_text(WITH_WASI % item)
    options = ["with_wasi.wit", "--out", "bindings", "--without-wasi"]
    assert witgen("generate", *options).returncode == 0
    found = {path.stem for path in (project / "bindings").glob("*.py")}
    assert found == {"__init__", "random", "types", *modules}, "wasi:random@0.3.0 and wasi:http are not defined"
    assert "Imports of WASI are left out" in (project / "bindings/__init__.py").read_text()
    assert (project / "bindings/exports/run.py").exists()
    assert witgen("check", *options).returncode == 0


PARTIAL = """package a:b;
interface i { type unused = stream<u8>; f: func() -> u8; g: async func(); }
world w { import i; export i; export h: func(x: list<u8, 0>); }"""
LEFT_OUT = "type `unused` of `a:b/i` is left out: stream is not supported, and no function that is bound needs it"


def test_a_type_that_is_left_out_is_listed(project):
    (project / "some.wit").write_text(
        PARTIAL.replace("g: async func();", "").replace("export h: func(x: list<u8, 0>);", "")
    )
    result = witgen("generate", "some.wit", "--out", "bindings")
    assert result.stdout.splitlines() == ["bindings: 5 files written", f"  {LEFT_OUT}"]


def test_with_partial_a_world_is_not_lost_for_one_function(project):
    (project / "some.wit").write_text(PARTIAL.replace("export h: func(x: list<u8, 0>);", ""))
    refused = witgen("generate", "some.wit", "--out", "bindings")
    assert refused.returncode == 1
    assert "function `g` cannot be bound: async is not supported" in refused.stderr
    assert "; --partial makes a stub of it" in refused.stderr
    result = witgen("generate", "some.wit", "--out", "bindings", "--partial")
    assert result.stdout.splitlines() == [
        "bindings: 5 files written",
        f"  {LEFT_OUT}",
        "  imported function `g` of `a:b/i` is a trap: async is not supported",
    ]
    assert witgen("check", "some.wit", "--out", "bindings", "--partial").returncode == 0
    (project / "pyproject.toml").write_text(
        '[[tool.witgen.packages]]\nwit = "some.wit"\nout = "bindings"\npartial = true\n'
    )
    assert witgen("check").returncode == 0


def test_what_no_component_can_have_is_refused_all_the_same(project):
    (project / "some.wit").write_text(PARTIAL)
    result = witgen("generate", "some.wit", "--out", "bindings", "--partial")
    assert result.returncode == 1
    assert "function `h` cannot be bound: a `list` of length 0 is not supported" in result.stderr
    assert "function `g`" not in result.stderr


def test_the_name_of_a_stub_hides_no_builtin_that_annotations_need(project):
    text = "interface i { object: func(v: stream); f: func() -> list<u8>; } world w { export i; }"
    (project / "some.wit").write_text(f"package a:b; {text}")
    files = generate(Target((project / "some.wit",), project / "out", partial=True))
    assert "def object_(self, *arguments: object) -> None:" in files["exports/i.py"]


def test_an_async_function_is_called_if_it_is_exported_and_refused_if_it_is_imported(project):
    text = "package a:b; interface i { f: async func() -> u8; } world w { %s i; }"
    files = bindings_of(project, text % "export")
    assert "    def f(self) -> int:" in files["exports/i.py"]
    assert "    async def f_async(self) -> int:" in files["exports/i.py"]
    with pytest.raises(WitError, match="function `f` cannot be bound: async is not supported") as caught:
        bindings_of(project, text % "import")
    assert caught.value.hint == (
        "hosts in Python can call async functions of guests, but not serve them; --partial makes a stub of it"
    )


# --- documentation ---


def test_everything_that_is_documented_has_its_words_in_the_package(project):
    files = bindings_of(
        project,
        """/// About the package.
        package a:b;
        /// About the interface.
        interface i { /// About the function.
            f: func(); }
        interface j {}
        /// About the world.
        world w {
            /// About the import.
            import i;
            /// About the export.
            export i;
            /// About the bare export.
            export g: func();
            /// About the silent one.
            export j;
        }""",
    )
    assert files["__init__.py"].count("About the world.\n") == 1
    assert "The package `a:b`:\n\nAbout the package.\n" in files["__init__.py"]
    assert '"""About the bare export."""' in files["__init__.py"]
    assert '        self.i = exports.i.Guest(instance)\n        """About the export."""\n' in files["__init__.py"]
    assert '"""About the interface.\n\nAbout the import.\n\nHost bindings' in files["i.py"]
    assert '"""About the interface.\n\nAbout the export.\n\nCalls of' in files["exports/i.py"]
    assert '"""About the silent one.\n\nCalls of' in files["exports/j.py"]
    assert '"""About the function."""' in files["i.py"]


# --- writing and checking ---


def test_writing_takes_away_what_is_no_longer_generated_and_nothing_else(project):
    write(TARGET, generate(TARGET))
    (TARGET.out / "by_hand.py").write_text("KEEP = True\n")
    (project / "count.wit").write_text(COUNTER.replace("counting", "numbering"))
    assert write(TARGET, generate(TARGET)) == ["__init__.py", "counting.py", "numbering.py"]
    assert sorted(path.name for path in TARGET.out.iterdir()) == [
        "__init__.py",
        "by_hand.py",
        "numbering.py",
        "py.typed",
    ]
    assert write(TARGET, generate(TARGET)) == []


def test_what_was_not_generated_is_not_overwritten(project):
    by_hand = project / "bindings" / "counting.py"
    by_hand.parent.mkdir()
    by_hand.write_text("MINE = True\n")
    result = witgen("generate", "count.wit", "--out", "bindings")
    assert result.returncode == 2
    assert result.stderr == (
        "error: bindings/counting.py was not generated by witgen; give another directory, or remove it\n"
    )
    assert [path.name for path in by_hand.parent.iterdir()] == ["counting.py"], "nothing is half done"
    assert by_hand.read_text() == "MINE = True\n"


def test_an_empty_file_and_what_was_edited_by_hand_are_overwritten(project):
    write(TARGET, generate(TARGET))
    (TARGET.out / "__init__.py").write_text("\n")
    counting = TARGET.out / "counting.py"
    counting.write_text(counting.read_text() + "MINE = True\n")
    assert witgen("generate", "count.wit", "--out", "bindings").stdout == "bindings: 2 files written\n"


@pytest.mark.parametrize("command", ["generate", "check"])
def test_a_directory_for_temporary_files_that_cannot_be_used_is_told_in_one_line(project, monkeypatch, command):
    monkeypatch.setattr("tempfile.tempdir", str(project / "missing"))
    result = witgen(command, "count.wit", "--out", "bindings")
    assert result.returncode == 2
    assert re.fullmatch(
        r"error: the generated files cannot be formatted: \S+missing/\S+: no such file or directory\n", result.stderr
    )


def test_generate_then_check(project):
    arguments = ["count.wit", "--world", "host", "--out", "bindings"]
    assert program("generate", *arguments).stdout == "bindings: 3 files written\n"
    assert program("generate", *arguments).stdout == "bindings: up to date\n"
    assert program("check", *arguments).returncode == 0


def test_stale_bindings_fail_the_check_with_a_diff_and_the_command(project):
    arguments = ["count.wit", "--out", "bindings"]
    witgen("generate", *arguments)
    (project / "count.wit").write_text(COUNTER.replace("up, down", "up, down, sideways"))
    before = (TARGET.out / "counting.py").read_text()
    result = witgen("check", *arguments)
    assert result.returncode == 1
    assert '+    SIDEWAYS = "sideways"\n' in result.stdout
    assert result.stderr == "error: bindings is stale; run `witgen generate count.wit --out bindings`\n"
    assert (TARGET.out / "counting.py").read_text() == before, "a check changes nothing"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file here can be opened but not be read")
@pytest.mark.parametrize("command", ["generate", "check"])
def test_a_file_that_cannot_be_read_is_told_in_one_line(project, command):
    write(TARGET, generate(TARGET))
    (TARGET.out / "counting.py").unlink()
    (TARGET.out / "counting.py").symlink_to("/proc/self/mem")
    result = witgen(command, "count.wit", "--out", "bindings")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert re.fullmatch(r"error: bindings cannot be (read|written): input/output error\n", result.stderr)


def test_packages_are_listed_in_pyproject(project):
    (project / "pyproject.toml").write_text('[[tool.witgen.packages]]\nwit = "count.wit"\nout = "bindings"\n')
    assert witgen("check").returncode == 1
    assert witgen("generate").stdout == "bindings: 3 files written\n"
    assert witgen("check").returncode == 0


SETTINGS = {
    "defaults": "",
    "narrow lines": "[tool.ruff]\nline-length = 60\nindent-width = 2\n[tool.ruff.format]\nquote-style = 'single'\n",
    "many rules": "[tool.ruff.lint]\nselect = ['E', 'F', 'I', 'UP', 'D', 'Q', 'ANN', 'N', 'A', 'PYI', 'RUF', 'COM']\n"
    "[tool.ruff.lint.isort]\nforce-single-line = true\n",
    "previews": "[tool.ruff]\npreview = true\n[tool.ruff.format]\ndocstring-code-format = true\n",
    "line ends": "[tool.ruff.format]\nline-ending = 'cr-lf'\n",
}


def assert_left_alone(target):
    """Fail where ruff, with the settings of the project around it, changes the package, or finds anything in it."""
    for command in (["check", "--fix", "--unsafe-fixes"], ["check", "--select", "I,E,F"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "bindings"]
        result = subprocess.run(ruff, capture_output=True, text=True, check=False, timeout=60)
        assert result.returncode == 0, result.stdout + result.stderr
    assert compare(target, generate(target)) == ""


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_formatter_and_linter_of_a_project_leave_the_package_as_it_is(project, settings):
    (project / "pyproject.toml").write_text(SETTINGS[settings])
    write(TARGET, generate(TARGET))
    assert_left_alone(TARGET)


def test_they_leave_the_copy_of_the_runtime_as_it_is(project):
    target = replace(TARGET, standalone=True)
    write(target, generate(target))
    assert_left_alone(target)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--out", "my-bindings"],
            "--out: the directory `my-bindings` cannot be imported as a package; call it `my_bindings`",
        ),
        (["--out", "src/1st"], "call it `_1st`"),
        (["--out", "a/class/"], "call it `class_`"),
        (["--out", "acme.bindings"], "call it `acme_bindings`"),
        (["--out", "x/../my-bindings/."], "call it `my_bindings`"),
        (["--out", ""], "--out is empty"),
        (
            ["--out", ".", "--package", "acme-bindings"],
            "`acme-bindings` is not the name of a Python package; write `acme_bindings`",
        ),
        (["--out", ".", "--package", "acme.1st.class"], "write `acme._1st.class_`"),
        (["--out", ".", "--package", "acme..x"], "write `acme.x`"),
        (["--out", ".", "--package", ""], "write `bindings`"),
    ],
)
@pytest.mark.parametrize("command", ["generate", "check"])
def test_a_package_that_python_cannot_import_is_refused_with_one_that_it_can(project, command, arguments, message):
    result = witgen(command, "count.wit", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert sorted(path.name for path in project.iterdir()) == ["count.wit"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('out = "my-bindings"', "pyproject.toml: the directory `my-bindings` cannot be imported"),
        ('out = "."\npackage = "my-bindings"', "write `my_bindings`"),
        ('out = ""', "needs `wit`, a path or a list of them, and `out`"),
        ('out = "x"\npackage = 3', "`package` has to be a string"),
    ],
)
def test_a_listed_package_that_python_cannot_import_is_refused(project, entry, message):
    (project / "pyproject.toml").write_text(f'[[tool.witgen.packages]]\nwit = "count.wit"\n{entry}\n')
    result = witgen("generate")
    assert (result.returncode, message in result.stderr) == (2, True), result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("package", [[], ["--package", "acme"]])
def test_a_file_in_the_place_of_the_directory_is_told_in_one_line(project, package):
    (project / "bindings").write_text("")
    result = witgen("generate", "count.wit", "--out", "bindings", *package)
    assert result.returncode == 2
    assert re.fullmatch(r"error: bindings\S* cannot be written: (file exists|not a directory)\n", result.stderr)


def test_the_directory_around_a_named_package_may_be_called_anything(project):
    assert witgen("generate", "count.wit", "--out", "my-sources", "--package", "json.counting").returncode == 0
    assert (project / "my-sources" / "json" / "counting" / "counting.py").exists()


def test_the_version_is_printed(project):
    assert program("--version").stdout == f"witgen {version('wit-host')}\n"


@pytest.mark.parametrize(
    ("project_file", "message"),
    [
        (None, "there is no pyproject.toml in this directory; give the WIT and --out"),
        ("[tool.other]\n", "has no [[tool.witgen.packages]]"),
        ('[[tool.witgen.packages]]\nwit = "count.wit"\n', "needs `wit`, a path or a list of them, and `out`"),
        ("not toml", "pyproject.toml cannot be read: Expected '=' after a key"),
        ('[[tool.witgen.packages]]\nwit = "a"\nout = "b"\nwrld = "w"\n', "unknown key `wrld`; did you mean `world`?"),
        ('[[tool.witgen.packages]]\nwit = "a"\nout = "b"\nx = 1\n', "unknown key `x`; each [[tool.witgen.packages]]"),
    ],
)
def test_a_pyproject_that_lists_nothing_is_told_what_to_do(project, project_file, message):
    if project_file is not None:
        (project / "pyproject.toml").write_text(project_file)
    result = witgen("generate")
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_packages_that_would_overwrite_each_other_are_refused(project):
    one = '[[tool.witgen.packages]]\nwit = "count.wit"\nout = "bindings"\n'
    other = '[[tool.witgen.packages]]\nwit = "count.wit"\nout = "."\npackage = "bindings"\n'
    (project / "pyproject.toml").write_text(one + other)
    result = witgen("generate")
    assert result.returncode == 2
    assert result.stderr == "error: pyproject.toml: two packages have the directory bindings; give each its own\n"


def test_a_package_may_be_inside_another_one(project):
    entries = ("bindings", "bindings/inner", "bindings/inner/exports_of_others")
    (project / "pyproject.toml").write_text(
        "".join(f'[[tool.witgen.packages]]\nwit = "count.wit"\nout = "{out}"\n' for out in entries)
    )
    assert witgen("generate").stdout == "".join(f"{out}: 3 files written\n" for out in entries)
    assert witgen("check").returncode == 0
    assert witgen("generate").stdout == "".join(f"{out}: up to date\n" for out in entries)


def test_the_command_for_stale_bindings_may_be_copied_whatever_the_paths_are_called(project):
    (project / "my count.wit").write_text(COUNTER)
    result = witgen("check", "my count.wit", "--out", "my $bindings", "--package", "b", "--world", "acme:count/host")
    command = "witgen generate 'my count.wit' --world acme:count/host --out 'my $bindings' --package b"
    assert f"run `{command}`" in result.stderr


def test_a_pyproject_that_cannot_be_read_is_told_in_one_line(project):
    (project / "pyproject.toml").mkdir()
    result = witgen("generate")
    assert (result.returncode, result.stderr) == (2, "error: pyproject.toml cannot be read: is a directory\n")


def test_a_mistake_in_the_wit_is_shown_with_its_place(project):
    (project / "count.wit").write_text("package a:b;\ninterface i {\n  f: func(c: colour);\n}\n")
    result = program("generate", "count.wit", "--out", "bindings")
    assert result.returncode == 1
    assert result.stderr.startswith("count.wit:3:14: error: ")
    assert "^^^^^^" in result.stderr
    assert not TARGET.out.exists(), "nothing is half done"
