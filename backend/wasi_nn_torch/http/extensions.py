"""The paths of Triton's extensions of the protocol, which this server does not have: errors name the extension."""

from __future__ import annotations

import re

_MODEL = "/v2/models/[^/]+(/versions/[^/]+)?"
#: The extensions, as Triton calls them, by what their paths look like from `/v2` to the end.
_EXTENSIONS = {
    name: re.compile(path + "$")
    for name, path in {
        "model_repository": "/v2/repository(/.*)?",
        "model_configuration": f"{_MODEL}/config",
        "statistics": f"/v2/models/stats|{_MODEL}/stats",
        "system_shared_memory": "/v2/systemsharedmemory(/.*)?",
        "cuda_shared_memory": "/v2/cudasharedmemory(/.*)?",
        "trace": f"(/v2|{_MODEL})/trace/setting",
        "logging": "/v2/logging",
        "generate": f"{_MODEL}/generate(_stream)?",
    }.items()
}


def why_not_there(path: str) -> str | None:
    """The error for a path of an extension of Triton; None for any other path."""
    for name, pattern in _EXTENSIONS.items():
        if pattern.search(path):
            return f"this server does not have the extension `{name}` of Triton; those that it has are listed at /v2"
    return None
