"""What one session's guest may ask for, in whatever version of wasi-nn it asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wasi_nn_torch.contract.backend import Context, Graph, Tensor
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.policy import GuestModels, Release
from wasi_nn_torch.contract.vocabulary import ElementType, Encoding, ExecutionTarget
from wasi_nn_torch.serving.backends import Backends
from wasi_nn_torch.serving.refusals import Refusals
from wasi_nn_torch.serving.registry import Registry


class Serving:
    """The operations of wasi-nn for one session; what the guest holds is counted in `ledger`."""

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
        self._new_tensor: Callable[[Sequence[int], ElementType, memoryview, Ledger], Tensor] | None = None
        self.refusals = Refusals()
        """The errors that the guest was given."""

    def tensor(self, dimensions: Sequence[int], dtype: ElementType, data: memoryview) -> Tensor:
        """A tensor on a copy of the guest's bytes (`tensor.constructor`); raises NnError `too-large` only."""
        if self._new_tensor is None:  # the backend is made when it is first needed
            self._new_tensor = self._backends.default.tensor
        return self._new_tensor(dimensions, dtype, data, self._ledger)

    def load(self, builders: Sequence[memoryview], encoding: Encoding, target: ExecutionTarget) -> Graph:
        """Load a model from a guest's bytes (`graph.load`).

        Raises NnError: `security` where policy forbids it, `invalid-encoding` where the bytes are no model of that
        encoding or it has no backend, `invalid-argument` for another number of builders than the encoding has,
        `unsupported-operation` for a target that this host does not have, `too-large` where memory does not suffice.
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
        return backend.load_from_guest(builders, target, self._ledger)

    def load_by_name(self, name: str, device: str | None = None) -> Graph:
        """A graph of the operator (`graph.load-by-name`), by default where the operator wants it.

        Raises NnError: `not-found`, and `too-large` where there is no room for it.
        """
        return self._registry.graph(name, device)

    def context(self, graph: Graph) -> Context:
        """A context for a graph (`graph.init-execution-context`); raises NnError."""
        return graph.context(self._ledger)

    def close(self) -> None:
        """Drop whatever the guest left behind; the second time is fine."""
        self._ledger.sweep()
        if self._release is Release.DRIVER:
            self._backends.trim()

    def _recognize(self, builders: Sequence[memoryview]) -> tuple[Encoding, str] | None:
        return self._backends.recognize(bytes(builders[0])) if len(builders) == 1 else None

    def _no_backend(self, encoding: Encoding, builders: Sequence[memoryview]) -> NnError:
        """The error for an encoding without a backend, after a look at what the bytes are in truth."""
        found = self._recognize(builders)
        if found is not None:
            advice = f"the model is {found[1]}: load it as {found[0].value}"
        else:
            served = " or ".join(encoding.value for encoding in self._backends.encodings)
            advice = f"bring a model for {served}"
        return NnError(
            ErrorCode.INVALID_ENCODING, f"this host has no backend for the encoding {encoding.value}; {advice}"
        )
