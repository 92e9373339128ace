"""A registered graph as a model: named inputs and outputs, without a guest."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType

from wasi_nn_torch.contract.description import ValueDescription
from wasi_nn_torch.contract.elements import Elements
from wasi_nn_torch.contract.text import one_line, quote
from wasi_nn_torch.engine import Engine
from wasi_nn_torch.http.admission import Gate
from wasi_nn_torch.http.errors import bad_request
from wasi_nn_torch.http.messages import InferRequest, Metadata
from wasi_nn_torch.http.models import Call
from wasi_nn_torch.http.quickness import Quickness
from wasi_nn_torch.http.settings import GraphSettings, Reuse
from wasi_nn_torch.pipelines.byte_strings import elements
from wasi_nn_torch.pipelines.datatypes import BYTES, DATATYPES, OF_DTYPE, Datatype
from wasi_nn_torch.pipelines.values import ANY, Description, Value
from wasi_nn_torch.sessions.graph_session import GraphSession

#: The datatypes of the element types of wasi-nn that have another name there.
_OF_WASI_NN = {"U8": DATATYPES["UINT8"], "I32": DATATYPES["INT32"], "I64": DATATYPES["INT64"]}
#: The elements of BYTES as a graph gets them.
_BYTE = "uint8"


class GraphModel:
    """A graph of the engine.

    Requests share sessions if the model has no state, and if it may be kept loaded. If only the model knows of its
    state, they share those of their tenant; otherwise each has a session of its own.
    """

    kind = "graph"
    platform = "pytorch"
    is_ready = True
    #: A request on zeros, if the model declares the sizes of its inputs; sizes that vary are 1, or as it was exported.
    trial: InferRequest | None
    replaced: Mapping[str, int] = MappingProxyType({})

    def __init__(self, engine: Engine, name: str, settings: GraphSettings, gate: Gate) -> None:
        self.name = name
        self.gate = gate
        self._engine = engine
        self._settings = settings
        self._sessions = _Sessions(engine, name, settings)
        #: None for a graph that the event loop never computes itself.
        self._quickness: Quickness | None = None
        self.refresh()

    def refresh(self) -> None:
        """Take notice of another graph under the name; raises NnError if there is none."""
        with self._engine.graph(self.name) as session:
            described, is_batched = session.description, session.is_batched
        keep = self._keep(described.remembers)
        self._sessions.clear(keep)
        self._quickness = Quickness() if self._settings.inline and keep is _Keep.SHARED and not is_batched else None
        self.metadata = Metadata(
            tuple(map(_description, described.inputs)) or None,
            None if described.outputs is None else tuple(map(_description, described.outputs)),
        )
        self.trial = _trial(described.inputs)

    def infer_now(self, call: Call) -> Sequence[Value] | None:
        """Compute the graph once, in the event loop, if that is quick and nobody waits; otherwise return None."""
        quickness = self._quickness
        if quickness is None:
            return None
        kind = _kind(call)
        if not quickness.is_quick(kind) or not self.gate.pass_now():
            return None
        inputs = _all_given(call)
        session = self._sessions.take_now()
        began = time.thread_time()
        try:
            outputs = session.compute_elements(inputs)
            timeout = self._settings.limits.timeout
            if timeout is not None and session.last_seconds > timeout:
                raise session.give_up()
        except BaseException as error:
            self._end(session, error)
            raise
        finally:
            quickness.add_in_loop(kind, session.last_seconds, time.thread_time() - began)
        self._sessions.give_back(session, call.tenant)
        return _all_made(outputs)

    async def infer(self, call: Call) -> Sequence[Value]:
        """Compute the graph once, on another thread."""
        inputs = _all_given(call)
        session = await self._sessions.take(call.tenant)
        quickness = self._quickness
        try:
            outputs = await session.compute_elements_async(inputs)
        except BaseException as error:
            self._end(session, error)
            raise
        if quickness is not None:
            quickness.add_on_thread(_kind(call), session.last_seconds)
        self._sessions.give_back(session, call.tenant)
        return _all_made(outputs)

    def _end(self, session: GraphSession, error: BaseException) -> None:
        """End a session after an error; raises another one for a value of an input that no tensor can have."""
        self._sessions.end(session)
        if isinstance(error, ValueError):
            raise bad_request(one_line(error)) from None

    def close(self) -> None:
        """Close the sessions that are kept."""
        self._sessions.clear(_Keep.NONE)

    def _keep(self, remembers: bool | None) -> _Keep:
        if remembers is None:
            return _Keep.BY_TENANT if self._settings.reuse is Reuse.TENANT else _Keep.NONE
        # A session that is kept would keep its model from being evicted.
        return _Keep.NONE if remembers or self._engine.model_bytes is not None else _Keep.SHARED


class _Keep(Enum):
    """For whose requests the sessions of a graph are kept."""

    NONE = "none"
    BY_TENANT = "tenant"
    SHARED = "shared"


class _Sessions:
    """The sessions of a graph, and how they are kept for other requests."""

    def __init__(self, engine: Engine, name: str, settings: GraphSettings) -> None:
        self._engine = engine
        self._name = name
        self._settings = settings
        self._keep = _Keep.NONE
        #: A reload clears the sessions on another thread than that of the requests.
        self._lock = threading.Lock()
        self._generation = 0
        self._idle: list[tuple[Hashable, GraphSession]] = []
        self._generations: dict[GraphSession, int] = {}

    def take_now(self) -> GraphSession:
        """An idle session, or a new one, if they are shared."""
        with self._lock:
            if self._idle:
                return self._idle.pop()[1]
        return self._opened()

    async def take(self, tenant: Hashable) -> GraphSession:
        """The session that became idle last, or a new one.

        So no more sessions are used than there are requests at a time: a batch may wait for those that usually return.
        """
        session = self._idle_for(tenant)
        if session is not None:
            return session
        if self._keep is _Keep.SHARED:
            return self._opened()
        generation = self._generation
        session = await self._opened_elsewhere()
        self._generations[session] = generation
        return session

    def _idle_for(self, tenant: Hashable) -> GraphSession | None:
        with self._lock:
            for at in reversed(range(len(self._idle))):
                owner, session = self._idle[at]
                if owner == tenant or self._keep is _Keep.SHARED:
                    del self._idle[at]
                    return session
        return None

    def _opened(self) -> GraphSession:
        generation = self._generation  # before the graph is chosen, which another one may replace at any time
        session = self._open()
        self._generations[session] = generation
        return session

    def _open(self) -> GraphSession:
        return self._engine.graph(self._name, self._settings.limits)

    async def _opened_elsewhere(self) -> GraphSession:
        """Open a session on another thread, since its graph may have to be loaded or copied first."""
        opening = asyncio.get_running_loop().run_in_executor(None, self._open)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)
            raise

    def give_back(self, session: GraphSession, tenant: Hashable) -> None:
        too_many: GraphSession | None = session
        with self._lock:
            if self._keep is not _Keep.NONE and self._generations[session] == self._generation:
                self._idle.append((tenant, session))
                is_full = len(self._idle) > self._settings.concurrency
                too_many = self._idle.pop(0)[1] if is_full else None
        if too_many is not None:
            self.end(too_many)

    def clear(self, keep: _Keep) -> None:
        """Close the idle sessions, and keep later ones in another way."""
        with self._lock:
            self._keep = keep
            self._generation += 1
            idle, self._idle = self._idle, []
        for _, session in idle:
            self.end(session)

    def end(self, session: GraphSession) -> None:
        del self._generations[session]
        session.close()


def _close(opening: asyncio.Future[GraphSession]) -> None:
    """Close a session that nobody waits for any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _kind(call: Call) -> Hashable:
    """The sizes of the inputs."""
    return tuple((value.name, value.datatype.name, value.shape, value.data.nbytes) for value in call.request.inputs)


def _all_given(call: Call) -> dict[str, Elements]:
    return {value.name: _given(value) for value in call.request.inputs}


def _given(value: Value) -> Elements:
    if value.datatype is not BYTES:
        return Elements(value.data, value.shape, value.datatype.dtype)
    found = list(elements(value.data))
    if len(found) != 1:
        raise bad_request(
            f"input {quote(value.name)} is BYTES with {len(found)} elements; a graph takes one, as a vector of UINT8"
        )
    return Elements(found[0], (found[0].nbytes,), _BYTE)


def _all_made(outputs: Mapping[str, Elements]) -> list[Value]:
    return [_made(name, output) for name, output in outputs.items()]


def _made(name: str, output: Elements) -> Value:
    return Value(name, OF_DTYPE[output.dtype], output.dimensions, output.data)


def _description(item: ValueDescription) -> Description:
    shape: Iterable[int | str] = item.shape if item.shape is not None else (1,) if item.kind != "tensor" else (ANY,)
    sizes = tuple(size if isinstance(size, int) else ANY for size in shape) or (1,)
    return Description(item.name, _datatype(item), sizes, item.optional)


def _trial(inputs: Sequence[ValueDescription]) -> InferRequest | None:
    values = []
    for item in inputs:
        shape, datatype = item.example if item.example is not None else item.shape, _datatype(item)
        if item.kind != "tensor" or shape is None or datatype is None:
            return None
        sizes = tuple(size if isinstance(size, int) else 1 for size in shape)
        values.append(Value(item.name, datatype, sizes, memoryview(bytes(math.prod(sizes) * datatype.size))))
    return InferRequest(tuple(values)) if values else None


def _datatype(item: ValueDescription) -> Datatype | None:
    dtype = item.dtype or _NUMBERS.get(item.kind) or item.example_dtype or ""
    return _OF_WASI_NN.get(dtype) or DATATYPES.get(dtype) or OF_DTYPE.get(dtype)


#: The datatypes of inputs that are numbers.
_NUMBERS = {"integer": "int64", "float": "float64", "boolean": "bool"}
