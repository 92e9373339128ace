"""What plug-ins answer, checked: the host trusts no span, no tensor and no reason that it has not looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from guardrail_bindings.exports.guard import Span

Verdict = Literal["allow", "redact", "deny"]

#: What a removed part of a text is replaced by.
MARK = "[removed]"
_LONGEST_REASON = 200


class WrongAnswer(Exception):
    """An answer of a plug-in that makes no sense; the text says why."""


@dataclass(frozen=True)
class Answer:
    """The answer of one plug-in: the text as it is now, the reason if it must not pass, and what is handed on."""

    verdict: Verdict
    text: str
    reason: str = ""
    scores: torch.Tensor | None = None


def without(text: str, spans: Sequence[Span]) -> str:
    """The text with a mark in place of each span, so that a plug-in can remove text and never add any."""
    content, parts, at = text.encode(), [], 0
    for span in spans:
        if not at <= span.start < span.end <= len(content):
            raise WrongAnswer(
                f"the span {span.start} to {span.end} is empty, before the end of another one, or outside of a text of "
                f"{len(content)} bytes"
            )
        parts.append(_characters(content[at : span.start], span.start))
        at = span.end
    parts.append(_characters(content[at:], at))
    return MARK.join(parts)


def readable(reason: str) -> str:
    """A reason for people: on one line, short, and without control characters."""
    shown = "".join(char if char.isprintable() else " " for char in reason[:_LONGEST_REASON])
    return shown if len(reason) <= _LONGEST_REASON else shown + "…"


def require_scores(scores: torch.Tensor, rows: int, columns: int) -> None:
    """Raise WrongAnswer if a tensor is not FP32 [1 to `rows`, `columns`]."""
    if (
        scores.dtype != torch.float32
        or scores.dim() != 2
        or scores.shape[1] != columns
        or not 0 < scores.shape[0] <= rows
    ):
        raise WrongAnswer(
            f"the scores are {scores.dtype} {list(scores.shape)}; expected torch.float32 [1 to {rows}, {columns}]"
        )


def _characters(part: bytes, near: int) -> str:
    try:
        return part.decode()
    except UnicodeDecodeError:
        raise WrongAnswer(f"a span divides the character at byte {near}") from None
