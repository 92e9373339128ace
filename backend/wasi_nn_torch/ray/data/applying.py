"""A guest applied to batches: columns in, calls for all rows or each, columns out, whatever fails."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from wasi_nn_torch.contract.errors import ModelError, NnError
from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.pipelines.calling import InputError
from wasi_nn_torch.pipelines.results import Misfit
from wasi_nn_torch.pipelines.values import Description, Parameter
from wasi_nn_torch.ray.data import making, passing
from wasi_nn_torch.ray.data.failures import Failure, failure_of
from wasi_nn_torch.ray.data.opened import OpenedGuest
from wasi_nn_torch.ray.data.options import Columns, EngineOptions, Model, OnError, Per
from wasi_nn_torch.ray.data.reading import Batch, Column, Rows
from wasi_nn_torch.ray.data.reporting import Reports, use_rays_log
from wasi_nn_torch.sessions.guests import InvalidGuest
from wasi_nn_torch.sessions.limits import Limits

if TYPE_CHECKING:
    from wasi_nn_torch.ray.data.options import Source

#: What `Applied` raises for a guest, models or options that cannot be used.
UNUSABLE = (InvalidGuest, ModelError, NnError, Failure, InputError, ValueError, TypeError, OSError)


@dataclass
class _Answers:
    """The answers for a batch: cells by output, of the rows in `valid`, and the failures of the others by row."""

    cells: dict[str, Any]
    valid: list[int] = field(default_factory=list)
    failures: dict[int, Failure] = field(default_factory=dict)
    calls: int = 0


class Applied:
    """A guest, and how it is applied to the batches of a dataset. Raises `UNUSABLE`."""

    def __init__(
        self,
        guest: Source,
        models: Mapping[str, Source | Model],
        limits: Limits,
        parameters: Mapping[str, Parameter],
        max_uses: int | None,
        engine: EngineOptions,
        name: str | None,
        columns: Columns,
        per: Per,
        on_error: OnError,
    ) -> None:
        use_rays_log()
        self.guest = OpenedGuest(guest, models, limits, parameters, max_uses, engine, name)
        self._inputs = self.guest.signature.inputs
        self._outputs = self.guest.signature.outputs
        self._columns = columns
        self._per_row = per is Per.ROW
        self._on_error = on_error
        try:
            _require_fit(columns, self._inputs, self._outputs, on_error)
        except ValueError:
            self.guest.close()
            raise
        self._reports = Reports(self.guest.name)
        self._reports.opened(self.guest.summary)

    def to(self, batch: Batch) -> pa.Table:
        """The batch with the outputs as columns; raises Failure and ColumnError."""
        started = time.perf_counter()
        rows = Rows(batch)
        names = self._columns.inputs
        inputs = [(each, rows.column(names.get(each.name, each.name))) for each in self._inputs]
        answers = self._answers(rows.count, inputs)
        self._report(answers, rows.count, time.perf_counter() - started)
        if answers.failures and self._on_error is OnError.RAISE:
            raise next(iter(answers.failures.values()))
        return self._table(rows, answers)

    def _answers(self, count: int, inputs: Sequence[tuple[Description, Column]]) -> _Answers:
        answers = _Answers({each.name: [] for each in self._outputs})
        for _, column in inputs:
            if column.is_null is not None:
                for row in np.flatnonzero(column.is_null).tolist():
                    answers.failures.setdefault(row, Failure("input", f"the column {quote(column.name)} is null"))
        rows = [row for row in range(count) if row not in answers.failures]
        if answers.failures and self._on_error is OnError.RAISE:
            return answers
        if self._per_row:
            self._call_for_each(rows, inputs, answers)
        elif rows:
            self._call_for_all(rows, None if len(rows) == count else rows, inputs, answers)
        return answers

    def _call_for_all(
        self,
        rows: list[int],
        chosen: list[int] | None,
        inputs: Sequence[tuple[Description, Column]],
        answers: _Answers,
    ) -> None:
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
            failure = _failure(error)
            answers.failures.update(dict.fromkeys(rows, failure))

    def _call_for_each(self, rows: list[int], inputs: Sequence[tuple[Description, Column]], answers: _Answers) -> None:
        for row in rows:
            try:
                values = [passing.of_row(column, wanted, row) for wanted, column in inputs]
                answers.calls += 1
                made = self.guest.infer(values)
                cells = [
                    (each.name, making.of_row(made[each.name], each, each.name in self._columns.text))
                    for each in self._outputs
                ]
            except (Failure, InputError, Misfit) as error:
                answers.failures[row] = _failure(error)
                if self._on_error is OnError.RAISE:
                    return
                continue
            answers.valid.append(row)
            for name, cell in cells:
                answers.cells[name].append(cell)

    def _report(self, answers: _Answers, count: int, seconds: float) -> None:
        rows_by_failure = Counter(answers.failures.values())
        outcomes = Counter({"ok": len(answers.valid)} if answers.valid else {})
        for failure, number in rows_by_failure.items():
            outcomes[failure.kind] += number
            self._reports.failed(number, failure.kind, failure.reason)
        self._reports.batch(answers.calls, outcomes, seconds)

    def _table(self, rows: Rows, answers: _Answers) -> pa.Table:
        is_valid = np.zeros(rows.count, bool)
        is_valid[answers.valid] = True
        made = {self._columns.outputs.get(each.name, each.name): each for each in self._outputs}
        kept = rows.names if self._columns.keep is None else self._columns.keep
        columns: dict[str, Any] = rows.kept([name for name in kept if name not in made])
        if self._on_error is OnError.DROP and not is_valid.all():
            chosen = pa.array(answers.valid, pa.int64())
            columns = {name: column.take(chosen) for name, column in columns.items()}
            is_valid = np.ones(len(answers.valid), bool)
        for name, each in made.items():
            is_text = each.name in self._columns.text
            columns[name] = making.column(answers.cells[each.name], each, is_valid, self._per_row, is_text)
        if self._on_error is OnError.NULL:
            reasons = [answers.failures[row].reason if row in answers.failures else None for row in range(rows.count)]
            columns[self._columns.error] = pa.array(reasons, pa.string())
        return pa.table(columns)


def _failure(error: Exception) -> Failure:
    return error if isinstance(error, Failure) else failure_of(error)


def _require_fit(
    columns: Columns, inputs: Sequence[Description], outputs: Sequence[Description], on_error: OnError
) -> None:
    """Raise ValueError if the columns are not those of a pipeline with these inputs and outputs."""
    for what, given, known in (("inputs", columns.inputs, inputs), ("outputs", columns.outputs, outputs)):
        names = [each.name for each in known]
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(f"`{what}` has {quote_all(unknown)}; the guest describes {quote_all(names)}")
    texts = [each.name for each in outputs if each.datatype is not None and each.datatype.name == "BYTES"]
    wrong = [name for name in columns.text if name not in texts]
    if wrong:
        raise ValueError(f"`text` has {quote_all(wrong)}; the outputs of BYTES are {quote_all(texts)}")
    made = [columns.outputs.get(each.name, each.name) for each in outputs]
    made += [columns.error] if on_error is OnError.NULL else []
    twice = [name for name, number in Counter(made).items() if number > 1]
    if twice:
        raise ValueError(f"several outputs become the column {quote_all(twice)}; give them other names in `outputs`")
