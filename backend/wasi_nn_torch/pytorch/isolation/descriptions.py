"""Descriptions of models that a worker makes: as JSON on the way, and parsed as hostile input by the host."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from wasi_nn_torch.contract.description import Contents, ModelDescription, ValueDescription, WeightsDescription
from wasi_nn_torch.contract.errors import ModelError, NnError
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.text import printable
from wasi_nn_torch.pytorch.isolation.client import Isolation
from wasi_nn_torch.pytorch.isolation.messages import BadAnswer, Reader, Request, Writer

T = TypeVar("T")

#: The memory that a worker may take to describe a model, in bytes: a multiple of the file's, and something to start.
_TIMES, _BASE = 4, 1 << 30
#: The most characters of any text, and the most values of any list.
_LONGEST, _MOST = 2000, 10_000


def describe_isolated(isolation: Isolation, path: Path, name: str, method: str | None) -> ModelDescription:
    """The description of the model in a file that nobody vouches for, made in a worker.

    Raises ModelError, also if the worker ends while it loads the model, and OSError if the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        request = Writer(Request.DESCRIBE).number(size).text(name).text(method or "")
        worker = isolation.start(Ledger(device_limit=_TIMES * size + _BASE))
        try:
            return worker.ask(request, _parsed, "describing the model", file.fileno())
        except NnError as error:
            refusal = ModelError(error.text)
        finally:
            worker.end()
    raise refusal


def spelled(description: ModelDescription) -> bytes:
    """A description as JSON."""
    return json.dumps(asdict(description)).encode()


def _parsed(reader: Reader) -> ModelDescription:
    try:
        value = json.loads(bytes(reader.blob()))
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"invalid JSON: {type(error).__name__}") from None
    reader.end()
    return _object(value, ModelDescription, format=_text, refusal=_or_none(_text), contents=_or_none(_contents))


def _contents(value: object) -> Contents:
    texts = _list(_text)
    values = _list(_value)
    return _object(
        value,
        Contents,
        inputs=values,
        left_out=values,
        outputs=_or_none(values),
        sizes=_or_none(_sizes),
        parameters=_or_none(_number),
        weights=_or_none(_list(_weights)),
        state=_or_none(texts),
        methods=_or_none(texts),
    )


def _value(value: object) -> ValueDescription:
    text = _or_none(_text)
    return _object(
        value,
        ValueDescription,
        name=_text,
        kind=_text,
        dtype=text,
        shape=_or_none(_list(_size)),
        example=_or_none(_list(_number)),
        example_dtype=text,
        optional=_flag,
    )


def _weights(value: object) -> WeightsDescription:
    return _object(value, WeightsDescription, dtype=_text, elements=_number, nbytes=_number)


def _sizes(value: object) -> Mapping[str, tuple[int | None, int | None]]:
    if not isinstance(value, dict) or len(value) > _MOST:
        raise _unexpected(value)
    return {_text(name): _bounds(bounds) for name, bounds in value.items()}


def _bounds(value: object) -> tuple[int | None, int | None]:
    bounds = _list(_or_none(_number))(value)
    if len(bounds) != 2:
        raise _unexpected(value)
    return bounds[0], bounds[1]


def _size(value: object) -> int | str:
    return _text(value) if isinstance(value, str) else _number(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _unexpected(value)
    return printable(value, _LONGEST)


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 64:
        raise _unexpected(value)
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _unexpected(value)
    return value


def _or_none(parse: Callable[[object], T]) -> Callable[[object], T | None]:
    return lambda value: None if value is None else parse(value)


def _list(parse: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    def parse_all(value: object) -> tuple[T, ...]:
        if not isinstance(value, list) or len(value) > _MOST:
            raise _unexpected(value)
        return tuple(map(parse, value))

    return parse_all


def _object(value: object, kind: type[T], /, **parse: Callable[[object], object]) -> T:
    """An object of a dataclass, which has exactly the fields that `parse` has a function for."""
    if not isinstance(value, dict) or value.keys() != parse.keys():
        raise _unexpected(value)
    return kind(**{name: parse[name](value[name]) for name in parse})


def _unexpected(value: object) -> BadAnswer:
    return BadAnswer(f"a description that contains {type(value).__name__}, which does not belong there")
