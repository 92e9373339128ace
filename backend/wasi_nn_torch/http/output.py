"""What guests write to their standard streams, as lines of the log: a bounded number of them for each request."""

from __future__ import annotations

import logging
from contextvars import ContextVar

from wasi_nn_torch.contract.text import one_line

logger = logging.getLogger(__name__)

#: The most lines and bytes of one request that are logged.
_MOST_LINES, _MOST_BYTES = 100, 64 << 10


class _Room:
    """How much more of one request may be logged."""

    def __init__(self) -> None:
        self.lines = _MOST_LINES
        self.nbytes = _MOST_BYTES
        self.is_full = False

    def take(self, output: bytes) -> list[str]:
        """The lines of `output` that there is room for."""
        lines = output[: self.nbytes].decode("utf-8", "replace").splitlines()
        self.is_full = len(lines) > self.lines or len(output) > self.nbytes
        taken = lines[: self.lines]
        self.lines -= len(taken)
        self.nbytes -= min(len(output), self.nbytes)
        return taken


_room: ContextVar[_Room | None] = ContextVar("wasi_nn_torch.output", default=None)


def begin_output() -> None:
    """Give the request of this task, and of the thread of its guest, room in the log."""
    _room.set(_Room())


def log_output(name: str, output: bytes) -> None:
    """Log what a guest writes, as lines that are cut, and a warning once there is no room for more."""
    room = _room.get() or _Room()
    if room.is_full or not logger.isEnabledFor(logging.INFO):
        return
    for line in room.take(output):
        logger.info("%s wrote: %s", name, one_line(line))
    if room.is_full:
        logger.warning("%s wrote more for this request, which is left out", name)
