"""Train the two models of the example in seconds, and export them: `python train.py FOLDER`.

Both read the bytes of texts, U8 [batch, 256], where shorter texts are filled with zeros, and return FP32 [batch, kinds]
between 0 and 1. `safety.pt2` is for every plug-in. `priority.pt2` stands for a model that only some may have.
"""

import random
import sys
import time
from pathlib import Path

import torch
from sentences import KINDS, labelled
from torch import nn

LENGTH = 256
_BUCKETS = 1 << 12
_WIDTH = 16
_STEPS = 150


class Classifier(nn.Module):
    """The mean of embeddings of all sequences of three bytes, and a linear layer: one score for each kind."""

    def __init__(self, kinds: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_BUCKETS, _WIDTH)
        self.hidden = nn.Linear(_WIDTH, _WIDTH)
        self.scores = nn.Linear(_WIDTH, kinds)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        letters = text.long()
        letters = torch.where((letters >= 65) & (letters <= 90), letters + 32, letters)
        first, second, third = letters[:, :-2], letters[:, 1:-1], letters[:, 2:]
        vectors = self.embedding((first * 961 + second * 31 + third) % _BUCKETS)
        strongest = (vectors * (third > 0).unsqueeze(-1)).amax(dim=1)
        return torch.sigmoid(self.scores(torch.relu(self.hidden(strongest))))


def rows(texts: list[str]) -> torch.Tensor:
    """The bytes of texts as U8 [number of texts, 256]."""
    padded = [text.encode()[:LENGTH].ljust(LENGTH, b"\0") for text in texts]
    return torch.frombuffer(bytearray(b"".join(padded)), dtype=torch.uint8).reshape(len(texts), LENGTH)


def trained(labels: list[tuple[bool, ...]], texts: list[str]) -> Classifier:
    model = Classifier(len(labels[0]))
    inputs, targets = rows(texts), torch.tensor(labels, dtype=torch.float32)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(_STEPS):
        chosen = torch.randint(len(texts), (256,))
        loss = nn.functional.binary_cross_entropy(model(inputs[chosen]), targets[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def accuracy(model: Classifier, labels: list[tuple[bool, ...]], texts: list[str]) -> float:
    with torch.no_grad():
        return ((model(rows(texts)) > 0.5) == torch.tensor(labels)).all(dim=1).float().mean().item()


def export(model: Classifier, path: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=1024)
    program = torch.export.export(model, (torch.zeros(2, LENGTH, dtype=torch.uint8),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    dice = random.Random(0)
    started = time.perf_counter()
    texts, labels = zip(*labelled(4000, dice), strict=True)
    unseen, expected = zip(*labelled(500, dice), strict=True)
    safety = trained(list(labels), list(texts))
    priority = trained([(any(label), "?" in text) for text, label in zip(texts, labels, strict=True)], list(texts))
    export(safety, folder / "safety.pt2")
    export(priority, folder / "priority.pt2")
    right = accuracy(safety, list(expected), list(unseen))
    spent = time.perf_counter() - started
    print(f"trained on {', '.join(KINDS)} in {spent:.0f} s: {right:.1%} of 500 new texts are right")


if __name__ == "__main__":
    main()
