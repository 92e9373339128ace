"""The engine's reports of failures, as one line for people."""

from __future__ import annotations

import re

from ..crossing.transport import explain_trap
from ..errors import GuestTrap, LinkError


def trap(name: str, text: str) -> GuestTrap:
    """Return the trap for the engine's report, which has the guest's backtrace, and then the causes."""
    explained = explain_trap(text) or _explain_size(text)
    if explained is None:
        cause = " ".join(text.rsplit("Caused by:", 1)[-1].split())
        explained = re.sub(r"^(\d+: )?(wasm trap: )?", "", cause)
    return GuestTrap(f"{name} trapped: {explained}", backtrace=text)


def _explain_size(text: str) -> str | None:
    """Explain a trap because a memory of the guest begins with more than it may have; None for another trap."""
    memory = _MEMORY.search(text)
    if memory is not None:
        mebibytes = int(memory["pages"]) / 16
        return f"its memory begins with {mebibytes:g} MiB, which is more than it may have; raise the limit `memory`"
    return None


#: The engine's texts for a memory that is too large, and for a missing import.
_MEMORY = re.compile(r"memory minimum size of (?P<pages>\d+) pages exceeds memory limits")
_MISSING = re.compile(r"component imports (?P<sort>[a-z ]+) `(?P<name>[^`]+)`")


def missing_import(text: str) -> str | None:
    """Return the name of the missing import, if the engine's report is about one."""
    missing = _MISSING.search(text)
    return None if missing is None else missing["name"]


def link_error(name: str, missing: str, text: str, hint: str) -> LinkError:
    """Return the error for the import `missing`; `text` is the engine's report."""
    causes = [" ".join(line.split()) for line in text.split("Caused by:")[-1].splitlines() if line.strip()]
    detail = f" ({'; '.join(causes)})" if "Caused by:" in text else ""
    return LinkError(f"{name} imports {missing}, which this host does not provide{detail}{hint}", backtrace=text)
