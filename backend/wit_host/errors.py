"""What a host meets when a call between guest and host does not come to its end.

    Exception
    ├── GuestError               a guest could not be run to its end; the text is one line
    │   ├── GuestTrap            it trapped
    │   ├── GuestTimeout         it ran longer than it was allowed to
    │   ├── GuestCancelled       the host stopped it
    │   ├── GuestExit            it ended its own program in the middle of a call
    │   └── LinkError            what it imports or exports is not there on the other side, or of another type
    └── ResultError[E]           raised by an implementation to answer `err(E)`; generated bindings derive from it

An exception that escapes an implementation is none of these: the guest traps, and the exception itself comes out at
the caller of the guest, with its traceback.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from .printing import printable

E = TypeVar("E")

#: The most characters of the text of an error, or of a line of its backtrace.
_LONGEST = 2000


class GuestError(Exception):
    """A guest could not be run to its end; `backtrace` is the guest's own, where there is one.

    Both may hold names that the guest chose, of any length and with anything in them: the text is kept to one line of
    at most 2,000 characters, and what cannot be printed is replaced in both.
    """

    def __init__(self, text: str, backtrace: str = "") -> None:
        super().__init__(_line(text))
        self.backtrace = "\n".join(_line(line) for line in backtrace.splitlines())


class GuestTrap(GuestError):
    """The guest trapped: it did what WebAssembly or the component model forbids, or called `unreachable`."""


class GuestTimeout(GuestError):
    """The guest ran longer than it was allowed to."""


class GuestCancelled(GuestError):
    """The host stopped the guest (`cancel`)."""


class GuestExit(GuestError):
    """The guest ended its own program, with `status`, in the middle of a call."""

    def __init__(self, name: str, status: int) -> None:
        super().__init__(f"{name} exited with status {status}")
        self.status = status


class LinkError(GuestError):
    """What a guest imports or exports is not there on the other side, or has another type."""


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
