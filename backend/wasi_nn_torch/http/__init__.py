"""Models, pipelines and components behind HTTP, by the Open Inference Protocol: `create_app` makes an ASGI application.

From top to bottom, each imports only those below it:

    server                            running the application with uvicorn, until a signal
    app, guarding, reloading          the application and its routes; connections; changed files
    mounting                          which component answers, by the path
    endpoints, streaming              from an exchange to a response, or to one that a component streams
    recording, tracing                figures and logs of answers; spans
    filling, trailing                 bodies from the socket; trailers after the last chunk
    graphs, pipelines, components     what is served under a name
    metrics                           its figures
    models, served, quickness         what graphs and pipelines share, and all of them; what the event loop computes
    admission, deadlines, exchanges   queues; answering in time; who asks, and for when
    bodies, encoding, failures        reading bodies; writing them; errors for clients
    trailers                          the fields that follow bodies, in both directions
    instances                         the pool of one guest, which a reload replaces
    decoding, checking                the protocol, as pure functions on `messages`
    messages, settings, errors, asgi, extensions, lines, logs, output, paths; upgrading, which reads on after a wish for
    another protocol
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasi_nn_torch.http.settings import ComponentSettings, GraphSettings, PipelineSettings, Reuse, Settings

if TYPE_CHECKING:
    from wasi_nn_torch.http.app import Application, create_app

__all__ = [
    "Application",
    "ComponentSettings",
    "GraphSettings",
    "PipelineSettings",
    "Reuse",
    "Settings",
    "create_app",
]


def __getattr__(name: str) -> object:
    """What needs the engine is imported when it is used, so that settings can be read without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wasi_nn_torch.http import app

    return getattr(app, name)
