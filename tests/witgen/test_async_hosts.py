"""`--async-hosts`: the functions that hosts implement are coroutines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.witgen.helpers.checkers import CHECKERS, errors
from tests.witgen.helpers.store_project import listed, witgen, write_wit
from witgen.generate import Target, generate


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A directory with the WIT of a world and of the package that it uses."""
    monkeypatch.chdir(tmp_path)
    write_wit(tmp_path)
    return tmp_path


WAITING = """
from __future__ import annotations

from collections.abc import Sequence

from tests.golden.bindings.async_hosts import bindings
from tests.golden.bindings.async_hosts.bindings import pages
from wit_host import Linker


class Page(pages.Page):
    def __init__(self, address: str) -> None:
        self.address = address

    async def text(self) -> str:
        return self.address

    async def links(self) -> Sequence[Page]:
        return []

    async def content(self) -> bytes:
        return b""

    def drop(self) -> None:
        pass


class Host(pages.Host):
    async def new_page(self, address: str) -> Page:
        return Page(address)

    async def page_open(self, address: str) -> Page:
        return Page(address)

    async def fetch(self, address: str) -> bytes:
        return address.encode()

    async def store(self, entries: list[pages.Entry]) -> None:
        pass

    async def await_(self, seconds: float) -> None:
        pass


class Clock:
    async def now(self) -> int:
        return 1


def define(linker: Linker) -> None:
    bindings.add_to_linker(linker, Clock(), Host())
"""


@pytest.mark.parametrize("checker", CHECKERS)
def test_coroutines_implement_async_hosts_and_nothing_else_does(tmp_path, checker):
    wrong = {name: WAITING.replace(f"async def {name}", f"def {name}") for name in ("now", "fetch", "text", "new_page")}
    wrong["drop"] = WAITING.replace("def drop", "async def drop")
    found = errors(checker, tmp_path, {"right": WAITING, **wrong})
    assert found.pop("right") == ""
    for function, said in found.items():
        assert function in said


def test_only_what_a_host_implements_is_a_coroutine(project):
    target = Target((Path("store.wit"),), Path("bindings"), async_hosts=True)
    plain = generate(Target((Path("store.wit"),), Path("bindings")))
    text = generate(target)["types.py"]
    for function in ("put", "new_shelf", "items"):
        assert f"    async def {function}(self" in text
    assert text.count("async def") == 3
    assert (
        text.replace("async def", "def").replace(
            '\n\n    They are coroutines, so the guest has to run under asyncio.\n    """', '"""'
        )
        == plain["types.py"]
    )


def test_exports_of_guests_are_called_without_waiting(project):
    files = generate(Target((Path("main.wit"), Path("store.wit")), Path("bindings"), async_hosts=True))
    assert "async def" not in files["exports/actions.py"]
    assert "async def find" in files["search.py"]


def test_async_hosts_are_an_option_and_an_entry(project):
    assert witgen("generate", "--async-hosts").returncode == 0
    assert witgen("check", "--async-hosts").returncode == 0
    result = witgen("check")
    assert result.returncode == 1
    assert "-    async def find" in result.stdout
    assert listed("async-hosts = true").returncode == 0
    assert witgen("check", "--async-hosts").returncode == 0
