"""Refusals: how they look, what they advise, and how several of them are shown together."""

import io
from pathlib import Path

import pytest
from typer.testing import CliRunner

from witgen.cli import app
from witgen.diagnostics import MOST, WitError
from witgen.resolver import resolve, resolve_texts
from witgen.show import wants_colour
from witgen.syntax import Span

GOLDEN = Path(__file__).parents[1] / "golden" / "diagnostics"
CASES = sorted(GOLDEN.glob("*.wit"))


def refusal(text):
    with pytest.raises(WitError) as caught:
        resolve_texts({"test.wit": text})
    return caught.value


@pytest.mark.parametrize("wit", CASES, ids=lambda path: path.stem)
def test_a_refusal_looks_as_it_was_approved(wit, request):
    with pytest.raises(WitError) as caught:
        resolve_texts({wit.name: wit.read_bytes()})
    shown, approved = f"{caught.value}\n", wit.with_suffix(".txt")
    if request.config.getoption("golden", default=None) == "write":
        approved.write_text(shown, encoding="utf-8")
    assert shown == approved.read_text(encoding="utf-8"), "look at the difference; if it is right, run `make golden`"


@pytest.mark.parametrize("wit", CASES, ids=lambda path: path.stem)
def test_a_message_is_one_lower_case_sentence_on_one_line(wit):
    with pytest.raises(WitError) as caught:
        resolve_texts({wit.name: wit.read_bytes()})
    message = caught.value.message
    assert "\n" not in message
    assert not message[0].isupper()
    assert not message.endswith(".")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("interface i { f: func(a: colour); enum color { red } }", "did you mean `color`?"),
        ("interface i { f: func(a: float32); }", "write `f32`"),
        ("interface i { f: func(a: t); } interface j { type t = u8; }", "interface `j` has one; add `use j.{t};`"),
        ("interface i { myFunction: func(); }", "write `my-function`"),
        ("interface i { record: func(); }", "`record` is a keyword; write `%record` to use it as a name"),
        ("interface i { list: func(); }", "`list` is a keyword; write `%list` to use it as a name"),
        ("interface i { f: func(own: u8); }", "`own` is a keyword; write `%own` to use it as a name"),
        ("interface i { f: func(kind: enum) -> u8; }", "`enum` is a keyword; write `%enum` to use it as a name"),
        ("interface i { f: func() -> type; }", "`type` is a keyword; write `%type` to use it as a name"),
        ("interface i { f: func(x: list<flags>); }", "`flags` is a keyword; write `%flags` to use it as a name"),
        ("interface i { f: func(x: record { a: u8 }); }", "give the type a name: `record … { … }` before it is used"),
        ("interface i { f: func() -> enum { a, b }; }", "give the type a name: `enum … { … }` before it is used"),
        ("interface i { f: func()\ng: func(); }", "line 2 has no `;` at its end"),
        ("interface i { enum e { a }; }", "nothing follows a `}`; remove the `;`"),
        ("interface i { f: func(", "the `(` on line 2 is not closed"),
        ("interface i { func f(); }", "a function is written `name: func(…);`"),
        (
            "interface i { use x:y/z@1.0.0.{t}; } package x:y {}",
            "there is `x:y`, but the version has to be the same; put it into `deps/`, or nest it in the file",
        ),
    ],
)
def test_a_refusal_says_what_was_probably_meant(text, hint):
    assert refusal(f"package a:b;\n{text}").hint == hint


@pytest.mark.parametrize(
    "text",
    [
        "interface i { level: get() -> u32; }",
        "interface i { level: set(to: u32); }",
        "interface i { resource tank { level: get() -> u32; } }",
        "interface i { resource tank { most: static set(to: u32) -> result<_, string>; } }",
        "world w { import level: get() -> u32; }",
        "world w { export level: set(to: u32); }",
    ],
)
def test_getters_and_setters_are_refused_by_name(text):
    assert "getters and setters are not supported" in refusal(f"package a:b;\n{text}").hint


@pytest.mark.parametrize("text", ["interface i { get(); }", "world w { import get(); }"])
def test_what_is_not_written_as_a_getter_is_not_called_one(text):
    assert "getters" not in (refusal(f"package a:b;\n{text}").hint or "")


@pytest.mark.parametrize("name", ["get", "set"])
def test_functions_may_be_called_as_getters_are_written(name):
    text = f"package a:b; interface i {{ {name}: func(); }} world w {{ import {name}: func(); import x: i; }}"
    assert list(resolve_texts({"test.wit": text}).interfaces[0].functions) == [name]


PACKAGES = {
    "another package of the namespace": ("wasi:io@0.3.0", "put it into `wit/deps/`"),
    "another version": (
        "wasi:clocks@0.2.0",
        "there is `wasi:clocks@0.2.0`, but the version has to be the same; put it into `wit/deps/`",
    ),
    "another spelling": ("wasi:clock@0.3.0", "did you mean `wasi:clock@0.3.0`? otherwise put it into `wit/deps/`"),
    "another namespace": ("wsi:clocks@0.3.0", "did you mean `wsi:clocks@0.3.0`? otherwise put it into `wit/deps/`"),
}


@pytest.mark.parametrize("case", PACKAGES)
@pytest.mark.parametrize("package", ["wasi:cli@0.3.0", "wasi:clocks@0.3.1", "wasi:clock-s"])
def test_a_package_that_is_missing_is_asked_for_and_never_confused_with_the_one_that_needs_it(
    case, package, tmp_path, monkeypatch
):
    known, hint = PACKAGES[case]
    monkeypatch.chdir(tmp_path)
    Path("wit/deps").mkdir(parents=True)
    Path("wit/main.wit").write_text(f"package {package};\ninterface i {{ use wasi:clocks/j@0.3.0.{{t}}; }}")
    Path("wit/deps/known.wit").write_text(f"package {known}; interface j {{ type t = u8; }}")
    with pytest.raises(WitError, match=r"package `wasi:clocks@0\.3\.0` is not known") as caught:
        resolve("wit")
    assert caught.value.hint == hint
    with pytest.raises(WitError) as caught:
        resolve("wit/main.wit")
    assert caught.value.hint == "put it into `deps/` beside the file and give the directory, or nest it in the file"


def test_the_caret_stands_under_the_whole_token():
    error = WitError("message", Span("f.wit", 12, 3, 12, 6), "hint", "\tabc\u200bdef")
    assert str(error) == "f.wit:12:3: error: message\n  12 |  abc\ufffddef\n     |   ^^^ hint"


def test_a_span_over_several_lines_is_shown_on_its_first():
    error = WitError("message", Span("f.wit", 1, 2, 9, 1), None, "abcd")
    assert str(error).splitlines()[-1] == "    |  ^^^"


def test_a_very_long_line_is_shown_around_its_place():
    line = "x" * 40_000 + "HERE" + "x" * 40_000
    shown, carets = str(WitError("m", Span("f.wit", 1, 40_001, 1, 40_005), None, line)).splitlines()[1:]
    assert len(shown) < 140
    assert shown[carets.index("^") : carets.rindex("^") + 1] == "HERE"


@pytest.mark.parametrize(
    ("before", "columns"), [("漢字 ", 5), ("🎉 ", 3), ("é ", 2), ("e\u0301 ", 2), ("\uff46", 2), ("\t\t", 2)]
)
def test_the_caret_is_in_its_place_after_characters_of_two_columns_and_of_none(before, columns):
    start = len(before) + 1
    heading, _, carets = str(WitError("m", Span("f.wit", 1, start, 1, start + 2), None, f"{before}xy")).splitlines()
    assert heading == f"f.wit:1:{start}: error: m"
    assert carets == f"    | {' ' * columns}^^"


def test_carets_are_as_wide_as_what_they_are_below():
    assert str(WitError("m", Span("f.wit", 1, 1, 1, 3), None, "漢字 x")).splitlines()[2] == "    | ^^^^"


def test_a_column_counts_characters_after_a_comment():
    assert refusal("package a:b; /* é */ interface i { f: func(a: t); }").column == 47


# --- several errors ---


def places(text):
    """Where the errors of a text are, in the order in which they are reported."""
    error = refusal(text.replace("^", ""))
    return [(one.line, one.column) for one in (error, *error.others)]


def marks(text):
    """Where the text has a `^`."""
    found, line, column = [], 1, 1
    for character in text:
        if character == "^":
            found.append((line, column))
        else:
            line, column = (line + 1, 1) if character == "\n" else (line, column + 1)
    return found


@pytest.mark.parametrize(
    "text",
    [
        # words, and what the parser can read past
        "package a:b;\ninterface ^A_ {}\ninterface ^b_ { ^cC: func(); }",
        "package a:b@^1.0.0-01;\ninterface i { f: func(a: list<u8, ^4294967296>); @^stable(feature = x) g: func(); }",
        'package a:b;\ninterface i {\n@external-id("^\\q") ^_f: func(); @^deprecated(version = 1.0.0) g: func(); }',
        "package a:b;\npackage c:d { package ^e:f {} package ^g:h {} }",
        "package a:b;\ninterface ^_i {}\n^/* open",
        # names and types
        "package a:b;\ninterface i { f: func(a: ^x, b: list<^y>) -> ^z; type t = ^x; }\nworld w { type u = ^z; }",
        "package a:b;\ninterface i {} world ^i {} interface j {} world ^j {}",
        "package a:b;\ninterface i { f: func(a: u8, ^a: u8, ^a: u8); record r { b: u8, ^b: u8, c: u8, ^C: u8 } }",
        "package a:b;\ninterface i { type t = u8; enum ^t { a } f: func(); ^f: func(); }",
        "package a:b;\ninterface i { use ^x.{a, b}; use j.{^c, ^d}; f: func(x: ^e); }\ninterface j {}",
        "package a:b;\ninterface i { use ^x:y/z.{t}; }\nworld w { include ^u:v/w; }\npackage ^a:b {}",
        "package a:b;\nworld w { import ^x; export ^y; include ^z; import l: ^x; }",
        # structure
        "package a:b;\ninterface i { enum ^e {} type m = ^map<f32, u8>; f: func(a: own<^e>); }",
        "package a:b;\ninterface i { resource r { constructor() -> ^u8; ^constructor(); m: func(); ^m: func(); } }",
        "package a:b;\ninterface i { resource r; ^f: func() -> borrow<r>; ^g: func() -> list<borrow<r>>; }",
        "package a:b;\nworld v { import f: func(); }\nworld w { include v with { ^a as b, ^c as d } }"
        "\nworld x { import f: func(); include ^v; }",
        "package a:b@1.0.0;\n@since(version = 2.0.0) interface ^i {}\n@since(version = 3.0.0) world ^w {}",
        # packages
        "package a:b;\ninterface i { type t = ^x; }\npackage c:d { interface i { type t = ^y; } }"
        "\npackage e:f { world w { import c:d/i; import z; } }\npackage g:h { world w { include ^v; } }",
    ],
)
def test_independent_errors_are_reported_together(text):
    assert places(text) == marks(text), refusal(text.replace("^", ""))


@pytest.mark.parametrize(
    "text",
    [
        # what is built on something that is wrong
        "package a:b;\ninterface i { type t = ^x; f: func(a: t, b: own<t>) -> borrow<t>; }",
        "package a:b;\ninterface i { use ^x.{r}; type s = r; f: func(a: borrow<s>); }\ninterface j { use i.{s}; }",
        "package a:b;\ninterface i { record r {} resource ^r { m: func(); } f: func(a: borrow<r>); }",
        "package a:b;\ninterface i { type t = ^t; type u = t; resource r; f: func(a: u) -> r; }",
        "package a:b;\ninterface i { type t = map<^strng, u8>; }",
        "package a:b;\ninterface i { enum ^e {} f: func(a: e) -> option<e>; }",
        "package a:b;\nuse ^y as x;\ninterface i { use x.{t}; f: func(a: t); }\nworld w { import x; export x; }",
        "package a:b;\nuse c:d/^y as x;\ninterface i { use x.{t}; }\nworld w { import x; }\npackage c:d {}",
        "package a:b;\nuse ^y as x;\nuse z as y;\nuse x as z;\nworld w { import x; import y; }",
        "package a:b;\nworld u { import f: func(); }\nworld v { include u with { ^g as h } }"
        "\nworld w { include v with { h as i } }",
        "package a:b;\ninterface a { type t = u8; } interface b { use a.{t}; } interface c { use b.{t}; }\n"
        "world ^v { export a; export c; }\nworld w { include v; }",
        # after a word that may have been meant as a keyword
        "package a:b;\ninterface i { ^Record r { a: u8 } }",
        "package a:b;\n^Interface i { f: func(); }",
        # a package after the one that is wrong
        "package a:b;\ninterface i { use c:d/j.{t}; f: func(a: x); }\npackage c:d { interface j { type t = ^y; } }",
    ],
)
def test_an_error_brings_no_others_with_it(text):
    assert places(text) == marks(text), refusal(text.replace("^", ""))


def test_each_file_of_a_package_has_its_errors_reported():
    files = {
        "one.wit": "package a:b;\ninterface i { f func(); }",
        "two.wit": "interface j {",
        "three.wit": "world w {}",
    }
    with pytest.raises(WitError) as caught:
        resolve_texts(files)
    assert [error.file for error in (caught.value, *caught.value.others)] == ["one.wit", "two.wit"]


def test_all_errors_are_shown_with_their_lines_and_counted():
    assert str(refusal("package a:b;\ninterface i {\n  f: func(a: x);\n  g: func(a: y);\n}")) == (
        "test.wit:3:14: error: type `x` is not defined\n  3 |   f: func(a: x);\n    |              ^\n\n"
        "test.wit:4:14: error: type `y` is not defined\n  4 |   g: func(a: y);\n    |              ^\n\n"
        "2 errors"
    )


@pytest.mark.parametrize("text", ["_ _x;" * 1000, "interface i { f: func(" + "a: x, " * 1000 + "); }"])
def test_no_more_errors_are_shown_than_anyone_reads(text):
    error = refusal(f"package a:b;\n{text}")
    assert len(error.others) < MOST
    assert len(str(error)) < 10_000


def test_the_count_says_when_it_stopped():
    error = refusal("package a:b;\ninterface i { f: func(" + ", ".join(f"a{n}: x" for n in range(1000)) + "); }")
    assert (len(error.others), str(error).splitlines()[-1]) == (MOST - 1, f"{MOST} errors, and perhaps more")


# --- colours ---


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "wanted"),
    [
        (Terminal(), {}, True),
        (io.StringIO(), {}, False),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (Terminal(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_for_terminals_unless_the_environment_says_otherwise(stream, environment, wanted):
    assert wants_colour(stream, environment) is wanted


def test_place_error_caret_and_hint_are_coloured_and_the_source_is_not():
    error = WitError("message", Span("f.wit", 1, 3, 1, 6), "hint", "  abc")
    assert error.shown(colour=True) == (
        "\033[1mf.wit:1:3:\033[0m \033[1;31merror:\033[0m \033[1mmessage\033[0m\n"
        "  1 |   abc\n    |   \033[1;32m^^^\033[0m \033[36mhint\033[0m"
    )
    assert "\033" not in str(error)


@pytest.mark.parametrize(("variables", "coloured"), [({}, False), ({"FORCE_COLOR": "1"}, True)])
def test_the_command_line_shows_errors_without_a_traceback(tmp_path, monkeypatch, variables, coloured):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    (tmp_path / "x.wit").write_text("package a:b;\nworld w { import x; export y; }")
    arguments = ["generate", str(tmp_path), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments, env=variables)
    assert (result.exit_code, "2 errors" in result.output) == (1, True)
    assert ("\033[1;31m" in result.output) is coloured


def test_what_is_not_printable_in_a_file_name_or_message_does_not_reach_the_terminal():
    assert "\033" not in str(WitError("a\033[2Jb", Span("f\033[2J.wit", 1, 1, 1, 2), "\033"))
