"""The page at `/`: models, pipelines, their rates, queues and memory, which its script reads from `/metrics`."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

from wasi_nn_torch.http.asgi import Headers

_HERE = Path(__file__).parent


@cache
def page() -> tuple[Headers, bytes]:
    """The headers and the body. The browser runs nothing but this script, and asks nobody but this server."""
    style = (_HERE / "page.css").read_text("utf-8")
    script = (_HERE / "page.js").read_text("utf-8")
    text = (_HERE / "page.html").read_text("utf-8").replace("STYLE", style).replace("SCRIPT", script)
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    return headers, text.encode()


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
