"""The table behind a guest's handles."""

from __future__ import annotations

import pytest

from tests.wit_host.helpers.host import Thing
from wit_host.crossing.resources import ResourceTable


def test_numbers_are_never_given_twice():
    table = ResourceTable()
    numbers = set()
    for _ in range(1000):
        number = table.give(Thing())
        numbers.add(number)
        table.take(number)
    assert len(numbers) == 1000


def test_taking_takes_out_and_borrowing_does_not():
    table, thing = ResourceTable(), Thing()
    number = table.give(thing)
    assert table.borrow(number) is thing
    assert table.take(number) is thing
    with pytest.raises(KeyError):
        table.borrow(number)
    assert thing.drops == 0


def test_sweeping_drops_everything_newest_first():
    table, order = ResourceTable(), []

    class Noisy(Thing):
        def drop(self):
            order.append(self.number)

    for number in range(3):
        table.give(Noisy(number))
    assert table.sweep() == 3
    assert order == [2, 1, 0]
    assert len(table) == 0
    assert table.sweep() == 0


def test_sweeping_goes_on_after_a_drop_that_fails():
    class Stubborn(Thing):
        def drop(self):
            raise OSError("cannot let go")

    table, thing = ResourceTable(), Thing()
    table.give(thing)
    table.give(Stubborn())
    with pytest.raises(ExceptionGroup, match="dropping the remaining resources of a guest failed") as caught:
        table.sweep()
    assert [str(error) for error in caught.value.exceptions] == ["cannot let go"]
    assert thing.drops == 1
