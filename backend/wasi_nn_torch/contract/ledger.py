"""The ledger of a session: it counts tensors, bytes, copies and computations, and enforces the quotas."""

from __future__ import annotations

import threading
import weakref
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Protocol

from wasi_nn_torch.contract.deadline import Deadline
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.limiting import advice
from wasi_nn_torch.contract.text import quote

#: The place of bytes that came from a guest and that no graph has used yet.
STAGING = "host staging"

#: The advice to a guest that has reached a limit, before the one to its operator.
_DROP = "drop tensors that are no longer needed, or ask the operator to "


class Transfer(Enum):
    """The direction of a copy."""

    # Used for every tensor, and faster than that of `Enum`, which is computed in Python.
    __hash__ = object.__hash__

    GUEST_TO_HOST = "host"
    HOST_TO_DEVICE = "h2d"
    DEVICE_TO_HOST = "d2h"
    DEVICE_TO_DEVICE = "d2d"


class Held(Protocol):
    """Something that holds memory until it is dropped."""

    def drop(self) -> None:
        """Free the memory now; a second call does nothing."""
        ...


@dataclass(frozen=True)
class PlaceFigures:
    """The bytes and tensors in one place now, and the highest numbers so far.

    Bytes are those of the tensors' elements, of guest-supplied models, and of the state of contexts.
    """

    bytes: int
    tensors: int
    peak_bytes: int
    peak_tensors: int


@dataclass(frozen=True)
class TransferFigures:
    """The copies in one direction."""

    copies: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class LedgerSnapshot:
    """The figures of one moment, which can be copied and pickled.

    `places` is keyed by device name, and by `STAGING` for the host's staging copies. `compute_seconds` is the time that
    the host spent in `compute`, also while it waited for a batch; an accelerator may still be working when that
    returns. `idle_bytes` is the staging memory of dropped tensors that is kept for new ones; it is not part of any
    place.
    """

    places: Mapping[str, PlaceFigures]
    transfers: Mapping[Transfer, TransferFigures]
    computes: int
    compute_seconds: float
    idle_bytes: int

    @property
    def live_bytes(self) -> int:
        """The bytes in use now, in all places."""
        return sum(place.bytes for place in self.places.values())

    @property
    def live_tensors(self) -> int:
        """The tensors that are alive now, in all places."""
        return sum(place.tensors for place in self.places.values())

    def to_dict(self) -> dict[str, object]:
        """These figures for JSON, with the names of the fields as keys, also those of `PlaceFigures`."""
        return {
            "places": {name: asdict(figures) for name, figures in self.places.items()},
            "transfers": transfers_to_dict(self.transfers),
            "computes": self.computes,
            "compute_seconds": self.compute_seconds,
            "idle_bytes": self.idle_bytes,
        }


def transfers_to_dict(transfers: Mapping[Transfer, TransferFigures]) -> dict[str, object]:
    """Transfers for JSON, by direction: `guest_to_host`, `host_to_device`, `device_to_host`, `device_to_device`."""
    return {transfer.name.lower(): asdict(figures) for transfer, figures in transfers.items()}


@dataclass(slots=True)
class _Quota:
    """The bytes that are used in one place, or in several together, and the maximum of them."""

    limit: int | None
    used: int = 0


@dataclass(slots=True)
class _Place:
    quota: _Quota
    bytes: int = 0
    tensors: int = 0
    peak_bytes: int = 0
    peak_tensors: int = 0

    def add(self, nbytes: int, tensors: int = 1) -> None:
        self.quota.used += nbytes
        self.bytes += nbytes
        self.tensors += tensors
        if self.bytes > self.peak_bytes:  # faster than `max`, and done for every tensor
            self.peak_bytes = self.bytes
        if self.tensors > self.peak_tensors:
            self.peak_tensors = self.tensors

    def remove(self, nbytes: int, tensors: int = 1) -> None:
        self.quota.used -= nbytes
        self.bytes -= nbytes
        self.tensors -= tensors


@dataclass(slots=True)
class _Copies:
    copies: int = 0
    bytes: int = 0


class _Places(dict[str, _Place]):
    """The places by name; each is made when it is first used."""

    def __init__(self, staging: _Quota, devices: _Quota) -> None:
        self.staging = staging
        self.devices = devices

    def __missing__(self, name: str) -> _Place:
        place = self[name] = _Place(self.quota(name))
        return place

    def quota(self, name: str) -> _Quota:
        """The quota that a place shares with others: all devices have one together."""
        return self.staging if name == STAGING else self.devices


@dataclass
class _Figures:
    places: _Places
    transfers: dict[Transfer, _Copies] = field(default_factory=lambda: defaultdict(_Copies))
    computes: int = 0
    compute_seconds: float = 0.0


class Ledger:
    """Counts what one session holds, and knows each of its live tensors.

    `device_limit` is the maximum of bytes on all devices together, including the CPU for tensors that a graph uses
    there: tensors, guest-supplied models, and the state of contexts. `host_limit` is the maximum for staging; as much
    again may be kept for new tensors. `tensor_limit` is the maximum number of tensors in all places together. None
    means no limit.

    Tensors, which leave before they die, are known by weak references: they refer to their ledger, so a strong
    reference back would make a cycle that keeps device memory until the next garbage collection.
    """

    def __init__(
        self,
        device_limit: int | None = None,
        host_limit: int | None = None,
        tensor_limit: int | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        self.device_limit = device_limit
        self.host_limit = host_limit
        self.tensor_limit = tensor_limit
        #: The end of the guest's time, for backends that wait.
        self.deadline = deadline or Deadline()
        self._live: dict[int, weakref.ref[Held]] = {}
        self._figures = _Figures(_Places(_Quota(host_limit), _Quota(device_limit)))
        # A tensor can die, and so leave, during any operation of the same thread.
        self._lock = threading.RLock()

    def grant(self, place: str, nbytes: int, what: str, name: str | None = None) -> None:
        """Raise NnError `too-large` if `nbytes` more in `place` would exceed the limit; call it before memory is taken.

        The error text says `what` needs the bytes, and the `name` that a guest or a model gave it.
        """
        quota = self._figures.places.quota(place)
        used = quota.used  # once, as other threads may change it
        if quota.limit is not None and used + nbytes > quota.limit:
            if name is not None:
                what = f"{what} {quote(name)}"
            exceeded = "host_bytes" if place == STAGING else "device_bytes"
            raise NnError(
                ErrorCode.TOO_LARGE,
                f"{what} needs {nbytes} bytes on {place}, but this guest already uses {used} (limit {quota.limit}); "
                f"{_DROP}{advice(exceeded)}",
                exceeded,
            )

    def grant_tensor(self, place: str, nbytes: int, what: str, name: str | None = None) -> None:
        """Raise NnError `too-large` if one more tensor of `nbytes` in `place` would exceed a limit; as `grant`."""
        self.grant_one_more(what, name)
        self.grant(place, nbytes, what, name)

    def grant_one_more(self, what: str, name: str | None = None) -> None:
        """Raise NnError `too-large` if one more tensor would exceed the limit; `what` and `name` as in `grant`."""
        held = len(self._live)
        if self.tensor_limit is not None and held >= self.tensor_limit:
            if name is not None:
                what = f"{what} {quote(name)}"
            raise NnError(
                ErrorCode.TOO_LARGE,
                f"{what} is one tensor too many: this guest already has {held} (limit {self.tensor_limit}); "
                f"{_DROP}{advice('tensors')}",
                "tensors",
            )

    def enter(self, held: Held, place: str, nbytes: int, transfer: Transfer | None = None) -> None:
        """Start to count `nbytes` of `held` in `place`, and the copy in the direction `transfer` that made it."""
        with self._lock:
            self._live[id(held)] = weakref.ref(held)
            self._figures.places[place].add(nbytes)
            if transfer is not None:
                self._count(transfer, nbytes)

    def move(self, source: str, target: str, nbytes: int) -> None:
        """Count `nbytes` in `target` instead of `source`; for a moment they count in both, as the peaks show."""
        with self._lock:
            self._figures.places[target].add(nbytes)
            self._figures.places[source].remove(nbytes)

    def leave(self, held: Held, place: str, nbytes: int) -> None:
        """Stop counting `nbytes` of `held`."""
        with self._lock:
            self._live.pop(id(held), None)
            self._figures.places[place].remove(nbytes)

    def has(self, held: Held) -> bool:
        """Whether `held` is one of the live tensors of this session."""
        with self._lock:
            reference = self._live.get(id(held))
        return reference is not None and reference() is held

    def enter_other(self, holder: object, place: str, nbytes: int) -> None:
        """Count memory other than the guest's tensors, such as a model's weights, for as long as `holder` is alive."""
        self.hold(place, nbytes)
        weakref.finalize(holder, self.release, place, nbytes).atexit = False

    def hold(self, place: str, nbytes: int) -> None:
        """Count memory other than the guest's tensors until `release`."""
        with self._lock:
            self._figures.places[place].add(nbytes, tensors=0)

    def release(self, place: str, nbytes: int) -> None:
        """Stop counting memory that was counted by `hold`."""
        with self._lock:
            self._figures.places[place].remove(nbytes, tensors=0)

    def record_transfer(self, transfer: Transfer, nbytes: int) -> None:
        """Count one copy."""
        with self._lock:
            self._count(transfer, nbytes)

    def _count(self, transfer: Transfer, nbytes: int) -> None:
        copies = self._figures.transfers[transfer]
        copies.copies += 1
        copies.bytes += nbytes

    def record_compute(self, seconds: float) -> None:
        """Count one `compute`, successful or not."""
        with self._lock:
            self._figures.computes += 1
            self._figures.compute_seconds += seconds

    def sweep(self) -> int:
        """Drop every tensor that is still alive, after which all live figures are zero; return how many there were."""
        if not self._live:
            return 0
        with self._lock:
            left_behind = [held for reference in list(self._live.values()) if (held := reference()) is not None]
        for held in left_behind:
            held.drop()
        return len(left_behind)

    def snapshot(self, idle_bytes: int = 0) -> LedgerSnapshot:
        """The figures of this moment, with the `idle_bytes` that the backends report."""
        with self._lock:
            figures = self._figures
            places = {
                name: PlaceFigures(place.bytes, place.tensors, place.peak_bytes, place.peak_tensors)
                for name, place in figures.places.items()
            }
            made = {transfer: TransferFigures(each.copies, each.bytes) for transfer, each in figures.transfers.items()}
            return LedgerSnapshot(
                places=places,
                transfers={**_NO_TRANSFERS, **made} if made else _NO_TRANSFERS,
                computes=figures.computes,
                compute_seconds=figures.compute_seconds,
                idle_bytes=idle_bytes,
            )


#: The transfers of a session without any.
_NO_TRANSFERS: Mapping[Transfer, TransferFigures] = {transfer: TransferFigures() for transfer in Transfer}
