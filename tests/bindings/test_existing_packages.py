"""Packages that use the interfaces of existing packages: their types are the same types, at run time as well."""

from __future__ import annotations

import struct
from functools import partial

import pytest

from tests.bindings.guests import GOLDEN, engine, open_guest
from tests.conftest import ROOT
from tests.golden.bindings.conventions.bindings import interface as conventions
from tests.golden.bindings.extended import bindings as extended
from tests.golden.bindings.guards import bindings as guards
from tests.golden.bindings.resources.bindings import store as blobs
from tests.golden.bindings.worlds.bindings import shapes, units
from tests.guests.guard import guard_guest
from wasi_nn_bindings import v2024_10_28 as wasi_nn
from wasi_nn_bindings.v2024_10_28 import errors, graph, tensor
from wit_host import LinkError, ResultError

WASI_NN = ROOT / "wit" / "2024-10-28"


class Error(errors.Error):
    def __init__(self, code, text):
        self.kind, self.text = code, text
        self.drops = 0

    def code(self):
        return self.kind

    def data(self):
        return self.text

    def drop(self):
        self.drops += 1


class Tensor(tensor.Tensor):
    """A tensor that is no more than its bytes, and counts how often it was dropped."""

    def __init__(self, dimensions, ty, content):
        self.shape, self.kind, self.content = dimensions, ty, bytes(content)
        self.drops = 0

    def dimensions(self):
        return self.shape

    def ty(self):
        return self.kind

    def data(self):
        return self.content

    def drop(self):
        self.drops += 1


def floats(*numbers):
    return Tensor([len(numbers)], tensor.TensorType.FP32, struct.pack(f"<{len(numbers)}f", *numbers))


class WasiNN(tensor.Host, graph.Host):
    """A host of wasi-nn without any graph, which remembers the tensors that it made."""

    def __init__(self):
        self.made = []

    def new_tensor(self, dimensions, ty, data):
        self.made.append(Tensor(dimensions, ty, data))
        return self.made[-1]

    def load(self, builder, encoding, target):
        raise errors.ErrorException(Error(errors.ErrorCode.UNSUPPORTED_OPERATION, "no"))

    def load_by_name(self, name):
        raise errors.ErrorException(Error(errors.ErrorCode.NOT_FOUND, f"there is no graph `{name}`"))


class Opinion(guards.host_guard.Host):
    """What a guest that forwards asks: it gives the tensor back that it got."""

    def check(self, text):
        if not text:
            raise errors.ErrorException(Error(errors.ErrorCode.SECURITY, "there is no text"))
        return guards.host_guard.Verdict(len(text) < 8, floats(len(text)))

    def classify(self, ty):
        if ty is tensor.TensorType.FP16:
            raise ResultError(errors.ErrorCode.NOT_FOUND)
        return ty

    def scale(self, t):
        return t

    def weigh(self, tensors):
        return sum(len(each.content) for each in tensors)

    def sign(self, content):
        return content


@pytest.fixture
def host():
    return WasiNN()


@pytest.fixture
def computing(host):
    """A guest that computes with the functions of wasi-nn."""
    guest = engine().compile(guard_guest(GOLDEN / "guards" / "wit", WASI_NN), buffers=wasi_nn.BUFFERS)
    with engine().store() as store:
        wasi_nn.add_to_linker(store.linker, host, host)
        yield guards.Guest(store.instantiate(guest)).guard


@pytest.fixture
def forwarding(host):
    """A guest that asks the host's own interface, which has tensors as well."""

    def define(linker):
        wasi_nn.add_to_linker(linker, host, host)
        guards.add_to_linker(linker, Opinion())

    with open_guest("guards", define, deps=[WASI_NN]) as instance:
        yield guards.Guest(instance).guard


# --- tensors of wasi-nn in functions of one's own ---


def test_a_guest_computes_on_a_tensor_that_the_host_passes_and_returns_one(computing, host):
    given = floats(1.5, -2.0, 0.25)
    scaled = computing.scale(given)
    assert host.made == [scaled], "it is the object that the guest's constructor call got"
    assert (scaled.shape, scaled.kind) == ([3], tensor.TensorType.FP32)
    assert struct.unpack("<3f", scaled.content) == (3.0, -4.0, 0.5)
    assert (given.drops, scaled.drops) == (1, 0), "one was given to the guest, the other belongs to the host again"


def test_a_guest_returns_a_tensor_inside_a_record_of_its_own(computing, host):
    verdict = computing.check("text")
    assert verdict == guards.exports.guard.Verdict(True, host.made[0])
    assert verdict.scores.content == b"text"
    assert computing.check("a longer text").allowed is False


def test_the_error_of_wasi_nn_comes_out_of_a_function_of_ones_own(computing):
    with pytest.raises(errors.ErrorException) as caught:
        computing.check("")
    assert caught.value.value.code() is errors.ErrorCode.NOT_FOUND
    assert caught.value.value.data() == "there is no graph `nothing`"
    assert caught.value.value.drops == 0


def test_an_error_that_wasi_nn_has_no_exception_for_is_a_plain_one(computing):
    assert computing.classify(tensor.TensorType.U8) is tensor.TensorType.U8
    with pytest.raises(ResultError) as caught:
        computing.classify(tensor.TensorType.FP16)
    assert type(caught.value) is ResultError
    assert caught.value.value is errors.ErrorCode.NOT_FOUND


def test_tensors_are_lent_in_a_list(computing):
    lent = [floats(1), floats(1, 2, 3)]
    assert computing.weigh(lent) == 16
    assert [each.drops for each in lent] == [0, 0]


def test_the_hosts_own_functions_take_and_return_the_same_tensors(forwarding):
    given = floats(1, 2)
    assert forwarding.scale(given) is given
    assert forwarding.weigh([given, floats(1)]) == 12
    assert given.drops == 0
    verdict = forwarding.check("text")
    assert (verdict.allowed, verdict.scores.content) == (True, floats(4).content)
    with pytest.raises(errors.ErrorException) as caught:
        forwarding.check("")
    assert caught.value.value.data() == "there is no text"
    with pytest.raises(ResultError):
        forwarding.classify(tensor.TensorType.FP16)


def test_the_package_itself_defines_and_prepares_only_its_own_interfaces(host):
    assert guards.BUFFERS == ("golden:guards/host-guard@1.0.0",)
    guest = engine().compile(guard_guest(GOLDEN / "guards" / "wit", WASI_NN))
    with engine().store() as store:
        guards.add_to_linker(store.linker, Opinion())
        with pytest.raises(LinkError, match="wasi:nn/"):
            store.instantiate(guest)


# --- packages that are not wasi-nn ---


class Blob(blobs.Blob):
    def __init__(self, content):
        self.content = bytes(content)
        self.drops = 0

    def length(self):
        return len(self.content)

    def read(self, start, end):
        return self.content[start:end]

    def slice(self, start, end):
        return Blob(self.content[start:end])

    def append(self, other):
        return self.length() + other.length()

    def drop(self):
        self.drops += 1


class Refusal(blobs.Failure):
    def reason(self):
        return "it is empty"

    def drop(self):
        pass


class Shop(extended.shop.Host):
    def pack(self, content, outside):
        if outside.width > 100:
            raise shapes.ShapesFailureError(shapes.FailureTooLarge(outside))
        return blobs.Pair(content, None)

    def open(self, v):
        if not v.left.length():
            raise blobs.StoreFailureError(Refusal())
        return [v.left]

    def note(self, v, far):
        if far[1] is units.Unit.FOOT:
            raise conventions.TypeErrorException(7)
        return v

    def choose(self, v, w):
        if v is None:
            raise ResultError(units.Unit.METRE)
        return w + v.value


class Spare(extended.spare.Host):
    def area(self, v):
        return 1000 + v.width * v.height


class Any:
    """A host of existing interfaces that is never called."""

    def __getattr__(self, name):
        return lambda *arguments: pytest.fail(f"{name} was called")


class World(extended.Host):
    def convert(self, v, to):
        return v * 2 if to is units.Unit.FOOT else v


def define(linker, area):
    shapes.add_to_linker(linker, area)
    units.add_to_linker(linker)
    blobs.add_to_linker(linker, Any())
    conventions.add_to_linker(linker, Any())
    extended.add_to_linker(linker, World(), Shop(), Spare())


class Area(shapes.Host):
    def area(self, v):
        return v.width * v.height


@pytest.fixture
def shop():
    deps = [GOLDEN / name / "wit" for name in ("worlds", "resources", "conventions")]
    with open_guest("extended", partial(define, area=Area()), deps=deps) as instance:
        yield extended.Guest(instance)


def test_resources_records_and_errors_of_existing_packages_cross_in_both_directions(shop):
    blob = Blob(b"content")
    pair = shop.shop.pack(blob, shapes.Size(1, 2))
    assert pair == blobs.Pair(blob, None)
    assert shop.shop.open(pair) == [blob]
    assert blob.drops == 0
    with pytest.raises(shapes.ShapesFailureError) as caught:
        shop.shop.pack(Blob(b""), shapes.Size(101, 1))
    assert caught.value.value == shapes.FailureTooLarge(shapes.Size(101, 1))
    with pytest.raises(blobs.StoreFailureError) as refused:
        shop.shop.open(blobs.Pair(Blob(b""), None))
    assert refused.value.value.reason() == "it is empty"


def test_names_that_are_ugly_in_the_existing_package_are_found_there(shop):
    record = conventions.Record(type=1, class_="c", self=True, list_=[2], int_=-3, value=None)
    note = extended.shop.RecordOf(record, units.Unit.METRE, conventions.Int(4))
    assert shop.shop.note(note, (1.5, units.Unit.METRE)) == note
    with pytest.raises(conventions.TypeErrorException) as caught:
        shop.shop.note(note, (1.5, units.Unit.FOOT))
    assert caught.value.value == 7
    assert shop.shop.choose(conventions.ABC_(3), 4) == 7
    with pytest.raises(ResultError) as plain:
        shop.shop.choose(None, 4)
    assert plain.value.value is units.Unit.METRE


def test_the_world_itself_uses_types_of_an_existing_package(shop):
    assert shop.convert(1.5, units.Unit.FOOT) == 3.0


def test_an_export_and_a_label_of_a_mapped_interface_are_served_by_the_generated_package(shop):
    assert shop.shapes.area(shapes.Size(3, 4)) == 12, "the guest forwards its export to the import of the same path"
    assert extended.spare.Size is shapes.Size
