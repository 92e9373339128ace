"""The errors of a backend, by who receives them.

Exception
├── NnError              the guest: one of the nine codes of wasi-nn, and a text
├── ModelError           the operator: a model that cannot be used, and what to do
│   └── ModelTooLarge        a valid model for which there is not enough memory
└── BackendMissing       the operator: a backend without its engine, and how to install that

Each text is one line that names the tensor, the numbers and what to do. A guest never sees a path of the host or a
traceback; those go to the log.
"""

from __future__ import annotations

from enum import Enum

from wasi_nn_torch.contract.arguments import require_type


class ErrorCode(Enum):
    """The `error-code` of wasi-nn; the values are spelled as WIT spells them."""

    INVALID_ARGUMENT = "invalid-argument"
    INVALID_ENCODING = "invalid-encoding"
    TIMEOUT = "timeout"
    RUNTIME_ERROR = "runtime-error"
    UNSUPPORTED_OPERATION = "unsupported-operation"
    TOO_LARGE = "too-large"
    NOT_FOUND = "not-found"
    SECURITY = "security"
    UNKNOWN = "unknown"


class NnError(Exception):
    """An error that the guest receives as a resource (`errors.error`): it sees `code` and `text`, and nothing else.

    `limit` is the name of the limit of the session that was exceeded, if that is the reason.
    """

    def __init__(self, code: ErrorCode, text: str, limit: str | None = None) -> None:
        require_type("the code of an NnError", code, ErrorCode, "an ErrorCode, such as ErrorCode.TOO_LARGE")
        super().__init__(f"{code.value}: {text}")
        self.code = code
        self.text = text
        self.limit = limit

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the arguments of the constructor, which are not `args`."""
        return type(self), (self.code, self.text, self.limit), self.__dict__


class ModelError(Exception):
    """A model of the operator or of a guest that cannot be used; the text says which one, why, and what to do."""


class ModelTooLarge(ModelError):
    """A model that does not fit in the memory of the device or of the host."""


class BackendMissing(Exception):
    """A backend cannot be made, because packages that it needs are not installed; `remedy` is a command."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the arguments of the constructor, which are not `args`."""
        return type(self), (self.reason, self.remedy), self.__dict__


def why_unreadable(error: OSError, wanted: str) -> str:
    """Why a file cannot be read, and what the operator can do; `wanted` is what to name instead of a directory."""
    if isinstance(error, FileNotFoundError):
        return "does not exist; check the path"
    if isinstance(error, IsADirectoryError):
        return f"is a directory; name {wanted}"
    return f"cannot be read ({error.strerror}); check its permissions"
