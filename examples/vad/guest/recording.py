"""Recordings in WAV files, cut into the chunks that the model takes."""

from __future__ import annotations

import wave
from array import array
from collections.abc import Iterator
from pathlib import Path

RATE = 16_000  # samples per second
CHUNK = 512  # samples
_LOUDEST = 32_768


class RecordingError(Exception):
    """The file is not a recording that this program can read."""


def read_recording(path: Path) -> array[int]:
    """Gives the samples, from -32768 to 32767.

    Raises `OSError` if there is no such file and `RecordingError` if it is not a complete WAV file of one channel with
    16,000 samples of 16 bits a second.
    """
    try:
        with path.open("rb") as file, wave.open(file) as recording:
            shape = recording.getframerate(), recording.getnchannels(), 8 * recording.getsampwidth()
            announced = recording.getnframes()
            content = recording.readframes(announced)
    except (wave.Error, EOFError) as error:
        raise RecordingError(
            f"{path}: expected a WAV file with PCM samples: {str(error) or 'it ends too early'}"
        ) from None
    if shape != (RATE, 1, 16):
        found = "{:,} Hz, {} channels, {} bits".format(*shape)
        raise RecordingError(f"{path}: expected {RATE:,} Hz, 1 channel, 16 bits; found {found}: convert it")
    if len(content) != 2 * announced:
        raise RecordingError(f"{path}: {announced} samples need {2 * announced} bytes, found {len(content)}")
    return array("h", content)


def chunks(samples: array[int]) -> Iterator[array[float]]:
    """Gives `CHUNK` numbers between -1 and 1 at a time; silence fills up the last ones."""
    for start in range(0, len(samples), CHUNK):
        chunk = array("f", [sample / _LOUDEST for sample in samples[start : start + CHUNK]])
        chunk.extend([0.0] * (CHUNK - len(chunk)))
        yield chunk
