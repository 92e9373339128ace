"""The signal handlers by which the engine makes traps of what guests do, such as `unreachable` or a read out of bounds.

The engine installs them once, for the whole process. A library that begins later may put its own in their place, which
end the process: Ray does so, and Python's `faulthandler`. Those are replaced again when a guest is entered. Handlers of
others, such as Java's, stay, since they pass on what is not theirs.
"""

from __future__ import annotations

import ctypes
import signal
import sys

_IS_LINUX = sys.platform == "linux"
#: The size of `struct sigaction`, which begins with the address of the handler, on any Linux.
_SIZE = 256
#: The names of files whose handlers end the process, beside that of Python itself.
_ENDING = ("_raylet",)

_libc = ctypes.CDLL(None) if _IS_LINUX else None
#: What the engine has installed, by the signal.
_own: dict[int, ctypes.Array[ctypes.c_char]] = {}
#: The handlers of others that may stay.
_allowed: set[int | None] = set()
#: Whoever replaces one of them replaces this one.
_LOOKED_AT = int(signal.SIGSEGV)
_now = ctypes.create_string_buffer(_SIZE)
_address = ctypes.c_void_p.from_buffer(_now)


class _Symbol(ctypes.Structure):
    """What `dladdr` tells."""

    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


def note() -> None:
    """Take note of the engine's handlers, once it has made them."""
    if _libc is None or _own:
        return
    for number in (signal.SIGSEGV, signal.SIGILL, signal.SIGFPE):
        _libc.sigaction(int(number), None, _now)
        if _address.value:
            _own[int(number)] = ctypes.create_string_buffer(_now.raw, _SIZE)
            _allowed.add(_address.value)


def keep() -> None:
    """Put the engine's handlers back if others that end the process have taken their place."""
    if _libc is None:
        return
    _libc.sigaction(_LOOKED_AT, None, _now)
    handler = _address.value
    if handler in _allowed or not _own:
        return
    if handler and not _ends(handler):
        _allowed.add(handler)
        return
    for number, action in _own.items():
        _libc.sigaction(number, action, None)


def _ends(handler: int) -> bool:
    """Whether a handler ends the process, by the file that has it."""
    file = _file_of(handler)
    own = _file_of(ctypes.cast(ctypes.pythonapi.Py_IncRef, ctypes.c_void_p).value or 0)
    return file == own or file.rpartition("/")[2].startswith(_ENDING)


def _file_of(address: int) -> str:
    found = _Symbol()
    if _libc is None or not _libc.dladdr(ctypes.c_void_p(address), ctypes.byref(found)):
        return ""
    return (found.file or b"").decode(errors="replace")
