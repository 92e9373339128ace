"""The text of a package, after templates and ruff."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from witgen.render import NotFormatted, render
from witgen.view import ModuleView, PackageView


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The directory for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def package(file, *imports):
    return PackageView("a:b", "w", (ModuleView(file, "Docs.", imports, ("Kept",)),))


@pytest.mark.parametrize("file", ["__init__.py", "exports/__init__.py", "module.py"])
def test_unused_imports_are_removed_and_the_others_fill_their_line(file, temporary):
    unused = ", ".join(f"Unused{number}" for number in range(30))
    text = render(package(file, f"from runtime import {unused}, Kept, Gone"))[file]
    assert [line for line in text.splitlines() if "import" in line] == [
        "from __future__ import annotations",
        "from runtime import Kept",
    ]
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("file", ["__init__.py", "module.py"])
def test_files_that_ruff_refuses_are_kept_and_the_error_says_where(file):
    with pytest.raises(NotFormatted) as caught:
        render(package(file, "from runtime import ("))
    kept = re.search(r"kept in (.*):\n", str(caught.value))
    assert kept
    [path] = Path(kept[1]).iterdir()
    assert "from runtime import (\n" in path.read_text()
    assert f"{path}:" in str(caught.value)
