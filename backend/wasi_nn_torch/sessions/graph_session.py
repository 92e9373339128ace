"""A session without a guest: the host computes one of its own graphs, on the way that guests' computations go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar, cast

from wasi_nn_torch.contract.arguments import not_copied, require_text, require_type
from wasi_nn_torch.contract.deadline import Deadline
from wasi_nn_torch.contract.description import GraphDescription
from wasi_nn_torch.contract.elements import Elements
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.contract.ledger import Ledger, LedgerSnapshot
from wasi_nn_torch.contract.limiting import advice
from wasi_nn_torch.contract.tensor import NamedTensor, Tensor, TensorSource
from wasi_nn_torch.serving.batching import BatchedContext
from wasi_nn_torch.sessions.limits import Limits
from wasi_nn_torch.sessions.runtime import Runtime
from wit_host import GuestTimeout

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


class GraphSession:
    """One context of a registered graph. Made by `Engine.graph`; used by one thread at a time, in a `with` block.

    A model with a state keeps it from one computation to the next. The session counts, and is limited, as that of a
    guest is: its tensors, its transfers, its computations, and `timeout` for each of them.
    """

    def __init__(self, runtime: Runtime, name: str, limits: Limits) -> None:
        self._tally = runtime.tally
        self._timeout = limits.timeout
        self._deadline = Deadline()
        self._ledger = Ledger(limits.device_bytes, limits.host_bytes, limits.tensors, self._deadline)
        self._serving = runtime.serve(self._ledger)
        self._serving.refusals.guest = f"the graph {name}"
        self._in_use = threading.Lock()
        self._is_closed = False
        self._calls = 0
        self._seconds = 0.0
        #: The seconds that the last computation took.
        self.last_seconds = 0.0
        self._lane = runtime.lane(limits)
        self._lease = self._serving.load_by_name(name)
        self._context = self._serving.context(self._lease)
        self._tally.open_session()
        self._tally.start_session()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise not_copied(self, "make a session in each process")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def compute(self, inputs: Mapping[str, TensorSource | Elements]) -> dict[str, torch.Tensor]:
        """Compute the graph once, and return its outputs by name, on the device where they are.

        The names of `inputs` are the model's own or its positions, as for guests. Each is a `torch.Tensor`, an array
        that offers its memory by DLPack, or `Elements`; the memory is shared, and only read. The caller owns the memory
        of the outputs; an output of a dtype that wasi-nn lacks has the wider one that guests get.

        Raises NnError if the graph cannot be computed: see its `code`. Raises TypeError and ValueError for inputs that
        cannot be tensors, as `Session.tensor` does, and RuntimeError if the session is closed or in use.
        """
        return cast("dict[str, torch.Tensor]", self._computed(inputs, self._serving.take))

    def compute_elements(self, inputs: Mapping[str, TensorSource | Elements]) -> dict[str, Elements]:
        """Compute the graph once, and return its outputs as bytes in the host's memory, where they lie if possible.

        They have the dtypes that the model gave them. Raises as `compute` does.
        """
        return self._computed(inputs, self._serving.elements)

    async def compute_elements_async(self, inputs: Mapping[str, TensorSource | Elements]) -> dict[str, Elements]:
        """Call `compute_elements` on a worker thread of the engine.

        At the end of `Limits.timeout`, GuestTimeout comes out within 50 ms, even while the model computes: that goes
        on, and the session is closed when it returns. Raises EngineBusy if the queue of the engine is full.
        """
        context = self._context
        if self._timeout is None and isinstance(context, BatchedContext):
            with self._computing():
                outputs = await context.compute_async(self._wrapped(inputs), self._on_thread)
                return self._read(outputs, self._serving.elements)
        return await self._lane.run(partial(self.compute_elements, inputs), self)

    async def _on_thread(self, function: Callable[[], object]) -> object:
        return await self._lane.run(function, self)

    @property
    def description(self) -> GraphDescription:
        """The inputs and outputs of the graph, as far as they are known; for as long as the session is open."""
        return self._lease.description

    @property
    def is_batched(self) -> bool:
        """Whether requests of several sessions are computed together, for which each may have to wait."""
        return self._lease.batcher is not None

    @property
    def memory(self) -> LedgerSnapshot:
        """The figures of this moment, also after `close`."""
        return self._serving.snapshot()

    def close(self) -> None:
        """Drop everything that is left; a second call does nothing.

        A computation that is overdue is not waited for: its thread does so when it ends. Raises RuntimeError while
        another thread computes.
        """
        if not self._lane.closes_later(self._close):
            self._close()

    # --- for an event loop: see `offloading.Guest` ---

    @property
    def time_left(self) -> float | None:
        """See `offloading.Guest`."""
        return self._deadline.left

    def cancel(self) -> None:
        """Have a computation that waits for something, such as others of its batch, end with NnError `timeout`."""
        self._deadline.cancel()

    def stop_if_late(self) -> None:
        """See `offloading.Guest`."""
        left = self._deadline.left
        if left is not None and left <= 0:
            self._deadline.cancel()

    def give_up(self) -> GuestTimeout:
        """See `offloading.Guest`."""
        return GuestTimeout(f"the graph was not computed in time; {advice('timeout')}")

    # --- computing ---

    def _computed(self, inputs: Mapping[str, TensorSource | Elements], read: Callable[[Tensor], T]) -> dict[str, T]:
        with self._computing():
            return self._read(self._context.compute(self._wrapped(inputs)), read)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Use the session in the block, for one computation."""
        if not self._in_use.acquire(blocking=False):
            raise RuntimeError("the session of a graph computes once at a time; use another session")
        started = time.perf_counter()
        try:
            if self._is_closed:
                raise RuntimeError("the session of a graph is closed; make another one")
            self._deadline.start(self._timeout)
            yield
        except NnError as error:
            self._serving.refusals.record("compute", error.code.value, error.text)
            raise
        finally:
            self._deadline.stop()
            self._calls += 1
            self.last_seconds = time.perf_counter() - started
            self._seconds += self.last_seconds
            self._in_use.release()

    def _wrapped(self, inputs: Mapping[str, TensorSource | Elements]) -> Sequence[NamedTensor]:
        wrapped: list[NamedTensor] = []
        try:
            for name, source in require_type("`inputs`", inputs, Mapping, 'a dict, such as {"x": x}').items():
                require_text("the name of an input", name)
                wrapped.append((name, self._serving.wrap(source, None, None)))
        except BaseException:
            for _, tensor in wrapped:
                tensor.drop()
            raise
        return wrapped

    def _read(self, outputs: list[NamedTensor], read: Callable[[Tensor], T]) -> dict[str, T]:
        try:
            return {name: read(tensor) for name, tensor in outputs}
        finally:
            for _, tensor in outputs:
                tensor.drop()

    def _close(self) -> None:
        if not self._in_use.acquire(blocking=False):
            raise RuntimeError("the session of a graph cannot be closed while it computes; let it return")
        try:
            if self._is_closed:
                return
            self._is_closed = True
            del self._context, self._lease
            self._serving.close()
            self._tally.end_session("success", self._serving, self._calls, self._seconds)
        finally:
            self._in_use.release()
