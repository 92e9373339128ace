"""The host's end of a worker: asks, waits no longer than the guest's time, and ends the worker if it misbehaves."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TypeVar

import torch

from wasi_nn_torch.contract.deadline import Deadline
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.pytorch.isolation.blocks import new_block
from wasi_nn_torch.pytorch.isolation.messages import MOST_BYTES, BadAnswer, Reader, Request, Writer, success
from wasi_nn_torch.workers.channel import ChannelClosed, InvalidMessage, Patience
from wasi_nn_torch.workers.confinement import Confinement
from wasi_nn_torch.workers.forkserver import Worker, Workers, shared_workers
from wasi_nn_torch.workers.server_process import WorkerError

logger = logging.getLogger(__name__)

#: The private memory that a worker may take beyond the limit for its tensors: for the interpreter, and for reading a
#: model.
OVERHEAD = 256 << 20

#: The processor time that a worker may take in addition to the guest's time on every thread, in seconds: for a model
#: that computes in threads while the host does not wait for it.
_EXTRA_SECONDS = 10
#: The functions that a worker runs, and that its server runs before.
_TARGET = "wasi_nn_torch.pytorch.isolation.worker:serve"
_PRELOAD = (
    "wasi_nn_torch.pytorch.isolation.worker",
    "wasi_nn_torch.pytorch.isolation.engines:preload",
    "wasi_nn_torch.pytorch.preloading:preload",
)

T = TypeVar("T")


@dataclass(frozen=True)
class SetUp:
    """The first thing that a worker is told: its number of threads, and the limits of its session."""

    threads: int
    device_limit: int | None
    tensor_limit: int | None


class Isolation:
    """Starts a worker for each session that needs one.

    `devices` is whether it may use other devices than the CPU, and `waive` has the parts of the confinement that may be
    lacking; `imports` are modules to import before.
    """

    def __init__(self, devices: bool, waive: frozenset[str], imports: Sequence[str]) -> None:
        self._devices = devices
        self._waive = waive
        self._workers = shared_workers(_TARGET, (*imports, *_PRELOAD))

    def prepare(self) -> None:
        """Start the server of workers without waiting for it; what fails is reported when a worker is started."""
        try:
            self._workers.prepare()
        except WorkerError as error:
            logger.warning("%s", error)

    def wait(self) -> None:
        """Start the server of workers and wait for it; what fails is reported when a worker is started."""
        try:
            self._workers.wait()
        except WorkerError as error:
            logger.warning("%s", error)

    def require(self, device: torch.device) -> None:
        """Raise NnError `unsupported-operation` for a device that guest-supplied models may not use."""
        if device.type != "cpu" and not self._devices:
            raise NnError(
                ErrorCode.UNSUPPORTED_OPERATION,
                f"this host computes guest-supplied models on the CPU, not on {device}; ask for the target cpu, or ask "
                "the operator to allow devices with `--guest-devices`, in Python `Engine(guest_devices=True)`",
            )

    def start(self, ledger: Ledger) -> GuestWorker:
        """Start a worker for the session of a ledger; raises NnError."""
        memory = None if ledger.device_limit is None else ledger.device_limit + OVERHEAD
        confinement = Confinement(
            memory=memory,
            cpu_seconds=_processor_time(ledger.deadline),
            more_time=ledger.deadline.restarts,
            devices=self._devices,
            waive=self._waive,
        )
        return GuestWorker(self._workers, confinement, ledger)


class GuestWorker:
    """The worker of one session, until it ends; used by one thread at a time, except for what is dropped.

    When it ends, all its graphs and tensors end. That is when it crashes, when it sends something that is not an
    answer, and when the guest's time is over while the host waits for it.
    """

    def __init__(self, workers: Workers, confinement: Confinement, ledger: Ledger) -> None:
        self._deadline = ledger.deadline
        self._patience: Patience = ledger.deadline.patience
        self._call = ledger.deadline.starts
        self._worker = _started(workers, confinement, self._patience)
        self._lock = threading.Lock()  # not reentrant: a tensor can die at any time, and must not write into a message
        self._dropped: deque[bytes] = deque()
        self._blocks: dict[int, int] = {}
        self._last_block = 0
        set_up = SetUp(torch.get_num_threads(), ledger.device_limit, ledger.tensor_limit)
        self.ask(Writer(Request.SET_UP).blob(json.dumps(asdict(set_up)).encode()), Reader.end, "starting")

    @property
    def pid(self) -> int:
        """The number of its process, which is no other's until `end` was called."""
        return self._worker.pid

    @property
    def has_ended(self) -> bool:
        """Whether everything in it is lost."""
        return self._worker.has_ended

    def ask(self, request: Writer, parse: Callable[[Reader], T], doing: str, descriptor: int | None = None) -> T:
        """Send a request, and return what `parse` makes of the answer; error texts say that it happened while `doing`.

        Raises NnError: the one that the worker answers, `timeout` if the guest's time is over, and `runtime-error` if
        the worker has ended, or ends.
        """
        with self._lock:
            self._require_alive()
            self._allow_time()
            try:
                self._send(request, descriptor)
                return parse(success(self._worker.channel.receive(self._patience)))
            except (ChannelClosed, InvalidMessage, BadAnswer) as error:
                failure = self._failed(error, doing)
            except NnError as error:
                if error.code is ErrorCode.TIMEOUT:
                    self.end()
                raise
            except BaseException:
                self.end()
                raise
        raise failure

    def drop(self, request: Request, number: int) -> None:
        """Free something in the worker; from any thread, and even while another request is made."""
        self._dropped.append(bytes(Writer(request).number(number).content))
        if self._lock.acquire(blocking=False):
            try:
                if not self.has_ended:
                    self._flush()
            except (ChannelClosed, NnError):
                self.end()
            finally:
                self._lock.release()

    def allocate(self, size: int) -> torch.UntypedStorage:
        """Memory that the worker can read, and nobody but the host can write; raises OSError, MemoryError."""
        self._last_block += 1
        number = self._last_block
        storage, descriptor = new_block(size, self._forget)
        try:
            with self._lock:
                if not self.has_ended:
                    self._share(number, storage.data_ptr(), descriptor, size)
        finally:
            os.close(descriptor)
        return storage

    def block_at(self, address: int) -> int | None:
        """The number of the block that begins at an address, or None if the worker has no such block."""
        return self._blocks.get(address)

    def end(self) -> int:
        """Kill the process, unless it has ended, and return its status; a second call returns the same."""
        self._blocks.clear()
        return self._worker.end()

    def _share(self, number: int, address: int, descriptor: int, size: int) -> None:
        try:
            self._send(Writer(Request.SHARE).number(number, size), descriptor)
        except (ChannelClosed, NnError):
            self.end()
        else:
            self._blocks[address] = number

    def _forget(self, address: int) -> None:
        number = self._blocks.pop(address, None)
        if number is not None:
            self.drop(Request.DROP_BLOCK, number)

    def _send(self, request: Writer, descriptor: int | None) -> None:
        self._flush()
        descriptors = [] if descriptor is None else [descriptor]
        self._worker.channel.send(request.content, descriptors=descriptors, patience=self._patience)

    def _flush(self) -> None:
        while self._dropped:
            self._worker.channel.send(self._dropped.popleft(), patience=self._patience)

    def _allow_time(self) -> None:
        """Give the process as much processor time as this call of the guest may take, once for each call."""
        if self._deadline.restarts and self._call != self._deadline.starts:
            self._call = self._deadline.starts
            seconds = _processor_time(self._deadline)
            if seconds is not None:
                with suppress(OSError):  # it has ended, which the request will find
                    self._worker.allow_time(seconds)

    def _require_alive(self) -> None:
        if self.has_ended:
            raise NnError(
                ErrorCode.RUNTIME_ERROR,
                f"the process with the models of this guest has ended ({_spell(self.end())}); load them again",
            )

    def _failed(self, error: Exception, doing: str) -> NnError:
        status = self.end()
        if not isinstance(error, ChannelClosed):
            logger.warning("a worker process was ended, since it sent something that is not an answer: %s", error)
            reason = "sent something that is not an answer, and was ended"
        else:
            reason = f"ended ({_spell(status)})"
        return NnError(
            ErrorCode.RUNTIME_ERROR,
            f"the process with the models of this guest {reason} while {doing}; the models that the guest supplied "
            "are lost with it",
        )


def _started(workers: Workers, confinement: Confinement, patience: Patience) -> Worker:
    try:
        return workers.start(confinement, MOST_BYTES, patience)
    except WorkerError as error:
        logger.error("no process for guest-supplied models: %s", error)
        refusal = NnError(ErrorCode.RUNTIME_ERROR, "this host cannot start a process for guest-supplied models")
    raise refusal


def _processor_time(deadline: Deadline) -> int | None:
    """The processor time that a worker may take until the deadline, in seconds; None if there is no end."""
    left = deadline.left
    return None if left is None else _EXTRA_SECONDS + math.ceil(left) * torch.get_num_threads()


def _spell(status: int) -> str:
    """The status of a process for people."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
