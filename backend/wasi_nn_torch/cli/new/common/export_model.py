"""Export the model that the guest is tried with: `python export_model.py` writes `model.pt2`."""

import torch


class Model(torch.nn.Module):
    """Takes `scores`, FP32 [n], and returns `probabilities`, FP32 [n]."""

    def forward(self, scores: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"probabilities": scores.softmax(dim=0)}


sizes = {"scores": {0: torch.export.Dim("n", min=1, max=1000)}}
program = torch.export.export(Model().eval(), (torch.zeros(4),), dynamic_shapes=sizes)
torch.export.save(program, "model.pt2")
print("wrote model.pt2")
