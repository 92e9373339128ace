"""The messages between a host and the worker that has its guest's models.

A message is fields in a fixed order, without names: numbers are little-endian, a text is its length in bytes as a
32-bit number, and its UTF-8. A request begins with one byte, its `Request`; an answer with one byte, 0 for success, or
else the number of an error code plus one, which a text follows.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import IntEnum

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.text import printable
from wasi_nn_torch.contract.vocabulary import ElementType

#: The most bytes of an answer, which bounds the memory that a worker can take in the host.
MOST_BYTES = 4 << 20
#: Up to this size the elements of a tensor are part of a message, in bytes.
INLINE = 64 << 10
#: The most bytes of elements in one answer.
MOST_INLINE = 1 << 20
#: The most outputs of a graph, and the most dimensions of an output.
_MOST_OUTPUTS, _MOST_DIMENSIONS = 4096, 64
#: The most bytes of the name of an output, and of the text of an error.
_LONGEST_NAME, _LONGEST_TEXT = 4096, 8192
#: The largest number of bytes that is believed.
_MOST_MEMORY = 1 << 62

ELEMENT_TYPES = tuple(ElementType)
CODES = tuple(ErrorCode)


class Request(IntEnum):
    """What the host asks for; those that drop something, and `SHARE`, have no answer."""

    SET_UP = 1
    LOAD = 2
    DESCRIBE = 3
    CONTEXT = 4
    COMPUTE = 5
    FETCH = 6
    SHARE = 7
    DROP_GRAPH = 8
    DROP_CONTEXT = 9
    DROP_TENSOR = 10
    DROP_BLOCK = 11


class Carrier(IntEnum):
    """Where the elements of a tensor are."""

    #: In the message itself.
    INLINE = 0
    #: In a block of shared memory; for inputs only.
    BLOCK = 1
    #: In the worker; of an input that others hold too, or one that the computation may take over.
    HELD = 2
    TAKEN = 3


class BadAnswer(Exception):
    """An answer of a worker that does not have the form of an answer."""


class Writer:
    """Makes one message."""

    def __init__(self, request: Request | None = None) -> None:
        self.content = bytearray() if request is None else bytearray((request,))

    def byte(self, value: int) -> Writer:
        """Add a number of 8 bits."""
        self.content.append(value)
        return self

    def number(self, *values: int) -> Writer:
        """Add numbers of 64 bits."""
        self.content += struct.pack(f"<{len(values)}Q", *values)
        return self

    def text(self, value: str) -> Writer:
        """Add a text; what UTF-8 cannot express is replaced."""
        return self.blob(value.encode(errors="replace"))

    def blob(self, value: bytes | bytearray | memoryview) -> Writer:
        """Add bytes."""
        self.content += struct.pack("<I", len(value))
        self.content += value
        return self

    def tensor(self, name: str, dtype: ElementType, dimensions: tuple[int, ...]) -> Writer:
        """Add the name, element type and dimensions of a tensor."""
        self.text(name).byte(ELEMENT_TYPES.index(dtype)).number(len(dimensions), *dimensions)
        return self


class Reader:
    """Reads one message; raises BadAnswer if it does not have the fields that are asked for."""

    def __init__(self, content: bytes | bytearray | memoryview) -> None:
        self._content = memoryview(content)
        self._position = 0

    def byte(self) -> int:
        """A number of 8 bits."""
        return self._take(1)[0]

    def number(self) -> int:
        """A number of 64 bits."""
        value: int = struct.unpack("<Q", self._take(8))[0]
        return value

    def numbers(self, count: int) -> tuple[int, ...]:
        """Numbers of 64 bits."""
        return struct.unpack(f"<{count}Q", self._take(8 * count))

    def blob(self, most: int = MOST_BYTES) -> memoryview:
        """At most `most` bytes, as a view of the message."""
        (length,) = struct.unpack("<I", self._take(4))
        if length > most:
            raise BadAnswer(f"a field of {length} bytes, of which {most} are allowed")
        return self._take(length)

    def text(self, most: int = MOST_BYTES) -> str:
        """A text of at most `most` bytes."""
        try:
            return str(self.blob(most), "utf-8")
        except UnicodeDecodeError:
            raise BadAnswer("a text that is not UTF-8") from None

    def end(self) -> None:
        """Require that nothing follows."""
        if self._position != len(self._content):
            raise BadAnswer(f"{len(self._content) - self._position} bytes too many")

    def _take(self, size: int) -> memoryview:
        start, self._position = self._position, self._position + size
        if self._position > len(self._content):
            raise BadAnswer("an answer that is too short")
        return self._content[start : self._position]


@dataclass(frozen=True)
class TensorHeader:
    """The name, element type and dimensions of a tensor."""

    name: str
    dtype: ElementType
    dimensions: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """The size of its elements in bytes."""
        return math.prod(self.dimensions) * self.dtype.item_size


@dataclass(frozen=True)
class Output:
    """One output of a computation: in the answer itself, or as tensor `number` at `address` in the worker.

    An address of 0 means that the elements are on a device, and have to be fetched.
    """

    header: TensorHeader
    content: memoryview | None
    number: int = 0
    address: int = 0


def failure(code: ErrorCode, text: str) -> bytearray:
    """The answer for an error."""
    return Writer().byte(CODES.index(code) + 1).text(text[: _LONGEST_TEXT // 4]).content


def success(answer: bytearray) -> Reader:
    """The fields of an answer; raises the NnError that it stands for, and BadAnswer."""
    reader = Reader(answer)
    code = reader.byte()
    if not code:
        return reader
    if code > len(CODES):
        raise BadAnswer(f"the error code {code}")
    text = printable(reader.text(_LONGEST_TEXT))
    reader.end()
    raise NnError(CODES[code - 1], text)


def read_loaded(reader: Reader) -> tuple[int, int, int]:
    """The number of a graph, the bytes that it takes, and those that each context takes; raises BadAnswer."""
    number, nbytes, state_nbytes = reader.numbers(3)
    reader.end()
    if max(nbytes, state_nbytes) > _MOST_MEMORY:
        raise BadAnswer(f"a model of {nbytes} bytes, with {state_nbytes} for each context")
    return number, nbytes, state_nbytes


def read_outputs(reader: Reader) -> list[Output]:
    """The outputs of a computation; raises BadAnswer."""
    count = reader.number()
    if count > _MOST_OUTPUTS:
        raise BadAnswer(f"{count} outputs, of which {_MOST_OUTPUTS} are allowed")
    outputs = [_output(reader) for _ in range(count)]
    reader.end()
    return outputs


def read_header(reader: Reader) -> TensorHeader:
    """A name, an element type and dimensions; raises BadAnswer."""
    name, code, rank = reader.text(_LONGEST_NAME), reader.byte(), reader.number()
    if code >= len(ELEMENT_TYPES) or rank > _MOST_DIMENSIONS:
        raise BadAnswer(f"a tensor of element type {code} with {rank} dimensions")
    header = TensorHeader(name, ELEMENT_TYPES[code], reader.numbers(rank))
    if header.nbytes > _MOST_MEMORY:
        raise BadAnswer(f"a tensor of {header.nbytes} bytes")
    return header


def _output(reader: Reader) -> Output:
    header, carrier = read_header(reader), reader.byte()
    if carrier == Carrier.INLINE:
        content = reader.blob()
        if len(content) != header.nbytes:
            raise BadAnswer(f"{len(content)} bytes for a tensor of {header.nbytes}")
        return Output(header, content)
    if carrier == Carrier.HELD:
        number, address = reader.numbers(2)
        return Output(header, None, number, address)
    raise BadAnswer(f"an output in carrier {carrier}")
