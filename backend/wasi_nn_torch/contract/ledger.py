"""What lives where, counted: one ledger for each session, from which every figure and every quota comes."""

from __future__ import annotations

import threading
import weakref
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Protocol

from wasi_nn_torch.contract.errors import ErrorCode, NnError, quote

STAGING = "host staging"
"""The place of bytes that a guest has handed over and no graph has used yet."""


class Transfer(Enum):
    """A way along which bytes are copied."""

    GUEST_TO_HOST = "host"
    HOST_TO_DEVICE = "h2d"
    DEVICE_TO_HOST = "d2h"
    DEVICE_TO_DEVICE = "d2d"


class Held(Protocol):
    """Something that holds memory until it is dropped."""

    def drop(self) -> None:
        """Free the memory now; a second call does nothing."""
        ...


class Idle(Protocol):
    """Memory of the host that tensors left behind, and that the next ones use."""

    @property
    def nbytes(self) -> int:
        """How much there is."""
        ...

    def clear(self) -> None:
        """Free it."""
        ...


@dataclass(frozen=True)
class PlaceFigures:
    """What lives in one place now, and the most that ever did.

    Bytes are those of the tensors' elements, of models that the guest brought along, and of the state of contexts.
    """

    bytes: int
    tensors: int
    peak_bytes: int
    peak_tensors: int


@dataclass(frozen=True)
class TransferFigures:
    """What was copied along one way."""

    copies: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class LedgerSnapshot:
    """The figures of one moment, which can be copied and pickled.

    `places` is keyed by device name, and by `STAGING` for the host's staging copies. `compute_seconds` is the time that
    the host spent in `compute`; an accelerator may still be at work when that returns. `idle_bytes` is staging memory
    that tensors left behind, and that the next ones use; it is part of no place.
    """

    places: Mapping[str, PlaceFigures]
    transfers: Mapping[Transfer, TransferFigures]
    computes: int
    compute_seconds: float
    idle_bytes: int

    @property
    def live_bytes(self) -> int:
        """Bytes that live now, over all places."""
        return sum(place.bytes for place in self.places.values())

    @property
    def live_tensors(self) -> int:
        """Tensors that live now, over all places."""
        return sum(place.tensors for place in self.places.values())

    def to_dict(self) -> dict[str, object]:
        """These figures as JSON can have them, with the same keys; those of a place and a way are as in their class."""
        return {
            "places": {name: asdict(figures) for name, figures in self.places.items()},
            "transfers": transfers_to_dict(self.transfers),
            "computes": self.computes,
            "compute_seconds": self.compute_seconds,
            "idle_bytes": self.idle_bytes,
        }


def transfers_to_dict(transfers: Mapping[Transfer, TransferFigures]) -> dict[str, object]:
    """Transfers as JSON can have them: `guest_to_host`, `host_to_device`, `device_to_host`, `device_to_device`."""
    return {way.name.lower(): asdict(figures) for way, figures in transfers.items()}


@dataclass
class _Place:
    bytes: int = 0
    tensors: int = 0
    peak_bytes: int = 0
    peak_tensors: int = 0

    def add(self, nbytes: int, tensors: int = 1) -> None:
        self.bytes += nbytes
        self.tensors += tensors
        if self.bytes > self.peak_bytes:  # not by `max`, since this is done for every tensor
            self.peak_bytes = self.bytes
        if self.tensors > self.peak_tensors:
            self.peak_tensors = self.tensors

    def remove(self, nbytes: int, tensors: int = 1) -> None:
        self.bytes -= nbytes
        self.tensors -= tensors


@dataclass
class _Way:
    copies: int = 0
    bytes: int = 0


@dataclass
class _Figures:
    places: dict[str, _Place] = field(default_factory=lambda: defaultdict(_Place))
    ways: dict[Transfer, _Way] = field(default_factory=lambda: defaultdict(_Way))
    computes: int = 0
    compute_seconds: float = 0.0


class Ledger:
    """Counts what one session holds, and knows each of its live tensors.

    `device_limit` is the most bytes that may live on devices at a time, the CPU included once a graph uses it there:
    tensors, models that the guest brought along, and the state of contexts. `host_limit` is the same for staging, of
    which as much may wait to be used again; `tensor_limit` is the most tensors in all places together. None grants
    everything.

    The tensors, which leave before they die, are known by weak references: they refer to their ledger, so that a strong
    reference back would be a cycle that keeps device memory until some garbage collection.
    """

    def __init__(
        self, device_limit: int | None = None, host_limit: int | None = None, tensor_limit: int | None = None
    ) -> None:
        self._device_limit = device_limit
        self.host_limit = host_limit
        self._tensor_limit = tensor_limit
        self.idle: Idle | None = None  # set by the backend that keeps some
        self._live: dict[int, weakref.ref[Held]] = {}
        self._figures = _Figures()
        # A tensor can die, and so leave, in the midst of any operation of the same thread.
        self._lock = threading.RLock()

    def grant(self, place: str, nbytes: int, what: str, name: str | None = None) -> None:
        """Raise NnError `too-large` if `nbytes` in `place` would pass the limit, before memory is taken.

        `what` they are for, and the `name` that a guest or a model gave it, are what the text says.
        """
        limit = self.host_limit if place == STAGING else self._device_limit
        if limit is None:
            return
        with self._lock:
            used = sum(figures.bytes for name, figures in self._figures.places.items() if _same_quota(name, place))
        if used + nbytes > limit:
            if name is not None:
                what = f"{what} {quote(name)}"
            raise NnError(
                ErrorCode.TOO_LARGE,
                f"{what} needs {nbytes} bytes on {place}, but {used} of the {limit} that this guest may use are taken; "
                "drop tensors that are no longer needed, or let the operator raise the limit",
            )

    def grant_one_more(self, what: str, name: str | None = None) -> None:
        """Raise NnError `too-large` if one more tensor would pass the limit; `what` it is, and its `name`, as above."""
        if self._tensor_limit is None:
            return
        with self._lock:
            held = len(self._live)
        if held >= self._tensor_limit:
            if name is not None:
                what = f"{what} {quote(name)}"
            raise NnError(
                ErrorCode.TOO_LARGE,
                f"{what} is one tensor too many: this guest has {held}, and may have {self._tensor_limit} at a time; "
                "drop tensors that are no longer needed, or let the operator raise the limit",
            )

    def enter(self, held: Held, place: str, nbytes: int) -> None:
        """Count `nbytes` of `held` in `place` from now on."""
        with self._lock:
            self._live[id(held)] = weakref.ref(held)
            self._figures.places[place].add(nbytes)

    def move(self, source: str, target: str, nbytes: int) -> None:
        """Count `nbytes` in `target` and no longer in `source`; for a moment they are in both, and so are the peaks."""
        with self._lock:
            self._figures.places[target].add(nbytes)
            self._figures.places[source].remove(nbytes)

    def leave(self, held: Held, place: str, nbytes: int) -> None:
        """Count `nbytes` of `held` no longer."""
        with self._lock:
            self._live.pop(id(held), None)
            self._figures.places[place].remove(nbytes)

    def enter_other(self, holder: object, place: str, nbytes: int) -> None:
        """Count what is no tensor of the guest, such as a model's weights, until nobody refers to `holder` any more."""
        with self._lock:
            self._figures.places[place].add(nbytes, tensors=0)
        weakref.finalize(holder, self._leave_other, place, nbytes).atexit = False

    def _leave_other(self, place: str, nbytes: int) -> None:
        with self._lock:
            self._figures.places[place].remove(nbytes, tensors=0)

    def record_transfer(self, transfer: Transfer, nbytes: int) -> None:
        """Count one copy."""
        with self._lock:
            way = self._figures.ways[transfer]
            way.copies += 1
            way.bytes += nbytes

    def record_compute(self, seconds: float) -> None:
        """Count one `compute`, successful or not."""
        with self._lock:
            self._figures.computes += 1
            self._figures.compute_seconds += seconds

    def sweep(self) -> int:
        """Drop every tensor that is still alive and return how many there were; all live figures are zero then.

        Staging memory that waits to be used again goes free.
        """
        with self._lock:
            left_behind = [held for reference in list(self._live.values()) if (held := reference()) is not None]
        for held in left_behind:
            held.drop()
        if self.idle is not None:
            self.idle.clear()
        return len(left_behind)

    def snapshot(self) -> LedgerSnapshot:
        """Return the figures of this moment; they do not change afterwards."""
        with self._lock:
            figures = self._figures
            places = {
                name: PlaceFigures(place.bytes, place.tensors, place.peak_bytes, place.peak_tensors)
                for name, place in figures.places.items()
            }
            ways = {transfer: figures.ways.get(transfer, _Way()) for transfer in Transfer}
            return LedgerSnapshot(
                places=places,
                transfers={transfer: TransferFigures(way.copies, way.bytes) for transfer, way in ways.items()},
                computes=figures.computes,
                compute_seconds=figures.compute_seconds,
                idle_bytes=0 if self.idle is None else self.idle.nbytes,
            )


def _same_quota(first: str, second: str) -> bool:
    return (first == STAGING) == (second == STAGING)
