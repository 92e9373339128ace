"""Classify PPM pictures with PyTorch alone, to compare: `python plain_torch.py PICTURE…`."""

import sys

import torch
from export_model import Classifier, efficientnet_lite0
from skimage.io import imread
from write_labels import imagenet_labels

BEST = 5


def main() -> None:
    """Prints the best classes of each picture."""
    classifier = Classifier(efficientnet_lite0()).eval()
    labels = imagenet_labels()
    for path in sys.argv[1:]:
        photo = torch.from_numpy(imread(path))
        with torch.inference_mode():
            best = classifier(photo)["probabilities"].topk(BEST)
        print(path)
        for chance, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            print(f"  {chance:6.1%}  {labels[index]}")


if __name__ == "__main__":
    main()
