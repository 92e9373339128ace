"""Removes the sentences that advertise something, and leaves the others: one batch of the model for all sentences."""

import re
import struct

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.guard import Opinion, Span, Verdict_Allow, Verdict_Deny, Verdict_Redact
from wit_world.imports import graph, tensor
from wit_world.imports.inference import GraphExecutionContext

#: The bytes of a sentence that the model reads.
LENGTH = 256
KINDS, ADVERT, THRESHOLD = 3, 1, 0.5

SENTENCE = re.compile(rb"[^\s.!?][^.!?]*[.!?]*")

_contexts: list[GraphExecutionContext] = []


class Guard(exports.Guard):
    def check(self, text: str, scores: tensor.Tensor | None) -> Opinion:
        if scores is not None:
            scores.__exit__(None, None, None)
        content = text.encode()
        spans = [Span(*match.span()) for match in SENTENCE.finditer(content)]
        if not spans:
            return Opinion(Verdict_Allow(), None)
        try:
            adverts = classify([content[span.start : span.end] for span in spans])
        except Err as error:
            return Opinion(Verdict_Deny(error.value.data()), None)
        removed = [span for span, is_advert in zip(spans, adverts, strict=True) if is_advert]
        return Opinion(Verdict_Redact(removed) if removed else Verdict_Allow(), None)


def classify(sentences: list[bytes]) -> list[bool]:
    """Whether each sentence advertises something."""
    if not _contexts:
        with graph.load_by_name("safety") as model:
            _contexts.append(model.init_execution_context())
    rows = b"".join(sentence[:LENGTH].ljust(LENGTH, b"\0") for sentence in sentences)
    batch = tensor.Tensor([len(sentences), LENGTH], tensor.TensorType.U8, rows)
    [(_, output)] = _contexts[0].compute([("text", batch)])
    with output:
        values = struct.unpack(f"<{KINDS * len(sentences)}f", output.data())
    return [values[KINDS * index + ADVERT] >= THRESHOLD for index in range(len(sentences))]
