"""Reloading models whose files have changed, while requests are answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wasi_nn_torch.contract.errors import ModelError, NnError
from wasi_nn_torch.sessions.guests import InvalidGuest
from wit_host import GuestError

logger = logging.getLogger(__name__)

#: What a file that cannot be used leads to; the model that is served stays.
_REFUSALS = (ModelError, NnError, InvalidGuest, GuestError, ValueError, OSError)

_Stamp = tuple[int, int, int] | None


@dataclass(frozen=True)
class Source:
    """The file of a model, and the function that loads it again, in any thread."""

    name: str
    file: Path
    load: Callable[[], object]


class Reloading:
    """Loads what has changed: every `seconds`, if that is not None, and whenever `now` is called."""

    def __init__(self, sources: list[Source], seconds: float | None) -> None:
        self._sources = sources
        self._seconds = seconds
        self._stamps = {source: _stamp(source.file) for source in sources}
        self._asked = asyncio.Event()

    def now(self) -> None:
        """Look for changes at once; the event loop calls this."""
        self._asked.set()

    async def run(self) -> None:
        """Look for changes until the task is cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), self._seconds)
            self._asked.clear()
            for source in self._sources:
                await self._look(source)

    async def _look(self, source: Source) -> None:
        stamp = _stamp(source.file)
        if stamp is None or stamp == self._stamps[source] or not await _is_complete(source.file, stamp):
            return
        self._stamps[source] = stamp
        try:
            await asyncio.to_thread(source.load)
        except _REFUSALS as error:
            logger.error("%s was not reloaded, and stays as it was: %s", source.name, error)
        else:
            logger.warning("%s was reloaded", source.name)


#: The seconds for which a file must not change before it is read.
_QUIET = 0.05


async def _is_complete(file: Path, stamp: _Stamp) -> bool:
    """Whether a file has stopped to change; if not, the next look finds it."""
    await asyncio.sleep(_QUIET)
    return _stamp(file) == stamp


def _stamp(file: Path) -> _Stamp:
    """What changes whenever a file does; None if it cannot be found."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
