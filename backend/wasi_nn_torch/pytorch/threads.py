"""The number of CPU threads that one computation uses: a setting of PyTorch that the whole process shares."""

from __future__ import annotations

import logging
import os
import weakref
from dataclasses import dataclass

import torch

logger = logging.getLogger(__name__)

#: More threads than this cannot be started on any machine of today.
_MOST = 1 << 16

#: The owners that asked for a number of threads and still exist. Process-wide, because the setting is.
_asked: weakref.WeakKeyDictionary[object, int] = weakref.WeakKeyDictionary()


@dataclass
class _Process:
    """Whether this process has computed models, and whether it was forked from one that had, with several threads."""

    computes: bool = False
    lacks_threads: bool = False


_process = _Process()


def use_threads(count: int, owner: object) -> None:
    """Make each computation use `count` threads, from now on and in the whole process.

    `owner` is the object that asks for it. If another owner still exists that asked for another number, a warning is
    logged. Raises ValueError if `count` is less than 1 or too large, and RuntimeError if it is more than 1 in a process
    that has only one.
    """
    if count < 1:
        raise ValueError(f"a computation needs at least 1 thread, but {count} were requested")
    if count > _MOST:
        raise ValueError(f"a computation can have at most {_MOST} threads, but {count} were requested")
    if count > 1 and _process.lacks_threads:
        raise RuntimeError(
            f"{count} threads were requested, but a computation has 1 in this process, which was forked after models "
            "were computed: the other threads stayed in the parent; fork before that, or give 1 thread"
        )
    for others in sorted(set(_asked.values()) - {count}):
        logger.warning(
            "computations now use %d threads, including those of an engine that asked for %d: PyTorch has one setting "
            "for the whole process; use the same number for all engines",
            count,
            others,
        )
    _asked[owner] = count
    torch.set_num_threads(count)


def note_computation() -> None:
    """Say that this process computes a model, for which PyTorch starts threads that no fork has."""
    _process.computes = True


def _after_fork() -> None:
    """Compute with one thread in the child, which would wait for those of its parent for ever."""
    if _process.computes and torch.get_num_threads() > 1:
        _process.lacks_threads = True
        torch.set_num_threads(1)
        logger.warning(
            "this process was forked after models were computed, so it computes with 1 thread; for more, fork before "
            "models are computed, which `warm_up` and `batch` do when a model is registered"
        )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
