"""Text from elsewhere becomes one short line that can be shown."""

from __future__ import annotations

import pytest

from wasi_nn_torch.contract.text import one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("as it is", "as it is"),
        ("  two\n\tlines \r\n", "two lines"),
        ("", ""),
        (ValueError("an exception\nof two lines"), "an exception of two lines"),
        ("a \x1b[31mcolor\x00", "a \N{REPLACEMENT CHARACTER}[31mcolor\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_text_becomes_one_printable_line(text, line):
    assert one_line(text) == line


def test_a_long_text_is_cut():
    assert one_line("x" * 300) == "x" * 300
    assert one_line("x" * 301) == "x" * 300 + "…"
    assert one_line("one two", longest=3) == "one…"
