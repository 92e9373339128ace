"""What a guest prints, as lines of the log, however it writes them."""

from __future__ import annotations

import logging

from wasi_nn_torch.contract.text import one_line

logger = logging.getLogger(__name__)

#: A line that is longer is logged in parts, of so many bytes.
_LONGEST = 4096


class Lines:
    """Logs the lines that `name` writes; used by one thread at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rest = b""

    def write(self, content: bytes) -> None:
        """Log the lines that are complete."""
        *lines, self._rest = (self._rest + content).split(b"\n")
        for line in lines:
            self._log(line)
        while len(self._rest) >= _LONGEST:
            self._log(self._rest[:_LONGEST])
            self._rest = self._rest[_LONGEST:]

    def flush(self) -> None:
        """Log the rest, which has no end of a line."""
        rest, self._rest = self._rest, b""
        self._log(rest)

    def _log(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        if text:
            logger.info("%s wrote: %s", self._name, one_line(text))
