"""No input ends in a traceback, takes for ever or fills the memory: it is resolved, or refused with a place."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from witgen.diagnostics import WitError
from witgen.resolver import build, resolve, resolve_texts
from witgen.resolver.load import LARGEST

WASI_NN = (Path(__file__).parents[2] / "wit/2024-10-28/nn.wit").read_bytes()
LANGUAGE = """
interface world package use import export include with as type record flags variant enum resource func async
static constructor tuple list option result map future stream own borrow u8 string _ a b r t i w self a:b c:d/i
@since(version=1.0.0) @unstable(feature=f) @deprecated(version=1.0.0) @external-id("x") { } ( ) < > , ; : / . = -> *
1.0.0 4294967296 // /* */ a{ b{ {} (); :func(); type%t=u8;"""


def refusal(text):
    """The refusal of a text, complete and short enough to read; `None` if it is resolved."""
    try:
        resolve_texts({"test.wit": text})
    except WitError as error:
        refused = error
    else:
        return None
    assert refused.line >= 1
    assert refused.column >= 1
    assert refused.message
    assert len(str(refused)) < 20_000
    return refused


# --- any input ---


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_bytes_of_any_kind_are_read(text):
    refusal(text)
    refusal(b"package a:b; " + text)


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_text_of_any_kind_is_read(text):
    refusal(text)
    refusal(f"package a:b; interface i {{ {text} }}")


def test_half_of_a_surrogate_pair_is_refused():
    assert "U+D800" in refusal('package a:b;\n@external-id("\ud800") interface i {}').message


@given(st.lists(st.sampled_from(LANGUAGE.split()), max_size=40))
@settings(max_examples=300, deadline=None)
def test_words_in_any_order_are_read(words):
    refusal(f"package a:b; {' '.join(words)}")
    refusal(f"package a:b; interface i {{ {' '.join(words)} }}")
    refusal(f"package a:b; interface i {{ type t = u8; resource r; }} world w {{ {' '.join(words)} }}")


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_any_change_to_a_good_file_is_read(data):
    tokens = re.findall(rb"\s+|[%\w.-]+|.", WASI_NN, re.DOTALL)
    for _ in range(data.draw(st.integers(1, 4))):
        at, other = (data.draw(st.integers(0, len(tokens) - 1)) for _ in range(2))
        end = at + data.draw(st.integers(0, 5))
        tokens[at:end] = data.draw(st.sampled_from([[], tokens[other : other + 3], tokens[at:end] * 3]))
    refusal(b"".join(tokens))


# --- size ---


def in_interface(text):
    return f"package a:b;\ninterface i {{ {text} }}"


LONG = 200_000
FINE = {
    "a long name": in_interface("type " + "a" * LONG + " = u8;"),
    "a name of many words": in_interface("type a" + "-a" * LONG + " = u8;"),
    "a long version": f"package a:b@1.0.0-{'1.' * LONG}x;",
    "a long string": in_interface('@external-id("' + r"\u{1F600}" * 20_000 + '") f: func();'),
    "nested comments": "/*" * LONG + "*/" * LONG + in_interface(""),
    "many comments": "// x\n" * 50_000 + in_interface(""),
    "one long comment": "/**" + "*" * LONG + "/" + in_interface(""),
    "many types": in_interface("".join(f"type t{n} = u8;" for n in range(3000))),
    "many parts": in_interface(f"type t = tuple<{'u8,' * 20_000}>;"),
    "many functions": in_interface("".join(f"x{n}: func();" for n in range(3000))),
    "many interfaces": "package a:b;" + "".join(f"interface i{n} {{}}" for n in range(3000)),
    "many packages": "package a:b;" + "".join(f"package c:d{n} {{}}" for n in range(3000)),
    "a long chain of packages": "package a:b;"
    + "".join(f"package c:d{n} {{ interface i {{ use c:d{n + 1}/i.{{}}; }} }}" for n in range(1000))
    + "package c:d1000 { interface i {} }",
    "a long chain of names": "package a:b; interface i {} use i as x0;"
    + "".join(f"use x{n} as x{n + 1};" for n in range(3000)),
    "types that are wide and deep": in_interface(
        "".join(f"record t{n} {{ {', '.join(f'f-{k}: t{n + 1}' for k in range(16))} }}" for n in range(40))
        + "type t40 = u8; f: func(a: t0) -> t0;"
    ),
    "many small includes in a large world": "package a:b; world v {} world w {"
    + "".join(f"import x{n}: func();" for n in range(3000))
    + "include v;" * 3000
    + "}",
    "many users of a large interface": "package a:b; interface b { "
    + "".join(f"type t{n} = u8;" for n in range(1000))
    + "}"
    + "".join(f"interface i{n} {{ use b.{{t{n}}}; }} world w{n} {{ import b; }}" for n in range(1000)),
}


@pytest.mark.parametrize("text", FINE.values(), ids=FINE)
def test_size_alone_is_no_reason_to_refuse(text):
    assert refusal(text) is None


HUGE = {
    "a long bad name": (in_interface("type a" + "-a" * LONG + "_ = u8;"), "not an identifier"),
    "a long word that is not ASCII": (in_interface("\u00e9" * LONG), "not an identifier"),
    "a long unknown name": (in_interface(f"type t = {'a' * LONG}; type {'b' * LONG} = u8;"), "not defined"),
    "a long bad version": (f"package a:b@1.0.0-{'1.' * LONG}01;", "not a version"),
    "a huge number": (in_interface(f"type t = list<u8, {'9' * LONG}>;"), "at most 4294967295"),
    "a huge version number": (f"package a:b@{'9' * LONG}.0.0;", "not a version"),
    "an open string": (in_interface('@external-id("' + "\\a" * LONG), "not complete"),
    "open comments": ("package a:b;" + "/*" * LONG, "never closed"),
    "open braces": ("package a:b;" + "{" * LONG, "found `{`"),
    "open packages": ("package a:b;" + "package c:d {" * 20_000, "end of the file"),
    "nested packages": ("package a:b;" + "package c:d {" * 5_000 + "}" * 5_000, "nested package"),
    "nested types": (in_interface("type t = " + "list<" * LONG), "100 levels"),
    "nested interfaces": ("package a:b; world w {" + "import x: interface {" * 20_000, "found `import`"),
    "many attributes": ("package a:b@1.0.0;" + "@since(version = 1.0.0)" * 5_000 + "interface i {}", "given twice"),
    "carriage returns": ("\r" * LONG, "U\\+000D"),
    "zero bytes": ("\0" * LONG, "U\\+0000"),
    "bytes that are not UTF-8": (b"\xff" * LONG, "not UTF-8"),
    "a long circle of types": (in_interface("".join(f"type t{n} = t{(n + 1) % 3000};" for n in range(3000))), "itself"),
    "a long circle of interfaces": (
        "package a:b;" + "".join(f"interface i{n} {{ use i{(n + 1) % 3000}.{{}}; }}" for n in range(3000)),
        "itself",
    ),
    "many unknown names": (
        in_interface("".join(f"type t{n} = x{n};" for n in range(5000))),
        "not defined(.|\n)*20 errors, and perhaps more",
    ),
    "many unknown packages": (in_interface("".join(f"use x:y{n}/z.{{}};" for n in range(5000))), "not known"),
    "a line of 65000 columns": ("package a:b;" + " " * 65_000 + "x", "found `x`"),
}


@pytest.mark.parametrize(("text", "gist"), HUGE.values(), ids=HUGE)
def test_what_is_wrong_is_refused_whatever_its_size(text, gist):
    assert re.search(gist, str(refusal(text)))


@pytest.mark.parametrize(
    "text",
    [
        "world w0 {}" + "".join(f"world w{n + 1} {{ include w{n}; import x{n}: func(); }}" for n in range(300)),
        "interface i0 { type t = u8; }"
        + "".join(f"interface i{n + 1} {{ use i{n}.{{t}}; }} world w{n} {{ import i{n}; }}" for n in range(300)),
        "interface i0 { type t = u8; }"
        + "".join(f"interface i{n + 1} {{ use i{n}.{{t}}; }} world w{n} {{ export i{n}; }}" for n in range(300)),
        "world w0 {}" + "".join(f"world w{n + 1} {{ include w{n}; import x{n}: interface {{}} }}" for n in range(300)),
        "world w { " + "".join(f"import i{n};" for n in range(1000)) + "}"
        "world v { " + "include w; " * 1000 + "}" + "".join(f"interface i{n} {{}}" for n in range(1000)),
    ],
    ids=["functions", "imports", "exports", "interfaces", "includes"],
)
def test_worlds_that_imply_millions_of_items_are_refused_before_they_are_made(monkeypatch, text):
    monkeypatch.setattr(build, "MOST_IMPLIED", 10_000)
    error = refusal(f"package a:b;\n{text}")
    assert "more than 10000 items" in error.message
    assert error.others == ()


# --- directories ---


def test_links_that_lead_to_themselves_are_no_endless_way(tmp_path):
    (tmp_path / "a.wit").write_text("package a:b;")
    (tmp_path / "deps").mkdir()
    (tmp_path / "deps/up").symlink_to(tmp_path / "deps")
    with pytest.raises(WitError, match="no `\\.wit` file"):
        resolve(tmp_path)
    (tmp_path / "deps/up").unlink()
    (tmp_path / "deps/self").symlink_to(tmp_path)
    with pytest.raises(WitError, match="`a:b` is defined twice"):
        resolve(tmp_path)
    (tmp_path / "deps/self").unlink()
    (tmp_path / "deps/x.wit").symlink_to("x.wit")
    with pytest.raises(WitError, match="cannot be read"):
        resolve(tmp_path)


def test_a_link_to_a_file_or_directory_is_that_file_or_directory(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x/x.wit").write_text("package c:d;")
    (tmp_path / "main/deps").mkdir(parents=True)
    (tmp_path / "a.wit").write_text("package a:b;")
    (tmp_path / "main/a.wit").symlink_to(tmp_path / "a.wit")
    (tmp_path / "main/deps/x").symlink_to(tmp_path / "x")
    (tmp_path / "main/directory.wit").mkdir()
    assert [str(package.name) for package in resolve(tmp_path / "main").packages] == ["a:b", "c:d"]


def test_a_link_to_nothing_is_refused(tmp_path):
    (tmp_path / "a.wit").symlink_to("missing")
    with pytest.raises(WitError, match="no such file"):
        resolve(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.wit")
    for path in (tmp_path, tmp_path / "a.wit", Path(os.devnull)):
        with pytest.raises(WitError, match="not a file"):
            resolve(path)


def test_a_file_that_is_far_too_large_is_not_read(tmp_path):
    with (tmp_path / "a.wit").open("wb") as file:
        file.truncate(LARGEST * 100)
    with pytest.raises(WitError, match="larger than 16 MiB"):
        resolve(tmp_path)


def test_deps_that_is_a_file_is_ignored(tmp_path):
    (tmp_path / "a.wit").write_text("package a:b;")
    (tmp_path / "deps").write_text("nonsense")
    assert len(resolve(tmp_path).packages) == 1
