"""Random calls, compared with a small model of the state; `make soak` makes 100,000 of them."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch

from tests.guests.witx import (
    ANSWER,
    AUTODETECT,
    CONFIG,
    CPU,
    DATA,
    F32,
    NAME,
    ONNX,
    PAGE,
    PYTORCH,
    RECORD,
    TPU,
    Guest,
    passing,
    playing,
)
from tests.wasi_nn_torch.helpers.isolation import isolated
from tests.wasi_nn_torch.helpers.models import Add, Scale, Split, scripted
from wasi_nn_torch import Engine, GuestTrap
from wasi_nn_torch.hosts.witx_numbers import Errno

CALLS = int(os.environ.get("SOAK_CALLS", "3000"))
#: The maximum number of calls in the life of a guest.
LIFE = 400
OK, WRONG, FAILED = Errno.SUCCESS, Errno.INVALID_ARGUMENT, Errno.RUNTIME_ERROR

Vector = list[float]


def add(given: dict[int, Vector]) -> list[Vector] | None:
    """The sum of two vectors, one of which may be a single number."""
    if set(given) not in ({0}, {0, 1}):
        return None
    x, y = given[0], given.get(1, [1.0])
    if len(x) != len(y) and 1 not in (len(x), len(y)):
        return None
    length = len(x) if len(y) == 1 else len(y)
    return [[x[index % len(x)] + y[index % len(y)] for index in range(length)]]


class Writes(torch.nn.Module):
    """Adds to its input in place."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.add_(1)


#: The outputs of each graph for inputs by number; None if it refuses them.
GRAPHS: dict[str, Callable[[dict[int, Vector]], list[Vector] | None]] = {
    "writes": lambda given: [[x + 1 for x in given[0]]] if set(given) == {0} else None,
    "triple": lambda given: [[3 * x for x in given[0]]] if set(given) == {0} else None,
    "split": lambda given: [[x] for x in given[0]] if set(given) == {0} else None,
    "add": add,
}
MODULES = {"writes": Writes(), "triple": Scale(3.0), "split": Split(), "add": Add()}
BROUGHT = scripted(MODULES["triple"])


@dataclass
class Context:
    """The expected content of a context."""

    graph: str
    inputs: dict[int, Vector] = field(default_factory=dict)
    outputs: list[Vector] = field(default_factory=list)

    @property
    def tensors(self) -> int:
        return len(self.inputs) + len(self.outputs)


class Expected:
    """The expected state of a guest, and its calls, each compared with the host's answer."""

    def __init__(self, guest: Guest, dice: random.Random) -> None:
        self.guest = guest
        self.dice = dice
        self.graphs: dict[int, str] = {}
        self.contexts: dict[int, Context] = {}
        self.freed: list[int] = [0, 2**32 - 1]

    def step(self) -> None:
        """Make one call of any function."""
        weighted = [
            (self.load_by_name, 3), (self.load, 1), (self.with_config, 1), (self.init, 5), (self.set_input, 20),
            (self.compute, 12), (self.get_output, 20), (self.unload, 2), (self.finalize, 3), (self.fini, 2),
            (self.grow, 0.2),
        ]  # fmt: skip
        actions, weights = zip(*weighted, strict=True)
        self.dice.choices(actions, weights)[0]()
        assert self.guest.ledger.snapshot().live_tensors == sum(each.tensors for each in self.contexts.values())
        assert len(self.guest.store.resources) == len(self.graphs) + len(self.contexts)

    def trap(self) -> None:
        """Make one call that must trap, since an address is outside the memory."""
        outside = self.dice.randrange(self.guest.size() - 3, 2**32)
        context = self.contexts and next(iter(self.contexts))
        name, *numbers = self.dice.choice(
            [
                ("load", outside, 1, PYTORCH, CPU, ANSWER),
                ("load_by_name", NAME, outside, ANSWER),
                ("load_by_name_with_config", NAME, 0, outside, 4, ANSWER),
                *([("set_input", context, 0, outside)] if context else []),
            ]
        )
        with pytest.raises(GuestTrap, match=f"wasi_ephemeral_nn#{name}: "):
            self.guest.call(name, *numbers)
        assert self.guest.ledger.snapshot().live_tensors == len(self.guest.store.resources) == 0

    # --- each function ---

    def load_by_name(self) -> None:
        name = self.dice.choice([*GRAPHS, "none", "", "\N{SNOWMAN}"])
        where = self.guest.put(NAME, name.encode())
        self.answered(
            OK if name in GRAPHS else Errno.NOT_FOUND,
            "load_by_name",
            *where,
            ANSWER,
            then=lambda: self.given(self.graphs, name),
        )

    def with_config(self) -> None:
        name = self.dice.choice([*GRAPHS, "none"])
        config, errno = self.dice.choice(
            [
                ('{"device": "cpu"}', OK),
                ("", OK),
                ("{}", OK),
                ('{"device": 1}', WRONG),
                ('{"gpu": true}', WRONG),
                ("cpu", WRONG),
                ('{"device": "moon"}', Errno.UNSUPPORTED_OPERATION),
            ]
        )
        if name not in GRAPHS and errno is not WRONG:
            errno = Errno.NOT_FOUND
        where = (*self.guest.put(NAME, name.encode()), *self.guest.put(CONFIG, config.encode()))
        self.answered(errno, "load_by_name_with_config", *where, ANSWER, then=lambda: self.given(self.graphs, name))

    def load(self) -> None:
        model = self.dice.choice([BROUGHT, b"", self.dice.randbytes(100)])
        encoding = self.dice.choice([PYTORCH, PYTORCH, AUTODETECT, ONNX, self.dice.randrange(2**32)])
        target = self.dice.choice([CPU, CPU, TPU, 77])
        builders = self.dice.choice([1, 1, 1, 0, 2])
        where, length = self.guest.put(DATA, model)
        self.guest.put(RECORD, struct.pack("<4I", where, length, where, length))
        errno = OK
        if encoding == ONNX:  # of which there is no model here
            errno = self._loaded(b"", target, builders)
        elif encoding not in (PYTORCH, AUTODETECT):
            errno = Errno.INVALID_ENCODING
        if target == 77 and (encoding < 7):
            errno = WRONG
        elif errno is OK:
            errno = self._loaded(model, target, builders)
        self.answered(
            errno, "load", RECORD, builders, encoding, target, ANSWER, then=lambda: self.given(self.graphs, "triple")
        )

    def _loaded(self, model: bytes, target: int, builders: int) -> Errno:
        if builders != 1:
            return WRONG
        if target == TPU:
            return Errno.UNSUPPORTED_OPERATION
        return OK if model is BROUGHT else Errno.INVALID_ENCODING

    def init(self) -> None:
        graph = self.handle()
        name = self.graphs.get(graph)
        self.answered(
            OK if name else WRONG,
            "init_execution_context",
            graph,
            ANSWER,
            then=lambda: self.given(self.contexts, Context(str(name))),
        )

    def set_input(self) -> None:
        context = self.handle()
        index = self.dice.choice([0, 0, 0, 1, 1, 2, 2**32 - 1])
        values = [float(self.dice.randrange(100)) for _ in range(self.dice.choice([0, 1, 3, 3, 3]))]
        fault = self.dice.choice(["", "", "", "", "shape", "type"])
        shape = [len(values) + (fault == "shape")]
        type_ = self.dice.randrange(6, 256) if fault == "type" else F32
        self.guest.tensor(shape, type_, struct.pack(f"<{len(values)}f", *values))
        known = self.contexts.get(context)

        def set_() -> None:
            assert known is not None
            known.inputs[index] = values

        self.answered(WRONG if fault or known is None else OK, "set_input", context, index, RECORD, then=set_)

    def compute(self) -> None:
        handle = self.handle()
        name = self.dice.choice(["compute", "compute_single"])
        context = self.contexts.get(handle)
        if context is None:
            return self.answered(WRONG, name, handle)
        context.outputs = []
        outputs = GRAPHS[context.graph](context.inputs)
        if outputs is None:
            errno = Errno(self.guest.call(name, handle))
            assert errno in (WRONG, FAILED), (name, context.inputs)
            return None
        context.outputs = outputs
        return self.answered(OK, name, handle)

    def get_output(self) -> None:
        handle = self.handle()
        name = self.dice.choice(["get_output", "get_output_single"])
        index = self.dice.choice([0, 0, 0, 1, 2, 3, 2**32 - 1])
        size = self.dice.choice([0, 4, 11, 12, 100])
        context = self.contexts.get(handle)
        before = self.guest.put(DATA, self.dice.randbytes(128))
        expected = b""
        if context is None or index >= len(context.outputs):
            errno = WRONG
        else:
            output = context.outputs[index]
            expected = struct.pack(f"<{len(output)}f", *output)
            errno = OK if len(expected) <= size else Errno.TOO_LARGE
        rest = self.guest.get(*before)
        self.answered(errno, name, handle, index, DATA, size, ANSWER)
        written = expected if errno is OK else b""
        assert self.guest.get(*before) == written + rest[len(written) :]
        if errno in (OK, Errno.TOO_LARGE):
            assert self.guest.number() == len(expected)

    def unload(self) -> None:
        handle = self.handle()
        errno = OK if handle in self.graphs else WRONG
        self.answered(errno, "unload", handle, then=lambda: self.take(self.graphs, handle))

    def finalize(self) -> None:
        handle = self.handle()
        errno = OK if handle in self.contexts else WRONG
        self.answered(errno, "finalize_execution_context", handle, then=lambda: self.take(self.contexts, handle))

    def fini(self) -> None:
        handle = self.handle()
        context = self.contexts.get(handle)
        self.answered(WRONG if context is None else OK, "fini_single", handle)
        if context is not None:
            context.inputs, context.outputs = {}, []

    def grow(self) -> None:
        assert self.guest.call("grow", 1) * PAGE == self.guest.size() - PAGE

    # --- what they share ---

    def handle(self) -> int:
        """A handle of either kind, which mostly exists."""
        known = [*self.graphs, *self.contexts, *self.contexts, *self.contexts]
        return self.dice.choice(known if known and self.dice.random() < 0.9 else self.freed)

    def answered(self, errno: Errno, name: str, *numbers: int, then: Callable[[], None] = lambda: None) -> None:
        """Require that the host answers with `errno`; a successful call has the effect `then`."""
        assert Errno(self.guest.call(name, *numbers)) is errno, (name, numbers)
        if errno is OK:
            then()

    def given(self, table: dict[int, object], item: object) -> None:
        handle = self.guest.number()
        assert handle not in {*self.graphs, *self.contexts, *self.freed}
        table[handle] = item

    def take(self, table: dict[int, object], handle: int) -> None:
        del table[handle]
        self.freed.append(handle)


@pytest.fixture(scope="module")
def engine(device):
    with Engine(device, **isolated(device), cache=False) as engine:
        for name, module in MODULES.items():
            engine.register(name, scripted(module))
        yield engine


def test_calls_at_random_do_what_the_model_of_the_state_says(engine, device):
    library = engine.compile(passing())
    made = guests = traps = 0
    before = torch.accelerator.memory_allocated(device) if device.type != "cpu" else 0
    while made < CALLS:
        dice = random.Random(guests)
        with playing(engine, library=library) as guest:
            expected = Expected(guest, dice)
            for _ in range(dice.randrange(LIFE)):
                expected.step()
                made += 1
            if dice.random() < 0.5:
                expected.trap()
                made, traps = made + 1, traps + 1
        assert guest.ledger.snapshot().live_tensors == 0
        if device.type != "cpu":
            assert torch.accelerator.memory_allocated(device) == before, f"guest {guests}"
        guests += 1
    print(f"{made:,} calls by {guests:,} guests, {traps:,} of which ended in a trap: as expected, and nothing stayed")
