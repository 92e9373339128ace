"""The parser's tables: cached in a directory, and built again whenever the cache cannot be used."""

from importlib.resources import files
from pathlib import Path

import pytest

from witgen import tables
from witgen.tables import parser

GRAMMAR = files("witgen").joinpath("grammar.lark").read_text(encoding="utf-8")


@pytest.fixture
def built(monkeypatch):
    """How often tables were built."""
    calls = []

    class Counted(tables.Lark):
        def __init__(self, *arguments, **options):
            calls.append(arguments)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(tables, "Lark", Counted)
    return calls


def test_tables_are_built_once_and_then_read(tmp_path, built):
    first, second = (parser(GRAMMAR, tmp_path / "new") for _ in range(2))
    assert [terminal.name for terminal in first.terminals] == [terminal.name for terminal in second.terminals]
    assert len(built) == 1


def test_another_grammar_has_other_tables(tmp_path, built):
    parser(GRAMMAR, tmp_path)
    parser(GRAMMAR + "\n", tmp_path)
    assert (len(built), len(list(tmp_path.iterdir()))) == (2, 2)


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:40], lambda b: b[:-1] + b"x", lambda b: bytes(len(b))])
def test_damaged_tables_are_built_again(tmp_path, built, damage):
    parser(GRAMMAR, tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    parser(GRAMMAR, tmp_path)
    assert len(built) == 2
    parser(GRAMMAR, tmp_path)
    assert len(built) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name], "a temporary file is left"


@pytest.mark.parametrize("occupy", ["the directory", "the file"])
def test_where_nothing_can_be_written_the_parser_works_all_the_same(tmp_path, built, occupy):
    directory = tmp_path / "directory"
    if occupy == "the directory":
        directory.write_text("a file")
    else:
        (directory / f"{tables._key(GRAMMAR)}.tables").mkdir(parents=True)
    assert parser(GRAMMAR, directory).terminals
    assert parser(GRAMMAR, directory).terminals
    assert len(built) == 2
    assert directory.is_file() or len(list(directory.iterdir())) == 1, "a temporary file is left"


def test_nothing_is_written_where_there_is_no_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parser(GRAMMAR, Path("~/.cache/witgen")).terminals
    assert list(tmp_path.iterdir()) == []
