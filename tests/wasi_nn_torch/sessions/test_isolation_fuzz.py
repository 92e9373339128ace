"""Every operator with degenerate arguments, computed through workers; `make soak` makes 100,000 calls.

`SOAK_FUZZ` is the number of calls, and `FUZZ_SEED` what they are drawn by.
"""

from __future__ import annotations

import gc
import os
import time

import pytest
import torch

from tests.wasi_nn_torch.helpers import unchecked
from tests.wasi_nn_torch.helpers.degenerate_calls import models, writable
from tests.wasi_nn_torch.helpers.direct import Direct
from tests.wasi_nn_torch.helpers.fuzzing import MIB, Fuzz
from tests.wasi_nn_torch.helpers.models import Add, scripted
from tests.wasi_nn_torch.helpers.processes import descriptors, resident, workers
from wasi_nn_torch import Engine
from wasi_nn_torch.pytorch.graphs.vetting.operators import why_refused
from wasi_nn_torch.workers.confinement import lacking

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(bool(lacking()), reason=f"processes cannot be confined here: {'; '.join(lacking())}"),
]

CALLS = int(os.environ.get("SOAK_FUZZ", "300"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
#: The calls in one model, each of which is made with several inputs.
CASES = 8
#: The calls between two reports.
STEP = 5_000
#: The calls after which caches and pools have reached their size.
WARM = CALLS // 5


def operators(allowed: bool) -> list[torch._C.FunctionSchema]:
    """The operators that the check allows, or those that it refuses."""
    schemas = [schema for schema in torch._C._jit_get_all_schemas() if schema.name.startswith("aten::")]
    return writable([schema for schema in schemas if (why_refused(schema.name[6:]) is None) == allowed])


@pytest.mark.parametrize(
    ("allowed", "imports", "calls"),
    [(True, [], CALLS), (False, [unchecked.NAME], CALLS // 5)],
    ids=["that the check allows", "that the check refuses, without it"],
)
def test_operators_with_degenerate_arguments_end_no_host(allowed, imports, calls):
    drawn = models(operators(allowed), SEED, CASES)
    with Engine("cpu", guest_models="isolated", imports=imports) as engine:
        start(engine)
        fuzz, started = Fuzz(engine), time.monotonic()
        fuzz.run(drawn, WARM * calls // CALLS)
        memory, files = host()
        for number in range(fuzz.calls, calls, STEP):
            fuzz.run(drawn, min(number + STEP, calls))
            report(fuzz, time.monotonic() - started)
        grown, files_now = host()
    for what, call in fuzz.deaths:
        print(f"{what}: {call}")
    assert fuzz.counts["answered"] > 0
    assert files_now == files
    assert grown - memory < 32 * MIB
    assert workers(os.getpid()) == []


def start(engine: Engine) -> None:
    """Start the server of workers, and wait for it."""
    with Direct(engine) as session:
        session.load(scripted(Add()))


def report(fuzz: Fuzz, seconds: float) -> None:
    """Print what came of the calls up to now."""
    print(f"\nseed {SEED}: {fuzz.calls} calls in {seconds:.0f} s, {fuzz.calls / seconds:.0f} a second")
    for what, number in fuzz.counts.most_common():
        print(f"{number:8} {what}", flush=True)


def host() -> tuple[int, int]:
    """The memory and the number of descriptors of this process."""
    gc.collect()
    return resident(os.getpid()), descriptors(os.getpid())
