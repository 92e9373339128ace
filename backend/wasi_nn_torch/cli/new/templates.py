"""The templates of guests: a directory for each language.

`templates/LANGUAGE/template.toml` describes one (see `Template`). Beside it, `shared` has the files for every kind of
guest, and `KIND`, such as `command`, those for one kind. `common` has the files for all languages. A file named
`gitignore` becomes `.gitignore`; in each text, `@name@` is replaced by the name of the guest, and `@version@` by the
version of wasi-nn.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
_TEMPLATES = _HERE / "templates"
#: The files for all languages.
_COMMON = _HERE / "common"
#: The files for every kind of guest in a language.
_SHARED = "shared"
#: The kinds of guests: a command exports `wasi:cli/run`, a pipeline answers the requests of `wasi-nn-torch serve`.
COMMAND, PIPELINE = "command", "pipeline"


@dataclass(frozen=True)
class Template:
    """How guests of one kind are written in one language.

    `summary` describes it in a few words. `build` is the command that makes the file `guest`, in the directory of the
    guest, with the programs that it `needs`. `wit` says whether it is built with WIT files.
    """

    language: str
    kind: str
    summary: str
    build: str
    guest: str
    needs: list[str]
    wit: bool

    def missing(self) -> list[str]:
        """The programs that are needed, but not installed."""
        return [program for program in self.needs if shutil.which(program) is None]


def languages() -> list[str]:
    """The languages that there are templates for."""
    return sorted(path.parent.name for path in _TEMPLATES.glob("*/template.toml"))


def kinds(language: str) -> list[str]:
    """The kinds of guests that the template of a language in `languages` can start."""
    return sorted(path.name for path in (_TEMPLATES / language).iterdir() if path.is_dir() and path.name != _SHARED)


def read_template(language: str, name: str, kind: str = COMMAND) -> Template:
    """The template of a language in `languages`, for a guest of this name and of a kind in `kinds`.

    A table `[KIND]` in the file has what is different for that kind.
    """
    text = (_TEMPLATES / language / "template.toml").read_text("utf-8")
    read = tomllib.loads(_filled(text, {"name": name}))
    common = {key: value for key, value in read.items() if not isinstance(value, dict)}
    return Template(language, kind, **(common | read.get(kind, {})))


def texts(template: Template, values: Mapping[str, str]) -> Mapping[str, str]:
    """The files of a new guest by their paths in its directory; `values` replace the `@key@` in them."""
    folder = _TEMPLATES / template.language
    found: dict[str, str] = {}
    for part in (_COMMON, folder / _SHARED, folder / template.kind):
        found |= {path: _filled(text, values) for path, text in _files(part)}
    return found


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            place = file.relative_to(folder)
            if place.name == "gitignore":
                place = place.with_name(".gitignore")
            yield place.as_posix(), file.read_text("utf-8")


def _filled(text: str, values: Mapping[str, str]) -> str:
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text
