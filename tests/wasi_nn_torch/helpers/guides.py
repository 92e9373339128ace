"""The pages about guests: their blocks of code, and the commands in them with what these print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PAGES = ROOT / "docs" / "guests"
#: The page of each language that `wasi-nn-torch new` has a template for.
PAGE_OF = {"c": "c", "js": "javascript", "python": "python", "rust": "rust"}


@dataclass(frozen=True)
class Step:
    """One command, and the text under it."""

    command: str
    shown: str


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def walkthrough(language: str) -> list[Step]:
    """The way from nothing to a result, which each page begins with."""
    first, *_ = blocks(PAGES / f"{PAGE_OF[language]}.md", "console")
    return list(_steps(first))


def _steps(block: str) -> Iterator[Step]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield Step(command, shown)
