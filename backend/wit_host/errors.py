"""The exceptions of calls between guest and host that do not run to completion.

    Exception
    ├── GuestError               a guest could not run to completion; the text is one line
    │   ├── GuestTrap            it trapped
    │   │   └── GuestLimit           it went beyond a limit of the host
    │   ├── GuestTimeout         it ran longer than allowed
    │   ├── GuestCancelled       the host stopped it
    │   ├── GuestExit            it ended its own program in the middle of a call
    │   └── LinkError            an import or export is missing on the other side, or has another type
    └── ResultError[E]           raised by an implementation to answer `err(E)`; generated bindings derive from it

An exception that escapes an implementation is not wrapped: the guest traps, and the caller of the guest gets the
exception itself, with its traceback.
"""

from __future__ import annotations

import copyreg
from typing import Generic, TypeVar

from .printing import printable

E = TypeVar("E")

#: The most characters of the text of an error, or of a line of its backtrace.
_LONGEST = 2000


class GuestError(Exception):
    """A guest could not run to completion; `backtrace` is that of the guest, if there is one.

    Both may contain names that the guest chose, of any length and with any characters: the text is one line of at most
    2,000 characters, and in both, characters that cannot be printed are replaced.
    """

    def __init__(self, text: str, backtrace: str = "") -> None:
        super().__init__(_line(text))
        self.backtrace = "\n".join(_line(line) for line in backtrace.splitlines())

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle without calling the constructor, whose parameters are not `args`."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class GuestTrap(GuestError):
    """The guest trapped: it broke a rule of WebAssembly or the component model, or executed `unreachable`."""


class GuestLimit(GuestTrap):
    """The guest went beyond `limit`, the name of a limit of the host; the text says how to raise it."""

    def __init__(self, text: str, limit: str, backtrace: str = "") -> None:
        super().__init__(text, backtrace)
        self.limit = limit


class GuestTimeout(GuestError):
    """The guest ran longer than allowed."""


class GuestCancelled(GuestError):
    """The host stopped the guest (`cancel`)."""


class GuestExit(GuestError):
    """The guest ended its own program, with `status`, in the middle of a call."""

    def __init__(self, name: str, status: int) -> None:
        super().__init__(f"{name} exited with status {status}")
        self.status = status


class LinkError(GuestError):
    """An import or export of a guest is missing on the other side, or has another type."""


class ResultError(Exception, Generic[E]):
    """The `err` side of a WIT `result`: raising it answers the call with `value`."""

    def __init__(self, value: E) -> None:
        super().__init__(value)
        self.value = value


def _line(text: str) -> str:
    """Return `text` as one line, with its middle left out if it is long: the cause comes last."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
    return printable(text)
