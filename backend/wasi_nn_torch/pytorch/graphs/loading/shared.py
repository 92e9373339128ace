"""The part of loading that all formats share: one load at a time, no output, and errors that say what to do."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from wasi_nn_torch.contract.errors import ModelError, ModelTooLarge
from wasi_nn_torch.contract.forks import renew_in_child
from wasi_nn_torch.contract.frames import release_frames
from wasi_nn_torch.contract.muting import muted
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pytorch.graphs.computing.failures import gist, is_out_of_memory, out_of_memory
from wasi_nn_torch.pytorch.graphs.loading.missing import what_is_missing

logger = logging.getLogger(__name__)

Bytes = bytes | bytearray | memoryview
#: The source of a model: a file, or its bytes.
Source = Path | Bytes

#: Warning filters are process-wide, and PyTorch cannot read several exported programs at a time.
_one_at_a_time = threading.RLock()
renew_in_child(sys.modules[__name__], "_one_at_a_time", threading.RLock)


@contextmanager
def loading(device: torch.device, name: str, broken: str) -> Iterator[None]:
    """Turn PyTorch's exceptions inside the block into ModelError, "`name` is `broken`", or ModelTooLarge.

    An OSError passes. PyTorch's warnings and log messages are suppressed, since users of a model cannot do anything
    about them; printed text goes to the log.
    """
    refusal: ModelError
    with _one_at_a_time, muted(name), warnings.catch_warnings(), _unheard(logging.getLogger("torch.export")) as logged:
        warnings.simplefilter("ignore")
        try:
            yield
        except (OSError, ModelError):
            raise
        except Exception as error:  # noqa: BLE001  # PyTorch may raise anything
            logger.debug("loading %s failed: %s", name, error)
            refusal = _refusal(error, device, name, broken, logged)
            release_frames(error)
        else:
            return
    raise refusal


def not_for_guests(name: str, parameter: str, kind: str) -> ModelError:
    """The error for a parameter that the model requires but a guest cannot give."""
    return ModelError(
        f"{name} cannot be used by a guest: its parameter {quote(parameter)} is {kind}, but wasi-nn has only tensors; "
        "let `forward` take tensors, int, float or bool, or lists, tuples and dicts of them, or give the parameter a "
        "default"
    )


def _refusal(error: Exception, device: torch.device, name: str, broken: str, logged: list[Said]) -> ModelError:
    if is_out_of_memory(error):
        text = out_of_memory(error, device, f"loading {name}")
        return ModelTooLarge(f"{text}; use a smaller model or another device")
    said = [*logged, Said.by(error)]
    missing = what_is_missing(each.text for each in said)
    return ModelError(f"{name} {missing or 'is ' + broken.format(gist=said[0].gist)}")


class Said(NamedTuple):
    """The text of an exception, without the exception itself, which would keep tensors alive."""

    gist: str
    text: str

    @classmethod
    def by(cls, error: BaseException) -> Said:
        """The text of an exception."""
        return cls(gist(error), str(error))


@contextmanager
def _unheard(log: logging.Logger) -> Iterator[list[Said]]:
    """Silence a logger, and collect the texts of the exceptions that it would have logged."""
    said: list[Said] = []

    def listen(record: logging.LogRecord) -> bool:
        said.extend(Said.by(error.__cause__ or error) for error in _exceptions(record))
        return False

    log.addFilter(listen)
    try:
        yield said
    finally:
        log.removeFilter(listen)


def _exceptions(record: logging.LogRecord) -> Iterator[BaseException]:
    """The exceptions that a log message tells of, which PyTorch 2.9 names in its text."""
    if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
        yield record.exc_info[1]
    if isinstance(record.args, tuple):
        yield from (each for each in record.args if isinstance(each, BaseException))
