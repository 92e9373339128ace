"""Backends whose import was interrupted, which libraries such as PyTorch do not survive."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from wasi_nn_torch.contract.backend import GROUP, BackendOptions
from wasi_nn_torch.contract.vocabulary import Encoding
from wasi_nn_torch.serving import backends

#: A library that is half imported after the first attempt.
HALF = """
import sys
if not hasattr(sys, "half_imported"):
    sys.half_imported = True
    raise KeyboardInterrupt
raise AttributeError("partially initialized module")
"""


@pytest.mark.cpu
def test_an_import_that_was_interrupted_is_the_reason_of_the_next_failure(tmp_path, monkeypatch):
    (tmp_path / "half_a_backend.py").write_text(HALF)
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("onnx", "half_a_backend:Half", GROUP)
    monkeypatch.setattr(backends, "_entries", lambda: {Encoding.ONNX: entry})
    found = backends.Backends(BackendOptions("cpu"))
    try:
        with pytest.raises(KeyboardInterrupt):
            found.find(Encoding.ONNX)
        with pytest.raises(
            RuntimeError,
            match=r"^the backend for onnx cannot be imported, since an earlier import of it was interrupted "
            r"\(AttributeError: partially initialized module\); start the process again$",
        ):
            found.find(Encoding.ONNX)
    finally:
        del sys.half_imported
