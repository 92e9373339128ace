"""The limits of a session for WASI in Python, which counts by itself what the engine's WASI does not see."""

from __future__ import annotations

from typing import Final

import wasi_host
from wasi_nn_torch.sessions.limits import Limits

#: The value of a limit that is lifted.
NO_LIMIT: Final = 1 << 62


def world_limits(limits: Limits) -> wasi_host.Limits:
    """The limits of a `World` whose guest has a session with these limits."""
    handles = NO_LIMIT if limits.resources is None else limits.resources
    return wasi_host.Limits(handles=handles, output=NO_LIMIT if limits.output is None else limits.output)
