"""From results to the body of a response: JSON, and the binary tensors after it, which are not copied."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.http.asgi import Headers, Response
from wasi_nn_torch.http.decoding import BINARY_SIZE
from wasi_nn_torch.http.errors import HttpError, bad_request
from wasi_nn_torch.http.messages import InferRequest, Metadata
from wasi_nn_torch.pipelines.byte_strings import elements
from wasi_nn_torch.pipelines.datatypes import BYTES
from wasi_nn_torch.pipelines.values import Description, Value

#: The headers of a body that is JSON.
JSON: Headers = [(b"content-type", b"application/json")]
#: The most elements of an output as JSON: making the text of so many takes about a second.
_MOST_LISTED = 1 << 20
#: The most characters of the names in a response whose JSON is remembered.
_MOST_REMEMBERED = 1024
#: The dtypes of numbers that may be NaN or infinite, among those that JSON can carry.
_FLOATS = ("float32", "float64")
#: Made once, since that takes longer than writing a short message.
_to_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class Encoded(NamedTuple):
    """The body of a response: the JSON, and the binary data in order."""

    header: bytes
    binary: Sequence[memoryview]


def encode(model: str, version: str, request: InferRequest, values: Sequence[Value]) -> Encoded:
    """The response with the results, which are in the order in which the client wants them.

    Raises `HttpError` with status 400 if the client wants as JSON what JSON cannot carry.
    """
    chosen = {each.name: each.is_binary for each in request.outputs if each.is_binary is not None}
    is_binary = [chosen.get(value.name, request.is_binary) for value in values]
    binary = [value.data for value, is_chosen in zip(values, is_binary, strict=True) if is_chosen]
    if len(binary) == len(values) and not request.id and sum(len(value.name) for value in values) <= _MOST_REMEMBERED:
        described = tuple((value.name, value.datatype.name, value.shape, value.data.nbytes) for value in values)
        return Encoded(_all_binary(model, version, described), binary)
    outputs = [
        _binary(value.name, value.datatype.name, value.shape, value.data.nbytes)
        if is_chosen
        else {**_output(value.name, value.datatype.name, value.shape), "data": _listed(value)}
        for value, is_chosen in zip(values, is_binary, strict=True)
    ]
    return Encoded(_message(model, version, request.id, outputs), binary)


@lru_cache(128)
def _all_binary(model: str, version: str, outputs: Sequence[tuple[str, str, Sequence[int], int]]) -> bytes:
    """The JSON of a response with nothing but binary data; most answers of a model have the same one."""
    return _message(model, version, "", [_binary(*output) for output in outputs])


def _message(model: str, version: str, id: str, outputs: Sequence[Mapping[str, object]]) -> bytes:
    message = {"model_name": model, "model_version": version, **({"id": id} if id else {}), "outputs": outputs}
    return to_json(message)


def _binary(name: str, datatype: str, shape: Sequence[int], nbytes: int) -> dict[str, object]:
    return {**_output(name, datatype, shape), "parameters": {BINARY_SIZE: nbytes}}


def _output(name: str, datatype: str, shape: Sequence[int]) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def to_json(message: object) -> bytes:
    """A message as JSON without spaces; raises ValueError for NaN and infinities, which many parsers refuse."""
    # A surrogate alone, which UTF-8 does not have, becomes what JSON has for it, such as \ud800.
    return _to_text(message).encode("utf-8", "backslashreplace")


def refusal(error: HttpError) -> Response:
    """The response for an error."""
    return Response(error.status, [*JSON, *error.headers], [to_json({"error": error.text})])


def metadata_message(name: str, versions: Sequence[str], platform: str, metadata: Metadata) -> dict[str, object]:
    """The metadata of a model; what is not known is an empty list."""
    return {
        "name": name,
        "versions": list(versions),
        "platform": platform,
        "inputs": [_described(each) for each in metadata.inputs or ()],
        "outputs": [_described(each) for each in metadata.outputs or ()],
    }


def _described(item: Description) -> dict[str, object]:
    # The protocol has no word for a datatype that is not known.
    datatype = "" if item.datatype is None else item.datatype.name
    return {"name": item.name, "datatype": datatype, "shape": list(item.shape)}


def _listed(value: Value) -> list[Any]:
    if value.datatype is BYTES:
        return [_text(element, value.name) for element in elements(value.data)]
    if math.prod(value.shape) > _MOST_LISTED:
        raise bad_request(
            f"output {quote(value.name)} has {math.prod(value.shape)} elements, which is too many for JSON (limit "
            f"{_MOST_LISTED}); ask for binary data"
        )
    if not value.datatype.code:
        raise bad_request(
            f"output {quote(value.name)} is {value.datatype.name}, which JSON cannot carry; ask for binary data"
        )
    code: Any = value.datatype.code
    listed: list[Any] = value.data.cast(code).tolist() if value.data.nbytes else []
    if value.datatype.dtype in _FLOATS:
        _require_finite(listed, value.name)
    return listed


def _require_finite(numbers: Sequence[float], name: str) -> None:
    if all(map(math.isfinite, numbers)):
        return
    index, wrong = next((index, number) for index, number in enumerate(numbers) if not math.isfinite(number))
    raise bad_request(
        f"element {index} of output {quote(name)} is {wrong}, which JSON does not have; ask for binary data"
    )


def _text(element: memoryview, name: str) -> str:
    try:
        return str(element, "utf-8")
    except UnicodeDecodeError:
        reason = f"an element of output {quote(name)} is not UTF-8, which JSON needs; ask for binary data"
    raise bad_request(reason)
