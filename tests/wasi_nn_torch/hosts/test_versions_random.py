"""Random calls of every version at once, compared with a small model of the state; `SOAK_CALLS` is their number."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch

from tests.wasi_nn_torch.helpers.isolation import isolated
from tests.wasi_nn_torch.helpers.models import Add, Split, scripted
from tests.wasi_nn_torch.helpers.versions import STEPWISE, VERSIONS, Guest, open_guests
from wasi_nn_torch import Engine, GuestTrap

CALLS = int(os.environ.get("SOAK_CALLS", "3000"))
#: The maximum number of calls in the life of a guest.
LIFE = 400

Vector = list[float]


class Overwrites(torch.nn.Module):
    """Writes to its input, and returns that and another tensor."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        before = x.clone()
        return {"written": x.add_(100), "before": before}


def add(x: Vector, y: Vector | None = None) -> dict[str, Vector] | None:
    """The sum of two vectors, one of which may be a single number; None if it is refused."""
    y = [1.0] if y is None else y
    if len(x) != len(y) and 1 not in (len(x), len(y)):
        return None
    length = len(x) if len(y) == 1 else len(y)
    return {"output": [x[index % len(x)] + y[index % len(y)] for index in range(length)]}


@dataclass(frozen=True)
class Model:
    """A graph: the names of its inputs, the first of which is required, and the function that it computes."""

    module: torch.nn.Module
    inputs: tuple[str, ...]
    compute: Callable[..., dict[str, Vector] | None]


MODELS = {
    "add": Model(Add(), ("x", "y"), add),
    "split": Model(Split(), ("x",), lambda x: {str(index): [value] for index, value in enumerate(x)}),
    "overwrites": Model(Overwrites(), ("x",), lambda x: {"written": [value + 100 for value in x], "before": x}),
}


@dataclass(eq=False)
class Content:
    """The expected content of a tensor."""

    values: Vector
    fits: bool = True


@dataclass(eq=False)
class Context:
    """The expected content of a context."""

    guest: Guest
    handle: object
    model: Model
    inputs: dict[str, Content] = field(default_factory=dict)
    outputs: dict[str, Content] = field(default_factory=dict)


class Expected:
    """The expected state of a guest, and its calls, each compared with the host's answer."""

    def __init__(self, guests: list[Guest], dice: random.Random) -> None:
        self.guests = guests
        self.dice = dice
        self.tensors: list[tuple[Guest, object, Content]] = []
        self.contexts: list[Context] = []

    def step(self) -> None:
        """Make one call of any function."""
        weighted = [
            (self.make, 20), (self.read, 8), (self.drop, 4), (self.begin, 4), (self.end, 2), (self.set_input, 16),
            (self.compute, 12), (self.get_output, 16), (self.new_error, 1),
        ]  # fmt: skip
        actions, weights = zip(*weighted, strict=True)
        self.dice.choices(actions, weights)[0]()
        held = [content for _, _, content in self.tensors]
        for context in self.contexts:
            held += [*context.inputs.values(), *context.outputs.values()]
        assert self.guests[0].live == len(set(held))
        assert len(self.guests[0].store.state.table) == len(self.tensors) + len(self.contexts)

    def trap(self) -> None:
        """Make one call that must trap."""
        guest = self.guests[0]
        with pytest.raises(GuestTrap, match="constructor of an error"):
            guest.errors.new_error(guest.types("errors").ErrorCode.UNKNOWN, "x" * 65_537)
        assert guest.live == len(guest.store.state.table) == 0

    # --- each function ---

    def make(self) -> None:
        guest = self.dice.choice(self.guests)
        values = [float(self.dice.randrange(100)) for _ in range(self.dice.choice([0, 1, 3, 3, 3]))]
        fits = self.dice.random() < 0.9
        tensor = guest.floats(*values, shape=[len(values) + (not fits)])
        self.tensors.append((guest, tensor, Content(values, fits)))

    def read(self) -> None:
        if self.tensors:
            _, tensor, content = self.dice.choice(self.tensors)
            assert tensor.ty().name == "FP32"
            assert tensor.dimensions() == [len(content.values) + (not content.fits)]
            assert tensor.data() == struct.pack(f"<{len(content.values)}f", *content.values)

    def drop(self) -> None:
        if self.tensors:
            self.take(self.dice.choice(self.tensors))[1].drop()

    def begin(self) -> None:
        guest = self.dice.choice(self.guests)
        name = self.dice.choice([*MODELS, *MODELS, "none", "", "\N{SNOWMAN}"])
        if name in MODELS:
            self.contexts.append(Context(guest, guest.context(name), MODELS[name]))
        else:
            assert self.refused(guest, guest.context, name) == "NOT_FOUND"

    def end(self) -> None:
        if self.contexts:
            self.contexts.pop(self.dice.randrange(len(self.contexts))).handle.drop()

    def set_input(self) -> None:
        context = self.stepwise()
        tensor = context and self.tensor(context.guest)
        if not tensor:
            return
        name = self.name()
        _, handle, content = self.take(tensor)
        if content.fits:
            context.handle.set_input(name, handle)
            context.inputs[name] = content
        else:
            assert self.refused(context.guest, context.handle.set_input, name, handle) == "INVALID_ARGUMENT"

    def compute(self) -> None:
        if not self.contexts:
            return
        context = self.dice.choice(self.contexts)
        if context.guest.version in STEPWISE:
            context.outputs = {}
            outputs = self.computed(context.model, list(context.inputs.items()))
            if outputs is None:
                self.failed(context.guest, context.handle.compute)
            else:
                context.handle.compute()
                context.outputs = {name: Content(values) for name, values in outputs.items()}
            return
        taken = [(self.name(), *self.take(tensor)[1:]) for _ in range(2) if (tensor := self.tensor(context.guest))]
        inputs = [(name, handle) for name, handle, _ in taken]
        outputs = self.computed(context.model, [(name, content) for name, _, content in taken])
        if outputs is None:
            self.failed(context.guest, context.handle.compute, inputs)
        else:
            made = context.handle.compute(inputs)
            assert [name for name, _ in made] == list(outputs)
            self.tensors += [(context.guest, handle, Content(outputs[name])) for name, handle in made]

    def get_output(self) -> None:
        context = self.stepwise()
        if context is None:
            return
        name = self.dice.choice([*context.outputs, *context.outputs, "0", "1", "2", "x", ""])
        position = int(name) if name.isdecimal() else len(context.outputs)
        outputs = [*context.outputs.values()]
        found = context.outputs.get(name, next(iter(outputs[position:]), None))
        if len(outputs) == 1:
            [found] = outputs  # under any name
        if found is None:
            assert self.refused(context.guest, context.handle.get_output, name) == "INVALID_ARGUMENT"
        else:
            self.tensors.append((context.guest, context.handle.get_output(name), found))

    def new_error(self) -> None:
        guest = self.guests[VERSIONS.index("2024-06-25")]
        code = self.dice.choice(list(guest.types("errors").ErrorCode))
        with guest.errors.new_error(code, "ü" * 9) as error:
            assert (error.code(), error.data()) == (code, "ü" * 9)

    # --- what they share ---

    def stepwise(self) -> Context | None:
        """A context of one of the versions that have `set-input`."""
        return self.one_of([each for each in self.contexts if each.guest.version in STEPWISE])

    def tensor(self, guest: Guest) -> tuple[Guest, object, Content] | None:
        """One of the tensors that `guest` holds."""
        return self.one_of([each for each in self.tensors if each[0] is guest])

    def one_of(self, items: list) -> object:
        return self.dice.choice(items) if items else None

    def take(self, tensor: tuple[Guest, object, Content]) -> tuple[Guest, object, Content]:
        self.tensors.remove(tensor)
        return tensor

    def name(self) -> str:
        return self.dice.choice(["x", "x", "x", "y", "y", "0", "1", "z"])

    def computed(self, model: Model, given: list[tuple[str, Content]]) -> dict[str, Vector] | None:
        """The expected outputs of a graph for these inputs; None if it should refuse them."""
        names = [name for name, _ in given]
        positions = [str(position) for position in range(len(model.inputs))]
        known = next((table for table in (model.inputs, positions) if not set(table).isdisjoint(names)), model.inputs)
        if len(names) == 1 and names[0] not in (*model.inputs, *positions):
            known = names  # the only input may have any name
        fits = all(content.fits for _, content in given)
        if len(set(names)) < len(names) or not set(names) <= set(known) or known[0] not in names or not fits:
            return None
        inputs = {known.index(name): content.values for name, content in given}
        return model.compute(*(inputs[index] for index in sorted(inputs)))

    def refused(self, guest: Guest, call: Callable[..., object], *arguments: object) -> str:
        """The code of the error with which a call is answered."""
        with pytest.raises(guest.refusal) as caught:
            call(*arguments)
        with caught.value.value as error:
            assert error.data()
            return error.code().name

    def failed(self, guest: Guest, call: Callable[..., object], *arguments: object) -> None:
        assert self.refused(guest, call, *arguments) in ("INVALID_ARGUMENT", "RUNTIME_ERROR")


@pytest.fixture(scope="module")
def engine(device):
    with Engine(device, **isolated(device), cache=False) as engine:
        for name, model in MODELS.items():
            engine.register(name, scripted(model.module))
        yield engine


def test_calls_at_random_do_what_the_model_of_the_state_says(engine, device):
    made = guests = traps = 0
    before = torch.accelerator.memory_allocated(device) if device.type != "cpu" else 0
    while made < CALLS:
        dice = random.Random(guests)
        with open_guests(engine, *VERSIONS) as running:
            expected = Expected(running, dice)
            for _ in range(dice.randrange(LIFE)):
                expected.step()
                made += 1
            if dice.random() < 0.5:
                expected.trap()
                made, traps = made + 1, traps + 1
        if device.type != "cpu":
            assert torch.accelerator.memory_allocated(device) == before, f"guest {guests}"
        guests += 1
    print(f"{made:,} calls by {guests:,} guests, {traps:,} of which ended in a trap: as expected, and nothing stayed")
