"""Turns the probability of speech in each chunk into segments with speech."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording, in samples; the sample at `end` no longer belongs to it."""

    start: int
    end: int


@dataclass(frozen=True)
class Rules:
    """What counts as speech, with silero-vad's own defaults. Lengths are in samples, of which a second has 16,000.

    Speech begins where a chunk is at least as probable as `begin`. It goes on until chunks fall below `leave`, and none
    reaches `begin` again for the length of `silence`; the gap between both numbers keeps it from flickering.
    """

    begin: float = 0.5
    leave: float = 0.35
    silence: int = 1_600  # a shorter pause does not end a segment
    speech: int = 4_000  # a segment is longer than that, or it is dropped
    padding: int = 480  # what a segment gets on both sides


def speech_segments(probabilities: Sequence[float], chunk: int, length: int, rules: Rules) -> list[Segment]:
    """Gives the segments of a recording of `length` samples, in order, with a probability for each `chunk` of them."""
    found = []
    spoken_since: int | None = None
    quiet_since: int | None = None
    for number, probability in enumerate(probabilities):
        now = number * chunk
        if probability >= rules.begin:
            spoken_since = now if spoken_since is None else spoken_since
            quiet_since = None
        elif spoken_since is not None and probability < rules.leave:
            quiet_since = now if quiet_since is None else quiet_since
            if now - quiet_since >= rules.silence:
                found.append(Segment(spoken_since, quiet_since))
                spoken_since = quiet_since = None
    if spoken_since is not None:
        found.append(Segment(spoken_since, length))
    return padded([each for each in found if each.end - each.start > rules.speech], length, rules.padding)


def padded(segments: list[Segment], length: int, padding: int) -> list[Segment]:
    """Lengthens the segments on both sides; two neighbours share what is between them if it is less than they want."""
    if not segments:
        return []
    shares = [(later.start - earlier.end) // 2 for earlier, later in pairwise(segments)]
    before = [segments[0].start, *shares]
    after = [*shares, length - segments[-1].end]
    return [
        Segment(segment.start - min(padding, left), segment.end + min(padding, right))
        for segment, left, right in zip(segments, before, after, strict=True)
    ]
