"""How many threads one computation uses on the CPU: a setting of PyTorch, which the whole process shares."""

from __future__ import annotations

import logging
import weakref

import torch

logger = logging.getLogger(__name__)

#: Who asked for how many threads, and is still there. Kept for the process, as what it is about is.
_asked: weakref.WeakKeyDictionary[object, int] = weakref.WeakKeyDictionary()


def use_threads(count: int, owner: object) -> None:
    """Let each computation use `count` threads, from now on and in the whole process.

    `owner` is who wants it: another one that wanted another number, and is still there, gets a warning in the log.
    Raises ValueError for less than one thread.
    """
    if count < 1:
        raise ValueError(f"a computation needs 1 thread or more; {count} were asked for")
    for others in sorted(set(_asked.values()) - {count}):
        logger.warning(
            "computations use %d threads from now on, also those of an engine that asked for %d: PyTorch has one "
            "number for the whole process; give all engines the same",
            count,
            others,
        )
    _asked[owner] = count
    torch.set_num_threads(count)
