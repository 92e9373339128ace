"""Whether guests can run on this machine, and what else there is for them: one finding after the other.

Whatever is broken is a finding, and never an exception: a package that cannot be imported, a driver that does not
answer, a backend of somebody else that fails.
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

from wasi_nn_torch.contract.findings import Finding, Health
from wasi_nn_torch.contract.sizes import spell_size
from wasi_nn_torch.doctor.requirements import DISTRIBUTION, Requirement, pip_install, requirements


def examine() -> Iterator[Finding]:
    """Yield what was found, what others build on first."""
    yield Finding("Python", f"{platform.python_version()} on {sys.platform}, {platform.machine()}")
    try:
        asked_for = list(requirements())
        yield Finding(DISTRIBUTION, metadata.version(DISTRIBUTION))
    except metadata.PackageNotFoundError:
        text = "it is not installed, so that its backends cannot be found"
        yield Finding(DISTRIBUTION, text, Health.BROKEN, pip_install(f"{DISTRIBUTION}, or --editable in a checkout"))
        return
    for requirement in asked_for:
        if requirement.extra is None:
            yield requirement.examine(Health.BROKEN)
    yield _generator(asked_for)
    boundary = _boundary(asked_for)
    yield boundary
    if boundary.health is Health.OK:  # all else builds on it
        yield from _backends(asked_for)
        yield _cache()
        yield from _guest()


def _boundary(asked_for: Iterable[Requirement]) -> Finding:
    """Whether Wasmtime can be imported, and has all that is used of it."""
    name = "the boundary"
    try:
        import_module("wit_host")
    except Exception as error:  # noqa: BLE001  # a package can be broken in any way
        text = f"Wasmtime cannot be used: {_gist(error)}"
        return Finding(name, text, Health.BROKEN, _reinstall("wasmtime", asked_for))
    return Finding(name, "Wasmtime has all that is used of it")


# --- backends ---


def _backends(asked_for: Iterable[Requirement]) -> Iterator[Finding]:
    from wasi_nn_torch.serving.backends import GROUP

    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        yield from _backend(entry, asked_for)


def _backend(entry: EntryPoint, asked_for: Iterable[Requirement]) -> Iterator[Finding]:
    """What a backend says of itself, or why it says nothing."""
    from wasi_nn_torch.contract.backend import BackendOptions, Diagnoses

    name = f"backend for {entry.name}"
    package = DISTRIBUTION if entry.dist is None else entry.dist.name
    try:
        backend = entry.load()(BackendOptions())
        findings = list(backend.diagnose()) if isinstance(backend, Diagnoses) else []
    except Exception as error:  # noqa: BLE001  # it may be broken in any way, and so may what it imports
        remedy = _reinstall("torch" if package == DISTRIBUTION else package, asked_for)
        yield Finding(name, f"{entry.value} cannot be used: {_gist(error)}", Health.BROKEN, remedy)
        return
    yield Finding(name, f"{entry.value} of {package}")
    yield from findings


def _reinstall(package: str, asked_for: Iterable[Requirement]) -> str:
    """The command that installs a package anew, in the version that is asked for."""
    text = next((requirement.text for requirement in asked_for if requirement.name == package), package)
    return pip_install(f"--force-reinstall '{text}'")


# --- compiled guests ---


def _cache() -> Finding:
    from wasi_nn_torch.sessions.cache import VARIABLE, user_cache

    name, variable = "compiled guests", f"export {VARIABLE}=/a/folder/of/yours"
    cache = user_cache()
    if cache is None:
        return Finding(name, "they are not kept, because there is no home", Health.MISSING, variable)
    trouble = cache.trouble() or _not_writable(cache.folder)
    if trouble:
        return Finding(name, f"they are not kept in {cache.folder}, because {trouble}", Health.MISSING, variable)
    entries = cache.entries()
    size = f"{spell_size(sum(entry.size for entry in entries))} of at most {spell_size(cache.largest)}"
    return Finding(name, f"{len(entries)} in {cache.folder}, {size}")


def _not_writable(folder: Path) -> str:
    """Why nothing can be kept in a folder, which may be missing; empty where something can be."""
    existing = next((each for each in (folder, *folder.parents) if each.exists()), None)
    if existing is None or not existing.is_dir():
        return f"{existing or folder} is no folder"
    return "" if os.access(existing, os.W_OK | os.X_OK) else f"{existing} cannot be written to"


# --- a guest ---


def _guest() -> Iterator[Finding]:
    """Run one that makes a tensor and reads it back; how its bytes cross is how those of ordinary guests do."""
    started = time.perf_counter()
    try:
        from wasi_nn_torch.engine import Engine

        wat = resources.files("wasi_nn_torch.doctor").joinpath("guest.wat").read_bytes()
        with Engine(cache=False) as engine, engine.session() as session:
            status = session.run(wat)
            transport = session.stats.transport
    except Exception as error:  # noqa: BLE001  # that it fails, in whatever way, is what is to be found out
        yield Finding("a guest", f"it does not run: {_gist(error)}", Health.BROKEN, _remedy())
        return
    if status:
        yield Finding("a guest", f"it failed with the status {status}", Health.BROKEN)
    else:
        yield Finding("a guest", f"one ran in {time.perf_counter() - started:.2f} s, made a tensor and read it back")
    yield Finding("byte transport", transport)


def _remedy() -> str:
    """What may let a guest run: each memory of a guest takes more than 4 GiB of address space."""
    if os.name == "posix":
        import resource

        if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
            return "ulimit -v unlimited"
    return "mend what is broken above; else report this, with what `wasi-nn-torch doctor --json` prints"


# --- the generator of bindings ---


def _generator(asked_for: Iterable[Requirement]) -> Finding:
    missing = [each.text for each in asked_for if each.extra == "codegen" and not each.is_met]
    if missing:
        text = f"it cannot generate bindings without {', '.join(missing)}"
        return Finding("witgen", text, Health.MISSING, pip_install(f"'{DISTRIBUTION}[codegen]'"))
    folder = user_cache_path("witgen")
    size = sum(file.stat().st_size for file in folder.glob("*") if file.is_file())
    return Finding("witgen", f"it can generate bindings; {spell_size(size)} of parsers are kept in {folder}")


def _gist(error: Exception) -> str:
    """What an exception says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
