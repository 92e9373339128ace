"""The pages about guests: what they show is what `wasi-nn-torch new` writes, or runs as it is printed."""

from __future__ import annotations

import re

import pytest
import torch

from tests.wasi_nn_torch.helpers.guides import PAGE_OF, PAGES, blocks, walkthrough
from wasi_nn_torch import Engine
from wasi_nn_torch.cli.new.templates import languages, read_template, texts

#: The blocks of code that no test runs, as they need packages from a registry of crates.
NOT_RUN = {"toml component", "rust component"}


def fences(page):
    """The words after the opening fences of a page."""
    return re.findall(r"^```(.+)$", page.read_text("utf-8"), re.MULTILINE)


def test_every_language_has_a_page():
    assert PAGE_OF.keys() == set(languages())
    assert {page.stem for page in PAGES.glob("*.md")} == {*PAGE_OF.values(), "wat"}


@pytest.mark.parametrize("language", languages())
def test_the_code_on_a_page_is_what_the_command_new_writes(language):
    page = PAGES / f"{PAGE_OF[language]}.md"
    written = "\n".join(texts(read_template(language, "hello"), {"name": "hello"}).values())
    shown = blocks(page, language)
    assert shown
    for block in shown:
        assert block.strip("\n") in written


def test_the_guest_in_text_prints_what_its_page_says(tmp_path):
    [guest], [block] = (blocks(PAGES / "wat.md", language) for language in ("wat", "console"))
    assert block.startswith("$ wasi-nn-torch run --graph model=model.pt2 guest.wat\n")
    (tmp_path / "guest.wat").write_text(guest)
    printed = []
    with Engine("cpu") as engine:
        engine.register("model", torch.nn.Softmax(dim=0))
        with engine.session(stdout=printed.append) as session:
            assert session.run(tmp_path / "guest.wat") == 0
    assert b"".join(printed).decode() == block.partition("\n")[2]


def test_no_other_code_is_shown():
    for page in PAGES.glob("*.md"):
        [language] = [each for each, name in PAGE_OF.items() if name == page.stem] or ["wat"]
        allowed = {"console", language} | (NOT_RUN if language == "rust" else set())
        assert set(fences(page)) <= allowed
        assert len(blocks(page, "console")) == 1


def test_the_page_on_rust_says_what_is_not_run():
    text = (PAGES / "rust.md").read_text("utf-8")
    assert "No test of this project builds this example" in text[: text.index("```toml component")]


@pytest.mark.parametrize("language", languages())
def test_each_page_begins_with_the_command_new(language):
    assert walkthrough(language)[0].command == f"wasi-nn-torch new hello --language {language}"
