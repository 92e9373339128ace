"""Keeping the output of libraries away from standard output, which belongs to the guest."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, cast

from wasi_nn_torch.contract.forks import renew_in_child
from wasi_nn_torch.contract.text import one_line

logger = logging.getLogger(__name__)

_LONGEST = 300

#: Held while standard output is replaced, so that replacements are undone in order.
_one_at_a_time = threading.RLock()
renew_in_child(sys.modules[__name__], "_one_at_a_time", threading.RLock)


@contextmanager
def muted(what: str) -> Iterator[None]:
    """Log the beginning of what this thread writes to `sys.stdout` in the `with` block, instead of printing it.

    `what` says in the log who printed it, such as "importing `numpy`". Other threads print as usual.
    """
    with _one_at_a_time:
        before = sys.stdout
        listener = _Listener(before)
        replacement = cast(TextIO, listener)
        sys.stdout = replacement
        try:
            yield
        finally:
            listener.end()
            if sys.stdout is replacement:
                sys.stdout = before
            if said := one_line(listener.said, _LONGEST):
                logger.info("%s printed: %s", what, said)


class _Listener(io.TextIOBase):
    """Takes the place of a stream: keeps what this thread writes until `end`, and passes on everything else."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream
        self._thread: int | None = threading.get_ident()
        self.said = ""

    def end(self) -> None:
        """Pass on everything from now on, for code that kept a reference to this."""
        self._thread = None

    def write(self, text: str, /) -> int:
        """Pass the text on, or keep the beginning of it."""
        if threading.get_ident() != self._thread:
            return len(text) if self._stream is None else self._stream.write(text)
        self.said += text[: _LONGEST + 1 - len(self.said)]  # one more than is logged, which shows that there is more
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        if self._stream is not None:
            self._stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
