"""The number of CPU threads that one computation uses: a setting of PyTorch that the whole process shares."""

from __future__ import annotations

import logging
import weakref

import torch

logger = logging.getLogger(__name__)

#: The owners that asked for a number of threads and still exist. Process-wide, because the setting is.
_asked: weakref.WeakKeyDictionary[object, int] = weakref.WeakKeyDictionary()


def use_threads(count: int, owner: object) -> None:
    """Make each computation use `count` threads, from now on and in the whole process.

    `owner` is the object that asks for it. If another owner still exists that asked for another number, a warning is
    logged. Raises ValueError if `count` is less than 1.
    """
    if count < 1:
        raise ValueError(f"a computation needs at least 1 thread, but {count} were requested")
    for others in sorted(set(_asked.values()) - {count}):
        logger.warning(
            "computations now use %d threads, including those of an engine that asked for %d: PyTorch has one setting "
            "for the whole process; use the same number for all engines",
            count,
            others,
        )
    _asked[owner] = count
    torch.set_num_threads(count)
