"""The errors of graphs, guests and engines as errors for clients."""

from __future__ import annotations

import logging
import traceback
from http import HTTPStatus

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.http.errors import HttpError, bad_request, busy, late, too_large
from wasi_nn_torch.sessions.offloading import EngineBusy
from wit_host import GuestError, GuestLimit, GuestTimeout

logger = logging.getLogger(__name__)


def as_http_error(error: Exception, model: str, id: str) -> HttpError:
    """The answer to a request that failed with `error`; whatever the client must not see goes to the log."""
    if isinstance(error, HttpError):
        return error
    if isinstance(error, NnError):
        return _of_graph(error)
    if isinstance(error, EngineBusy):
        return busy(f"too many requests wait for {quote(model)}; try again later")
    if isinstance(error, GuestError):
        return _of_guest(error, model, id)
    # As text: a record with the error itself would keep what its frames hold.
    text = "".join(traceback.format_exception(error))
    logger.error("request %s to %s failed in the host\n%s", id, model, text)
    return HttpError(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed; its log says why", "host")


def _of_graph(error: NnError) -> HttpError:
    match error.code:
        case ErrorCode.INVALID_ARGUMENT | ErrorCode.INVALID_ENCODING:
            return bad_request(error.text)
        case ErrorCode.NOT_FOUND:
            return HttpError(HTTPStatus.NOT_FOUND, error.text, "graph")
        case ErrorCode.TOO_LARGE:
            return too_large(error.text)
        case ErrorCode.TIMEOUT:
            return late()
        case _:
            return HttpError(HTTPStatus.INTERNAL_SERVER_ERROR, error.text, "graph")


def _of_guest(error: GuestError, model: str, id: str) -> HttpError:
    logger.warning("request %s to %s failed: %s", id, model, str(error))
    if isinstance(error, GuestTimeout):
        return late(f"{quote(model)} did not answer in time")
    if isinstance(error, GuestLimit):
        reason, kind = f"passed its limit `{error.limit}`", "limit"
    else:
        reason, kind = "failed", "trap"
    return HttpError(HTTPStatus.INTERNAL_SERVER_ERROR, f"{quote(model)} {reason}", kind)
