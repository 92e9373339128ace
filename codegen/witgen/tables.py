"""The parser, built from its grammar once and then cached.

In: the text of the grammar, and a directory. Out: a lark parser. Building its tables takes longer than parsing most
packages, so they are cached in the directory, in a file that is named after everything that they depend on, begins with
a checksum and is written in one step. A file that is missing or damaged is written again; if that is not possible, the
tables are built each time.
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


def parser(grammar: str, directory: Path) -> Lark:
    """The parser for a grammar, with its tables cached in `directory`."""
    file = directory / f"{_key(grammar)}.tables"
    kept = _read(file)
    if kept is None:
        kept = Lark(grammar, lexer=WitLexer, **_OPTIONS)
        if file.is_absolute():  # not for users without a home directory
            with suppress(OSError):
                _write(file, kept)
    return kept


def _key(grammar: str) -> str:
    """The name of the file: a digest of everything that the tables depend on."""
    depends_on = (grammar, _OPTIONS, lark.__version__, sys.version_info[:2])
    return sha256(repr(depends_on).encode()).hexdigest()[:32]


def _read(file: Path) -> Lark | None:
    """The parser that was cached in a file, unless the file is missing or damaged."""
    with suppress(OSError, pickle.UnpicklingError, AttributeError, ImportError, KeyError, TypeError):
        content = file.read_bytes()
        checksum, tables = content[:_CHECKSUM_SIZE], content[_CHECKSUM_SIZE:]
        if checksum == sha256(tables).digest():
            return Lark.load(BytesIO(tables))
    return None


def _write(file: Path, parser: Lark) -> None:
    """Cache a parser. Other processes that read at the same time find the whole file or none."""
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
