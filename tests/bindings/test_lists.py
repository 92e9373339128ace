"""Lists of numbers as arrays: of NumPy and of the standard library, in both directions."""

from __future__ import annotations

from array import array
from contextlib import contextmanager

import numpy as np
import pytest

from tests.bindings.guests import GOLDEN
from tests.golden.bindings.array_lists import bindings as of_arrays
from tests.golden.bindings.numpy_lists import bindings as of_numpy
from tests.guests.forward import forwarding_guest
from wit_host import Engine, GuestTrap, ResultError


class Filter:
    """Keeps what it was made of."""

    def __init__(self, weights):
        self.kept = weights

    def weights(self):
        return self.kept

    def apply(self, x):
        if len(x) > 3:
            raise ResultError([len(x), 3])
        return x

    def drop(self):
        pass


class Host:
    """Answers each function with its arguments, and keeps these."""

    def __init__(self):
        self.given = []

    def new_filter(self, weights):
        return Filter(weights)

    def scale(self, x, by):
        self.given.append(x)
        return x

    def count(self, x, more):
        self.given.append((x, more))
        return [list(each) for each in more]

    def bits(self, x):
        self.given.append(x)
        return x

    def words(self, x, y):
        self.given.append(x)
        return y

    def mix(self, a, b):
        self.given.append((a, b))
        return a

    def pick(self, a):
        return a

    def plain(self, names, lamps, bytes_, fixed):
        return fixed


#: The ways in which lists cross: by address in calls of exports, and as values of the engine.
TRANSPORTS = {"by address": ("pointer",), "as values": ()}


@pytest.fixture(scope="module", params=TRANSPORTS)
def engine(request):
    return Engine(transports=TRANSPORTS[request.param])


@contextmanager
def opened(engine, bindings, golden):
    guest, host = engine.compile(forwarding_guest(GOLDEN / golden / "wit"), buffers=bindings.BUFFERS), Host()
    with engine.store() as store:
        bindings.add_to_linker(store.linker, host)
        yield bindings.Guest(store.instantiate(guest)).signals, host


@pytest.fixture
def numpy_guest(engine):
    with opened(engine, of_numpy, "numpy_lists") as both:
        yield both


@pytest.fixture
def array_guest(engine):
    with opened(engine, of_arrays, "array_lists") as both:
        yield both


def is_array(item, numbers, kind):
    return isinstance(item, np.ndarray) and item.dtype == kind and item.tolist() == numbers


def test_guests_return_arrays_of_numpy_and_hosts_are_given_them(numpy_guest):
    guest, host = numpy_guest
    for given in ([1.5, -2.0], np.array([1.5, -2.0], "f4"), array("f", [1.5, -2.0]), (1.5, -2.0)):
        assert is_array(guest.scale(given, 1.0), [1.5, -2.0], np.float32)
        assert is_array(host.given.pop(), [1.5, -2.0], np.float32)
    assert is_array(guest.bits([-1, 127]), [-1, 127], np.int8)
    [result] = guest.count([7], [[1, 2]])
    assert is_array(result, [1, 2], np.int64)
    x, [more] = host.given.pop()
    assert is_array(x, [7], np.uint32)
    assert is_array(more, [1, 2], np.uint64)


@pytest.mark.parametrize("size", [0, 1, 8, 9, 100_000])
def test_arrays_of_any_size_cross(numpy_guest, size):
    guest, _ = numpy_guest
    given = np.arange(size, dtype="f4")
    taken = guest.scale(given, 1.0)
    assert taken.dtype == np.float32
    assert np.array_equal(taken, given)


def test_an_array_belongs_to_whoever_gets_it(numpy_guest):
    guest, host = numpy_guest
    first = guest.scale([1, 2, 3], 1.0)
    first[:] = 0
    assert guest.scale([4, 5, 6], 1.0).tolist() == [4, 5, 6]
    assert first.tolist() == [0, 0, 0]
    assert host.given[0].flags.writeable
    host.given[0][:] = 9
    assert host.given[1].tolist() == [4, 5, 6]


def test_records_variants_options_and_maps_have_arrays(numpy_guest):
    guest, host = numpy_guest
    module = of_numpy.signals
    track = module.Track("a", np.array([1, 2], "f4"), np.array([0.5]), b"raw")
    both = module.ContentBoth((np.array([1], "i2"), np.array([2], "i2")))
    mixed = guest.mix(track, both)
    assert is_array(mixed.left, [1, 2], np.float32)
    assert is_array(mixed.right, [0.5], np.float64)
    assert mixed.raw == b"raw"
    assert [is_array(each, [number], np.int16) for number, each in enumerate(host.given[0][1].value, 1)] == [True, True]
    assert is_array(guest.pick(module.ContentMono(np.array([3], "i2"))).value, [3], np.int16)
    assert is_array(guest.words(None, {"a": [1]})["a"], [1], np.int32)
    assert guest.plain(["a"], [True], b"", [1, 2]) == [1, 2]


def test_resources_and_errors_have_arrays(numpy_guest):
    guest, _ = numpy_guest
    with guest.new_filter([0.25]) as made:
        assert is_array(made.weights(), [0.25], np.float64)
        with pytest.raises(ResultError) as caught:
            made.apply([1, 2, 3, 4])
        assert is_array(caught.value.value, [4, 3], np.uint32)


def test_arrays_of_the_standard_library(array_guest):
    guest, host = array_guest
    assert guest.scale(array("f", [1.5]), 1.0) == array("f", [1.5]) == host.given.pop()
    assert guest.bits([-1]) == array("b", [-1])
    assert guest.count([7], [[1, 2], []]) == [array("q", [1, 2]), array("q")]
    x, more = host.given.pop()
    assert (x.typecode, x.tolist()) == ("I", [7])
    assert [each.typecode for each in more] == ["Q", "Q"]
    track = of_arrays.signals.Track("a", [1.0], array("d", [0.5]), b"")
    mixed = guest.mix(track, of_arrays.signals.ContentMono([3]))
    assert mixed == of_arrays.signals.Track("a", array("f", [1.0]), array("d", [0.5]), b"")


def test_a_list_that_is_larger_than_the_guest_s_memory_is_a_trap(engine):
    from wit_host import GuestFunction, GuestInterface
    from wit_host import values as wit

    text = """(component
      (core module $m (memory (export "memory") 1)
        (func (export "f") (result i32)
          (i32.store (i32.const 16) (i32.const 32)) (i32.store (i32.const 20) (i32.const 0x7fffffff)) (i32.const 16)))
      (core instance $i (instantiate $m))
      (func (export "f") (result (list f32)) (canon lift (core func $i "f") (memory (core memory $i "memory")))))"""
    function = GuestFunction("f", {}, wit.NumpyList(wit.F32))
    with engine.store() as store:
        interface = GuestInterface(store.instantiate(engine.compile(text.encode())), None, [function])
        with pytest.raises(GuestTrap):
            function(interface)


def test_only_numbers_can_be_an_array():
    from wit_host import values as wit

    for codec in (wit.NumpyList, wit.ArrayList):
        with pytest.raises(TypeError, match="an array has numbers, not String"):
            codec(wit.STRING)


# --- tensors, and other things that stand for numbers ---


def test_tensors_of_pytorch_are_taken(numpy_guest):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    guest, _ = numpy_guest
    assert guest.scale(torch.tensor([1.5, 2.0]), 1.0).tolist() == [1.5, 2.0]
    assert guest.count(torch.tensor([1], dtype=torch.uint32), [torch.tensor([2], dtype=torch.uint64)])[0].tolist() == [
        2
    ]
    with pytest.raises(TypeError, match=r"scale: x: a list<f32> takes an array of that type, not of 'd'; convert it"):
        guest.scale(torch.zeros(1, dtype=torch.float64), 1.0)
    with pytest.raises(TypeError, match=r"scale: x: Tensor has no array: .*detach"):
        guest.scale(torch.zeros(1, requires_grad=True), 1.0)
    with pytest.raises(TypeError, match=r"scale: x: Tensor has no array: .*BFloat16"):
        guest.scale(torch.zeros(1, dtype=torch.bfloat16), 1.0)
    with pytest.raises(TypeError, match=r"takes an array of one dimension without gaps"):
        guest.scale(torch.zeros(2, 2), 1.0)
    with pytest.raises(TypeError, match=r"takes an array of one dimension without gaps"):
        guest.scale(torch.zeros(6)[::2], 1.0)


def test_scalars_of_numpy_and_pytorch_are_numbers(numpy_guest):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    guest, _ = numpy_guest
    for by in (np.float32(2), np.float64(2), np.float16(2), np.int8(2), 2):
        assert guest.scale([np.float32(1), np.float64(0.5)], by).tolist() == [1, 0.5]
    integers = [np.uint8(1), np.int64(2), torch.tensor(3), 4]
    assert guest.count(integers, [integers])[0].tolist() == [1, 2, 3, 4]
    for wrong in (np.float32(1), torch.tensor(1.0), np.bool_(True), True):
        with pytest.raises(TypeError, match=r"count: x\[0\]: int is needed, not"):
            guest.count([wrong], [])
    with pytest.raises(ValueError, match=r"count: x\[0\]: -1 does not fit u32"):
        guest.count([np.int8(-1)], [])


def test_what_is_no_list_of_numbers_is_refused_with_its_place(numpy_guest):
    guest, _ = numpy_guest
    for wrong in ("text", b"bytes", 1.0, None, {1.0}):
        with pytest.raises(TypeError, match="scale: x: list is needed, not"):
            guest.scale(wrong, 1.0)
