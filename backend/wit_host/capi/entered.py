"""The guest that a thread has entered, which every callback of the engine on this thread is for.

Host functions are defined once and shared by many guests, so a callback has to find the one that called. It makes no
call for that, because an exception could be raised in between.
"""

from __future__ import annotations

import threading
from typing import Protocol

from .errors import Ending, Kept


class Guest(Protocol):
    """The part of a guest's state that callbacks use: its kept exception, and how a host function ends it."""

    kept: Kept
    call_ending: Ending


class _Nobody:
    """Stands for the guest of a thread that has not entered one."""

    def __init__(self) -> None:
        self.kept = Kept()
        self.call_ending = Ending(self.kept)


class Entered(threading.local):
    """One thread: the guest that it has entered last and has not left."""

    guest: Guest = _Nobody()


#: The state of the current thread; `Runner.run` changes it.
entered = Entered()
