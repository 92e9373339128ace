"""Write one of scikit-image's photographs in PPM or JPEG, by the suffix: `python write_photo.py chelsea PHOTO.ppm`."""

import sys
from pathlib import Path

import skimage.data
from PIL import Image
from whole_file import whole_file


def main() -> None:
    """Writes the photograph at its own size."""
    name, path = sys.argv[1:]
    with whole_file(Path(path)) as draft:
        Image.fromarray(getattr(skimage.data, name)()).save(
            draft, quality=90
        )  # of JPEG; PPM has all pixels as they are


if __name__ == "__main__":
    main()
