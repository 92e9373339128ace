"""What the README shows works as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.wasi_nn_torch.helpers.models import Add, scripted

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code in the README, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_a_guest_is_embedded_as_shown(tmp_path, probe_file):
    (tmp_path / "model.pt").write_bytes(scripted(Add()))
    (tmp_path / "guest.wasm").symlink_to(probe_file)
    (tmp_path / "photos").mkdir()
    embedded = blocks("python")[0]
    command = [sys.executable, "-c", embedded.replace('["photos/cat.ppm"]', '["speak", "hello"]')]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("hello\nLedgerSnapshot(")


@pytest.mark.parametrize(
    ("language", "number", "file"), [("wit", 0, "wit/plugins.wit"), *(("python", n, "host.py") for n in (1, 2))]
)
def test_what_bindings_authors_see_is_the_example(language, number, file):
    shown = blocks(language)[number]
    example = (ROOT / "examples" / "plugins" / file).read_text(encoding="utf-8")
    for paragraph in re.split(r"\n{2,}", shown.strip("\n")):
        assert paragraph in example
