"""The callable class that `Dataset.map_batches` makes once in each actor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from wasi_nn_torch.contract.text import one_line
from wasi_nn_torch.ray.data.options import (
    DEFAULT_LIMITS,
    Columns,
    EngineOptions,
    Model,
    OnError,
    Per,
    choice,
    require_uses,
)
from wasi_nn_torch.sessions.limits import Limits

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

    from wasi_nn_torch.engine import Engine
    from wasi_nn_torch.ray.data.applying import Applied
    from wasi_nn_torch.ray.data.options import Source

    Batch: TypeAlias = Mapping[str, npt.NDArray[np.generic]] | pa.Table | pd.DataFrame

#: The calls that one instance of a guest answers.
_MAX_USES = 1000


class GuestFailed(Exception):
    """A guest that cannot be used, or did not answer; the text begins with its name."""


GuestFailed.__module__ = "wasi_nn_torch.ray"  # what Ray prints in front of the text


class GuestUDF:
    """A pipeline as a function on the batches of a dataset, for `Dataset.map_batches`:

        ds.map_batches(
            GuestUDF,
            fn_constructor_kwargs={"guest": "classify.wasm", "models": {"clf": "clf.pt2"}},
            batch_format="pyarrow",
            batch_size=256,
            compute=ActorPoolStrategy(min_size=1, max_size=8),
        )

    Each actor has one engine with these `models`, and the guest can compute no others. A guest or a model is a file
    that each worker finds under this path, its bytes, or `ray.put` of them; `Model` adds options of `Engine.register`.
    `engine` has arguments of `Engine`. By default, graphs are on the GPU that Ray assigned to the actor (`num_gpus=1`),
    or else on the CPU.

    With `per="batch"`, the guest gets each column as a tensor whose first dimension is that of the rows, and returns
    tensors with as many. With `per="row"`, it is called for each row: a cell is a tensor with the shape of the cell, or
    `[1]` for a number, a string or bytes. The guest has to describe its inputs and outputs. Each input is the column of
    its name, and each output becomes one; `inputs` and `outputs` map the names of the guest to those of columns, where
    they differ. `keep` are the columns that stay; by default, all do. Strings and bytes are BYTES; an output of BYTES
    becomes a column of strings if `text` lists it. `parameters` are passed with each call.

    If the guest traps, passes one of the `limits`, answers with a failure or returns what it did not describe, the rows
    of this call are the only ones that it costs. `on_error` says what becomes of them: "raise" ends the job with the
    reason; "null" leaves nulls in the outputs and the reason in the column `error`, which is null in other rows; "drop"
    leaves the rows out. Reasons are logged and counted in the metrics of Ray in any case. A row whose input is null
    fails without a call. `limits.timeout` is for each call.

    An instance of the guest keeps its state from one call to the next, for at most `max_uses` calls. `name` is what
    errors and metrics call the guest; by default that is the name of its file.

    What cannot be used, such as a guest that is missing, is raised as `GuestFailed` by the first call, because Ray
    would answer an exception here with pages of traces.
    """

    def __init__(
        self,
        guest: Source,
        models: Mapping[str, Source | Model] | None = None,
        *,
        per: str = "batch",
        on_error: str = "raise",
        limits: Limits = DEFAULT_LIMITS,
        inputs: Mapping[str, str] | None = None,
        outputs: Mapping[str, str] | None = None,
        keep: Sequence[str] | None = None,
        text: Sequence[str] = (),
        error: str = "error",
        parameters: Mapping[str, bool | int | float | str] | None = None,
        max_uses: int | None = _MAX_USES,
        engine: EngineOptions | None = None,
        name: str | None = None,
    ) -> None:
        from wasi_nn_torch.ray.data.applying import UNUSABLE, Applied

        self._applied: Applied | None = None
        self._trouble = ""
        try:
            self._applied = Applied(
                guest,
                models or {},
                limits,
                parameters or {},
                require_uses(max_uses),
                engine or EngineOptions(),
                name,
                Columns(inputs or {}, outputs or {}, keep, text, error),
                choice(Per, "per", per),
                choice(OnError, "on_error", on_error),
            )
        except UNUSABLE as reason:
            self._trouble = _named(name or _shown(guest), one_line(reason, 2000))

    @property
    def engine(self) -> Engine:
        """The engine of this actor, for its figures; raises GuestFailed if the guest cannot be used."""
        return self._usable().guest.engine

    def __call__(self, batch: Batch) -> pa.Table:
        """The batch with the outputs of the guest as columns; raises GuestFailed.

        A column that the guest cannot take, because it does not exist or has another type, is raised whatever
        `on_error` is, since no row of it could be answered.
        """
        from wasi_nn_torch.ray.data.failures import Failure
        from wasi_nn_torch.ray.data.reading import ColumnError

        applied = self._usable()
        try:
            return applied.to(batch)
        except (Failure, ColumnError) as error:
            reason = _named(applied.guest.name, str(error))
        raise GuestFailed(reason)

    def close(self) -> None:
        """Release the models and the guest; Ray ends the process of an actor instead."""
        if self._applied is not None:
            self._applied.guest.close()

    def _usable(self) -> Applied:
        if self._applied is None:
            raise GuestFailed(self._trouble)
        return self._applied


def _shown(guest: Any) -> str:  # noqa: ANN401  # whatever a user gave
    return guest.rpartition("/")[2] if isinstance(guest, str) else "the guest"


def _named(name: str, reason: str) -> str:
    return reason if name in reason else f"{name}: {reason}"
