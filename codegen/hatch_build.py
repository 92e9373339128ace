"""The packages of the distribution that lie beside this directory, in the other source roots of a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BESIDE = ("backend/wit_host", "backend/wasi_host", "generated/wasi_bindings", "generated/wasi_http_bindings")


class SourceRoots(BuildHookInterface):
    """Puts them into an sdist or a wheel; a wheel that is built from an sdist finds them inside."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the packages, except for an editable installation, which has the source roots on its path."""
        if version == "editable":
            return
        for path in map(Path, BESIDE):
            if not Path(self.root, path.name).is_dir():
                build_data["force_include"][str(Path(self.root).parent / path)] = path.name
