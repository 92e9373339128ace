"""What a request costs with 1, 10 and 50 plug-ins, beside the same checks as functions and in processes of their own.

`python -m benchmarks.bench_guardrail [ROUNDS]` prints the table; it needs `make guardrail`. Each figure comes from a
process of its own, and all take turns; the table has the lowest of all rounds, because other work on the machine only
adds to them. A request is one chain in which each check gets what the one before has left; the web server is not part
of it. Processes are forked from one that has loaded PyTorch and the model, and stay; they are asked through pipes.
Memory is the proportional share (PSS) of the process and all that it has started.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.comparison import duration
from benchmarks.conftest import ROOT

BUILD = ROOT / "build" / "guardrail"
#: The plug-ins of a chain, which are repeated until there are enough.
CHAINS = {"C": ("contacts", "classify", "judge"), "Python": ("sentences",)}
COUNTS = (1, 10, 50)
TEXTS = {
    "C": "Hello, my order is late again. Can you help me with this? Write to ada@example.com, or call 030 1234567.",
    "Python": "Hello, my order is late again. Can you help me with this? Buy cheap watches and save 80% today!",
}
REQUESTS, WARM_UP = 300, 20


class Figures(NamedTuple):
    """Of one process: the seconds of requests, the bytes of memory, and what is left of the text."""

    p50: float
    p99: float
    memory: float
    left: str | None


class Holder(NamedTuple):
    """Something that answers requests: `ask` says what is left of a text, or None if it is denied."""

    ask: Callable[[str], Awaitable[str | None]]
    children: list[int]


def names(language: str, count: int) -> list[str]:
    """The checks of a chain; the first one that needs scores comes after one that makes them."""
    order = CHAINS[language]
    return ["classify"] if (language, count) == ("C", 1) else list(islice(cycle(order), count))


@contextmanager
def functions(checks: list[str]) -> Iterator[Holder]:
    """Plain functions in this process."""
    from benchmarks.guardrail_checks import CHECKS

    async def ask(text: str) -> str | None:
        scores = None
        for name in checks:
            left, scores = CHECKS[name](text, scores)
            if left is None:
                return None
            text = left
        return text

    yield Holder(ask, [])


@contextmanager
def processes(checks: list[str]) -> Iterator[Holder]:
    """A process for each check."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.guardrail_checks"])
    pipes, workers = [], []
    for name in checks:
        ours, theirs = context.Pipe()
        worker = context.Process(target=serve, args=(name, theirs), daemon=True)
        worker.start()
        pipes.append(ours)
        workers.append(worker)

    async def ask(text: str) -> str | None:
        scores: list[list[float]] | None = None
        for pipe in pipes:
            pipe.send((text, scores))
            left, scores = pipe.recv()
            if left is None:
                return None
            text = left
        return text

    try:
        yield Holder(ask, [worker.pid for worker in workers if worker.pid])
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def serve(name: str, pipe: Connection) -> None:
    """Answer the requests for one check; scores cross as numbers, which for so few is the fastest way."""
    import torch

    from benchmarks.guardrail_checks import CHECKS

    while True:
        text, scores = pipe.recv()
        left, made = CHECKS[name](text, None if scores is None else torch.tensor(scores))
        pipe.send((left, None if made is None else made.tolist()))


@contextmanager
def plug_ins(checks: list[str]) -> Iterator[Holder]:
    """A plug-in for each check, in the service of the example."""
    sys.path[:0] = [str(ROOT / "examples/guardrail"), str(BUILD)]
    from guardrail.config import Config
    from guardrail.service import Guardrail

    numbered = {f"{name}-{index}": name for index, name in enumerate(checks)}
    options = {"models": ["safety"], "timeout": 60, "memory_mib": 64, "max_uses": 1_000_000, "instances": 1}
    content = {
        "models": {"safety": BUILD / "safety.pt2"},
        "plugins": {name: {"file": BUILD / f"{check}.wasm", **options} for name, check in numbered.items()},
        "chains": {"all": list(numbered)},
        "deadline": 60,
    }
    config = Config.model_validate(content)
    guardrail = Guardrail(config.models)

    async def ask(text: str) -> str | None:
        if not guardrail.plugins:
            await guardrail.apply(config)
        return (await guardrail.decide("all", text, "bench")).text

    yield Holder(ask, [])
    guardrail.close()


HOLDERS = {"functions": functions, "plug-ins": plug_ins, "processes": processes}


def measure(kind: str, language: str, count: int) -> Figures:
    """The figures of one kind of holder, in this process."""

    async def run(holder: Holder) -> Figures:
        for _ in range(WARM_UP):
            left = await holder.ask(TEXTS[language])
        seconds = []
        for _ in range(REQUESTS):
            started = time.perf_counter()
            await holder.ask(TEXTS[language])
            seconds.append(time.perf_counter() - started)
        memory = sum(pss(pid) for pid in [os.getpid(), *descendants(os.getpid())])
        return Figures(median(seconds), quantiles(seconds, n=100)[98], memory, left)

    with HOLDERS[kind](names(language, count)) as holder:
        return asyncio.run(run(holder))


def pss(pid: int) -> int:
    """The bytes of memory of a process, where pages that several share count in proportion."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that these have started."""
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [each for child in children for each in (child, *descendants(child))]


def main() -> None:
    """Measure in turns, and print the table."""
    rounds = int(sys.argv[1]) if sys.argv[1:] else 3
    shown = Table("plug-ins", "as", "p50", "p99", "memory", "p50, ratio", "p99, ratio", "memory, ratio")
    for column in shown.columns[2:]:
        column.justify = "right"
    for language, count in [(language, count) for language in CHAINS for count in COUNTS]:
        runs: dict[str, list[Figures]] = {kind: [] for kind in HOLDERS}
        for _ in range(rounds):
            for kind in HOLDERS:
                runs[kind].append(in_a_process(kind, language, count))
        if len({figures.left for each in runs.values() for figures in each}) != 1:
            raise RuntimeError(f"{count} in {language}: the checks do not leave the same of the text: {runs}")
        results = {kind: [min(each[:3][i] for each in runs[kind]) for i in range(3)] for kind in HOLDERS}
        for kind, figures in results.items():
            ratios = [f"{one / other:.2f} x" for one, other in zip(figures, results["functions"], strict=True)]
            cells = duration(figures[0]), duration(figures[1]), f"{figures[2] / 1e6:,.0f} MB"
            shown.add_row(f"{count} in {language}", kind, *cells, *ratios)
    Console(width=110).print(shown)


def in_a_process(kind: str, language: str, count: int) -> Figures:
    """The figures, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bench_guardrail", "--one", kind, language, str(count)]
    return Figures(*json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
    else:
        main()
