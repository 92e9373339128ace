"""The callable class that `Dataset.map_batches` makes once in each actor."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from inspect import signature
from os import PathLike
from typing import TYPE_CHECKING, Concatenate, Literal, NoReturn, ParamSpec, TypeAlias, cast

from wasi_nn_torch.contract.text import one_line, quote
from wasi_nn_torch.ray.data.options import (
    DEFAULT_LIMITS,
    Columns,
    EngineOptions,
    Model,
    OnError,
    Per,
    choice,
    require_kind,
    require_list,
    require_mapping,
    require_names,
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
#: The characters of a reason that a guest cannot be used.
_LONGEST_REASON = 2000


class GuestFailed(Exception):
    """A guest that cannot be used, or did not answer; the text begins with its name."""


GuestFailed.__module__ = "wasi_nn_torch.ray"  # what Ray prints in front of the text


P = ParamSpec("P")


def _said_by_the_first_call(init: Callable[Concatenate[GuestUDF, P], None]) -> Callable[Concatenate[GuestUDF, P], None]:
    """A constructor that raises nothing: what is wrong, an argument that does not exist included, is `_trouble`.

    Ray answers an exception in the constructor of an actor with pages of traces.
    """

    @wraps(init)
    def quiet(self: GuestUDF, *arguments: P.args, **options: P.kwargs) -> None:
        name = options.get("name") or _shown(arguments[0] if arguments else options.get("guest"))
        try:
            bound = signature(init).bind(self, *arguments, **options)
        except TypeError as error:
            self._trouble = _named("GuestUDF", f"{error}{_nearest(options, signature(init).parameters)}")
            return
        try:
            init(*bound.args, **bound.kwargs)
        except Exception as error:  # noqa: BLE001  # said by the first call
            self._trouble = _named(str(name), _reason(error))

    return cast("Callable[Concatenate[GuestUDF, P], None]", quiet)


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

    _applied: Applied | None = None
    _trouble = ""

    @_said_by_the_first_call
    def __init__(
        self,
        guest: Source,
        models: Mapping[str, Source | Model] | None = None,
        *,
        per: Literal["batch", "row"] = "batch",
        on_error: Literal["raise", "null", "drop"] = "raise",
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
        from wasi_nn_torch.ray.data.applying import Applied
        from wasi_nn_torch.ray.data.opened import OpenedGuest
        from wasi_nn_torch.ray.data.reporting import use_rays_log

        use_rays_log()
        columns = Columns(
            inputs=require_names("inputs", inputs or {}),
            outputs=require_names("outputs", outputs or {}),
            keep=None if keep is None else require_list("keep", keep),
            text=require_list("text", text),
            error=require_kind("error", error, str),
        )
        wanted = choice(Per, "per", per), choice(OnError, "on_error", on_error)
        require_mapping("engine", engine or {})
        opened = OpenedGuest(
            guest,
            require_mapping("models", models or {}),
            require_kind("limits", limits, Limits),
            parameters=require_mapping("parameters", parameters or {}),
            max_uses=require_uses(max_uses),
            engine=engine or EngineOptions(),
            name=None if name is None else require_kind("name", name, str),
        )
        try:
            self._applied = Applied(opened, columns, *wanted)
        except ValueError:
            opened.close()
            raise

    def __reduce__(self) -> NoReturn:
        """Raise TypeError: an engine does not leave its process."""
        raise TypeError(
            "an instance of GuestUDF stays in its process; give `map_batches` the class, and its arguments as "
            "`fn_constructor_kwargs`"
        )

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


def _nearest(given: Iterable[str], known: Iterable[str]) -> str:
    """The argument that was meant, if one is misspelled."""
    names = list(known)
    wrong = [name for name in given if name not in names]
    near = difflib.get_close_matches(wrong[0], names, n=1) if wrong else []
    return f"; did you mean {quote(near[0])}?" if near else ""


def _reason(error: Exception) -> str:
    """Why a guest cannot be used; the log gets the traceback of an error that nobody expects."""
    from wasi_nn_torch.ray.data.opened import UNUSABLE
    from wasi_nn_torch.ray.data.reporting import logger

    if isinstance(error, UNUSABLE):
        return one_line(error, _LONGEST_REASON)
    logger.error("a guest cannot be opened: %r", error, exc_info=error)
    return f"{type(error).__name__}: {one_line(error, _LONGEST_REASON)}"


def _shown(guest: object) -> str:
    return str(guest).rpartition("/")[2] if isinstance(guest, str | PathLike) else "the guest"


def _named(name: str, reason: str) -> str:
    """A reason that begins with the name of the guest, or with its path."""
    begins = reason.startswith((name, f"the guest {name}")) or f"/{name} " in reason
    return reason if begins else f"{name}: {reason}"
