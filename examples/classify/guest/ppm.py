"""Binary PPM pictures (P6): a text header, then the pixels as red, green and blue bytes."""

import re
from dataclasses import dataclass
from pathlib import Path

_GAP = rb"(?:\s|#[^\n]*\n)+"
_HEADER = re.compile(rb"P6" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"255\s")


class PictureError(Exception):
    """The file is not a picture that this program can read."""


@dataclass(frozen=True)
class Picture:
    """Rows of pixels from top to bottom, three bytes each."""

    width: int
    height: int
    pixels: bytes


def read_picture(path: Path) -> Picture:
    """Reads a picture; raises `OSError` if there is no such file and `PictureError` if it holds something else."""
    try:
        return parse_picture(path.read_bytes())
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from None


def parse_picture(content: bytes) -> Picture:
    """The picture in the content of a file; raises `PictureError` if it is something else."""
    header = _HEADER.match(content)
    if header is None:
        raise PictureError("expected a binary PPM picture (P6, maxval 255)")
    width, height = int(header[1]), int(header[2])
    pixels = content[header.end() : header.end() + width * height * 3]
    if not pixels or len(pixels) < width * height * 3:
        raise PictureError(f"{width} x {height} pixels need {width * height * 3} bytes, found {len(pixels)}")
    return Picture(width, height, pixels)
