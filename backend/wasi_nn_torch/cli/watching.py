"""What happens while the command line waits: it says what takes so long, and ends at Ctrl-C or when time is up."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from wasi_nn_torch.cli.exits import HOST_FAILURE

#: Seconds of compiling after which a person wants to know what takes so long.
_PATIENCE = 0.5
#: Seconds that a guest that sits in a call of WASI gets beyond its timeout.
_GRACE = 1.0


@contextmanager
def announced(task: str) -> Iterator[None]:
    """Say what is being done if it takes long, as it does for a large guest that has not been compiled before."""
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
    """Let Ctrl-C end the process at once, as it ends any program, even while the guest waits in a call of WASI."""
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
    """End the process where a guest waits in a call of WASI, which nothing interrupts, long after its time is over."""
    if timeout is None:
        yield
        return

    def end() -> None:
        print(f"error: {name} did not end within {timeout:g} s, and waits for its host", file=sys.stderr, flush=True)
        os._exit(HOST_FAILURE)

    timer = threading.Timer(timeout + _GRACE, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
