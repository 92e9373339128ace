"""Build the pipeline: `python build_pipeline.py PIPELINE.wasm LABELS.txt --wit FOLDER…`.

The component gets the names of the classes, and the reader for pictures of the example `classify`.
"""

import argparse
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PPM = HERE.parent / "classify" / "guest" / "ppm.py"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--wit", type=Path, nargs="+", required=True)
    options = parser.parse_args()
    options.pipeline.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.pipeline.parent) as name:
        source, draft = Path(name, "source"), Path(name, "pipeline.wasm")
        shutil.copytree(HERE / "pipeline", source)
        shutil.copy(PPM, source)
        labels = options.labels.read_text("utf-8").splitlines()
        (source / "labels.py").write_text(f"LABELS = {labels!r}\n", "utf-8")
        componentize(source, options.wit, draft)
        draft.replace(options.pipeline)


def componentize(source: Path, wit: list[Path], component: Path) -> None:
    paths = [option for folder in wit for option in ("--wit-path", folder)]
    command = [Path(sysconfig.get_path("scripts"), "componentize-py"), "--quiet", *paths]
    command += ["--world", "wasi-nn-torch:pipeline/pipeline", "componentize", "app"]
    subprocess.run([*command, "--python-path", source, "--output", component], check=True)


if __name__ == "__main__":
    main()
