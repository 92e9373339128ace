"""The version of wasmtime that this package calls, whose C API changes between minor versions.

It is imported before anything that uses wasmtime: another version may crash, or have other structures in memory. Raises
`ImportError`, which names both versions. An installer sees to the right one, but not for a copy of this package inside
another one, which has no metadata.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import metadata

#: The major and minor version, as `codegen/pyproject.toml` requires it.
WASMTIME = "50.0"


def installed_wasmtime() -> str:
    """Return the version that is installed; empty if it is unknown, as in some bundles."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.version("wasmtime")
    return ""


def _require() -> None:
    found = installed_wasmtime()
    if found and found.split(".")[:2] != WASMTIME.split("."):
        package = (__package__ or "").partition("._wit_host")[0]
        remedy = f"run `pip install 'wasmtime=={WASMTIME}.*'`"
        again = "generate the package again" if package != __package__ else "update the package"
        raise ImportError(
            f"{package} was made for wasmtime {WASMTIME}, but wasmtime {found} is installed; {remedy}, or {again} with "
            f"a version of wit-host for wasmtime {found}"
        )


_require()
