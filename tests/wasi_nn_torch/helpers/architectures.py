"""The building blocks of well-known architectures, small and with random weights, each with an input."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IDS = torch.arange(12).reshape(2, 6)
HIDDEN = torch.rand(2, 6, 16)
IMAGE = torch.rand(2, 3, 32, 32)
MEL = torch.rand(2, 8, 20)


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.view(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


class Bert(nn.Module):
    """Embeddings of words and places, attention with an additive mask, a pooler."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(20, 16, padding_idx=0), nn.Embedding(8, 16)
        self.qkv, self.out = nn.ModuleList([nn.Linear(16, 16) for _ in range(3)]), nn.Linear(16, 16)
        self.norms = nn.ModuleList([nn.LayerNorm(16, eps=1e-12) for _ in range(3)])
        self.up, self.down, self.pooler = nn.Linear(16, 32), nn.Linear(32, 16), nn.Linear(16, 16)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        mask = (1.0 - (ids != 0).to(torch.float32)[:, None, None, :]) * torch.finfo(torch.float32).min
        x = self.norms[0](self.words(ids) + self.places(torch.arange(ids.size(1), device=ids.device)))
        q, k, v = (_heads(linear(x), 4) for linear in self.qkv)
        weights = torch.softmax(q @ k.transpose(-1, -2) / 2.0 + mask, dim=-1)
        x = self.norms[1](x + self.out((weights @ v).transpose(1, 2).flatten(2)))
        x = self.norms[2](x + self.down(F.gelu(self.up(x))))
        return x, torch.tanh(self.pooler(x[:, 0]))


class Gpt2(nn.Module):
    """One linear layer for three, a causal mask from a buffer, GELU by its approximation."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(16, 48)), nn.Parameter(torch.zeros(48))
        self.norm, self.up, self.down = nn.LayerNorm(16), nn.Linear(16, 64), nn.Linear(64, 16)
        self.register_buffer("causal", torch.ones(8, 8).tril().bool().view(1, 1, 8, 8), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        n = x.size(1)
        mixed = torch.addmm(self.bias, self.norm(x).view(-1, 16), self.weight).view(x.size(0), n, 48)
        q, k, v = (_heads(part, 2) for part in mixed.split(16, dim=2))
        scores = (q @ k.transpose(-1, -2)).masked_fill(~self.causal[:, :, :n, :n], torch.finfo(x.dtype).min)
        x = x + (scores.softmax(-1) @ v).transpose(1, 2).reshape(x.size(0), n, 16)
        return x + self.down(F.gelu(self.up(x), approximate="tanh"))


class Llama(nn.Module):
    """RMS norm, rotary positions in full precision, grouped queries, a gated layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(16))
        self.q, self.kv, self.o = nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False), nn.Linear(16, 16)
        self.gate, self.up, self.down = nn.Linear(16, 24), nn.Linear(16, 24), nn.Linear(24, 16)
        self.register_buffer("frequencies", 1.0 / 10000 ** (torch.arange(0, 4, 2) / 4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        h = x.float()
        h = self.weight * (h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)
        with torch.autocast("cpu", enabled=False):
            angles = torch.arange(x.shape[1]).float()[:, None] * self.frequencies[None, :]
            angles = torch.cat((angles, angles), dim=-1)
            cos, sin = angles.cos(), angles.sin()
        q, (k, v) = _heads(self.q(h), 4), (_heads(part, 2) for part in self.kv(h).chunk(2, -1))
        q, k = (y * cos + torch.cat((-y[..., 2:], y[..., :2]), dim=-1) * sin for y in (q, k))
        k, v = (y[:, :, None].expand(-1, -1, 2, -1, -1).reshape(y.shape[0], 4, -1, 4) for y in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(y.transpose(1, 2).flatten(2))
        return x + self.down(F.silu(self.gate(x)) * self.up(x))


class T5(nn.Module):
    """Relative positions in buckets that grow by the logarithm."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Embedding(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(x.size(1))
        distance = places[None, :] - places[:, None]
        bucket = (distance > 0).long() * 4
        distance = distance.abs()
        far = 2 + (torch.log(distance.float() / 2) / 2.77 * 2).long()
        far = torch.min(far, torch.full_like(far, 3))
        bucket = bucket + torch.where(distance < 2, distance, far)
        heads = _heads(x, 4)
        return (heads @ heads.transpose(-1, -2) + self.bias(bucket).permute(2, 0, 1)[None]).softmax(-1)


class Vit(nn.Module):
    """Patches by a convolution, a class token, an encoder layer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 16, 8, stride=8), nn.Parameter(torch.zeros(1, 1, 16))
        self.places = nn.Parameter(torch.rand(1, 17, 16))
        self.layer = nn.TransformerEncoderLayer(16, 4, 32, activation="gelu", batch_first=True, norm_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.size(0), -1, -1), x], dim=1) + self.places
        return self.layer(x)[:, 0]


class Whisper(nn.Module):
    """Convolutions over time, and places of sines."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(8, 16, 3, padding=1), nn.Conv1d(16, 16, 3, stride=2, padding=1)
        self.register_buffer("places", torch.rand(10, 16).sin())
        self.attention, self.norm = nn.MultiheadAttention(16, 4, batch_first=True), nn.LayerNorm(16)

    def forward(self, mel: Tensor) -> Tensor:
        x = F.gelu(self.second(F.gelu(self.first(mel)))).permute(0, 2, 1) + self.places
        y = self.norm(x)
        return x + self.attention(y, y, y, need_weights=False)[0]


class Swin(nn.Module):
    """Windows that are rolled, a table of relative positions, merged patches."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.merge = nn.Linear(8, 24), nn.Linear(32, 16, bias=False)
        self.table = nn.Parameter(torch.rand(49, 2))
        places = torch.stack(torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")).flatten(1)
        distance = (places[:, :, None] - places[:, None, :] + 3).permute(1, 2, 0)
        self.register_buffer("index", (distance[..., 0] * 7 + distance[..., 1]).view(-1))
        self.patches = nn.Conv2d(3, 8, 4, stride=4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.roll(self.patches(x).permute(0, 2, 3, 1), shifts=(-2, -2), dims=(1, 2))
        b, h, w, c = x.shape
        windows = x.view(b, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
        q, k, v = self.qkv(windows).reshape(-1, 16, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table[self.index].view(16, 16, 2).permute(2, 0, 1)
        y = ((q @ k.transpose(-2, -1) + bias).softmax(-1) @ v).transpose(1, 2).reshape(-1, 4, 4, c)
        y = y.view(b, h // 4, w // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)
        y = torch.roll(y, shifts=(2, 2), dims=(1, 2))
        corners = [y[:, 0::2, 0::2], y[:, 1::2, 0::2], y[:, 0::2, 1::2], y[:, 1::2, 1::2]]
        return F.adaptive_avg_pool1d(self.merge(torch.cat(corners, -1)).flatten(1, 2).transpose(1, 2), 1).flatten(1)


class ConvNext(nn.Module):
    """A norm over channels that lie last, and a scale for each layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 8, 4, stride=4), nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm, self.up, self.down = nn.LayerNorm(8, eps=1e-6), nn.Linear(8, 32), nn.Linear(32, 8)
        self.scale = nn.Parameter(torch.full((8,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return (x + (self.scale * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2)).mean((2, 3))


class Convolutional(nn.Module):
    """Blocks of ResNet, DenseNet and MobileNet one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.residual = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.dense = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.AvgPool2d(2))
        self.mobile = nn.Sequential(nn.Conv2d(12, 12, 3, groups=12, padding=1), nn.Hardswish(), nn.ReLU6())
        self.excite = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(12, 12, 1), nn.Hardsigmoid())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Dropout(0.2), nn.Linear(12, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stem(x))
        x = F.relu(self.residual(x) + x)
        x = self.mobile(torch.cat([F.avg_pool2d(x, 2), self.dense(x)], 1))
        return self.head(x * self.excite(x))


class Unet(nn.Module):
    """Down and up again, by transposed convolution and by interpolation, with instance and group norm."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.InstanceNorm2d(8, affine=True), nn.LeakyReLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU())
        self.up, self.last = nn.ConvTranspose2d(8, 8, 2, stride=2), nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down(x)
        deep = self.deep(F.max_pool2d(skip, 4))
        deep = F.interpolate(self.up(deep), size=skip.shape[-2:], mode="bilinear", align_corners=False)
        x = self.last(torch.cat([skip, F.pad(deep, [0, 0, 0, 0])], dim=1))
        return F.interpolate(x, scale_factor=2.0, mode="nearest")


class Detector(nn.Module):
    """The head of a detector: anchors, boxes from distances, the best scores."""

    def __init__(self) -> None:
        super().__init__()
        self.classes, self.boxes = nn.Conv2d(3, 4, 3, 8, 1), nn.Conv2d(3, 4, 3, 8, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scores, distances = (layer(x).flatten(2).transpose(1, 2) for layer in (self.classes, self.boxes))
        ys, xs = torch.meshgrid(torch.arange(4) * 8 + 4, torch.arange(4) * 8 + 4, indexing="ij")
        anchors = torch.stack([xs, ys], dim=-1).view(-1, 2).float()
        near, far = distances.exp().split(2, dim=-1)
        boxes = torch.cat([anchors - near, anchors + far], dim=-1).clamp(min=0, max=32)
        best, labels = scores.sigmoid().max(-1)
        top, order = best.topk(5, dim=1)
        picked = torch.gather(boxes, 1, order[..., None].expand(-1, -1, 4))
        return picked, top, labels.gather(1, order)


class Recurrent(nn.Module):
    """Both kinds of recurrent layer, and a convolution with weight norm."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru = nn.LSTM(16, 8, bidirectional=True, batch_first=True), nn.GRU(16, 8, batch_first=True)
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(8, 8, 3, padding=1), dim=2)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.gru(self.lstm(x)[0])
        return self.conv(y.transpose(1, 2))


ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "BERT": (Bert, IDS),
    "GPT-2": (Gpt2, HIDDEN),
    "Llama": (Llama, HIDDEN),
    "T5": (T5, HIDDEN),
    "ViT": (Vit, IMAGE),
    "Whisper": (Whisper, MEL),
    "Swin": (Swin, IMAGE),
    "ConvNeXt": (ConvNext, IMAGE),
    "ResNet, DenseNet, MobileNet": (Convolutional, IMAGE),
    "U-Net": (Unet, IMAGE),
    "a detector": (Detector, IMAGE),
    "LSTM and GRU": (Recurrent, HIDDEN),
}

SCRIPTED = ("ViT", "Whisper", "ConvNeXt", "ResNet, DenseNet, MobileNet", "U-Net")
"""Those whose code TorchScript understands."""
