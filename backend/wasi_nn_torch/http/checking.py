"""Comparing a request with what a model takes and gives."""

from __future__ import annotations

from collections.abc import Sequence

from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.http.errors import bad_request
from wasi_nn_torch.http.messages import Wanted
from wasi_nn_torch.pipelines.datatypes import spell
from wasi_nn_torch.pipelines.values import Description, Value, fits


def require_inputs(given: Sequence[Value], wanted: Sequence[Description]) -> None:
    """Raise `HttpError` with status 400 unless the inputs are those that are described."""
    known = {each.name: each for each in wanted}
    unknown = [value.name for value in given if value.name not in known]
    if unknown:
        raise bad_request(f"unknown inputs: {quote_all(unknown)}; the inputs are {quote_all(known)}")
    missing = known.keys() - {value.name for value in given} - {each.name for each in wanted if each.is_optional}
    if missing:
        raise bad_request(f"missing inputs: {quote_all(sorted(missing))}")
    for value in given:
        _require_fit(value, known[value.name])


def chosen(values: Sequence[Value], wanted: Sequence[Wanted]) -> list[Value]:
    """The outputs that are wanted, in that order, or all if none are named; raises `HttpError` with status 400."""
    if not wanted:
        return list(values)
    found = {value.name: value for value in values}
    unknown = [each.name for each in wanted if each.name not in found]
    if unknown:
        raise bad_request(f"unknown outputs: {quote_all(unknown)}; the outputs are {quote_all(found)}")
    return [found[each.name] for each in wanted]


def _require_fit(value: Value, wanted: Description) -> None:
    if wanted.datatype is not None and value.datatype is not wanted.datatype:
        raise bad_request(f"input {quote(value.name)} is {value.datatype.name}; expected {wanted.datatype.name}")
    if not fits(value.shape, wanted.shape):
        raise bad_request(f"input {quote(value.name)} is {spell(value.shape)}; expected {spell(wanted.shape)}")
