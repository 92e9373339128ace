"""Reloading models whose files have changed, while requests are answered."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wasi_nn_torch.contract.errors import ModelError, NnError
from wasi_nn_torch.sessions.guests import InvalidGuest
from wit_host import GuestError

logger = logging.getLogger(__name__)

#: What a file that cannot be used leads to; the model that is served stays.
_REFUSALS = (ModelError, NnError, InvalidGuest, GuestError, ValueError, OSError)

_Stamps = dict[Path, tuple[int, int, int]]


@dataclass(frozen=True)
class Source:
    """The file of a model, and the function that loads it again, in any thread.

    `others` returns the other files that the model was last loaded from, such as those of its weights.
    """

    name: str
    file: Path
    load: Callable[[], object]
    others: Callable[[], Sequence[Path]] = tuple

    def files(self) -> Sequence[Path]:
        """All files of the model."""
        return tuple(dict.fromkeys((self.file, *self.others())))

    def stamps(self) -> _Stamps | None:
        """What changes whenever one of the files does; None if one cannot be found."""
        files = self.files()
        try:
            return {file: (found.st_mtime_ns, found.st_size, found.st_ino) for file in files for found in [file.stat()]}
        except OSError:
            return None


class Reloading:
    """Loads what has changed: every `seconds`, if that is not None, and whenever `now` is called.

    Then it also loads what failed before, since the cause may have been elsewhere: in a library, or out of memory.
    Files that changed while they were loaded are loaded again; `since` is when that began, in `time.time_ns`.
    """

    def __init__(self, sources: list[Source], seconds: float | None, since: int | None = None) -> None:
        self._sources = sources
        self._seconds = seconds
        self._stamps = {source: _read({}, source.stamps(), since) for source in sources}
        self._failed: set[Source] = set()
        self._asked_for: set[Source] = set()
        self._asked = asyncio.Event()

    def now(self) -> None:
        """Look for changes at once; the event loop calls this."""
        self._ask_for(self._sources)

    def _ask_for(self, sources: Iterable[Source]) -> None:
        self._asked_for.update(sources)
        self._asked.set()

    async def run(self) -> None:
        """Look for changes until the task is cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), self._seconds)
            asked_for, self._asked_for = self._asked_for, set()
            self._asked.clear()
            for source in self._sources:
                await self._look(source, source in asked_for)

    async def _look(self, source: Source, is_asked_for: bool) -> None:
        stamps = source.stamps()
        if stamps is None:
            if is_asked_for:
                missing = ", ".join(str(file) for file in source.files() if not file.exists())
                logger.error("%s stays as it was: %s cannot be found", source.name, missing)
        elif stamps != self._stamps[source] or (is_asked_for and source in self._failed):
            if await _is_complete(source, stamps):
                await self._load(source, stamps)
            elif is_asked_for:  # nobody may ask again, once it has stopped to change
                self._ask_for([source])

    async def _load(self, source: Source, stamps: _Stamps) -> None:
        self._stamps[source] = stamps
        self._failed.add(source)
        began = time.time_ns()
        try:
            await asyncio.to_thread(source.load)
        except _REFUSALS as error:
            logger.error("%s was not reloaded, and stays as it was: %s", source.name, error)
        except Exception:
            # Of a library, and such that others are looked after all the same.
            logger.exception("%s was not reloaded, and stays as it was", source.name)
        else:
            logger.warning("%s was reloaded", source.name)
            self._failed.discard(source)
            found = source.stamps()
            self._stamps[source] = _read(stamps, found, began)
            if self._stamps[source] != found:
                self._ask_for([source])


#: The seconds for which a file must not change before it is read.
_QUIET = 0.05


async def _is_complete(source: Source, stamps: _Stamps) -> bool:
    """Whether the files have stopped to change; if not, the next look finds it."""
    await asyncio.sleep(_QUIET)
    return source.stamps() == stamps


#: What no file has: it was read when it may have been another one.
_ANOTHER = (0, 0, 0)
#: The nanoseconds by which the times of files may be behind.
_TICK = 20_000_000


def _read(before: _Stamps, after: _Stamps | None, began: int | None) -> _Stamps | None:
    """What was read: files that were known are as they were before, and the new model may have others."""
    if after is None:
        return None
    return {file: before.get(file) or (_ANOTHER if _is_newer(file, began) else stamp) for file, stamp in after.items()}


def _is_newer(file: Path, began: int | None) -> bool:
    """Whether a file may have changed after loading it began."""
    try:
        return began is not None and file.stat().st_ctime_ns > began - _TICK
    except OSError:
        return True
