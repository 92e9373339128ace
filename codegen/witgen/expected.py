"""The parser's refusals, in words.

In: lark's `UnexpectedToken` and the source it is about. Out: a `WitError` that says what was found, what was
expected, and what was probably meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from lark import Token, UnexpectedToken

from witgen.diagnostics import WitError, clipped
from witgen.lex import Source

_TYPE_DEFINITIONS = frozenset({"TYPE", "RECORD", "FLAGS", "VARIANT", "ENUM", "RESOURCE"})
_NUMBERS = frozenset({"S8", "S16", "S32", "S64", "U8", "U16", "U32", "U64", "F32", "F64"})
_COMPOUND = frozenset({"TUPLE", "LIST", "MAP", "OPTION", "RESULT", "FUTURE", "STREAM", "OWN", "BORROW"})
_TYPES = _NUMBERS | _COMPOUND | {"BOOL", "CHAR", "STRING", "ERROR_CONTEXT", "IDENTIFIER"}

# Groups of terminals that stand for one thing; terminals outside these groups are named one by one.
_GROUPS: tuple[tuple[str, frozenset[str]], ...] = (
    ("a type", _TYPES),
    ("an import, export, use, include or type definition", _TYPE_DEFINITIONS | {"IMPORT", "EXPORT", "USE", "INCLUDE"}),
    ("a function, use or type definition", _TYPE_DEFINITIONS | {"USE", "IDENTIFIER"}),
    ("an interface, world, use or package", frozenset({"INTERFACE", "WORLD", "USE", "PACKAGE"})),
    ("an interface, world or type definition", _TYPE_DEFINITIONS | {"INTERFACE", "WORLD"}),
    ("a constructor, method or static function", frozenset({"CONSTRUCTOR", "IDENTIFIER"})),
    ("a function, interface or path", frozenset({"FUNC", "ASYNC", "INTERFACE", "IDENTIFIER"})),
    ("a function", frozenset({"ASYNC", "FUNC"})),
)
_SINGLE = {
    "IDENTIFIER": "a name",
    "VERSION": "a version like `1.2.3`",
    "INTEGER": "a number",
    "TEXT": 'a string in `"…"`',
    "$END": "the end of the file",
}
_OPENING, _CLOSING = ("LBRACE", "LPAR", "LESSTHAN"), ("RBRACE", "RPAR", "MORETHAN")


def unexpected(error: UnexpectedToken, source: Source, written: Mapping[str, str]) -> WitError:
    """The diagnostic for a token that is not allowed at its place; `written` has the text of each keyword and mark."""
    found: Token = error.token
    accepted = frozenset(error.accepts)
    if found.type == "$END":
        end = len(source.text)
        message = f"expected {_alternatives(accepted, written)}, found the end of the file"
        return WitError(message, source.span(end, end), _unclosed(source.tokens))
    what = "a string" if found.type == "TEXT" else f"`{clipped(found)}`"
    message = f"expected {_alternatives(accepted, written)}, found {what}"
    next_mark = source.text[found.end_pos or 0 :].lstrip()[:1]
    hint = _hint(found, next_mark, accepted, source.tokens[:-1], written)
    return WitError(message, source.span(found.start_pos or 0, found.end_pos or 0), hint)


def _alternatives(accepted: AbstractSet[str], written: Mapping[str, str]) -> str:
    """The terminals in words: `a`, `b` or `c`."""
    left, groups = set(accepted), []
    for name_of_group, group in _GROUPS:
        if group <= left:
            left -= group | {"AT"}  # attributes go without saying
            groups.append(name_of_group)
    words = [_SINGLE.get(name) or f"`{written[name]}`" for name in sorted(left)] + groups
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def _hint(
    found: Token, next_mark: str, accepted: AbstractSet[str], before: Sequence[Token], written: Mapping[str, str]
) -> str | None:
    """What was probably meant; `next_mark` is the character after the token."""
    previous = before[-1] if before else found
    if _is_accessor(found, next_mark, accepted, before):
        return "getters and setters are not supported, as Wasmtime refuses components that have them; use functions"
    if hint := _keyword_hint(found, next_mark, accepted, previous, written):
        return hint
    if "SEMICOLON" in accepted and found.line != previous.line:
        return f"line {previous.line} has no `;` at its end"
    if found.type == "SEMICOLON":
        return _stray_semicolon(accepted, previous)
    if found.type in ("INTERFACE", "WORLD") and "RBRACE" in accepted:
        return _unclosed(before)
    if (previous.type, found.type) == ("ARROW", "LPAR"):
        return "a function has one result, without parentheses; leave out the `->` if it has none"
    if found.type == "FUNC" and "IDENTIFIER" in accepted:
        return "a function is written `name: func(…);`"
    if found.type in ("USE", "PACKAGE") and accepted <= {"INTERFACE", "WORLD", "AT"}:
        return f"attributes are not allowed in front of this `{found}`"
    if found.type == "INTEGER" and "IDENTIFIER" in accepted:
        return "a name begins with a letter"
    return None


def _is_accessor(found: Token, next_mark: str, accepted: AbstractSet[str], before: Sequence[Token]) -> bool:
    """Whether `get(` or `set(` is in the place of a function; after `import x:`, the word is first taken for a path."""
    if found.type == "LPAR" and "SLASH" in accepted and len(before) > 1:
        return before[-1] in ("get", "set") and before[-2].type == "COLON"
    return found in ("get", "set") and next_mark == "(" and "FUNC" in accepted


def _keyword_hint(
    found: Token, next_mark: str, accepted: AbstractSet[str], previous: Token, written: Mapping[str, str]
) -> str | None:
    """For a keyword in a place for a name, or one that was taken for the start of something else."""
    keywords = {name for name, text in written.items() if text[0].isalpha()} - _SINGLE.keys()
    if (previous.type, found.type in keywords) == ("LESSTHAN", True) and accepted == {"IDENTIFIER"}:
        return "the name of a resource is expected here; nothing else has handles"
    if found.type in keywords and "IDENTIFIER" in accepted and (next_mark == ":" or not accepted & keywords):
        return f"`{found}` is a keyword; write `%{found}` to use it as a name"
    if found.type in keywords and accepted >= _TYPES:
        if next_mark == "{":
            return f"give the type a name: `{found} … {{ … }}` before it is used"
        return f"`{found}` is a keyword; write `%{found}` to use it as a name"
    if previous.type in keywords and found.type in ("COLON", "COMMA") and accepted <= {"IDENTIFIER"}:
        return f"`{previous}` is a keyword; write `%{previous}` to use it as a name"
    return None


def _stray_semicolon(accepted: AbstractSet[str], previous: Token) -> str | None:
    if previous.type == "RBRACE":
        return "nothing follows a `}`; remove the `;`"
    if accepted <= {"LBRACE", "AT"}:
        return "a file has one `package …;` line, before everything else; a nested package has braces"
    return None


def _unclosed(tokens: Sequence[Token]) -> str | None:
    """The bracket that is still open at the end."""
    opened: list[Token] = []
    for token in tokens:
        if token.type in _OPENING:
            opened.append(token)
        elif token.type in _CLOSING and opened:
            opened.pop()
    return f"the `{opened[-1]}` on line {opened[-1].line} is not closed" if opened else None
