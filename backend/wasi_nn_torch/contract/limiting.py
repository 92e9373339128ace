"""The names of a session's limits, in Python and on the command line, and the advice how to raise one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Unit(Enum):
    """The meaning of the number of a limit."""

    BYTES = "bytes"
    COUNT = "count"
    SECONDS = "seconds"


@dataclass(frozen=True)
class LimitText:
    """A limit in words: its option on the command line, its unit, and what it limits."""

    option: str
    unit: Unit
    meaning: str


#: Every limit, by its name in `Limits`.
LIMITS: Final[Mapping[str, LimitText]] = {
    "memory": LimitText(
        "--max-memory", Unit.BYTES, "all linear memories of the guest together, and its garbage-collected heap"
    ),
    "memories": LimitText("--max-memories", Unit.COUNT, "the number of linear memories"),
    "tables": LimitText("--max-tables", Unit.COUNT, "the number of tables"),
    "table_elements": LimitText("--max-table-elements", Unit.COUNT, "the number of elements of each table"),
    "instances": LimitText("--max-instances", Unit.COUNT, "the number of instances of core modules"),
    "host_bytes": LimitText("--max-host-memory", Unit.BYTES, "tensors that no graph has used yet"),
    "device_bytes": LimitText(
        "--max-device-memory", Unit.BYTES, "tensors on devices, guest-supplied models, state of contexts"
    ),
    "tensors": LimitText("--max-tensors", Unit.COUNT, "the number of tensors at a time"),
    "resources": LimitText(
        "--max-resources", Unit.COUNT, "the number of tensors, graphs, contexts and errors that the guest itself holds"
    ),
    "output": LimitText("--max-output", Unit.BYTES, "the bytes of standard output and standard error together"),
    "fuel": LimitText("--max-fuel", Unit.COUNT, "the instructions of WebAssembly that the guest executes, roughly"),
    "timeout": LimitText("--timeout", Unit.SECONDS, "the wall-clock time of the run"),
}


def advice(name: str) -> str:
    """The end of every message about a limit: how to raise it in Python and on the command line."""
    return f"raise the limit `{name}`, in Python `Limits({name}=…)`, on the command line `{LIMITS[name].option}`"
