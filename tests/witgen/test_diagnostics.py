"""Refusals: where they point, what they say, and how they look."""

from pathlib import Path

import pytest

from witgen.diagnostics import WitError
from witgen.resolve import resolve_texts
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


# The text has `^` in front of the place that has to be named.
PLACES = [
    # syntax
    "interface i { a: func() ^b: func(); }",
    "interface i { type t = ^; }",
    "interface i { type t = list<u8,^>; }",
    "interface i { type t = list<u8, ^u32>; }",
    "interface i { a: async^(); }",
    "interface i { resource r { a: async ^static func(); } }",
    "interface i { resource r { ^async constructor(); } }",
    "interface i { resource r { ^interface j {} } }",
    "interface i { f: func() -> ^(); }",
    "interface i { f: func() -> ^(a: u8); }",
    "package c:d^;",
    "interface i {\n^",
    "world w { include a with { b^:c as d } }",
    "interface i { type t = own<^u32>; }",
    # names that are there twice
    "interface i {} world ^i {}",
    "use j as i; interface ^i {} interface j {}",
    "interface i { type a = u8; record ^a {} }",
    "interface i { type a = u8; ^a: func(); }",
    "interface i { use j.{b}; type ^b = u8; } interface j { type b = u8; }",
    "interface i { f: func(a: u8, ^a: u8); }",
    "interface i { resource r { m: func(^self: u8); } }",
    "interface i { resource r { m: func(); ^m: static func(); } }",
    "interface i { resource r { constructor(); ^constructor(); } }",
    "interface i { record r { a: u8, ^a: u8 } }",
    "interface i { enum e { a, ^A } }",
    "world w { import f: func(); import ^f: interface {} }",
    "world w { type f = u8; import ^f: func(); }",
    "world w { export f: func(); export ^f: i; } interface i {}",
    "world w { import f: func(); import ^F: func(); }",
    "world w { import i; import ^i; } interface i {}",
    "world w { export i; export ^i; } interface i {}",
    "world w { include ^v; import f: func(); } world v { import f: func(); }",
    "world w { include v with { ^g as h } } world v { import f: func(); }",
    # names that mean nothing, or the wrong thing
    "interface i { f: func(a: list<^t>); }",
    "interface i { f: func(a: ^f); }",
    "interface i { use ^j.{t}; }",
    "interface i { use j.{^t}; } interface j {}",
    "interface i { use j.{^f}; } interface j { f: func(); }",
    "interface i { use ^w.{t}; } world w {}",
    "interface i { use ^x:y/z.{t}; }",
    "interface i { use x:y/^z.{}; } package x:y {}",
    "interface i { use x:y/z.{^t}; } package x:y { interface z {} }",
    "use x:y/^z; package x:y { world z {} }",
    "interface i { use ^a:b/j.{t}; } interface j { type t = u8; }",
    "world w { import ^w; }",
    "world w { import a: ^x; }",
    "world w { include ^i; } interface i {}",
    "interface i { type t = u8; f: func(a: borrow<^t>); }",
    "interface i { resource r; type t = own<r>; f: func(a: own<^t>); }",
    "interface i { use x:y/z.{t}; f: func(a: borrow<^t>); } package x:y { interface z { type t = u8; } }",
    # structure
    "interface i { type a = ^b; type b = list<c>; record c { a: option<a> } }",
    "interface i { record a { b: u8, a: ^a } }",
    "interface i { use j.{t}; } interface ^j { use i.{t}; }",
    "world w { include v; } world ^v { include w; }",
    "interface i { enum ^e {} }",
    "interface i { variant ^v {} }",
    "interface i { type k = u8; type m = ^map<k, u8>; }",
    "interface i { f: func(a: ^map<f32, u8>); }",
    "interface i { resource r; ^f: func() -> option<borrow<r>>; }",
    "interface i { resource r; record x { r: borrow<r> } resource s { ^f: static func() -> list<x>; } }",
    "interface i { resource r { ^constructor() -> result<r, borrow<r>>; } }",
    "interface i { resource r { constructor() -> ^r; } }",
    "interface i { resource r { constructor() -> result<^u8>; } }",
    "interface i { resource r { constructor() -> ^result<_, u8>; } }",
    "package c:d {} package ^c:d {}",
    "package c:d { package ^e:f {} }",
    "interface i { @since(version = 1.0.0) ^f: func(); }",
]


@pytest.mark.parametrize("marked", PLACES)
def test_a_refusal_points_at_the_place_to_mend(marked):
    text = f"package a:b;\n{marked}"
    before = text[: text.index("^")]
    error = refusal(text.replace("^", ""))
    expected = before.count("\n") + 1, len(before) - before.rfind("\n")
    assert (error.line, error.column) == expected, str(error)


def test_a_file_without_a_package_line_is_refused_at_its_start():
    assert (refusal("\ninterface i {}").line, refusal("").line) == (1, 1)


def test_differing_package_lines_are_refused_at_the_second():
    with pytest.raises(WitError) as caught:
        resolve_texts({"one.wit": "package a:b;", "two.wit": "package a:c;"})
    assert (caught.value.file, caught.value.line, caught.value.column) == ("two.wit", 1, 9)


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
        ("interface i { f: func()\ng: func(); }", "line 2 has no `;` at its end"),
        ("interface i { enum e { a }; }", "nothing follows a `}`; remove the `;`"),
        ("interface i { f: func(", "the `(` in line 2 is not closed"),
        ("interface i { func f(); }", "a function is written `name: func(…);`"),
        ("interface i { use x:y/z@1.0.0.{t}; } package x:y {}", "there is `x:y`; the version has to be the same"),
    ],
)
def test_a_refusal_says_what_was_probably_meant(text, hint):
    assert refusal(f"package a:b;\n{text}").hint == hint


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


def test_a_column_counts_characters_behind_a_comment():
    assert refusal("package a:b; /* é */ interface i { f: func(a: t); }").column == 47
