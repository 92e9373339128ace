"""A request from its inputs to its outputs, and the computation of several at once."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.contract.frames import release_frames
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.tensor import NamedTensor

logger = logging.getLogger(__name__)

M = TypeVar("M")
M_contra = TypeVar("M_contra", contravariant=True)


class Part(Protocol[M_contra]):
    """What an engine has of one request; `M` is what the engine makes of it."""

    def prepare(self, inputs: Sequence[NamedTensor]) -> tuple[Hashable, int, int]:
        """Check the inputs and move them to the device; return their kind, their rows, and their bytes there.

        Raises NnError, or any exception of the engine.
        """
        ...

    def outputs(self, made: M_contra) -> list[NamedTensor]:
        """What was made, as tensors of the session; may raise as `prepare` does."""
        ...

    def release(self) -> None:
        """Give up the inputs, on whose memory outputs may be."""
        ...

    def drop(self) -> None:
        """Drop everything; a second call does nothing."""
        ...

    def failure(self, error: Exception) -> NnError:
        """The error that the guest gets for an exception, which refers to no frame."""
        ...


P = TypeVar("P", bound=Part)  # type: ignore[type-arg]  # of any M


class Pending(Generic[P, M]):
    """See `wasi_nn_torch.contract.Request`; the engine has its `part` of it, whose copy for a batch is in `place`.

    The constructor raises NnError, after dropping the inputs, if they do not fit.
    """

    __slots__ = ("_failure", "_held", "_inputs", "_ledger", "_made", "_place", "_started", "kind", "part", "rows")

    def __init__(self, part: P, inputs: Sequence[NamedTensor], ledger: Ledger, place: str) -> None:
        self._started: float | None = time.perf_counter()
        self._inputs = inputs
        self._ledger = ledger
        self._place = place
        self._made: M | None = None
        self._failure: NnError | None = None
        #: The bytes that the session has in the inputs of the batch, which are copies.
        self._held = 0
        self.part = part
        #: See `wasi_nn_torch.contract.Request`.
        self.kind: Hashable = None
        self.rows, nbytes = 1, 0
        try:
            self.kind, self.rows, nbytes = part.prepare(inputs)
        except Exception as error:  # noqa: BLE001  # engines have no common class for their exceptions
            self._fail(error)
        if self._failure is not None:
            self.drop()
            raise self._failure
        if self.kind is not None:
            self._hold_copy(nbytes)

    @property
    def has_failed(self) -> bool:
        """See `wasi_nn_torch.contract.Request`."""
        return self._failure is not None

    def compute(self, call: Callable[[P], M]) -> None:
        """Compute it by itself."""
        try:
            self._made = call(self.part)
        except Exception as error:  # noqa: BLE001  # a model may raise anything
            self._fail(error)

    def keep(self, made: M) -> None:
        """Take its part of what was made of several."""
        self._made = made

    def outputs(self) -> list[NamedTensor]:
        """See `wasi_nn_torch.contract.Request`."""
        made, self._made = self._made, None
        failure, self._failure = self._failure, None
        if failure is None and made is not None:
            self.part.release()
            try:
                return self.part.outputs(made)
            except Exception as error:  # noqa: BLE001  # as for a computation
                self._fail(error)
                failure, self._failure = self._failure, None
        if failure is None:
            raise RuntimeError("this request was not computed, or its outputs were fetched before")
        try:
            raise failure
        finally:
            del failure  # or else the exception and this frame would keep each other alive

    def drop(self) -> None:
        """See `wasi_nn_torch.contract.Request`."""
        started, self._started = self._started, None
        if started is None:
            return
        self._made = None
        self.part.drop()
        for _, tensor in self._inputs:
            tensor.drop()
        if self._held:
            self._ledger.release(self._place, self._held)
        self._ledger.record_compute(time.perf_counter() - started)

    def _hold_copy(self, nbytes: int) -> None:
        """Count the copy of the inputs as the session's; if it has no room for it, the request is computed alone."""
        try:
            self._ledger.grant(self._place, nbytes, "the copy of inputs that are joined")
        except NnError:
            self.kind = None
            return
        self._ledger.hold(self._place, nbytes)
        self._held = nbytes

    def _fail(self, error: Exception) -> None:
        self._failure = self.part.failure(error)
        release_frames(error)


def compute_together(requests: Sequence[Pending[P, M]], call: Callable[[list[P], list[int]], Sequence[M]]) -> bool:
    """Compute requests of one kind with one `call`, to which their parts and rows are given.

    Returns whether that succeeded; if not, nothing has changed.
    """
    rows = [request.rows for request in requests]
    try:
        made = call([request.part for request in requests], rows)
    except Exception as error:  # noqa: BLE001  # a model may raise anything
        if logger.isEnabledFor(logging.DEBUG):  # as text, since a record with the error would keep its frames alive
            failure = "".join(traceback.format_exception(error))
            logger.debug("the computation of %d rows together failed\n%s", sum(rows), failure)
        release_frames(error)
        return False
    except BaseException as interruption:  # which may be kept by whoever gets it, with tensors of others
        release_frames(interruption)
        raise
    for request, part in zip(requests, made, strict=True):
        request.keep(part)
    return True
