"""Models and pipelines behind HTTP, by the Open Inference Protocol: `create_app` makes an ASGI application.

From top to bottom, each imports only those below it:

    app                               the application, and its routes
    endpoints                         from an exchange to a response
    graphs, pipelines                 what is served under a name
    decoding, encoding, checking      the protocol, as pure functions on `messages`
    bodies, exchanges, deadlines      HTTP: reading bodies, answering in time
    settings, errors, datatypes, asgi
"""

from __future__ import annotations

from wasi_nn_torch.http.app import Application, create_app
from wasi_nn_torch.http.settings import GraphSettings, PipelineSettings, Reuse, Settings

__all__ = ["Application", "GraphSettings", "PipelineSettings", "Reuse", "Settings", "create_app"]
