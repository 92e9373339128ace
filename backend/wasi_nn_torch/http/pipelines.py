"""A pipeline as a model: a component of the world `wasi-nn-torch:pipeline`, lent from a pool for each request."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus

from wasi_nn_bindings.pipeline_v0_1_0 import Guest
from wasi_nn_bindings.pipeline_v0_1_0.exports import handler
from wasi_nn_torch.contract.elements import Elements
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.engine import Engine
from wasi_nn_torch.http.admission import Gate
from wasi_nn_torch.http.checking import require_inputs
from wasi_nn_torch.http.errors import HttpError, bad_request
from wasi_nn_torch.http.instances import Instances
from wasi_nn_torch.http.messages import Metadata
from wasi_nn_torch.http.models import Call
from wasi_nn_torch.http.output import begin_output, log_output
from wasi_nn_torch.http.settings import PipelineSettings, Reuse
from wasi_nn_torch.pipelines.calling import (
    InputError,
    PipelineFailure,
    describe,
    infer,
    passed_parameters,
    require_component,
)
from wasi_nn_torch.pipelines.results import Misfit, converted
from wasi_nn_torch.pipelines.values import Value
from wasi_nn_torch.sessions.guests import Guest as Compiled
from wasi_nn_torch.sessions.pool import Pool
from wasi_nn_torch.sessions.session import Session

logger = logging.getLogger(__name__)

_STATUSES = range(400, 600)


class PipelineModel:
    """A pipeline. Raises InvalidGuest and GuestError if it cannot be compiled, started or asked what it offers."""

    kind = "pipeline"
    platform = "wasi-nn-torch_pipeline"

    def __init__(self, engine: Engine, name: str, settings: PipelineSettings, gate: Gate) -> None:
        self.name = name
        self.gate = gate
        self._engine = engine
        self._settings = settings
        self._instances = Instances(self._load, self._open_pool, _metadata, settings.graphs)

    @property
    def is_ready(self) -> bool:
        """Whether it answers requests."""
        return True

    @property
    def metadata(self) -> Metadata:
        """Its inputs and outputs, as far as it describes them."""
        return self._instances.said

    @property
    def replaced(self) -> Mapping[str, int]:
        """How many of its instances were ended, by the reason."""
        return self._instances.replaced

    def reload(self) -> None:
        """Use the component that the file holds now; requests that run are answered by the old one.

        Raises the errors of the constructor, after which nothing has changed. It may run in any thread.
        """
        self._instances.reload()

    def use_new(self, graph: str) -> None:
        """If it may hold a graph that was replaced, answer later requests by instances that get the new one."""
        self._instances.renew_for(graph)

    def infer_now(self, call: Call) -> Sequence[Value] | None:
        """None, since only a worker thread can be stopped."""
        return None

    async def infer(self, call: Call) -> Sequence[Value]:
        """Call the pipeline once."""
        metadata = self.metadata
        if metadata.inputs is not None:
            require_inputs(call.request.inputs, metadata.inputs)
        begin_output()
        async with self._instances.lent(call.tenant) as (session, guest):
            made = await session.call_async(_infer, session, guest, call)
        described = {each.name: each for each in metadata.outputs or ()}
        try:
            return [converted(name, elements, described.get(name)) for name, elements in made]
        except Misfit as error:
            logger.warning("the pipeline %s returned what it did not describe: %s", self.name, str(error))
        raise HttpError(
            HTTPStatus.INTERNAL_SERVER_ERROR, f"{quote(self.name)} returned what it did not describe", "misfit"
        )

    def close(self) -> None:
        """End the instances, each as soon as it has answered."""
        self._instances.close()

    def _load(self) -> Compiled:
        given = self._settings.guest
        compiled = given if isinstance(given, Compiled) else self._engine.compile(given)
        require_component(compiled)
        return compiled

    def _open_pool(self, compiled: Compiled) -> Pool[Guest]:
        settings = self._settings
        begin_output()  # of the first instance
        return self._engine.pool(
            compiled,
            Guest,
            size=settings.concurrency,
            max_uses=1 if settings.reuse is Reuse.NEVER else settings.max_uses,
            by_tenant=True,
            graphs=settings.graphs,
            limits=settings.limits,
            stdin=b"",
            stdout=partial(log_output, f"the pipeline {self.name}"),
            stderr=partial(log_output, f"the pipeline {self.name}"),
        )


def _infer(session: Session, guest: Guest, call: Call) -> list[tuple[str, Elements]]:
    """Call the pipeline on the thread of its guest; raises `HttpError` with the status that it chose."""
    try:
        return infer(session, guest, _request(call), call.request.inputs)
    except InputError as error:
        raise bad_request(str(error)) from None
    except PipelineFailure as failure:
        status = failure.status if failure.status in _STATUSES else HTTPStatus.INTERNAL_SERVER_ERROR
        raise HttpError(status, failure.text, "pipeline") from None
    except Misfit as error:
        logger.warning("a pipeline returned tensors that cannot be used: %s", str(error))
    raise HttpError(HTTPStatus.INTERNAL_SERVER_ERROR, "the pipeline returned tensors that cannot be used", "misfit")


def _request(call: Call) -> handler.Request:
    left = None if call.due is None else max(0, int((call.due - time.monotonic()) * 1000))
    parameters = passed_parameters(call.request.parameters)
    return handler.Request(call.id, call.tenant, left, parameters, [each.name for each in call.request.outputs])


def _metadata(guest: Guest) -> Metadata:
    signature = describe(guest)
    return Metadata() if signature is None else Metadata(signature.inputs, signature.outputs)
