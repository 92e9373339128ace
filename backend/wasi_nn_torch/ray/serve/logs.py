"""The log of a replica: records of this package go to Ray Serve's logger, which adds the replica and the request."""

from __future__ import annotations

import logging

from wasi_nn_torch.http.logs import access

_OURS = "wasi_nn_torch"
_SERVE = "ray.serve"


def log_to_serve() -> None:
    """Pass on all records of this package, with the level of Serve's logger."""
    ours, serve = logging.getLogger(_OURS), logging.getLogger(_SERVE)
    ours.handlers = [_ToServe(serve)]
    ours.setLevel(serve.getEffectiveLevel())
    ours.propagate = False


class _ToServe(logging.Handler):
    """Gives records to another logger; those of answers are marked, so that `enable_access_log` applies to them."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on."""
        if record.name == access.name:
            record.serve_access_log = True
        self._logger.handle(record)
