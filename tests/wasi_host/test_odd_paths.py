"""Odd paths: folders and memory answer a guest as the engine's WASI does, except where `docs/wasi.md` says why."""

from __future__ import annotations

import sys

import pytest

from tests.wasi_host.helpers.odd_paths import (
    DIRECTORY,
    MUTATE,
    Guest,
    InMemory,
    OnDisk,
    pair_calls,
    single_calls,
)
from wit_host import Engine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the outcomes are those of Linux")


@pytest.fixture(scope="module")
def engine():
    return Engine()


@pytest.fixture
def guests(engine, tmp_path):
    made = []

    def make(tree, **given):
        made.append(Guest(engine, tree, **given))
        return made[-1]

    yield make
    for each in made:
        each.close()


def codes(*outcomes):
    """The names of the error codes, or None if one of them is not an error."""
    told = [each.removeprefix("error: ") for each in outcomes if isinstance(each, str) and each.startswith("error: ")]
    return set(told) if len(told) == len(outcomes) else None


def is_meant(call, ours, theirs):
    """Whether the documentation names this difference between outcomes."""
    name, *arguments = call
    (outcome, changes), (other, _) = ours, theirs
    refused = codes(outcome, other)
    if name == "open-at":
        _, _, how, may = arguments
        keeps_its_flag = may & MUTATE and isinstance(outcome, tuple) and outcome == (other[0], other[1] | MUTATE)
        return keeps_its_flag or (how & DIRECTORY and refused == {"not-directory", "loop"})
    if name == "remove-directory-at":
        return arguments[0].endswith("/")
    if name == "symlink-at" and arguments[0] == "../f":
        return outcome == "error: not-permitted" and not changes
    # Two things are wrong, of which another one is reported.
    return name in ("symlink-at", "link-at") and refused is not None and outcome == "error: no-entry"


@pytest.mark.parametrize("calls", [single_calls, pair_calls])
def test_a_folder_answers_as_the_wasi_of_the_engine(calls, guests, tmp_path):
    ours, theirs = guests(OnDisk(tmp_path / "ours")), guests(OnDisk(tmp_path / "theirs"), is_own=True)
    for call in calls():
        one, other = ours(*call), theirs(*call)
        assert one == other or is_meant(call, one, other), call
        assert codes(one[0]) is None or not one[1], f"{call} fails, and changes {one[1]}"
    assert ours.world.open_handles == 2


@pytest.mark.parametrize("calls", [single_calls, pair_calls])
def test_nothing_is_changed_in_a_folder_that_is_only_read(calls, guests, tmp_path):
    ours = guests(OnDisk(tmp_path / "ours", writable=False))
    theirs = guests(OnDisk(tmp_path / "theirs", writable=False), is_own=True)
    for call in calls():
        one, other = ours(*call), theirs(*call)
        assert not one[1], call
        assert one == other or is_meant(call, one, other), call


@pytest.mark.parametrize("calls", [single_calls, pair_calls])
def test_memory_answers_as_a_folder(calls, guests, tmp_path):
    folder, memory = guests(OnDisk(tmp_path / "folder")), guests(InMemory())
    for call in calls():
        one, other = folder(*call), memory(*call)
        across = call[0] in ("rename-at", "link-at") and call[-2] == "e"
        assert one == other or (across and other == ("error: cross-device", {})), call
    assert memory.world.open_handles == 2
