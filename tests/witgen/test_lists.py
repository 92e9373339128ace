"""`--lists`: the Python types of lists of numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.witgen.helpers.checkers import CHECKERS, errors
from tests.witgen.helpers.store_project import listed, run, witgen, write_wit
from witgen.generate import Target, generate
from witgen.lists import Lists

NUMBERS = """package a:b;
interface i { type sample = f32; f: func(x: list<sample>, y: list<u8>, z: list<string>) -> list<u16>; np: func(); }
interface np { n-d-array: func(); record n-d-array-of { x: list<s64> } }
world w { import i; export i; export np; }"""

#: A host and its caller, for both kinds of arrays.
TYPED = """from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tests.golden.bindings.array_lists.bindings import signals as arrays
from tests.golden.bindings.numpy_lists.bindings import Guest, add_to_linker, signals
from wit_host import FloatArray, Instance, IntArray, Linker


class Filter(signals.Filter):
    def weights(self) -> NDArray[np.float64]:
        return np.zeros(3)

    def apply(self, x: NDArray[np.float32]) -> list[float]:
        return [float(each) for each in x]

    def drop(self) -> None: ...


class Host(signals.Host):
    def new_filter(self, weights: NDArray[np.float64]) -> Filter:
        return Filter()

    def scale(self, x: NDArray[np.float32], by: float) -> NDArray[np.float32]:
        return x * np.float32(by)

    def count(self, x: NDArray[np.uint32], more: list[NDArray[np.uint64]]) -> list[NDArray[np.int64]]:
        return [each.astype(np.int64) for each in more]

    def bits(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        return -x

    def words(self, x: NDArray[np.uint16] | None, y: dict[str, NDArray[np.int32]]) -> dict[str, NDArray[np.int32]]:
        return y

    def mix(self, a: signals.Track, b: signals.Content) -> signals.Track:
        return a

    def pick(self, a: signals.Content) -> signals.Content:
        return a

    def plain(self, names: list[str], lamps: list[bool], bytes_: memoryview, fixed: list[float]) -> Sequence[float]:
        return fixed


def use(linker: Linker, instance: Instance) -> float:
    add_to_linker(linker, Host())
    guest = Guest(instance)
    peak: np.float32 = guest.signals.scale(np.zeros(3, np.float32), 2.0).max()
    guest.signals.scale([1.0, 2], 2.0)
    made = guest.signals.count([1], [np.zeros(1, np.uint64), [1]])
    total: int = int(made[0].sum())
    return float(peak) + total


class Arrays(arrays.Host):
    def new_filter(self, weights: FloatArray) -> arrays.Filter:
        raise NotImplementedError

    def scale(self, x: FloatArray, by: float) -> FloatArray:
        x.append(1.0)
        return x

    def count(self, x: IntArray, more: list[IntArray]) -> list[IntArray]:
        return more

    def bits(self, x: IntArray) -> IntArray:
        return x

    def words(self, x: IntArray | None, y: dict[str, IntArray]) -> dict[str, IntArray]:
        return y

    def mix(self, a: arrays.Track, b: arrays.Content) -> arrays.Track:
        return a

    def pick(self, a: arrays.Content) -> arrays.Content:
        return a

    def plain(self, names: list[str], lamps: list[bool], bytes_: memoryview, fixed: list[float]) -> list[float]:
        return fixed
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A directory with the WIT of a world and of the package that it uses."""
    monkeypatch.chdir(tmp_path)
    write_wit(tmp_path)
    (tmp_path / "numbers.wit").write_text(NUMBERS)
    return tmp_path


def interface(lists):
    files = generate(Target((Path("numbers.wit"),), Path("bindings"), lists=lists))
    for name, text in files.items():
        compile(text, name, "exec")
    return files["i.py"], files["exports/i.py"]


def test_hosts_are_given_what_was_chosen_and_may_return_any_sequence(project):
    for lists, given, returned in (
        (Lists.LIST, "list[float]", "Sequence[int]"),
        (Lists.ARRAY, "FloatArray", "Sequence[int]"),
        (Lists.NUMPY, "NDArray[float32]", "Sequence[int] | NDArray[uint16]"),
    ):
        text, _ = interface(lists)
        assert f"def f(self, x: {given}, y: memoryview, z: list[str], /) -> {returned}:" in text


def test_guests_return_what_was_chosen_and_may_be_given_any_sequence(project):
    for lists, given, returned in (
        (Lists.LIST, "Sequence[float]", "list[int]"),
        (Lists.ARRAY, "Sequence[float]", "IntArray"),
        (Lists.NUMPY, "Sequence[float] | NDArray[float32]", "NDArray[uint16]"),
    ):
        _, text = interface(lists)
        assert f"def f(self, x: {given}, y: Bytes, z: Sequence[str]) -> {returned}:" in text


def test_it_is_an_option_and_an_entry(project):
    numbers = "numbers.wit", "--out", "bindings"
    assert run("generate", *numbers, "--lists", "numpy").returncode == 0
    assert run("check", *numbers, "--lists", "numpy").returncode == 0
    result = run("check", *numbers, "--lists", "array")
    assert result.returncode == 1
    assert "--lists array`" in result.stderr
    assert listed('lists = "numpy"').returncode == 0
    assert witgen("check", "--lists", "numpy").returncode == 0


def test_other_values_are_refused(project):
    assert witgen("generate", "--lists", "torch").returncode == 2
    for wrong in ('lists = "torch"', "lists = true"):
        result = listed(wrong)
        assert result.returncode == 2
        assert "`lists` has to be `list`, `array` or `numpy`" in result.stderr


@pytest.mark.parametrize("checker", CHECKERS)
def test_checkers_see_the_arrays(tmp_path, checker):
    wrong = {
        "scale": TYPED.replace("scale([1.0, 2], 2.0)", "scale('text', 2.0)"),
        "bits": TYPED.replace("def bits(self, x: NDArray[np.int8])", "def bits(self, x: NDArray[np.int16])"),
    }
    found = errors(checker, tmp_path, {"right": TYPED, **wrong})
    assert found.pop("right") == ""
    for function, said in found.items():
        assert function in said
