"""Messages: what one end writes the other reads, and nothing that a worker sends does harm."""

from __future__ import annotations

import json
import random
import struct
from contextlib import suppress

import pytest

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.pytorch.isolation import descriptions
from wasi_nn_torch.pytorch.isolation.client import GuestWorker
from wasi_nn_torch.pytorch.isolation.messages import (
    BadAnswer,
    Carrier,
    Reader,
    Request,
    Writer,
    failure,
    read_loaded,
    read_outputs,
    success,
)
from wasi_nn_torch.pytorch.isolation.tensors import outputs_of
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.workers.confinement import Confinement, lacking
from wasi_nn_torch.workers.forkserver import Workers
from wit_host import GuestTrap

pytestmark = pytest.mark.cpu

linux = pytest.mark.skipif(bool(lacking()), reason=f"a process cannot be confined here: {', '.join(lacking())}")


def answer(*outputs) -> bytearray:
    writer = Writer().byte(0).number(len(outputs))
    for name, dimensions, content in outputs:
        writer.tensor(name, ElementType.FP32, dimensions)
        if isinstance(content, bytes):
            writer.byte(Carrier.INLINE).blob(content)
        else:
            writer.byte(Carrier.HELD).number(*content)
    return writer.content


def test_outputs_are_read_as_they_were_written():
    content = answer(("a", (2,), bytes(8)), ("größe\n", (3, 1 << 20), (7, 4096)), ("", (0, 5), b""))
    first, second, third = read_outputs(success(content))
    assert (first.header.name, first.header.dimensions, bytes(first.content)) == ("a", (2,), bytes(8))
    assert (second.header.name, second.content, second.number, second.address) == ("größe\n", None, 7, 4096)
    assert second.header.nbytes == 12 << 20
    assert third.header.nbytes == 0


@pytest.mark.parametrize("code", ErrorCode)
def test_errors_cross_with_their_codes(code):
    with pytest.raises(NnError, match="why") as caught:
        success(failure(code, "why"))
    assert caught.value.code is code


def test_the_text_of_an_error_is_one_line_of_limited_length():
    with pytest.raises(NnError) as caught:
        success(failure(ErrorCode.UNKNOWN, "\x1b[31m\n" + "x" * 100_000))
    assert caught.value.text.isprintable()
    assert len(caught.value.text) < 10_000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"\x00",
        b"\x01",
        b"\x01" + struct.pack("<I", 1 << 31),
        b"\x01" + struct.pack("<I", 2) + b"\xff\xff",
        b"\x01" + struct.pack("<I", 2) + b"ab" + b"more",
        bytes(answer()) + b"more",
        answer(("a", (2,), bytes(7))),
        answer(("a", (1 << 63, 1 << 63), (1, 1))),
        answer(("a", (1,) * 65, (1, 1))),
        answer(("a" * 5000, (1,), bytes(4))),
        b"\x00" + struct.pack("<Q", 1 << 40),
        answer(("a", (1,), bytes(4))).replace(b"\x01" + struct.pack("<Q", 1), b"\x09" + struct.pack("<Q", 1)),
    ],
)
def test_what_is_not_an_answer_is_refused(content):
    with pytest.raises(BadAnswer):
        read_outputs(success(bytearray(content)))


def test_no_bytes_do_harm():
    chance = random.Random(14)
    valid = answer(("a", (2,), bytes(8)), ("b", (3, 4), (7, 4096)))
    for _ in range(20_000):
        content = bytearray(valid)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        if chance.random() < 0.3:
            del content[chance.randrange(len(content)) :]
        for parse in (read_outputs, read_loaded, descriptions._parsed):
            with suppress(BadAnswer, NnError):
                parse(success(content))


GOOD = {
    "format": "TorchScript",
    "refusal": None,
    "contents": {
        "inputs": [
            {
                "name": "x",
                "kind": "tensor",
                "dtype": None,
                "shape": [1, "n"],
                "example": [1],
                "example_dtype": None,
                "optional": False,
            }
        ],
        "left_out": [],
        "outputs": None,
        "sizes": {"n": [1, None]},
        "parameters": 3,
        "weights": [{"dtype": "float32", "elements": 3, "nbytes": 12}],
        "state": ["s"],
        "methods": None,
    },
}


def described(value) -> object:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return descriptions._parsed(Reader(Writer().blob(content).content))


def test_a_description_is_read_as_it_was_written():
    description = described(GOOD)
    assert json.loads(descriptions.spelled(description)) == GOOD
    assert description.contents.sizes == {"n": (1, None)}


def _paths(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, key))


@pytest.mark.parametrize("path", list(_paths(GOOD)), ids=str)
@pytest.mark.parametrize("other", [{"a": 1}, [[[]]], 1 << 70, 1.5], ids=str)
def test_a_description_with_anything_else_in_it_is_refused(path, other):
    value = json.loads(json.dumps(GOOD))
    if not path:
        value = other
    else:
        place = value
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = other
    with pytest.raises(BadAnswer):
        described(value)


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b'"\xff"', b"1" * 5000, b"NaN"])
def test_what_is_not_a_description_is_refused(content):
    with pytest.raises(BadAnswer):
        described(content)


def test_texts_of_a_description_can_be_shown():
    value = json.loads(json.dumps(GOOD))
    value["format"] = "\x1b]0;title\x07" + "x" * 10_000
    description = described(value)
    assert description.format.isprintable()
    assert len(description.format) <= 2001


# --- workers that lie ---


@pytest.fixture(scope="module")
def liars():
    workers = Workers("tests.wasi_nn_torch.pytorch.isolation.liar:serve")
    yield workers
    workers.close()


@pytest.fixture
def liar(liars):
    worker = GuestWorker(liars, Confinement(), Ledger())
    yield worker
    worker.end()


@linux
@pytest.mark.parametrize("lie", ["noise", "long", "silence and exit", "too much"])
def test_a_worker_that_sends_something_else_is_ended(liar, lie):
    with pytest.raises(NnError, match="the process with the models of this guest") as caught:
        liar.ask(Writer(Request.LOAD).text(lie), read_loaded, "loading")
    assert caught.value.code is ErrorCode.RUNTIME_ERROR
    assert liar.has_ended


@linux
@pytest.mark.parametrize("address", [1, 1 << 40, (1 << 64) - 8, (1 << 63) + 5])
def test_an_address_that_the_worker_does_not_have_ends_the_guest_only(liar, address):
    memory = SessionMemory.of(Ledger())
    outputs = read_outputs(success(answer(("x", (100_000,), (1, address)))))
    [(_, tensor)] = outputs_of(outputs, liar, "cpu", memory)
    with pytest.raises(GuestTrap, match="could not be read"):
        tensor.data().write_into(memoryview(bytearray(400_000)))
    tensor.drop()


@linux
def test_outputs_that_are_larger_than_the_limit_take_no_memory(liar):
    memory = SessionMemory.of(Ledger(device_limit=1 << 20))
    outputs = read_outputs(success(answer(("x", (1 << 40,), (1, 4096)), ("y", (1,), (2, 4096)))))
    with pytest.raises(NnError) as caught:
        outputs_of(outputs, liar, "cpu", memory)
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert memory.ledger.snapshot().live_tensors == 0
