"""Build the guest, a WebAssembly component: `python build_guest.py GUEST.wasm WASI_NN_WIT`."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from whole_file import whole_file

GUEST = Path(__file__).with_name("guest")


def main() -> None:
    """Builds `guest/` for the world in `guest/wit` and the declarations of wasi-nn in the given directory."""
    path, wasi_nn = sys.argv[1:]
    componentize = Path(sysconfig.get_path("scripts"), "componentize-py")
    with whole_file(Path(path)) as draft:
        interface = ["--wit-path", wasi_nn, "--wit-path", str(GUEST / "wit"), "--world", "example:classify/classify"]
        program = ["componentize", "app", "--python-path", str(GUEST), "--output", str(draft)]
        subprocess.run([componentize, "--quiet", *interface, *program], check=True)


if __name__ == "__main__":
    main()
