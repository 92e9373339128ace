"""Keeping what is printed by others away from standard output, which belongs to the guest."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, cast

logger = logging.getLogger(__name__)

_LONGEST = 300

#: Held while standard output is another one, so that it is put back in order.
_one_at_a_time = threading.RLock()


@contextmanager
def muted(what: str) -> Iterator[None]:
    """Log at level info, instead of printing, the first of what this thread writes to `sys.stdout` inside.

    `what` is who prints, as in "the module `numpy`". Other threads print as ever.
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
            if listener.said:
                logger.info("%s printed: %s", what, listener.said)


class _Listener(io.TextIOBase):
    """In the place of a stream, which gets what other threads than this one write, and whatever is written later."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream
        self._thread: int | None = threading.get_ident()
        self.said = ""

    def end(self) -> None:
        """Hand everything on from now on, to whoever took hold of this meanwhile."""
        self._thread = None

    def write(self, text: str, /) -> int:
        """Write, or keep the first of it."""
        if threading.get_ident() != self._thread:
            return len(text) if self._stream is None else self._stream.write(text)
        room = _LONGEST - len(self.said)
        if room > 0:
            self.said += "".join(char if char.isprintable() else " " for char in text[:room])
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        if self._stream is not None:
            self._stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
