"""Secrets of a host, put where a model that reads beyond its own memory finds them, and looked for in its output."""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from pathlib import Path

import torch

MARKER = b"THE HOST'S OWN! "
_PARTS = tuple(MARKER[start : start + 4] for start in range(0, len(MARKER), 4))
_SIZES = (64, 512, 4096, 65536)
_MAPS = Path("/proc/self/maps")
#: Not those without any access: they reserve terabytes and hold nothing, and addresses of others would be in them.
_RANGE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (?!---)", re.MULTILINE)
_NUMBER = re.compile(rb"[0-9]{9,20}")


class HostSecrets:
    """Memory with a marker, half of which is freed, so that new tensors are beside secrets or where secrets were."""

    def __init__(self) -> None:
        self._kept: list[torch.Tensor] = []
        self.plant()

    def plant(self) -> None:
        """Fill memory of several sizes with the marker, and free every other piece."""
        pieces = [_piece(size) for size in _SIZES for _ in range(256)]
        self._kept = pieces[::2]

    def found_in(self, data: bytes) -> list[str]:
        """What of this process is in the output of a model, as bytes or as a number in a text: `marker`, `address`."""
        numbers = {int(number) for number in _NUMBER.findall(data)}
        written = b"".join(number.to_bytes(9, "little") for number in numbers if number < 1 << 64)
        has_marker = any(part in data or part in written for part in _PARTS)
        words = {word for (word,) in struct.iter_unpack("<Q", data[: len(data) // 8 * 8])}
        return ["marker"] * has_marker + ["address"] * _has_address(words | numbers)


def _piece(size: int) -> torch.Tensor:
    return torch.frombuffer(bytearray(MARKER * (size // len(MARKER))), dtype=torch.uint8).clone()


def _has_address(words: set[int]) -> bool:
    """Whether a word is an address of this process."""
    bounds = [(int(start, 16), int(end, 16)) for start, end in _RANGE.findall(_MAPS.read_text())]
    starts = [start for start, _ in bounds]
    return any(place and word < bounds[place - 1][1] for word in words if (place := bisect_right(starts, word)))
