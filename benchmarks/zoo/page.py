"""Run `docs/checkpoints.md` from beginning to end, as a reader would: `python -m benchmarks.zoo.page`.

The checkpoints that the page starts from are made here, with random weights.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/checkpoints.md"
_BLOCK = re.compile(r"^```(python guest|python|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def main() -> None:
    """Run the page in a temporary directory, up to the first command that fails."""
    with tempfile.TemporaryDirectory() as directory:
        _make_checkpoints(Path(directory))
        program = ""
        for kind, text in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
            if kind == "python guest":
                Path(directory, "app.py").write_text(text)
            elif kind == "console":
                for command in _commands(text):
                    _run(command, directory)
            else:
                program += text
                _run([sys.executable, "-c", program], directory)


def _commands(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.startswith("$ "):
            name, *arguments = line.removeprefix("$ ").split()
            yield [str(Path(sys.executable).with_name(name)), *arguments]


def _run(command: list[str], directory: str) -> None:
    print("$", *(part if "\n" not in part else "<the program so far>" for part in command), flush=True)
    subprocess.run(command, cwd=directory, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)


def _make_checkpoints(directory: Path) -> None:
    import timm
    import torch
    from safetensors.torch import save_file
    from torchvision.models import get_model
    from transformers import BertConfig, BertForSequenceClassification

    small = BertConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, vocab_size=100
    )
    BertForSequenceClassification(small).save_pretrained(directory / "checkpoint")
    save_file(timm.create_model("mobilenetv3_small_050").state_dict(), directory / "mobilenet.safetensors")
    detector = get_model("fasterrcnn_mobilenet_v3_large_320_fpn", weights=None, weights_backbone=None)
    torch.save(detector.state_dict(), directory / "detector.pth")


if __name__ == "__main__":
    main()
