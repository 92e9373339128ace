"""Small changes to WIT texts, most of which make them wrong.

In: a `random.Random` and a file's bytes. Out: other bytes: a token or a byte left out, doubled, moved or replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from random import Random

from tests.witgen.helpers.writer import Project

_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|[0-9]+\.[0-9]+\.[0-9]+[-+.\w]*|%?\w[\w-]*|->|\s+|.', re.DOTALL
)
_TOKENS = (
    "as async bool borrow constructor enum error-context export f32 flags from func future import include interface "
    "list map option own package record resource result static stream string tuple type u8 use variant with world _ "
    "= , : . ; ( ) { } < > * @ / + - -> % a b X a-B a--b 0a a_b 0 1 4294967296 1.0.0 01.0.0 1.0.0- "
    '@since(version=0.0.1) @unstable(feature=alpha) @unstable(feature=off) @deprecated(version=1.0.0) @external-id("") '
    r'"" "\q" "\u{110000}" "\ff" a:b/c self list<u8> own<a> borrow<a> result<_,a> tuple<a,> /// //x'
).split()
_BYTES = (
    b"\x00",
    b"\r",
    b"\t",
    b"\n",
    b" ",
    b"\xff",
    b"\xc3\xa9",
    "\u202e".encode(),
    "\u0149".encode(),
    "\u0085".encode(),
    "\ufeff".encode(),
    "\u00a0".encode(),
    b"/*",
    b"*/",
    b"//",
    b'"',
    b"\\",
    b"\x7f",
    b"0",
    b"Z",
    b"-",
    b"_",
)


def mutated(random: Random, project: Project) -> Project:
    """The project with one to three changes in one of its WIT files."""
    files = dict(project.files)
    path = random.choice(sorted(path for path in files if path.endswith(".wit")))
    for _ in range(random.choice((1, 1, 1, 1, 2, 3))):
        files[path] = random.choice((_tokens, _tokens, _tokens, _bytes))(random, files[path])
    return replace(project, files=files)


def _tokens(random: Random, content: bytes) -> bytes:
    tokens = _TOKEN.findall(content.decode("utf-8", "surrogateescape"))
    words = [place for place, token in enumerate(tokens) if not token.isspace()]
    if not words:
        return random.choice(_TOKENS).encode()
    change = random.choice((_leave_out, _double, _exchange, _swap, _swap, _replace, _insert, _cut_block))
    change(random, tokens, words)
    return "".join(tokens).encode("utf-8", "surrogateescape")


def _leave_out(random: Random, tokens: list[str], words: list[int]) -> None:
    tokens[random.choice(words)] = ""


def _double(random: Random, tokens: list[str], words: list[int]) -> None:
    place = random.choice(words)
    tokens[place] = f"{tokens[place]} {tokens[place]}"


def _exchange(random: Random, tokens: list[str], words: list[int]) -> None:
    one, two = random.choice(words), random.choice(words)
    tokens[one], tokens[two] = tokens[two], tokens[one]


def _swap(random: Random, tokens: list[str], words: list[int]) -> None:
    """A word becomes another one of the text, such as another type or interface."""
    names = [place for place in words if re.match(r"%?\w", tokens[place])]
    if names:
        tokens[random.choice(names)] = tokens[random.choice(names)]


def _replace(random: Random, tokens: list[str], words: list[int]) -> None:
    tokens[random.choice(words)] = random.choice(_TOKENS)


def _insert(random: Random, tokens: list[str], words: list[int]) -> None:
    place = random.choice(words)
    tokens[place] = f" {random.choice(_TOKENS)} {tokens[place]}"


def _cut_block(random: Random, tokens: list[str], words: list[int]) -> None:
    """Leave out everything from one `;` or brace to another near it, or double it."""
    ends = [place for place in words if tokens[place] in ";{}"]
    if len(ends) > 1:
        start = random.randrange(len(ends) - 1)
        stop = min(len(ends) - 1, start + random.randint(1, 3))
        piece = tokens[ends[start] + 1 : ends[stop] + 1]
        tokens[ends[start] + 1 : ends[stop] + 1] = piece * random.choice((0, 2))


def _bytes(random: Random, content: bytes) -> bytes:
    place = random.randint(0, len(content))
    change: Callable[[], bytes] = random.choice(
        (
            lambda: content[:place] + random.choice(_BYTES) + content[place:],
            lambda: content[:place] + content[place + 1 :],
            lambda: content[:place] + bytes([random.randrange(256)]) + content[place + 1 :],
            lambda: content[:place],
        )
    )
    return change()
