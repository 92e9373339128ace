"""Whether a guest of `wasi-nn-torch run` may make requests of HTTP, and whether it needs to.

`python_world` has what it gets then; it takes a while to import.
"""

from __future__ import annotations

from wasi_nn_torch.sessions.guests import Guest
from wit_host.core import CoreModule

_HTTP, _ANSWERS = "wasi:http/", "wasi:http/incoming-handler@"


def require_fit(guest: Guest, is_allowed: bool) -> None:
    """Raise ValueError for a guest that needs what it is not allowed, or cannot use what it is."""
    if isinstance(guest.compiled, CoreModule):
        if is_allowed:
            raise ValueError(f"{guest.name} is a core module, which cannot make requests; leave out `--allow-http`")
        return
    if any(name.startswith(_ANSWERS) for name in guest.compiled.exports):
        raise ValueError(f"{guest.name} answers requests; run it with `wasi-nn-torch serve --http {guest.name}`")
    needed = next((name for name in guest.compiled.imports if name.startswith(_HTTP)), None)
    if needed is not None and not is_allowed:
        raise ValueError(
            f"{guest.name} imports {needed}; say which servers it may ask, as in --allow-http https://example.com, or "
            "build it without HTTP, with componentize-js by `--disable http fetch-event`"
        )
