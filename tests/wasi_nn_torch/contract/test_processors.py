"""What computes side by side, by default, in a process that may not use all processors."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from wasi_nn_torch import http
from wasi_nn_torch.contract.processors import processors
from wasi_nn_torch.onnx.batching import lanes_for
from wasi_nn_torch.pytorch.graphs.computing.batched import lanes_on

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system keeps no process from a processor"),
]


@pytest.fixture
def confined():
    """Call a function on a thread that may use one processor."""
    one = {min(os.sched_getaffinity(0))}
    with ThreadPoolExecutor(1, initializer=lambda: os.sched_setaffinity(0, one)) as pool:
        yield lambda function: pool.submit(function).result()


@pytest.mark.parametrize(
    "computed",
    [
        processors,
        lambda: http.GraphSettings().concurrency,
        lambda: http.PipelineSettings("guest.wasm").concurrency,
        lambda: http.ComponentSettings("guest.wasm").concurrency,
        lambda: lanes_for(1),
        lambda: lanes_on(torch.device("cpu")),
    ],
)
def test_no_more_are_expected_than_may_be_used(confined, computed):
    assert confined(computed) == 1
