"""The guest of one actor: its engine, its models, and the pool with the instance that is called."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wasi_nn_bindings.pipeline_v0_1_0 import Guest
from wasi_nn_bindings.pipeline_v0_1_0.exports import handler
from wasi_nn_torch.contract.elements import Elements
from wasi_nn_torch.contract.errors import ModelError, NnError
from wasi_nn_torch.contract.text import one_line, quote, quote_all
from wasi_nn_torch.engine import Engine
from wasi_nn_torch.pipelines.calling import InputError, Signature, describe, infer, passed_parameters, require_component
from wasi_nn_torch.pipelines.results import Misfit, converted
from wasi_nn_torch.pipelines.values import Description, Parameter, Value
from wasi_nn_torch.ray.data.devices import assigned_device, require_assigned
from wasi_nn_torch.ray.data.failures import FAILURES, Failure, failure_of
from wasi_nn_torch.ray.data.options import EngineOptions, Model, require_source
from wasi_nn_torch.ray.data.reporting import Output
from wasi_nn_torch.sessions.guests import InvalidGuest
from wasi_nn_torch.sessions.limits import Limits
from wasi_nn_torch.sessions.session import Session
from wit_host import GuestLimit

if TYPE_CHECKING:
    from wasi_nn_torch.ray.data.options import Source


#: What `OpenedGuest` raises for a guest, models or options that cannot be used.
UNUSABLE = (InvalidGuest, ModelError, NnError, Failure, InputError, ValueError, TypeError, OSError)


class OpenedGuest:
    """A compiled pipeline with an engine and models of its own, ready to be called by one thread at a time.

    Raises `UNUSABLE`, of which Failure says that the guest does not start.
    """

    def __init__(
        self,
        guest: Source,
        models: Mapping[str, Source | Model],
        limits: Limits,
        *,
        parameters: Mapping[str, Parameter],
        max_uses: int | None,
        engine: EngineOptions,
        name: str | None,
    ) -> None:
        started = time.perf_counter()
        self.name = name or _name(guest)
        self._limits = limits
        self._numbers = count(1)
        self._parameters = passed_parameters(parameters)
        self._output = Output(self.name)
        self.engine = _engine(engine)
        try:
            self._open(guest, models, max_uses)
        except BaseException:
            self.engine.close()
            raise
        self._seconds = time.perf_counter() - started

    def _open(self, guest: Source, models: Mapping[str, Source | Model], max_uses: int | None) -> None:
        self._compiled = self.engine.compile(_fetched(guest), name=self.name)
        require_component(self._compiled)
        for name, model in models.items():
            chosen = model if isinstance(model, Model) else Model(model)
            _register(self.engine, name, chosen)
        self._pool = self.engine.pool(
            self._compiled,
            Guest,
            size=1,
            max_uses=max_uses,
            limits=self._limits,
            stdin=b"",
            stdout=self._output,
            stderr=self._output,
        )
        self.signature = self._describe()

    @property
    def summary(self) -> str:
        """How it was opened, for the log."""
        how = "from the cache" if self._compiled.from_cache else "compiled"
        return f"opened in {self._seconds:.2f} s ({how} in {self._compiled.compile_seconds:.2f} s)"

    def infer(self, inputs: Sequence[Value]) -> dict[str, Value]:
        """Call the pipeline once; raises Failure."""
        timeout = self._limits.timeout
        left = None if timeout is None else int(timeout * 1000)
        request = handler.Request(f"{os.getpid()}-{next(self._numbers)}", None, left, self._parameters, [])
        self._output.begin()
        try:
            lease = self._pool.lease()
            with lease as guest:
                made = self._called(lease.session, guest, request, inputs)
            missing = [each.name for each in self.signature.outputs if each.name not in made]
            if missing or len(made) > len(self.signature.outputs):
                raise Misfit(f"it returned {quote_all(made)}; it described {quote_all(_names(self.signature.outputs))}")
            return {each.name: converted(each.name, made[each.name], each) for each in self.signature.outputs}
        except FAILURES as error:
            failure = failure_of(error)
        raise failure

    def _called(
        self, session: Session, guest: Guest, request: handler.Request, inputs: Sequence[Value]
    ) -> dict[str, Elements]:
        try:
            return dict(infer(session, guest, request, inputs))
        except GuestLimit:
            session.cancel()  # an instance that holds too much to be given inputs would fail for all further rows
            raise

    def close(self) -> None:
        """End the instance and release the models."""
        self.engine.close()

    def _describe(self) -> Signature:
        try:
            with self._pool.lease() as guest:
                signature = describe(guest)
        except FAILURES as error:
            failure = failure_of(error)
        else:
            return _usable(self.name, signature)
        raise failure


def _usable(name: str, signature: Signature | None) -> Signature:
    """A description from which columns can be made; raises InvalidGuest."""
    if signature is None:
        raise InvalidGuest(
            f"{name} does not describe its inputs and outputs; return a description from `describe`, because the "
            "columns of rows that fail need a type, too"
        )
    if not signature.inputs or not signature.outputs:
        raise InvalidGuest(f"{name} describes no {'outputs' if signature.inputs else 'inputs'}; describe at least one")
    odd = [each.name for each in (*signature.inputs, *signature.outputs) if _is_odd(each)]
    if odd:
        raise InvalidGuest(f"{name} describes {quote_all(odd)} as BF16, which columns do not have; describe FP32")
    scalars = [each.name for each in (*signature.inputs, *signature.outputs) if not each.shape]
    if scalars:
        raise InvalidGuest(f"{name} describes {quote_all(scalars)} without a dimension; wasi-nn has at least one")
    return signature


def _is_odd(described: Description) -> bool:
    return described.datatype is not None and described.datatype.name == "BF16"


def _names(described: Sequence[Description]) -> list[str]:
    return [each.name for each in described]


def _engine(options: EngineOptions) -> Engine:
    assigned = assigned_device()
    device = options.get("device") or assigned
    require_assigned(device, assigned)
    chosen: dict[str, Any] = {**options, "device": device}
    try:
        return Engine(**chosen)
    except TypeError as error:  # an argument that does not exist
        reason = one_line(error)
    raise ValueError(f"`engine`: {reason}")


def _register(engine: Engine, name: str, model: Model) -> None:
    try:
        return engine.register(name, _fetched(model.source), **model.options)
    except TypeError as error:  # an argument that does not exist, or has another type
        reason = one_line(error)
    raise ValueError(f"the model {quote(name)}: {reason}")


def _name(source: object) -> str:
    return Path(source).name if isinstance(source, str | os.PathLike) else "the guest"


def _fetched(source: Source) -> str | os.PathLike[str] | bytes:
    """A path or bytes, out of the object store if they are there; raises TypeError for anything else."""
    known = require_source(source)
    if isinstance(known, str | os.PathLike | bytes):
        return known
    import ray

    return _fetched(ray.get(known))
