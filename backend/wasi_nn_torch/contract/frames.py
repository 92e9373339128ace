"""Releasing what the frames of an exception hold."""

from __future__ import annotations

import traceback


def release_frames(error: BaseException) -> None:
    """Clear the local variables of all frames that an exception and its causes passed through.

    A frame that holds its own exception in a variable is a reference cycle, and would keep tensors, or the body of a
    request, alive until the next garbage collection.
    """
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        traceback.clear_frames(one.__traceback__)
        pending += [one.__cause__, one.__context__]
