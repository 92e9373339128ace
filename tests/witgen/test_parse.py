"""Text → syntax: what is accepted, what it becomes, and which comments become documentation."""

import pytest

from witgen import syntax
from witgen.diagnostics import WitError
from witgen.parse import parse


def items(text):
    """The items of a package with this text."""
    return parse(f"package a:b;\n{text}", "test.wit").items


def inside(text):
    """The items of an interface with this text."""
    return items(f"interface i {{ {text} }}")[0].items


def type_of(text):
    """The syntax of a type expression."""
    return inside(f"type t = {text};")[0].type


def refusal(text):
    with pytest.raises(WitError) as caught:
        items(text)
    return caught.value


# --- names ---


@pytest.mark.parametrize("name", ["a", "is-XML", "apple-PEAR-grape", "ENOENT", "apple-0", "a0-000-3d4a-54FF", "b-1"])
def test_a_name_is_words_joined_by_dashes_each_in_one_case(name):
    assert inside(f"{name}: func();")[0].name.text == name


@pytest.mark.parametrize("name", ["Apple", "applE", "apple-Pear", "a0-54Ff", "a--b", "a-", "_x", "a_b", "café", "é"])
def test_a_name_that_breaks_the_rules_is_refused_as_a_whole(name):
    error = refusal(f"interface i {{ {name}: func(); }}")
    assert (error.line, error.column) == (2, 15)
    assert error.span.end_column - error.span.column == len(name)


def test_a_percent_sign_makes_a_name_of_a_keyword_and_is_no_part_of_it():
    assert [item.name.text for item in inside("%record: func(); %t44: func();")] == ["record", "t44"]


@pytest.mark.parametrize("word", ["since", "unstable", "version", "feature", "self", "float32", "union", "implements"])
def test_words_that_are_special_elsewhere_are_ordinary_names(word):
    assert inside(f"{word}: func();")[0].name.text == word


@pytest.mark.parametrize("word", ["from", "error-context", "s8", "static", "with"])
def test_a_keyword_is_reserved_wherever_a_name_is_expected(word):
    assert "keyword" in refusal(f"interface i {{ record {word} {{ a: u8 }} }}").hint


def test_a_name_with_a_thousand_digit_words_is_judged_at_once():
    error = refusal(f"interface i {{ a{'-0' * 1000}_: func(); }}")
    assert "is not an identifier" in error.message


# --- tokens ---


def test_a_byte_order_mark_and_windows_line_ends_are_skipped():
    file = parse(b"\xef\xbb\xbfpackage a:b;\r\ninterface i {\r\n}\r\n", "test.wit")
    assert file.items[0].name.span == syntax.Span("test.wit", 2, 11, 2, 12)


def test_the_dot_after_a_version_belongs_to_the_use():
    use = inside("use a:b/c@1.0.0-a.{t};")[0]
    assert use.path.package.version == "1.0.0-a"
    assert [name.name.text for name in use.names] == ["t"]


@pytest.mark.parametrize("version", ["1.0.1--", "1.0.0-a1.1-a", "1.0.1-1a+1a", "0.0.0", "1.0.0-record", "1.0.0+001"])
def test_every_semantic_version_is_read_whole(version):
    assert parse(f"package a:b@{version};", "test.wit").header.name.version == version


@pytest.mark.parametrize("version", ["01.0.0", "1.0", "1", "1.0.0-", "1.0.0+", "1.0.0-01", "1.0.18446744073709551616"])
def test_what_is_nearly_a_version_is_refused(version):
    with pytest.raises(WitError, match="version"):
        parse(f"package a:b@{version};", "test.wit")


def test_an_external_id_has_its_escapes_replaced():
    function = inside(r'@external-id("a\n\"\u{1F_600}\c3\a9é") f: func();')[0]
    assert function.attributes.external_id == 'a\n"\U0001f600éé'


@pytest.mark.parametrize("text", [r"\q", r"\u{110000}", r"\u{d800}", r"\ff", "\t", "\\", "\n"])
def test_a_string_that_is_no_text_is_refused(text):
    assert refusal(f'interface i {{ @external-id("{text}") f: func(); }}').line == 2


@pytest.mark.parametrize("character", ["\0", "\x0b", "\x85", "\u202e", "\u2066", "\u0149", "\x7f"])
def test_characters_that_hide_or_mislead_are_refused_in_comments_too(character):
    error = refusal(f"// {character}")
    assert (error.line, error.column) == (2, 4)


def test_a_file_that_is_not_utf_8_is_refused_where_it_stops_being_so():
    with pytest.raises(WitError, match="not UTF-8") as caught:
        parse(b"package a:b;\n// \xc3\xa9 \xff", "test.wit")
    assert (caught.value.line, caught.value.column) == (2, 6)


# --- comments ---


def test_every_comment_between_a_token_and_an_item_documents_the_item():
    (interface,) = items("// one\n\n/// two\n/** three */\ninterface i {}")
    assert interface.docs.text == "one\ntwo\nthree"


def test_comments_after_attributes_are_dropped():
    (interface,) = items("/// kept\n@unstable(feature = f)\n/// dropped\ninterface i {}")
    assert interface.docs.text == "kept"


def test_a_comment_after_a_field_documents_the_next_one():
    (record,) = inside("record r { a: u32, // of b\n b: u32 // of none\n }")
    assert [field.docs and field.docs.text for field in record.fields] == [None, "of b"]


def test_the_smallest_indent_is_taken_off_every_comment():
    (interface,) = items("///   one\n///     two\n///\ninterface i {}")
    assert interface.docs.text == "one\n  two"


def test_an_empty_comment_is_still_documentation():
    (interface,) = items("/**/ interface i {}")
    assert interface.docs.text == ""


def test_a_plain_block_comment_nests_and_keeps_its_stars():
    (interface,) = items("/* a /* b */ c */ interface i {}")
    assert interface.docs.text == "* a /* b */ c */"


def test_a_comment_at_the_top_documents_the_package():
    assert parse("// licence\npackage a:b;\ninterface i {}", "test.wit").header.docs.text == "licence"


def test_imports_and_exports_keep_the_docs_in_front_of_them():
    (world,) = items("world w { /// f\n import f: func(); /// i\n export i: interface {} /// j\n import j; }")
    assert [item.item.docs.text for item in world.items] == ["f", "i", "j"]


# --- items ---


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("f: func();", syntax.Function),
        ("f: async func();", syntax.Function),
        ("f: interface {}", syntax.Interface),
        ("f: x;", syntax.InterfaceReference),
        ("f:x;", syntax.InterfaceReference),
        ("f:x/y;", syntax.InterfaceReference),
        ("f:x/y@1.0.0;", syntax.InterfaceReference),
        ("f: x:y/z;", syntax.InterfaceReference),
        ("f;", syntax.InterfaceReference),
    ],
)
def test_what_follows_the_colon_says_what_is_imported(written, expected):
    (world,) = items(f"world w {{ import {written} }}")
    assert isinstance(world.items[0].item, expected)


def test_a_name_before_a_colon_is_a_label_unless_a_slash_follows_the_next_one():
    (world,) = items("world w { import a:b; import a:b/c; import a:b:c/d; }")
    labels = [item.item.label and item.item.label.text for item in world.items]
    packages = [item.item.path.package and item.item.path.package.namespace.text for item in world.items]
    assert (labels, packages) == (["a", None, "a"], [None, "a", "b"])


def test_an_include_with_renames_takes_no_semicolon():
    (world,) = items("world w { include a with { b as c, d as e, } include f; }")
    assert [[(r.old.text, r.new.text) for r in item.renames] for item in world.items] == [[("b", "c"), ("d", "e")], []]


def test_the_members_of_a_resource_know_what_they_are():
    (resource,) = inside("resource r { constructor(a: u8); m: func(); s: static async func() -> r; }")
    assert [(m.sort, m.type.is_async) for m in resource.members] == [
        ("constructor", False),
        ("method", False),
        ("static", True),
    ]


def test_empty_items_and_trailing_commas_are_fine():
    empty = "record r {} flags f {} resource s {} type t = tuple<>; use x.{};"
    trailing = "type u = tuple<u8,>; enum e { a, } use y.{a,}; f: func(a: u8,);"
    assert len(inside(empty + trailing)) == 9


@pytest.mark.parametrize(
    "text",
    ["list<u8,>", "option<u8,>", "map<u8, u8,>", "result<u8,>", "result<u8, u8,>", "result<_>", "list<u8, 4294967296>"],
)
def test_a_type_takes_no_stray_comma_and_no_absurd_length(text):
    assert refusal(f"interface i {{ type t = {text}; }}").line == 2


def test_types_are_read_with_all_their_parts():
    assert type_of("list<u8, 16>").length == 16
    assert type_of("list<u8>").length is None
    result = type_of("result<_, string>")
    assert (result.ok, result.err.keyword) == (None, "string")
    assert type_of("result").err is None
    assert type_of("future").item is None
    assert type_of("error-context").keyword == "error-context"
    assert type_of("borrow<r>").resource.text == "r"


def test_a_type_expression_spans_all_of_its_text():
    span = type_of("list<\n  u8>").span
    assert (span.line, span.column, span.end_line, span.end_column) == (2, 24, 3, 6)


def test_nested_packages_keep_their_items_and_docs():
    nested, interface = items("/// inner\npackage c:d@1.0.0 { interface x {} }\ninterface y {}")
    assert (nested.name.version, nested.docs.text, nested.items[0].name.text) == ("1.0.0", "inner", "x")
    assert interface.name.text == "y"


# --- attributes ---


def test_the_four_attributes_are_read_in_any_order():
    text = '@external-id("x") @deprecated(version = 1.2.0) @since(version = 1.0.0) f: func();'
    attributes = inside(text)[0].attributes
    assert (attributes.since, attributes.deprecated, attributes.external_id) == ("1.0.0", "1.2.0", "x")


@pytest.mark.parametrize(
    "attributes",
    [
        "@stable(version = 1.0.0)",
        "@since",
        "@since()",
        "@since(feature = x)",
        "@since(version = 1.0)",
        "@unstable(feature = 1.0.0)",
        "@since(version = 1.0.0) @since(version = 1.0.0)",
        "@since(version = 1.0.0) @unstable(feature = x)",
        "@deprecated(version = 1.0.0)",
        "@external-id(x)",
    ],
)
def test_other_attributes_are_refused(attributes):
    assert refusal(f"interface i {{ {attributes} f: func(); }}").line == 2


@pytest.mark.parametrize("item", ["use x as y;", "package c:d {}"])
def test_attributes_may_not_stand_in_front_of_a_use_or_package_at_the_top(item):
    assert "attributes" in refusal(f"@unstable(feature = x) {item}").hint


# --- limits ---


def test_types_nest_a_hundred_levels_and_no_more():
    assert type_of("list<" * 100 + "u8" + ">" * 100)
    assert "100 levels" in refusal(f"interface i {{ type t = {'list<' * 101}u8{'>' * 101}; }}").message


def test_a_thousand_nested_packages_are_refused_without_a_traceback():
    assert "nested package" in refusal("package c:d { " * 1000 + "}" * 1000).message


def test_long_tokens_and_lines_are_not_shown_in_full():
    name = "a" * 100_000
    assert len(str(refusal(f"interface i {{ type {name} {name}"))) < 1000
