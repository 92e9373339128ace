"""Get silero-vad from PyPI, with its model and a recording of speech: `python fetch_silero.py DIRECTORY`."""

import subprocess
import sys
import tarfile
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
#: The files that are extracted from the archive, and their destinations.
FILES = {
    "src/silero_vad/data/silero_vad.jit": "model.pt",
    "tests/data/test.wav": "recordings/speech.wav",
    "src/silero_vad/__init__.py": "package/silero_vad/__init__.py",
    "src/silero_vad/model.py": "package/silero_vad/model.py",
    "src/silero_vad/utils_vad.py": "package/silero_vad/utils_vad.py",
    "LICENSE": "LICENSE",
}


def download(directory: Path) -> Path:
    """Downloads the source archive of the version in `requirements.txt`; gives its path."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    which = ["--no-deps", "--no-binary", "silero-vad", "--requirement", str(REQUIREMENTS), "--dest", str(directory)]
    subprocess.run([*pip, "download", *which], check=True)
    [archive] = directory.glob("*.tar.gz")
    return archive


def main() -> None:
    """Writes `FILES` into the given directory; the archive is not kept."""
    target = Path(sys.argv[1])
    with TemporaryDirectory() as directory:
        archive = download(Path(directory))
        top = archive.name.removesuffix(".tar.gz")
        with tarfile.open(archive) as source:
            for name, place in FILES.items():
                content = source.extractfile(f"{top}/{name}")
                if content is None:
                    raise FileNotFoundError(f"{archive.name}: expected a file {name}: pin the version that has it")
                (target / place).parent.mkdir(parents=True, exist_ok=True)
                with content, (target / place).open("wb") as file:
                    copyfileobj(content, file)


if __name__ == "__main__":
    main()
