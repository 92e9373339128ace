"""The limits of one session, and their default values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final, Self

from wasi_nn_torch.contract.arguments import require_type
from wasi_nn_torch.contract.limiting import LIMITS, Unit
from wasi_nn_torch.contract.sizes import require_amount, spell_binary_size
from wasi_nn_torch.sessions.durations import require_duration


@dataclass(frozen=True)
class Limits:
    """The limits of one session; None lifts one of them, and `Limits.none()` lifts all.

    `memory` is for all linear memories of the guest together, in bytes, with the heap of its garbage collector if it
    has one. `memories`, `tables` and `instances` are numbers, `table_elements` is for each table. `device_bytes` is for
    tensors on devices, guest-supplied models, and the state of contexts; `host_bytes` for tensors that wait in the
    host's memory. `tensors` is the number of tensors at a time, and `resources` the number of tensors, graphs, contexts
    and errors that the guest itself may hold. `output` is for the bytes that the guest writes to its standard output
    and standard error together; terminals are not counted. `timeout` is in seconds of wall-clock time. `fuel` is about
    one for each instruction of WebAssembly that the guest executes, for each run, start and call as `timeout` is: a
    bound that does not depend on the machine. It needs `Engine(fuel=True)`.

    Raises ValueError for a negative number, and for a timeout that is not above 0 or not finite; TypeError for what is
    not a number.
    """

    device_bytes: int | None = 2 << 30
    host_bytes: int | None = 1 << 30
    tensors: int | None = 10_000
    memory: int | None = 1 << 30
    timeout: float | None = None
    resources: int | None = 10_000
    output: int | None = 64 << 20
    memories: int | None = 16
    tables: int | None = 32
    table_elements: int | None = 1 << 18
    instances: int | None = 256
    fuel: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            if LIMITS[field.name].unit is not Unit.SECONDS:
                require_amount(f"the limit `{field.name}`", getattr(self, field.name))
        require_duration("the limit `timeout`", self.timeout)

    @classmethod
    def none(cls) -> Self:
        """No limits."""
        return cls(**dict.fromkeys((field.name for field in fields(cls)), None))


#: The limits of a session that is given none.
DEFAULT_LIMITS: Final = Limits()


def limits_of(limits: Limits | None) -> Limits:
    """The limits of a session that is given `limits`; raises TypeError for what is not Limits."""
    if limits is None:
        return DEFAULT_LIMITS
    return require_type("`limits`", limits, Limits, "Limits(…), or None for the default limits")


@dataclass(frozen=True)
class LimitRow:
    """One limit for people: its names, its default value, and what it limits."""

    name: str
    option: str
    default: str
    meaning: str


def default_limits() -> Iterator[LimitRow]:
    """The defaults of all limits, in the order in which they are documented."""
    for name, text in LIMITS.items():
        yield LimitRow(name, text.option, spell_limit(name, getattr(DEFAULT_LIMITS, name)), text.meaning)


def spell_limit(name: str, value: float | None) -> str:
    """The value of a limit as people write it: `1 GiB`, `10,000`, `none`."""
    if value is None:
        return "none"
    unit = LIMITS[name].unit
    if unit is Unit.BYTES:
        return spell_binary_size(int(value))
    return f"{value:g} s" if unit is Unit.SECONDS else f"{value:,}"
