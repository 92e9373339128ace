"""Write one of scikit-image's photographs as a PPM picture: `python write_photo.py chelsea PHOTO.ppm`."""

import sys
from pathlib import Path

import skimage.data
from whole_file import whole_file


def main() -> None:
    """Writes the photograph at its own size."""
    name, path = sys.argv[1:]
    photo = getattr(skimage.data, name)()
    height, width, _ = photo.shape
    with whole_file(Path(path)) as draft:
        draft.write_bytes(f"P6\n{width} {height}\n255\n".encode() + photo.tobytes())


if __name__ == "__main__":
    main()
