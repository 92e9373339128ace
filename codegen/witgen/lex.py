"""Text → tokens, for rules that a table of regular expressions cannot express.

In: the text of one file, and the terminals of `grammar.lark` (keywords, punctuation, the form of an identifier). Out:
lark tokens for the parser, and the comments in front of each token, since any comment may turn out to be documentation.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lark import Token
from lark.common import LexerConf
from lark.lexer import Lexer, PatternStr, TerminalDef

from witgen.diagnostics import Errors, WitError, clipped
from witgen.syntax import Span

DEEPEST_TYPE = 100

_FORBIDDEN = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u0149\u0673\u0f77\u0f79\u17a3\u17a4\u17b4\u17b5\ud800-\udfff]"
)
_NEXT = re.compile(
    r"""
      (?P<blank>   [ \t\n]+ )
    | (?P<comment> //[^\n]* | /\* )
    | (?P<word>    [A-Za-z_%] [A-Za-z0-9_-]* )
    | (?P<number>  [0-9]+ ( \.[0-9]+\.[0-9]+ ( [-+][0-9A-Za-z-]* ( [.+][0-9A-Za-z-]+ )*+ )? )? )
    | (?P<text>    " )
    | (?P<mark>    -> | . | \r )
    """,
    re.VERBOSE,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_ESCAPE = re.compile(r"""\\(?:([tnr"'\\])|([0-9a-fA-F]{2})|u\{([0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)\}|(.?))""", re.DOTALL)
_SIMPLE_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", '"': '"', "'": "'", "\\": "\\"}


@dataclass(slots=True)
class Source:
    """One file on its way through the lexer, which fills `tokens`, `comments` and `errors` as it goes."""

    file: str
    text: str
    line_starts: list[int]
    errors: Errors = field(default_factory=Errors)
    tokens: list[Token] = field(default_factory=list)
    comments: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """The comments (start, end) in front of the token that starts at the key."""

    def span(self, start: int, end: int) -> Span:
        """The place of `text[start:end]`."""
        line, end_line = bisect_right(self.line_starts, start), bisect_right(self.line_starts, end)
        column, end_column = start - self.line_starts[line - 1] + 1, end - self.line_starts[end_line - 1] + 1
        return Span(self.file, line, column, end_line, end_column)


class Spelling:
    """The form of names, versions and strings, as the grammar has it."""

    def __init__(self, terminals: Iterable[TerminalDef]) -> None:
        shape = {t.name: t.pattern.to_regexp() for t in terminals if not isinstance(t.pattern, PatternStr)}
        self._identifier, self._version = re.compile(shape["IDENTIFIER"]), re.compile(shape["VERSION"])
        self.text = re.compile(shape["TEXT"])

    def is_identifier(self, text: str) -> bool:
        """Whether the text is a name, though perhaps a keyword."""
        return bool(self._identifier.fullmatch(text))

    def is_version(self, text: str) -> bool:
        """Whether the text is a version."""
        numbers = re.split("[-+]", text, maxsplit=1)[0].split(".")
        return bool(self._version.fullmatch(text)) and all(map(_fits_64_bits, numbers))


class WitLexer(Lexer):
    """The lexer that lark is given; it reads a `Source` rather than a string."""

    def __init__(self, conf: LexerConf) -> None:
        self._literal = {t.pattern.value: t.name for t in conf.terminals if isinstance(t.pattern, PatternStr)}
        self._spelling = Spelling(conf.terminals)

    def lex(self, source: Source) -> Iterator[Token]:  # type: ignore[override]  # lark passes on the argument of `parse`
        """Yield the tokens of `source`; raises `WitError` at the first character that cannot begin one.

        A bad name, version or string is noted in `source.errors` and treated as a good one.
        """
        text, at, line, line_start, depth = source.text, 0, 1, 0, 0
        comments: list[tuple[int, int]] = []
        while match := _NEXT.match(text, at):
            if match.lastgroup in ("blank", "comment"):
                end = match.end()
                if match.lastgroup == "comment":
                    end = end if match.group() != "/*" else _comment_end(source, at)
                    comments.append((at, end))
                line += text.count("\n", at, end)
                line_start = max(line_start, text.rfind("\n", at, end) + 1)
                at = end
                continue
            kind, value, end = self._token(source, match)
            token = Token(kind, value, at, line, at - line_start + 1, line, end - line_start + 1, end)
            depth += (kind == "LESSTHAN") - (kind == "MORETHAN")
            if depth > DEEPEST_TYPE:
                raise WitError(f"types may be nested {DEEPEST_TYPE} levels deep at most", source.span(at, end))
            if comments:
                source.comments[at], comments = comments, []
            source.tokens.append(token)
            yield token
            at = end

    def _token(self, source: Source, match: re.Match[str]) -> tuple[str, str, int]:
        """Type, value and end of the token that starts with `match`."""
        text = match.group()
        if match.lastgroup == "word":
            return self._word(source, match.start(), match.end())
        if match.lastgroup == "number":
            return self._number(source, match)
        if match.lastgroup == "text":
            return self._string(source, match.start())
        if text in self._literal:
            return self._literal[text], text, match.end()
        if text.isidentifier():
            return self._word(source, match.start(), match.end())
        raise WitError(f"unexpected character {shown(text)}", source.span(*match.span()))

    def _word(self, source: Source, at: int, end: int) -> tuple[str, str, int]:
        while end < len(source.text) and (("a" + source.text[end]).isidentifier() or source.text[end] == "-"):
            end += 1  # only after a letter that is not ASCII; the whole word is refused
        word = source.text[at:end]
        if word in self._literal:
            return self._literal[word], word, end
        name = word.removeprefix("%")
        if not self._spelling.is_identifier(name):
            source.errors.add(WitError(f"`{clipped(word)}` is not an identifier", source.span(at, end), _advice(name)))
        return "IDENTIFIER", name, end

    def _number(self, source: Source, match: re.Match[str]) -> tuple[str, str, int]:
        text = match.group()
        if "." not in text:
            return "INTEGER", text, match.end()
        if not self._spelling.is_version(text):
            hint = "a version is three numbers without leading zeros, optionally followed by tags, like `1.2.3-rc.1`"
            source.errors.add(WitError(f"`{clipped(text)}` is not a version", source.span(*match.span()), hint))
        return "VERSION", text, match.end()

    def _string(self, source: Source, at: int) -> tuple[str, str, int]:
        if match := self._spelling.text.match(source.text, at):
            with source.errors.caught():
                return "TEXT", _unescaped(source, at + 1, match.end() - 1), match.end()
            return "TEXT", "", match.end()
        hint = 'end it with `"` on the same line; a tab is written `\\t`'
        raise WitError("this string is not complete", source.span(at, at + 1), hint)


def decode(text: str | bytes, file: str) -> Source:
    """A file ready for the lexer: UTF-8, no byte-order mark, lines ended by LF, no characters that hide or mislead."""
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            before = _source(error.object[: error.start].decode("utf-8"), file)
            place = before.span(len(before.text), len(before.text) + 1)
            raise WitError("the file is not UTF-8", place, "save the file as UTF-8") from None
    source = _source(text, file)
    if bad := forbidden(source.text):
        place = source.span(bad.start(), bad.end())
        raise WitError(f"the character {shown(bad.group())} is not allowed in WIT text", place, "remove it")
    return source


def forbidden(text: str) -> re.Match[str] | None:
    """The first character that WIT text may not contain, since it hides or misleads."""
    return _FORBIDDEN.search(text)


def _source(text: str, file: str) -> Source:
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    return Source(file, text, [0, *(newline.end() for newline in re.finditer("\n", text))])


def _comment_end(source: Source, at: int) -> int:
    """The end of the block comment that starts at `at`; they nest."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(source.text, at):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise WitError("this comment is never closed", source.span(at, at + 2), "end it with `*/`")


def _advice(name: str) -> str:
    """What to do about a word that is not an identifier: a better spelling, if there is one."""
    better = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).replace("_", "-").strip("-").lower()
    better = re.sub("-+", "-", better)
    if better != name and re.fullmatch("[a-z][a-z0-9]*(-[a-z0-9]+)*+", better):
        return f"write `{clipped(better)}`"
    return "a name is words joined by single dashes, each all lower or all upper case, like `tensor-U8`"


def _fits_64_bits(digits: str) -> bool:
    return len(digits) <= 20 and int(digits) < 2**64


def _unescaped(source: Source, start: int, end: int) -> str:
    """The text between the quotes, with its escapes replaced. Escaped bytes together have to be UTF-8."""
    pieces, at = [], start
    for escape in _ESCAPE.finditer(source.text, start, end):
        pieces += [source.text[at : escape.start()].encode(), _escaped_bytes(source, escape)]
        at = escape.end()
    pieces.append(source.text[at:end].encode())
    try:
        return b"".join(pieces).decode()
    except UnicodeDecodeError:
        raise WitError("the bytes of this string are not UTF-8", source.span(start - 1, end + 1)) from None


def _escaped_bytes(source: Source, escape: re.Match[str]) -> bytes:
    simple, byte, point, _ = escape.groups()
    if simple:
        return _SIMPLE_ESCAPES[simple].encode()
    if byte:
        return bytes.fromhex(byte)
    place = source.span(escape.start(), escape.end())
    if point:
        digits = point.replace("_", "").lstrip("0") or "0"
        if len(digits) > 6 or int(digits, 16) > 0x10FFFF or 0xD800 <= int(digits, 16) <= 0xDFFF:
            raise WitError(f"`{clipped(escape.group())}` is not a character", place)
        return chr(int(digits, 16)).encode()
    raise WitError("unknown escape in a string", place, r"the escapes are `\"` `\'` `\\` `\t` `\n` `\r` `\hh` `\u{…}`")


def shown(character: str) -> str:
    """A character for a message."""
    return f"`{character}`" if character.isprintable() else f"U+{ord(character):04X}"
