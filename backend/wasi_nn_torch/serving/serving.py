"""The operations of wasi-nn for one session's guest, in whatever version of wasi-nn it calls them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wasi_nn_torch.contract.backend import Backend, BackendSession, Context, MakesTensors
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import Ledger, LedgerSnapshot
from wasi_nn_torch.contract.policy import GuestModels, Release
from wasi_nn_torch.contract.tensor import Tensor
from wasi_nn_torch.contract.vocabulary import ElementType, Encoding, ExecutionTarget
from wasi_nn_torch.serving.backends import Backends
from wasi_nn_torch.serving.leases import Lease
from wasi_nn_torch.serving.refusals import Refusals
from wasi_nn_torch.serving.registry import Registry


class Serving:
    """The operations of wasi-nn for one session; the tensors and models of its guest are counted in `ledger`."""

    def __init__(
        self,
        backends: Backends,
        registry: Registry,
        ledger: Ledger,
        guest_models: GuestModels = GuestModels.NONE,
        release: Release = Release.POOL,
    ) -> None:
        self._backends = backends
        self._registry = registry
        self._ledger = ledger
        self._guest_models = guest_models
        self._release = release
        self._sessions: dict[int, BackendSession[Any]] = {}
        self._new_tensor: Callable[[Sequence[int], ElementType, memoryview], Tensor] | None = None
        #: The errors that the guest was given.
        self.refusals = Refusals()

    def tensor(self, dimensions: Sequence[int], dtype: ElementType, data: memoryview) -> Tensor:
        """A tensor on a copy of the guest's bytes (`tensor.constructor`); raises NnError `too-large` only."""
        if self._new_tensor is None:  # the backend is made when it is first needed
            session = self._session(self._backends.default)
            if not isinstance(session, MakesTensors):
                raise TypeError("the session of the default backend has no method `tensor`")
            self._new_tensor = session.tensor
        return self._new_tensor(dimensions, dtype, data)

    def load(self, builders: Sequence[memoryview], encoding: Encoding, target: ExecutionTarget) -> Lease:
        """Load a guest-supplied model (`graph.load`).

        Raises NnError: `security` if policy forbids it, `invalid-encoding` if the bytes are not a model of that
        encoding or no backend serves it, `invalid-argument` for another number of builders than the encoding has,
        `unsupported-operation` for a target that this host does not have, `too-large` if memory does not suffice.
        """
        if self._guest_models is GuestModels.NONE:
            raise NnError(
                ErrorCode.SECURITY,
                "this host takes no models from guests; use a graph that it offers, by its name, or let its operator "
                'allow models with `--guest-models checked`, in Python `Engine(guest_models="checked")`',
            )
        if encoding is Encoding.AUTODETECT:
            found = self._recognize(builders)
            encoding = found[0] if found is not None else Encoding.PYTORCH
        backend = self._backends.find(encoding)
        if backend is None:
            raise self._no_backend(encoding, builders)
        return Lease(backend, self._session(backend).load(builders, target))

    def load_by_name(self, name: str, device: str | None = None) -> Lease:
        """A graph of the operator (`graph.load-by-name`), by default on the device where it was registered.

        Raises NnError: `not-found`, and `too-large` if there is no room for it.
        """
        return self._registry.graph(name, device)

    def context(self, lease: Lease) -> Context:
        """A context for a graph (`graph.init-execution-context`); raises NnError."""
        return lease.context(self._session(lease.backend))

    def snapshot(self) -> LedgerSnapshot:
        """The memory of the session at this moment."""
        return self._ledger.snapshot(sum(session.idle_bytes for session in list(self._sessions.values())))

    def close(self) -> None:
        """Drop everything that the guest left; the second time does nothing."""
        self._ledger.sweep()
        for session in self._sessions.values():
            session.close()
        if self._release is Release.DRIVER:
            self._backends.trim()

    def _session(self, backend: Backend[Any]) -> BackendSession[Any]:
        """A backend's part of this session, which is opened when it is first needed."""
        session = self._sessions.get(id(backend))
        if session is None:
            session = self._sessions[id(backend)] = backend.session(self._ledger)
        return session

    def _recognize(self, builders: Sequence[memoryview]) -> tuple[Encoding, str] | None:
        return self._backends.recognize(bytes(builders[0])) if len(builders) == 1 else None

    def _no_backend(self, encoding: Encoding, builders: Sequence[memoryview]) -> NnError:
        """The error for an encoding without a backend, after a look at the format of the bytes."""
        found = self._recognize(builders)
        if found is not None:
            advice = f"the model is {found[1]}: load it as {found[0].value}"
        else:
            served = " or ".join(encoding.value for encoding in self._backends.encodings)
            advice = f"bring a model for {served}"
        return NnError(
            ErrorCode.INVALID_ENCODING, f"this host has no backend for the encoding {encoding.value}; {advice}"
        )
