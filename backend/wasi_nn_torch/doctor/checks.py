"""The checks of `wasi-nn-torch doctor`, one finding for each.

A failure is a finding and never an exception: a package that cannot be imported, a driver that does not answer, a
third-party backend that fails.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from importlib import import_module, metadata, resources
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from platformdirs import user_cache_path

from wasi_nn_torch.contract.errors import BackendMissing
from wasi_nn_torch.contract.findings import Finding, Health
from wasi_nn_torch.contract.sizes import spell_size
from wasi_nn_torch.contract.text import one_line
from wasi_nn_torch.doctor.isolation import isolation
from wasi_nn_torch.doctor.requirements import DISTRIBUTION, RUNTIME, Requirement, pip_install, requirements


def examine() -> Iterator[Finding]:
    """Yield the findings, prerequisites first."""
    yield Finding("Python", f"{platform.python_version()} on {sys.platform}, {platform.machine()}")
    try:
        required = list(requirements())
        yield Finding(DISTRIBUTION, metadata.version(DISTRIBUTION))
    except metadata.PackageNotFoundError:
        text = "not installed, so its backends cannot be found"
        yield Finding(DISTRIBUTION, text, Health.BROKEN, pip_install(DISTRIBUTION))
        return
    for requirement in required:
        if requirement.extra is None:
            yield requirement.examine(Health.BROKEN)
    yield _generator(required)
    boundary = _boundary(required)
    yield boundary
    if boundary.health is Health.OK:  # a prerequisite of the rest
        yield from _backends(required)
        yield from isolation()
        yield _cache()
        yield _compiling()
        yield _limits()
        yield from _guest()


def _boundary(required: Iterable[Requirement]) -> Finding:
    """Whether Wasmtime can be imported and has every function that is used."""
    name = "the boundary"
    try:
        import_module("wit_host")
    except Exception as error:  # noqa: BLE001  # a package can be broken in any way
        text = f"Wasmtime cannot be used: {_reason(error)}"
        return Finding(name, text, Health.BROKEN, _reinstall("wasmtime", required))
    return Finding(name, "Wasmtime has every function that is used")


# --- backends ---


def _backends(required: Iterable[Requirement]) -> Iterator[Finding]:
    from wasi_nn_torch.contract.backend import GROUP

    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        yield from _backend(entry, required)


def _backend(entry: EntryPoint, required: Iterable[Requirement]) -> Iterator[Finding]:
    """The findings of a backend, or the reason why it cannot be used."""
    from wasi_nn_torch.contract.backend import BackendOptions, Diagnoses

    name = f"backend for {entry.name}"
    package = DISTRIBUTION if entry.dist is None else entry.dist.name
    try:
        backend = entry.load()(BackendOptions())
        findings = list(backend.diagnose()) if isinstance(backend, Diagnoses) else []
    except BackendMissing as missing:
        yield Finding(name, f"not available: {missing.reason}", Health.MISSING, missing.remedy)
        return
    except Exception as error:  # noqa: BLE001  # it may be broken in any way, and so may its imports
        remedy = _reinstall("torch" if package == DISTRIBUTION else package, required)
        yield Finding(name, f"{entry.value} cannot be used: {_reason(error)}", Health.BROKEN, remedy)
        return
    yield Finding(name, f"{entry.value} of {package}")
    yield from findings


def _reinstall(package: str, required: Iterable[Requirement]) -> str:
    """The command that reinstalls a package, in the required version."""
    text = next((requirement.text for requirement in required if requirement.name == package), package)
    return pip_install(f"--force-reinstall '{text}'")


# --- compiled guests ---


def _cache() -> Finding:
    from wasi_nn_torch.sessions.cache import VARIABLE, key_trouble, user_cache_directory

    name, variable = "compiled guests", f"export {VARIABLE}=/path/to/a/directory"
    cache = user_cache_directory()
    if cache is None:
        return Finding(name, "not cached, because there is no home directory", Health.MISSING, variable)
    trouble = cache.trouble() or _not_writable(cache.folder) or key_trouble(cache.folder)
    if trouble:
        return Finding(name, f"not cached in {cache.folder}, because {trouble}", Health.MISSING, variable)
    entries = cache.entries()
    size = f"{spell_size(sum(entry.size for entry in entries))} of at most {spell_size(cache.largest)}"
    return Finding(name, f"{len(entries)} in {cache.folder}, {size}")


def _compiling() -> Finding:
    from wasi_nn_torch.sessions.compiling import COMPILE_LIMITS, why_not_limited

    name, reason = "compiling", why_not_limited()
    if reason:
        remedy = "compile only guests that you trust"
        return Finding(name, f"in the process of the host, without limits, because {reason}", Health.MISSING, remedy)
    memory = spell_size(COMPILE_LIMITS.memory or 0)
    return Finding(name, f"in a process of its own, in at most {COMPILE_LIMITS.seconds:g} s and {memory} by default")


def _not_writable(directory: Path) -> str:
    """The reason why a directory, which may not exist yet, cannot be written to; empty if it can."""
    existing = next((each for each in (directory, *directory.parents) if each.exists()), None)
    if existing is None or not existing.is_dir():
        return f"{existing or directory} is not a directory"
    return "" if os.access(existing, os.W_OK | os.X_OK) else f"{existing} cannot be written to"


# --- limits ---


def _limits() -> Finding:
    """The limits that a session has by default."""
    from wasi_nn_torch.sessions.limits import default_limits

    listed = ", ".join(f"{row.name} {row.default}" for row in default_limits())
    return Finding("limits of a session", f"by default, {listed}")


# --- a guest ---


def _guest() -> Iterator[Finding]:
    """Run a guest that makes a tensor and reads it back; its bytes cross as those of ordinary guests do."""
    started = time.perf_counter()
    try:
        from wasi_nn_torch.engine import Engine

        wat = resources.files("wasi_nn_torch.doctor").joinpath("guest.wat").read_bytes()
        with Engine(cache=False) as engine, engine.session() as session:
            status = session.run(wat)
            transport = session.stats.transport
    except Exception as error:  # noqa: BLE001  # any failure is a finding
        yield Finding("a guest", f"does not run: {_reason(error)}", Health.BROKEN, _remedy())
        return
    if status:
        yield Finding("a guest", f"failed with exit status {status}", Health.BROKEN)
    else:
        yield Finding("a guest", f"ran in {time.perf_counter() - started:.2f} s, made a tensor and read it back")
    yield Finding("byte transport", transport)


def _remedy() -> str:
    """A way to make guests run: each memory of a guest takes more than 4 GiB of address space."""
    if os.name == "posix":
        import resource

        if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
            return "ulimit -v unlimited"
    return "fix the problems above; if there are none, report this with the output of `wasi-nn-torch doctor --json`"


# --- the generator of bindings ---


def _generator(required: Iterable[Requirement]) -> Finding:
    missing = [each.text for each in required if each.extra == "codegen" and not each.is_met]
    if missing:
        text = f"cannot generate bindings without {', '.join(missing)}"
        return Finding("witgen", text, Health.MISSING, pip_install(f"'{RUNTIME}[codegen]'"))
    directory = user_cache_path("witgen")
    size = sum(file.stat().st_size for file in directory.glob("*") if file.is_file())
    return Finding("witgen", f"can generate bindings; {spell_size(size)} of parsers cached in {directory}")


def _reason(error: Exception) -> str:
    """The type and the text of an exception, in one line."""
    text = one_line(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
