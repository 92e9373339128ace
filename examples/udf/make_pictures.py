"""Write pictures for the example: `python make_pictures.py FOLDER COUNT PHOTO.ppm…`.

They are parts of the photographs, some of them mirrored, in sizes from 160 to 320 pixels. One in twenty files is
damaged: it ends too early, or it is not a picture at all.
"""

import random
import sys
from pathlib import Path

import numpy as np
from skimage.io import imread


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    photos = [imread(path) for path in sys.argv[3:]]
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(1)
    for number in range(count):
        content = part(photos[number % len(photos)], chance)
        if number % 20 == 19:
            content = content[:1000] if chance.random() < 0.5 else b"GIF89a" + content[6:]
        (folder / f"{number:05}.ppm").write_bytes(content)


def part(photo: np.ndarray, chance: random.Random) -> bytes:
    """A part of a photograph as a PPM file."""
    height, width = chance.randrange(160, 300), chance.randrange(160, 320)
    top, left = chance.randrange(photo.shape[0] - height + 1), chance.randrange(photo.shape[1] - width + 1)
    pixels = photo[top : top + height, left : left + width]
    if chance.random() < 0.5:
        pixels = pixels[:, ::-1]
    return f"P6\n{width} {height}\n255\n".encode() + pixels.tobytes()


if __name__ == "__main__":
    main()
