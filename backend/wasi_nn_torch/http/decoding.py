"""From the body of a request to its values: JSON, and the binary tensors after it.

Pure functions, which raise `HttpError` with status 400 for whatever the protocol does not allow.
"""

from __future__ import annotations

import json
import math
import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import Any

from wasi_nn_torch.contract.text import one_line, quote, quote_all
from wasi_nn_torch.http.errors import bad_request
from wasi_nn_torch.http.messages import InferRequest, Wanted
from wasi_nn_torch.pipelines.byte_strings import MOST, require_count, serialized
from wasi_nn_torch.pipelines.datatypes import BOOL, BYTES, DATATYPES, Datatype, spell
from wasi_nn_torch.pipelines.values import Parameter, Value

#: The parameter with the size of a binary tensor, and the one that asks for such outputs, for all or for one.
BINARY_SIZE, BINARY_OUTPUTS, BINARY = "binary_data_size", "binary_data_output", "binary_data"

#: The most bytes of JSON that are remembered.
_MOST_REMEMBERED = 4096
_MOST_ITEMS = 1024  # inputs, outputs or parameters
_MOST_DIMENSIONS = 64
_LONGEST_NAME = 1 << 16
_LARGEST = 2**63 - 1
#: The words for what JSON does not have, which clients send nevertheless. A number that is infinite is none of these.
_WORDS = {"NaN": math.nan, "Infinity": float("inf"), "-Infinity": float("-inf")}
#: Parameters of other servers that ask for what this one does not have.
_UNSUPPORTED = ("shared_memory_region", "classification")


def decode(body: memoryview, json_length: int | None = None) -> InferRequest:
    """The request in a body, of which the first `json_length` bytes are JSON; None means all of it."""
    if json_length is not None and json_length > body.nbytes:
        raise bad_request(
            f"the header Inference-Header-Content-Length is {json_length}, but the body has {body.nbytes} bytes"
        )
    length = body.nbytes if json_length is None else json_length
    text = bytes(body[:length])
    is_short = json_length is not None and length <= _MOST_REMEMBERED
    header = (_remembered(text) if is_short else None) or _header(text)
    binary = _Binary(body[length:])
    inputs = tuple(_value(each, binary) for each in header.inputs)
    binary.require_end()
    return InferRequest(inputs, header.outputs, header.id, header.parameters, header.is_binary)


@dataclass(frozen=True, slots=True)
class _Input:
    """An input: the size of its binary data, or None and its elements as JSON."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    size: int | None
    data: object


@dataclass(frozen=True, slots=True)
class _Header:
    """The JSON of a request; see `InferRequest`."""

    inputs: tuple[_Input, ...]
    outputs: tuple[Wanted, ...]
    id: str
    parameters: Mapping[str, Parameter]
    is_binary: bool


@lru_cache(128)
def _remembered(text: bytes) -> _Header | None:
    """The JSON of a request with nothing but binary data; clients often send the same one again and again."""
    header = _header(text)
    return header if all(each.size is not None for each in header.inputs) else None


def _header(text: bytes) -> _Header:
    message = _object(_parsed(text), "the request")
    inputs = tuple(map(_input, _items(message, "inputs", required=True)))
    _require_distinct([each.name for each in inputs], "inputs")
    outputs = tuple(map(_output, _items(message, "outputs")))
    _require_distinct([each.name for each in outputs], "outputs")
    parameters = _parameters(message, "the request")
    is_binary = _flag(parameters.get(BINARY_OUTPUTS), BINARY_OUTPUTS) or False
    own = {name: value for name, value in parameters.items() if name != BINARY_OUTPUTS}
    return _Header(inputs, outputs, _text(message.get("id", ""), "id"), MappingProxyType(own), is_binary)


class _Binary:
    """The bytes after the JSON, which inputs take one after the other."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int, name: str) -> memoryview:
        end = self._at + size
        if end > self._data.nbytes:
            raise bad_request(
                f"the binary data of input {quote(name)} end at byte {end}, but {self._data.nbytes} follow the JSON"
            )
        begin, self._at = self._at, end
        return self._data[begin:end]

    def require_end(self) -> None:
        rest = self._data.nbytes - self._at
        if rest:
            raise bad_request(f"{rest} bytes are left after the binary data of all inputs")


def _parsed(text: bytes) -> object:
    if not text.strip():
        raise bad_request("the request has no JSON; send an object with `inputs`")
    try:
        return json.loads(text, parse_constant=_WORDS.__getitem__)
    except RecursionError:
        reason = "it is nested too deeply"
    except (ValueError, UnicodeDecodeError) as error:
        reason = one_line(error, 200)
    raise bad_request(f"the request is not valid JSON: {reason}")


def _input(item: object) -> _Input:
    message = _object(item, "an input")
    name = _text(message.get("name"), "name of an input")
    shape = _shape(message.get("shape"), name)
    datatype = _datatype(message.get("datatype"), name)
    parameters = _parameters(message, f"input {quote(name)}")
    _require_supported(parameters, f"input {quote(name)}")
    size = parameters.get(BINARY_SIZE)
    if size is None:
        return _Input(name, datatype, shape, None, message.get("data"))
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise bad_request(f"`{BINARY_SIZE}` of input {quote(name)} must be a number of bytes")
    if "data" in message:
        raise bad_request(f"input {quote(name)} has both `data` and `{BINARY_SIZE}`; give one of them")
    return _Input(name, datatype, shape, size, None)


def _value(item: _Input, binary: _Binary) -> Value:
    name, datatype, shape = item.name, item.datatype, item.shape
    if item.size is None:
        return Value(name, datatype, shape, _from_json(item.data, name, datatype, shape))
    return Value(name, datatype, shape, _checked(binary.take(item.size, name), name, datatype, shape))


def _checked(data: memoryview, name: str, datatype: Datatype, shape: tuple[int, ...]) -> memoryview:
    """Binary data, which fit the shape."""
    elements = math.prod(shape)
    if datatype is not BYTES:
        if elements * datatype.size != data.nbytes:
            raise bad_request(
                f"input {quote(name)} of {datatype.name} {spell(shape)} needs {elements * datatype.size} bytes, but "
                f"`{BINARY_SIZE}` is {data.nbytes}"
            )
        return data
    if elements > MOST:
        raise bad_request(f"input {quote(name)} of BYTES {spell(shape)} has too many elements (limit {MOST})")
    try:
        require_count(data, elements)
    except ValueError as error:
        raise bad_request(f"input {quote(name)} of BYTES {spell(shape)} is not valid: {error}") from None
    return data


def _from_json(data: object, name: str, datatype: Datatype, shape: tuple[int, ...]) -> memoryview:
    if not isinstance(data, list):
        raise bad_request(f"input {quote(name)} needs `data`, a list, or the parameter `{BINARY_SIZE}`")
    flat = _flat(data, name)
    if len(flat) != math.prod(shape):
        raise bad_request(
            f"input {quote(name)} of shape {spell(shape)} needs {math.prod(shape)} elements, but `data` has {len(flat)}"
        )
    if datatype is BYTES:
        return memoryview(serialized(_bytes(element, name) for element in flat))
    if not datatype.code:
        raise bad_request(f"input {quote(name)} is {datatype.name}, which JSON cannot carry; send it as binary data")
    try:
        return _packed(flat, datatype)
    except (TypeError, OverflowError, ValueError, struct.error) as error:
        raise bad_request(f"the data of input {quote(name)} are not {datatype.name}: {one_line(error, 100)}") from None


def _packed(flat: Sequence[Any], datatype: Datatype) -> memoryview:
    if datatype is BOOL:
        wrong = next((element for element in flat if element not in (0, 1)), None)
        if wrong is not None:
            raise ValueError(f"{wrong!r} is neither true nor false")
        return memoryview(bytearray(flat))
    if datatype.code in "fd":
        _require_in_range(flat)
    if datatype.code == "f":  # of which an array makes infinities for values that are too large
        data = bytearray(len(flat) * datatype.size)
        struct.pack_into(f"={len(flat)}f", data, 0, *flat)
        return memoryview(data)
    return memoryview(array(datatype.code, flat)).cast("B")


def _require_in_range(numbers: Sequence[Any]) -> None:
    """Raise ValueError for a number such as 1e999, which the parser took for an infinity."""
    if all(map(math.isfinite, numbers)):
        return
    words = tuple(map(id, _WORDS.values()))
    wrong = next((at for at, number in enumerate(numbers) if math.isinf(number) and id(number) not in words), None)
    if wrong is not None:
        raise ValueError(f"element {wrong} is too large")


def _flat(data: list[Any], name: str) -> list[Any]:
    """The elements of nested lists, in order."""
    while data and isinstance(data[0], list):
        if not all(isinstance(each, list) for each in data):
            raise bad_request(f"the `data` of input {quote(name)} are nested to different depths")
        data = list(chain.from_iterable(data))
    return data


def _bytes(element: object, name: str) -> bytes:
    if not isinstance(element, str):
        raise bad_request(f"the `data` of input {quote(name)} must be strings, since it is BYTES")
    return element.encode("utf-8", "surrogatepass")


def _output(item: object) -> Wanted:
    message = _object(item, "an output")
    name = _text(message.get("name"), "name of an output")
    parameters = _parameters(message, f"output {quote(name)}")
    _require_supported(parameters, f"output {quote(name)}")
    return Wanted(name, _flag(parameters.get(BINARY), BINARY))


def _require_supported(parameters: Mapping[str, Parameter], what: str) -> None:
    for name in _UNSUPPORTED:
        if name in parameters:
            raise bad_request(f"{what} has the parameter `{name}`, which this server does not support")


def _parameters(message: Mapping[str, object], what: str) -> Mapping[str, Parameter]:
    found = message.get("parameters")
    if found is None:
        return {}
    parameters = _object(found, f"`parameters` of {what}")
    if len(parameters) > _MOST_ITEMS:
        raise bad_request(f"{what} has {len(parameters)} parameters (limit {_MOST_ITEMS})")
    for name, value in parameters.items():
        if not isinstance(value, bool | int | float | str):
            raise bad_request(f"the parameter {quote(name)} of {what} must be a string, a number, true or false")
    return parameters


def _items(message: Mapping[str, object], key: str, required: bool = False) -> list[object]:
    found = message.get(key)
    if found is None and not required:
        return []
    if not isinstance(found, list):
        raise bad_request(f"the request needs `{key}`, a list")
    if len(found) > _MOST_ITEMS:
        raise bad_request(f"the request has {len(found)} {key} (limit {_MOST_ITEMS})")
    return found


def _object(item: object, what: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise bad_request(f"{what} must be a JSON object")
    return item


def _text(item: object, what: str) -> str:
    if not isinstance(item, str):
        raise bad_request(f"the {what} must be a string")
    if len(item) > _LONGEST_NAME:
        raise bad_request(f"the {what} has {len(item)} characters (limit {_LONGEST_NAME})")
    return item


def _flag(value: Parameter | None, name: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise bad_request(f"the parameter `{name}` must be true or false")
    return value


def _shape(item: object, name: str) -> tuple[int, ...]:
    sizes = item if isinstance(item, list) else [None]
    if not all(isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= _LARGEST for size in sizes):
        raise bad_request(f"input {quote(name)} needs a `shape`, a list of sizes of at least 0")
    if len(sizes) > _MOST_DIMENSIONS:
        raise bad_request(f"input {quote(name)} has {len(sizes)} dimensions (limit {_MOST_DIMENSIONS})")
    return tuple(sizes)


def _datatype(item: object, name: str) -> Datatype:
    found = DATATYPES.get(item) if isinstance(item, str) else None
    if found is None:
        given = quote(item) if isinstance(item, str) else "missing"
        raise bad_request(f"the datatype of input {quote(name)} is {given}; expected one of {', '.join(DATATYPES)}")
    return found


def _require_distinct(names: Sequence[str], what: str) -> None:
    if len(set(names)) < len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise bad_request(f"the request has several {what} of the same name: {quote_all(repeated)}")
