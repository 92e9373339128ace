"""Tokens → text.

In: tokens with one space between two of them. Out: text that means the same, with white space and comments between the
tokens wherever they may stand.
"""

from __future__ import annotations

import re

from tests.witgen.helpers.writer.dice import Dice

_COMMENTS = (
    "// one",
    "//",
    "///",
    "//// four",
    "/// docs",
    "///   indented",
    "//\ttab",
    "/// trailing  \t",
    "/// é 漢字 `code` /* not a comment",
    "//* star",
    "/***/",
    "/* block */",
    "/** block docs */",
    "/**\n   * several\n   * lines\n   */",
    "/*\n  plain\n    lines\n\n*/",
    "/* nested /* inside */ outside */",
    "/** */",
    "/*/ slash */",
)
_BLANKS = (" ", " ", " ", "\n", "\n  ", "\t", "\n\n", "  ")
_WORD_END, _WORD_START = re.compile(r"[\w%-]$"), re.compile(r"^[\w%-]")
#: White space is left out in front of these more often than elsewhere, as people do.
_TIGHT = frozenset("; , : ) > . { ( <".split())


def layout(dice: Dice, tokens: str, comment_first: bool = True) -> str:
    """The text of one file; `comment_first` says whether comments may stand in front of everything."""
    text, before = "", "/" if comment_first else ""
    for token in tokens.split(" "):
        text += (_between(dice, before, token) if before else "") + token
        before = token
    text += dice.pick(("", "\n", "\n// the end\n", " /* the end */"))
    if dice.chance(15):
        text = text.replace("\n", "\r\n")
    return "\ufeff" + text if dice.chance(4) else text


def _between(dice: Dice, before: str, token: str) -> str:
    space = "" if dice.chance(70 if token in _TIGHT else 20) else dice.pick(_BLANKS)
    while dice.chance(6):
        comment = dice.pick(_COMMENTS)
        space = (space or " ") + comment + ("\n" if comment.startswith("//") else "") + dice.pick(_BLANKS)
    if not space and _WORD_END.search(before) and _WORD_START.search(token):
        return " "
    return space
