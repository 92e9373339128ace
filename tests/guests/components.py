"""Components from core modules in text, by `wasm-tools`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from tests.guests.tools import wasm_tools
from witgen.model import Resolved, World
from witgen.resolver import choose_world, resolve, resolve_texts

_Texts = tuple[tuple[str, str], ...]


def component(
    core: Callable[[Resolved, World], str],
    wit: str | Path,
    world: str | None = None,
    *,
    deps: Sequence[Path] = (),
    encoding: str = "utf8",
) -> bytes:
    """A component for a world of `wit`, which is text, or the path of a file or directory.

    `core` writes the core module; `deps` are directories of further packages. Results are cached by `core` and the
    content of the WIT.
    """
    more = ((f"deps/{number}/{file}", text) for number, path in enumerate(deps) for file, text in _texts(path))
    return _built(core, (*_texts(wit), *more), world, encoding)


def _texts(wit: str | Path) -> _Texts:
    if isinstance(wit, str):
        return (("guest.wit", wit),)
    if wit.is_file():
        return ((wit.name, wit.read_text()),)
    return tuple((str(each.relative_to(wit)), each.read_text()) for each in sorted(wit.rglob("*.wit")))


@cache
def _built(core: Callable[[Resolved, World], str], texts: _Texts, world: str | None, encoding: str) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        wit = directory / "wit"
        for file, text in texts:
            (wit / file).parent.mkdir(parents=True, exist_ok=True)
            (wit / file).write_text(text)
        resolved = resolve(wit) if len(texts) > 1 else resolve_texts(dict(texts))
        (directory / "core.wat").write_text(core(resolved, resolved.worlds[choose_world(resolved, world)]))
        options = ("--world", _world_name(resolved, world), "--encoding", encoding)
        wasm_tools("component", "embed", wit, *options, directory / "core.wat", "-o", directory / "core.wasm")
        wasm_tools("component", "new", directory / "core.wasm", "-o", directory / "guest.wasm")
        return (directory / "guest.wasm").read_bytes()


def _world_name(resolved: Resolved, name: str | None) -> str:
    world = resolved.worlds[choose_world(resolved, name)]
    return resolved.packages[world.package].name.of(world.name)
