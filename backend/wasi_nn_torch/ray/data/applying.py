"""A guest applied to batches: columns in, calls for all rows or each, columns out, whatever fails."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.pipelines.calling import InputError, Signature
from wasi_nn_torch.pipelines.datatypes import BYTES
from wasi_nn_torch.pipelines.results import Misfit
from wasi_nn_torch.pipelines.values import Description
from wasi_nn_torch.ray.data import making, passing
from wasi_nn_torch.ray.data.failures import Failure, failure_of
from wasi_nn_torch.ray.data.opened import OpenedGuest
from wasi_nn_torch.ray.data.options import Columns, OnError, Per
from wasi_nn_torch.ray.data.reading import Batch, Column, ColumnError, Rows
from wasi_nn_torch.ray.data.reporting import Reports

#: The inputs of the guest, each with the column that it is.
Inputs = Sequence[tuple[Description, Column]]


@dataclass
class _Answers:
    """The answers for a batch: cells by output, of the rows in `valid`, and the failures of the others by row."""

    cells: dict[str, Any]
    valid: list[int] = field(default_factory=list)
    failures: dict[int, Failure] = field(default_factory=dict)
    calls: int = 0


class Applied:
    """A guest that is open, and how it is applied to batches.

    Raises ValueError if the columns are not those of the guest.
    """

    def __init__(self, guest: OpenedGuest, columns: Columns, per: Per, on_error: OnError) -> None:
        _require_fit(columns, guest.signature, on_error)
        self.guest = guest
        self._outputs = guest.signature.outputs
        self._columns = columns
        self._per_row = per is Per.ROW
        self._on_error = on_error
        self._reports = Reports(guest.name)
        self._reports.opened(guest.summary)

    def to(self, batch: Batch) -> pa.Table:
        """The batch with the outputs as columns; raises Failure and ColumnError."""
        started = time.perf_counter()
        rows = Rows(batch)
        kept = self._kept(rows)
        names = self._columns.inputs
        inputs = [(each, rows.column(names.get(each.name, each.name))) for each in self.guest.signature.inputs]
        answers = self._answers(rows.count, inputs)
        self._report(answers, time.perf_counter() - started)
        if answers.failures and self._on_error is OnError.RAISE:
            raise next(iter(answers.failures.values()))
        return self._table(rows.count, kept, answers)

    def _kept(self, rows: Rows) -> dict[str, pa.ChunkedArray]:
        """The columns that stay, without those that outputs replace."""
        made = [self._columns.outputs.get(each.name, each.name) for each in self._outputs]
        names = rows.names if self._columns.keep is None else self._columns.keep
        kept = rows.kept([name for name in names if name not in made])
        if self._on_error is OnError.NULL and self._columns.error in kept:
            raise ColumnError(
                f"there is a column {quote(self._columns.error)} already, and the reasons of failures would replace "
                "it; give them another name with `error`, or leave the column out with `keep`"
            )
        return kept

    def _answers(self, count: int, inputs: Inputs) -> _Answers:
        answers = _Answers({each.name: [] for each in self._outputs})
        for _, column in inputs:
            for row, reason in column.lacking.items():
                answers.failures.setdefault(row, Failure("input", reason))
        rows = [row for row in range(count) if row not in answers.failures]
        if answers.failures and self._on_error is OnError.RAISE:
            return answers
        if self._per_row:
            self._call_for_each(rows, inputs, answers)
        elif rows:
            self._call_for_all(rows, None if len(rows) == count else rows, inputs, answers)
        return answers

    def _call_for_all(self, rows: list[int], chosen: list[int] | None, inputs: Inputs, answers: _Answers) -> None:
        """Call the guest once for all rows, of which `chosen` are those to select."""
        try:
            values = [passing.of_batch(column, wanted, chosen) for wanted, column in inputs]
            answers.calls += 1
            made = self.guest.infer(values)
            answers.cells = {
                name: making.of_batch(value, len(rows), name in self._columns.text) for name, value in made.items()
            }
            answers.valid = rows
        except (Failure, InputError, Misfit) as error:
            answers.failures.update(dict.fromkeys(rows, failure_of(error)))

    def _call_for_each(self, rows: list[int], inputs: Inputs, answers: _Answers) -> None:
        for row in rows:
            try:
                values = [passing.of_row(column, wanted, row) for wanted, column in inputs]
                answers.calls += 1
                made = self.guest.infer(values)
                cells = {
                    each.name: making.of_row(made[each.name], each, each.name in self._columns.text)
                    for each in self._outputs
                }
            except (Failure, InputError, Misfit) as error:
                answers.failures[row] = failure_of(error)
                if self._on_error is OnError.RAISE:
                    return
                continue
            answers.valid.append(row)
            for name, cell in cells.items():
                answers.cells[name].append(cell)

    def _report(self, answers: _Answers, seconds: float) -> None:
        outcomes = Counter({"ok": len(answers.valid)} if answers.valid else {})
        failures = Counter((failure.kind, failure.reason) for failure in answers.failures.values())
        for (kind, reason), rows in failures.items():
            outcomes[kind] += rows
            self._reports.failed(rows, kind, reason)
        self._reports.batch(answers.calls, outcomes, seconds)

    def _table(self, count: int, kept: dict[str, pa.ChunkedArray], answers: _Answers) -> pa.Table:
        is_valid = np.zeros(count, bool)
        is_valid[answers.valid] = True
        columns: dict[str, Any] = kept
        if self._on_error is OnError.DROP and not is_valid.all():
            columns = {name: _filtered(column, is_valid) for name, column in kept.items()}
            is_valid = np.ones(len(answers.valid), bool)
        for each in self._outputs:
            is_text = each.name in self._columns.text
            made = making.column(answers.cells[each.name], each, is_valid, self._per_row, is_text)
            columns[self._columns.outputs.get(each.name, each.name)] = made
        if self._on_error is OnError.NULL:
            reasons = [answers.failures[row].reason if row in answers.failures else None for row in range(count)]
            columns[self._columns.error] = pa.array(reasons, pa.string())
        return pa.table(columns)


def _filtered(column: pa.ChunkedArray, is_valid: making.Bits) -> pa.ChunkedArray:
    """The valid rows of a column, in its own type; Arrow does not filter each of them."""
    try:
        return column.filter(pa.array(is_valid))
    except pa.ArrowNotImplementedError:
        rows = np.flatnonzero(is_valid)
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else []
    slices = [column.slice(run[0], len(run)) for run in runs]
    return pa.chunked_array([chunk for each in slices for chunk in each.chunks], column.type)


def _require_fit(columns: Columns, signature: Signature, on_error: OnError) -> None:
    """Raise ValueError if the columns are not those of a pipeline with this signature."""
    described = (("inputs", columns.inputs, signature.inputs), ("outputs", columns.outputs, signature.outputs))
    for what, given, known in described:
        names = [each.name for each in known]
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(f"`{what}` has {quote_all(unknown)}; the guest describes {quote_all(names)}")
    texts = [each.name for each in signature.outputs if each.datatype is BYTES]
    wrong = [name for name in columns.text if name not in texts]
    if wrong:
        raise ValueError(f"`text` has {quote_all(wrong)}; the outputs of BYTES are {quote_all(texts)}")
    made = [columns.outputs.get(each.name, each.name) for each in signature.outputs]
    made += [columns.error] if on_error is OnError.NULL else []
    twice = [name for name, number in Counter(made).items() if number > 1]
    if twice:
        raise ValueError(f"several outputs become the column {quote_all(twice)}; give them other names in `outputs`")
