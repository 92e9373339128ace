"""The parser, made from its grammar once and then kept.

In: the text of the grammar, and a folder. Out: a lark parser. Building its tables takes longer than parsing most
packages, so they are kept in the folder: in a file that is named after all that they depend on, with a checksum in
front, written in one step. A file that is missing or damaged is written again; where that cannot be done, the tables
are built each time.
"""

from __future__ import annotations

import os
import pickle
import sys
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile

import lark
from lark import Lark

from witgen.lex import WitLexer

_OPTIONS = {"start": "file", "parser": "lalr", "propagate_positions": True, "maybe_placeholders": True}
_CHECKSUM_SIZE = sha256().digest_size


def parser(grammar: str, folder: Path) -> Lark:
    """The parser for a grammar; its tables come from `folder`, or go there."""
    file = folder / f"{_key(grammar)}.tables"
    kept = _read(file)
    if kept is None:
        kept = Lark(grammar, lexer=WitLexer, **_OPTIONS)
        if file.is_absolute():  # it is not for users without a home
            with suppress(OSError):
                _write(file, kept)
    return kept


def _key(grammar: str) -> str:
    """What the tables depend on, as a file name."""
    depends_on = (grammar, _OPTIONS, lark.__version__, sys.version_info[:2])
    return sha256(repr(depends_on).encode()).hexdigest()[:32]


def _read(file: Path) -> Lark | None:
    """The parser that was kept in a file, unless there is none or it is damaged."""
    with suppress(OSError, pickle.UnpicklingError, AttributeError, ImportError, KeyError, TypeError):
        content = file.read_bytes()
        checksum, tables = content[:_CHECKSUM_SIZE], content[_CHECKSUM_SIZE:]
        if checksum == sha256(tables).digest():
            return Lark.load(BytesIO(tables))
    return None


def _write(file: Path, parser: Lark) -> None:
    """Keep a parser. Whoever reads at the same time finds the whole file or none."""
    buffer = BytesIO()
    parser.save(buffer)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=file.parent, delete=False) as new:
        new.write(sha256(buffer.getvalue()).digest() + buffer.getvalue())
    try:
        os.replace(new.name, file)
    except OSError:
        os.unlink(new.name)
        raise
