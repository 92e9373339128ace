"""The engine's reports of failures, as one line for people."""

from __future__ import annotations

import re

from ..crossing.bounds import Bounds
from ..crossing.reservations import NO_SPACE
from ..crossing.state import HostState
from ..crossing.transport import explain_trap
from ..errors import GuestLimit, GuestTrap, LinkError


def trap(name: str, text: str, state: HostState) -> GuestTrap:
    """Return the trap for the engine's report, which has the guest's backtrace, and then the causes.

    A guest whose memory could not grow has probably trapped because of that.
    """
    beyond = _beyond(name, text, state.bounds)
    if beyond is not None:
        return beyond
    explained = explain_trap(text) or _unserved(text, state) or (_NO_MEMORY if _REFUSED in text else None)
    if explained is None:
        cause = " ".join(text.rsplit("Caused by:", 1)[-1].split())
        explained = re.sub(r"^(\d+: )?(wasm trap: )?", "", cause)
    refusal = state.memory.budget.refusal
    remark = f"; before that, {refusal}" if refusal else ""
    return GuestTrap(f"{name} trapped: {explained}{remark}", backtrace=text)


def _unserved(text: str, state: HostState) -> str | None:
    """Return the problem if the guest called a function that the host defined as a trap."""
    called = _UNKNOWN.search(text)
    if called is None or called["name"] not in state.traps:
        return None
    return f"it called {called['name']}, which this host cannot serve: {state.traps[called['name']]}"


def _beyond(name: str, text: str, bounds: Bounds) -> GuestLimit | None:
    """Return the trap for a limit that the engine checks; None for another report."""
    for limit, report, problem in _LIMITS:
        found = report.search(text)
        if found is not None:
            most = getattr(bounds, limit, None)
            given = problem.format(name=name, most=_DEFAULT if most is None else most, **found.groupdict())
            return GuestLimit(f"{given}; {bounds.advice(limit)}", limit, backtrace=text)
    return None


#: The end of the engine's report when the system refuses memory.
_REFUSED = "Cannot allocate memory (os error 12)"
_NO_MEMORY = f"the system refuses more memory; {NO_SPACE}"
#: The most memories, tables and instances of a guest without other limits.
_DEFAULT = 10_000
#: The limits that the engine checks: the name, the engine's report, and the problem in words.
_LIMITS = (
    (
        "memory",
        re.compile(r"memory minimum size of (?P<pages>\d+) pages exceeds memory limits"),
        "a memory of {name} begins with {pages} pages of 64 KiB, which is more than it may have",
    ),
    (
        "table_elements",
        re.compile(r"table minimum size of (?P<size>\d+) elements exceeds table limits"),
        "a table of {name} begins with {size} elements (limit {most})",
    ),
    ("memories", re.compile("memory count too high at"), "{name} has more than {most} memories"),
    ("tables", re.compile("table count too high at"), "{name} has more than {most} tables"),
    ("instances", re.compile("instance count too high at"), "{name} has more than {most} instances of core modules"),
    ("fuel", re.compile("all fuel consumed by WebAssembly"), "{name} consumed all its fuel (limit {most})"),
)
#: The engine's text for a call of an import that is not defined.
_UNKNOWN = re.compile(r"unknown import: `(?P<name>[^`]+)` has not been defined")
#: The engine's text for a missing import.
_MISSING = re.compile(r"component imports (?P<sort>[a-z ]+) `(?P<name>[^`]+)`")


def missing_import(text: str) -> str | None:
    """Return the name of the missing import, if the engine's report is about one."""
    missing = _MISSING.search(text)
    return None if missing is None else missing["name"]


def may_wait(text: str) -> bool:
    """Return whether the engine's report is that a guest may wait inside a call of its imports."""
    return "requires that `*_async` functions are used" in text


def link_error(name: str, missing: str, text: str, hint: str) -> LinkError:
    """Return the error for the import `missing`; `text` is the engine's report."""
    causes = [" ".join(line.split()) for line in text.split("Caused by:")[-1].splitlines() if line.strip()]
    detail = f" ({'; '.join(causes)})" if "Caused by:" in text else ""
    return LinkError(f"{name} imports {missing}, which this host does not provide{detail}{hint}", backtrace=text)
