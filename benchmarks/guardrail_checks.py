"""The checks of the plug-ins of `examples/guardrail` as plain functions, for the benchmark: same model, same answers.

Importing this module loads the model, so that processes that are forked from one that has imported it share it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import torch

from benchmarks.conftest import ROOT

_MODEL = torch.export.load(ROOT / "build/guardrail/safety.pt2").module()
_LENGTH, _STEP = 256, 192
_CONTACT = re.compile(r"[\w.+-]+@[\w.+-]+|\+?(?:\d[ ()/-]*){6,}\d")
_SENTENCE = re.compile(rb"[^\s.!?][^.!?]*[.!?]*")
_MARK = "[removed]"


class Checked(NamedTuple):
    """What a check leaves of a text, or None if it denies it, and what it hands on."""

    text: str | None
    scores: torch.Tensor | None


def contacts(text: str, scores: torch.Tensor | None) -> Checked:
    """Remove addresses and long numbers."""
    return Checked(_CONTACT.sub(_MARK, text), scores)


def classify(text: str, scores: torch.Tensor | None) -> Checked:
    """Classify the text."""
    content = text.encode()
    starts = range(0, max(len(content) - _LENGTH + _STEP, 1), _STEP)
    return Checked(text, _scores([content[start : start + _LENGTH] for start in starts]))


def judge(text: str, scores: torch.Tensor | None) -> Checked:
    """Deny the text by its scores."""
    passes = scores is not None and bool((scores < 0.5).all())
    return Checked(text if passes else None, scores)


def sentences(text: str, scores: torch.Tensor | None) -> Checked:
    """Remove the sentences that advertise something."""
    content = text.encode()
    spans = [match.span() for match in _SENTENCE.finditer(content)]
    if not spans:
        return Checked(text, None)
    adverts = _scores([content[start:end] for start, end in spans])[:, 1] >= 0.5
    for (start, end), is_advert in reversed(list(zip(spans, adverts.tolist(), strict=True))):
        if is_advert:
            content = content[:start] + _MARK.encode() + content[end:]
    return Checked(content.decode(), None)


#: By the names of the plug-ins.
CHECKS: dict[str, Callable[[str, torch.Tensor | None], Checked]] = {
    "contacts": contacts,
    "classify": classify,
    "judge": judge,
    "sentences": sentences,
}


def _scores(rows: list[bytes]) -> torch.Tensor:
    padded = bytearray(b"".join(row[:_LENGTH].ljust(_LENGTH, b"\0") for row in rows))
    batch = torch.frombuffer(padded, dtype=torch.uint8).reshape(len(rows), _LENGTH)
    with torch.no_grad():
        scores: torch.Tensor = _MODEL(batch)
    return scores
