"""Write the names of the ImageNet classes, in the model's order, one a line: `python write_labels.py LABELS.txt`."""

import sys
from importlib.metadata import distribution
from pathlib import Path

from whole_file import whole_file


def imagenet_labels() -> list[str]:
    """The usual name of each of the 1000 classes, from the lists that timm carries; timm itself is not imported."""
    directory = Path(str(distribution("timm").locate_file("timm/data/_info")))
    names = dict(line.split("\t") for line in (directory / "imagenet_synset_to_lemma.txt").read_text().splitlines())
    return [names[synset].split(",")[0] for synset in (directory / "imagenet_synsets.txt").read_text().split()]


def main() -> None:
    """Writes the labels."""
    with whole_file(Path(sys.argv[1])) as draft:
        draft.write_text("\n".join(imagenet_labels()) + "\n")


if __name__ == "__main__":
    main()
