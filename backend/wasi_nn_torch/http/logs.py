"""Logs with the ids of requests: as lines for people, or as one JSON object on each line."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextvars import ContextVar
from enum import Enum

#: The id of the request that a task, or a thread of a guest, works for.
request_id: ContextVar[str] = ContextVar("wasi_nn_torch.request_id", default="")

#: The name of the log of answers.
access = logging.getLogger("wasi_nn_torch.http.access")

_FIELDS = "fields"


class LogFormat(Enum):
    """How log records are written."""

    TEXT = "text"
    JSON = "json"


def logs_answers() -> bool:
    """Whether answers are logged."""
    return access.isEnabledFor(logging.INFO)


def log_answer(**fields: object) -> None:
    """Log one answer with these fields."""
    text = " ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
    access.info("%s", text, extra={_FIELDS: fields})


def configure(format: LogFormat, verbose: int) -> None:
    """Write the log to standard error: warnings and answers, with `verbose` more, and with 2 everything."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format is LogFormat.JSON else TextFormatter())
    level = [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]
    logging.basicConfig(level=level, handlers=[handler])
    access.setLevel(logging.INFO)


class TextFormatter(logging.Formatter):
    """A record as a line, with the id of the request at the end."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback if the record has one."""
        text = super().format(record)
        id = request_id.get()
        return f"{text} [{id}]" if id and not hasattr(record, _FIELDS) else text


class JsonFormatter(logging.Formatter):
    """A record as a JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The object: time, level, logger and message, the request, and the fields of an answer."""
        message: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields = getattr(record, _FIELDS, None)
        if fields is not None:
            message.update((name, value) for name, value in fields.items() if value is not None)
        else:
            message["message"] = record.getMessage()
            if id := request_id.get():
                message["request_id"] = id
        if record.exc_info:
            message["traceback"] = self.formatException(record.exc_info)
        return json.dumps(message, ensure_ascii=False, default=str)
