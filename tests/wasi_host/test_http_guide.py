"""The component in the page on serving is built as the page says, and answers."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig

import pytest

from tests.conftest import ROOT
from tests.wasi_host.helpers.answering import Answering


@pytest.mark.slow
def test_the_component_of_the_page_answers(engine, tmp_path):
    page = (ROOT / "docs/serving.md").read_text()
    code = page.partition("```python\n# app.py, which `")[2].partition("```")[0]
    command = code.partition("` builds\n")[0].replace("wit/wasi", str(ROOT / "wit/wasi"))
    (tmp_path / "app.py").write_text(f"# {code}")
    tool, *arguments = command.split()
    found = shutil.which(tool, path=sysconfig.get_path("scripts"))
    if found is None:
        pytest.skip(f"{tool} is not installed")
    subprocess.run([found, *arguments], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    guest = Answering(engine, tmp_path / "guest.wasm")
    assert guest.ask("/", method="POST", body=[b"one", b"two"]) == (200, {"content-type": b"text/plain"}, b"onetwo")
