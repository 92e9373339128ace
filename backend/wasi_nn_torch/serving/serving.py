"""The operations of wasi-nn for the guest of one session, in terms that all versions of wasi-nn share."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from wasi_nn_torch.contract.arguments import require_whole
from wasi_nn_torch.contract.backend import (
    Backend,
    BackendSession,
    Context,
    ExchangesTensors,
    Isolable,
    IsolatesModels,
    MakesTensors,
)
from wasi_nn_torch.contract.batching import MakesRequests
from wasi_nn_torch.contract.elements import Elements
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import Ledger, LedgerSnapshot
from wasi_nn_torch.contract.policy import GuestModels, Release
from wasi_nn_torch.contract.tensor import Tensor, TensorSource
from wasi_nn_torch.contract.vocabulary import ElementType, Encoding, ExecutionTarget
from wasi_nn_torch.serving.backends import Backends
from wasi_nn_torch.serving.batching import BatchedContext, Batcher, BatchFigures, Member
from wasi_nn_torch.serving.leases import Lease
from wasi_nn_torch.serving.refusals import Refusals
from wasi_nn_torch.serving.registry import Registry

#: In characters.
_LONGEST_NAME = 1 << 16


class Serving:
    """The operations of wasi-nn for one session; `ledger` counts the tensors and models of its guest.

    `why_none` is why guest-supplied models cannot be isolated on this system, if that is why there are none. `graphs`
    are the names of the operator's graphs that the guest finds; None means all. In the queues of batches, sessions with
    a higher `priority` go first.
    """

    def __init__(
        self,
        backends: Backends,
        registry: Registry,
        ledger: Ledger,
        guest_models: GuestModels = GuestModels.NONE,
        why_none: str = "",
        release: Release = Release.POOL,
        graphs: Collection[str] | None = None,
        priority: int = 0,
    ) -> None:
        self._backends = backends
        self._registry = registry
        self._ledger = ledger
        self._guest_models = guest_models
        self._why_none = why_none
        self._release = release
        self._graphs = graphs
        self._priority = require_whole("`priority`", priority)
        self._members: dict[str, Member] = {}
        #: The batchers that expect this session; made when there is one, since making it takes a microsecond.
        self._batchers: weakref.WeakSet[Batcher] | None = None
        self._sessions: dict[int, BackendSession[Any]] = {}
        self._new_tensor: Callable[[Sequence[int], ElementType, memoryview], Tensor] | None = None
        self._exchanges: ExchangesTensors | None = None
        self._is_closed = False
        #: The errors that the guest was given.
        self.refusals = Refusals()

    def tensor(self, dimensions: Sequence[int], dtype: ElementType, data: memoryview) -> Tensor:
        """Make a tensor from a copy of the guest's bytes (`tensor.constructor`); raises no NnError but `too-large`."""
        if self._new_tensor is None:  # the backend is created when it is first needed
            session = self._session(self._backends.default)
            if not isinstance(session, MakesTensors):
                raise TypeError("the session of the default backend has no method `tensor`")
            self._new_tensor = session.tensor
        return self._new_tensor(dimensions, dtype, data)

    def wrap(self, source: TensorSource | Elements, dimensions: Sequence[int] | None, dtype: object) -> Tensor:
        """Make a tensor of the operator's in this session: see `ExchangesTensors.wrap`.

        Raises RuntimeError if the session has ended.
        """
        if self._is_closed:
            raise RuntimeError("the session has ended, so no guest could use a tensor; make it in another session")
        return self._exchange().wrap(source, dimensions, dtype)

    def take(self, tensor: Tensor) -> object:
        """Take a tensor out of this session, which is one of its own and fits: see `ExchangesTensors.take`."""
        return self._exchange().take(tensor)

    def elements(self, tensor: Tensor) -> Elements:
        """Take the elements of a tensor out of this session: see `ExchangesTensors.elements`."""
        return self._exchange().elements(tensor)

    def require_own(self, tensor: Tensor) -> None:
        """Raise ValueError if a tensor is not one of the live tensors of this session."""
        if self._ledger.has(tensor.content):
            return
        if self._is_closed:
            raise ValueError("the session has ended, and its tensors were dropped; take them before")
        raise ValueError(
            "this tensor belongs to another session; pass it to the guest of that session, or take it there"
        )

    def load(self, builders: Sequence[memoryview], encoding: Encoding, target: ExecutionTarget) -> Lease:
        """Load a guest-supplied model (`graph.load`).

        Raises NnError: `security` if the operator does not allow it, `invalid-encoding` if the bytes are not a model of
        that encoding or no backend serves it, `invalid-argument` for a wrong number of builders,
        `unsupported-operation` for a target that this host does not have, `too-large` if there is not enough memory.
        """
        if self._guest_models is GuestModels.NONE:
            reason = f", because it cannot isolate them ({self._why_none})" if self._why_none else ""
            raise NnError(
                ErrorCode.SECURITY,
                f"this host does not accept models from guests{reason}; load a graph by its name, or ask the operator "
                "to allow them with `--guest-models`, in Python `Engine(guest_models=…)`",
            )
        if encoding is Encoding.AUTODETECT:
            found = self._recognize(builders)
            encoding = found[0] if found is not None else Encoding.PYTORCH
        backend = self._backends.find(encoding)
        if backend is None:
            raise self._no_backend(encoding, builders)
        if self._guest_models is GuestModels.ISOLATED and isinstance(backend, Isolable):
            default = self._session(self._backends.default)
            if not isinstance(default, IsolatesModels):
                raise TypeError("the session of the default backend has no method `load_isolated`")
            return Lease(self._backends.default, default.load_isolated(encoding, builders, target))
        return Lease(backend, self._session(backend).load(builders, target))

    def load_by_name(self, name: str, device: str | None = None) -> Lease:
        """Lease one of the operator's graphs (`graph.load-by-name`), by default on the device of its registration.

        Raises NnError as `Registry.graph` does, and `not-found` for a name that is too long to be looked up. A graph
        that is kept from this guest is answered like one that does not exist.
        """
        if len(name) > _LONGEST_NAME:
            text = f"the name of a graph has {len(name)} characters (limit {_LONGEST_NAME})"
            raise NnError(ErrorCode.NOT_FOUND, text)
        return self._registry.graph(name, device, self._graphs)

    def context(self, lease: Lease) -> Context:
        """Make a context for a graph (`graph.init-execution-context`); raises NnError."""
        context = lease.context(self._session(lease.backend))
        batcher = lease.batcher
        if batcher is None or not isinstance(context, MakesRequests):
            return context
        if self._batchers is None:
            self._batchers = weakref.WeakSet()
        self._batchers.add(batcher)
        member = self._members.setdefault(batcher.name, Member(self._priority))
        return BatchedContext(context, batcher, member, self._ledger.deadline)

    @property
    def batching(self) -> Mapping[str, BatchFigures]:
        """The figures of the batches that requests of this session were part of, by the names of graphs."""
        return {name: member.tally.figures() for name, member in list(self._members.items())}

    @property
    def was_used(self) -> bool:
        """Whether the guest has used a backend, so that there are figures of it."""
        return bool(self._sessions)

    def snapshot(self) -> LedgerSnapshot:
        """The figures of the session at this moment."""
        return self._ledger.snapshot(sum(session.idle_bytes for session in list(self._sessions.values())))

    def close(self) -> None:
        """Drop everything that the guest left behind; a second call does nothing."""
        self._is_closed = True
        self._ledger.sweep()
        for batcher in self._batchers or ():
            batcher.forget(self._members[batcher.name])
        for session in self._sessions.values():
            session.close()
        if self._release is Release.DRIVER:
            self._backends.trim()

    def _exchange(self) -> ExchangesTensors:
        if self._exchanges is None:
            session = self._session(self._backends.default)
            if not isinstance(session, ExchangesTensors):
                raise TypeError("the session of the default backend has no methods `wrap` and `take`")
            self._exchanges = session
        return self._exchanges

    def _session(self, backend: Backend[Any]) -> BackendSession[Any]:
        """A backend's part of this session, opened when it is first needed."""
        session = self._sessions.get(id(backend))
        if session is None:
            session = self._sessions[id(backend)] = backend.session(self._ledger)
        return session

    def _recognize(self, builders: Sequence[memoryview]) -> tuple[Encoding, str] | None:
        return self._backends.recognize(builders[0]) if len(builders) == 1 else None

    def _no_backend(self, encoding: Encoding, builders: Sequence[memoryview]) -> NnError:
        """The error for an encoding without a backend, with advice that depends on the format of the bytes."""
        found = self._recognize(builders)
        if found is not None:
            advice = f"the model is {found[1]}: load it as {found[0].value}"
        else:
            served = " or ".join(encoding.value for encoding in self._backends.encodings)
            advice = f"supply a model for {served}"
        return NnError(
            ErrorCode.INVALID_ENCODING, f"this host has no backend for the encoding {encoding.value}; {advice}"
        )
