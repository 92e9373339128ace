"""Builds guests of the tests from C, Rust and JavaScript: `python -m tests.guests.building KIND GUEST.wasm SOURCE …`.

| kind | what it makes of the source |
| --- | --- |
| `c` | a component of a world, by Zig's C compiler and wasm-tools |
| `js` | a component of a world, by componentize-js, whose engine has a version of WASI of its own |
| `c-command`, `rust-command` | a command for WASI 0.1, and a component of it by the adapter that comes with jco; \
what it imports beside, in C, is in a world |

`--wit` has the folder of the package of the world, and then those of packages that it uses.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import ROOT
from tests.guests.tools import wasm_tools

ZIG, JS = ROOT / "build/c", ROOT / "build/js"
#: The version of WASI in the engine of componentize-js, with the same declarations as 0.2.0.
ENGINE = "0.2.10"
ADAPTER = JS / "node_modules/@bytecodealliance/jco/lib/wasi_snapshot_preview1.command.wasm"
C_FLAGS = "-target wasm32-wasi -std=c17 -Os -s -Wall -Wextra -Wpedantic -Werror".split()


def main() -> None:
    """Build one guest, which takes its place when it is complete."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("guest", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("--world")
    parser.add_argument("--wit", type=Path, nargs="*", default=[])
    parser.add_argument("--disable", nargs="*", default=[])
    options = parser.parse_args()
    options.guest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.guest.parent) as name:
        KINDS[options.kind](options, Path(name))
        (Path(name) / "guest.wasm").replace(options.guest)


def build_c(options: argparse.Namespace, work: Path) -> None:
    zig(options.source, work / "core.wasm", "-mexec-model=reactor")
    typed = embed(options, work, work / "core.wasm")
    wasm_tools("component", "new", typed, "-o", work / "guest.wasm")


def build_js(options: argparse.Namespace, work: Path) -> None:
    gather(options.wit, work / "wit", ENGINE)
    made = ["--wit", work / "wit", "--world-name", options.world, "--out", work / "guest.wasm"]
    disable = ["--disable", *options.disable] if options.disable else []
    run(JS / "node_modules/.bin/componentize-js", options.source, *made, *disable)


def build_c_command(options: argparse.Namespace, work: Path) -> None:
    zig(options.source, work / "core.wasm")
    adapt(work, embed(options, work, work / "core.wasm") if options.world else work / "core.wasm")


def build_rust_command(options: argparse.Namespace, work: Path) -> None:
    rustc, target = rust()
    run(rustc, "--target", target, "-O", "-C", "strip=symbols", "-o", work / "core.wasm", options.source)
    adapt(work, work / "core.wasm")


KINDS = {"c": build_c, "js": build_js, "c-command": build_c_command, "rust-command": build_rust_command}


def zig(source: Path, core: Path, *flags: str) -> None:
    """Compile C."""
    cache = str(ZIG / "cache")
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
    run(ZIG / "bin/python", "-m", "ziglang", "cc", *C_FLAGS, *flags, "-o", core, source, environment=environment)


def rust() -> tuple[str, str]:
    """A compiler for WASI 0.1, and what it calls that; ends the program if there is none."""
    for rustc, target in (("rustc", "wasm32-wasip1"), ("/usr/bin/rustc", "wasm32-wasi")):
        try:
            asked = subprocess.run(
                [rustc, "--print", "target-libdir", "--target", target], capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            continue
        if asked.returncode == 0 and Path(asked.stdout.strip()).is_dir():
            return rustc, target
    sys.exit("Rust cannot compile to WASI here; run `rustup target add wasm32-wasip1`")


def embed(options: argparse.Namespace, work: Path, core: Path) -> Path:
    """Write the world into a core module."""
    gather(options.wit, work / "wit")
    wasm_tools("component", "embed", work / "wit", "--world", options.world, core, "-o", work / "typed.wasm")
    return work / "typed.wasm"


def adapt(work: Path, core: Path) -> None:
    """Make a component of a command for WASI 0.1."""
    wasm_tools("component", "new", core, "--adapt", f"wasi_snapshot_preview1={ADAPTER}", "-o", work / "guest.wasm")


def gather(folders: list[Path], wit: Path, version: str = "0.2.0") -> None:
    """Write the package of the first folder, and those of the others beside it, in a version of WASI."""
    (wit / "deps").mkdir(parents=True)
    for number, folder in enumerate(folders):
        for file in folder.glob("*.wit"):
            text = file.read_text().replace("@0.2.0;", f"@{version};").replace("@0.2.0.", f"@{version}.")
            (wit / ("" if number == 0 else "deps") / file.name).write_text(text)


def run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    """Run a program; raises CalledProcessError if it fails."""
    subprocess.run(command, check=True, env=environment)


if __name__ == "__main__":
    main()
