"""Long waits of the command line: progress messages, Ctrl-C, and timeouts that host functions would delay."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from wasi_nn_torch.cli.exits import HOST_FAILURE

#: Seconds before a task is announced.
_PATIENCE = 1.0
#: Seconds beyond its timeout that a guest may spend in a function of the host.
_GRACE = 1.0


@contextmanager
def announced(task: str) -> Iterator[None]:
    """Announce a task that takes long, such as compiling a large guest for the first time."""
    shown = ExitStack()  # what is on the terminal

    def announce() -> None:
        from rich.console import Console
        from rich.text import Text

        console = Console(stderr=True)
        if console.is_terminal:
            shown.enter_context(console.status(Text(task)))
        else:
            console.print(Text(task), soft_wrap=True)

    timer = threading.Timer(_PATIENCE, announce)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        shown.close()


@contextmanager
def killed_by_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C end the process at once, even while a host function computes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def overdue(name: str, timeout: float | None) -> Iterator[None]:
    """End the process if a guest is in a host function, which cannot be interrupted, long after its timeout.

    That is a computation of a model, or a file that waits, such as a named pipe in a directory.
    """
    if timeout is None:
        yield
        return

    def end() -> None:
        print(
            f"error: {name} did not end within {timeout:g} s, and is in a host function, which cannot be interrupted",
            file=sys.stderr,
            flush=True,
        )
        os._exit(HOST_FAILURE)

    timer = threading.Timer(timeout + _GRACE, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
