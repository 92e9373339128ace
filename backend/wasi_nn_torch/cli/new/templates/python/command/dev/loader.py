"""The guest of `make watch`: it imports `guest/app.py` when it runs, so that a change needs no build.

A component has only the modules that are imported while it is made. So this one imports most of the standard library.
"""

import pkgutil
import sys
from contextlib import suppress
from importlib import import_module

from wit_world import exports

for name in sorted(sys.stdlib_module_names - {"antigravity", "this"}):
    if not name.startswith("_"):
        with suppress(ImportError):  # it is not for WebAssembly
            import_module(name)
for package in ("concurrent", "email", "html", "http", "importlib", "json", "logging", "urllib", "wit_world", "xml"):
    for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
        with suppress(ImportError):
            import_module(module.name)


class Run(exports.Run):
    """The export `wasi:cli/run`."""

    def run(self) -> None:
        sys.path.insert(0, "guest")
        from app import Run as App

        App().run()
