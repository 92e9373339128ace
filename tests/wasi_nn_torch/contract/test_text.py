"""Text from others is shown on one bounded line of printable characters."""

from __future__ import annotations

from wasi_nn_torch.contract.text import one_line, printable, quote, quote_all


def test_a_name_is_quoted_on_one_bounded_line():
    assert quote("x") == "`x`"
    assert quote("a\nb\x1b[31m") == "`a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}[31m`"
    assert quote("x" * 65) == f"`{'x' * 64}…`"


def test_a_list_of_names_is_bounded():
    assert quote_all([]) == "none"
    assert quote_all(["a", "b"]) == "`a`, `b`"
    assert quote_all(map(str, range(20))).endswith("`14`, `15` and 4 more")


def test_a_text_that_fits_exactly_is_not_cut():
    assert (printable("abc", 3), printable("abcd", 3)) == ("abc", "abc…")


def test_an_exception_is_told_on_one_bounded_line():
    assert one_line(ValueError(" first\n\tsecond\x00 ")) == "first second\N{REPLACEMENT CHARACTER}"
    assert one_line("x" * 301) == "x" * 300 + "…"
    assert one_line("one two", longest=3) == "one…"
    assert one_line("x" * 301, longest=None) == "x" * 301
