"""The checks of `wasi-nn-torch doctor` for the processes that guest-supplied models are computed in."""

from __future__ import annotations

import time
from collections.abc import Iterator

from wasi_nn_torch.contract.findings import Finding, Health
from wasi_nn_torch.workers.channel import Channel
from wasi_nn_torch.workers.confinement import Confinement, describe, lacking
from wasi_nn_torch.workers.forkserver import Workers
from wasi_nn_torch.workers.server_process import WorkerError

_NAME = "isolation"
#: The longest message of the worker that is tried, in bytes.
_MOST_BYTES = 64


def isolation() -> Iterator[Finding]:
    """Whether guest-supplied models can be isolated here, and what confines their processes."""
    missing = lacking()
    if missing:
        text = f"guest-supplied models cannot be isolated, so guests may supply none: {'; '.join(missing)}"
        yield Finding(_NAME, text, Health.MISSING, "use Linux 5.13 or newer with Landlock and seccomp")
        return
    yield _tried()
    for part, text in describe():
        yield Finding(f"{_NAME}: {part}", text)


def _tried() -> Finding:
    """Start a confined process, which has loaded nothing."""
    started = time.perf_counter()
    workers = Workers(f"{__name__}:_answer")
    try:
        workers.start(Confinement(), _MOST_BYTES).end()
    except WorkerError as error:
        return Finding(_NAME, f"a confined process does not start: {error}", Health.MISSING)
    finally:
        workers.close()
    return Finding(_NAME, f"a server and a confined process started in {time.perf_counter() - started:.2f} s")


def _answer(channel: Channel) -> None:
    """Do nothing: the worker is ended as soon as it is confined."""
    channel.receive()
