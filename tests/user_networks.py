"""Networks as users bring them, that timm does not have: a U-Net, a detector, a DS-CNN."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def _conv(read, made, kernel=3, stride=1, groups=1, act=nn.ReLU):
    layers = [
        nn.Conv2d(read, made, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(made),
    ]
    return nn.Sequential(*layers, *([act()] if act else []))


class UNet(nn.Module):
    """Ronneberger et al. 2015 in small: three levels, transposed convolutions upwards."""

    def __init__(self, width=16, classes=3):
        super().__init__()
        sizes = [width, 2 * width, 4 * width]
        self.down = nn.ModuleList()
        read = 3
        for made in sizes:
            self.down.append(nn.Sequential(_conv(read, made), _conv(made, made)))
            read = made
        self.bottom = nn.Sequential(_conv(read, 2 * read), _conv(2 * read, 2 * read))
        self.up, self.join = nn.ModuleList(), nn.ModuleList()
        for made in reversed(sizes):
            self.up.append(nn.ConvTranspose2d(2 * made, made, 2, 2))
            self.join.append(nn.Sequential(_conv(2 * made, made), _conv(made, made)))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        kept = []
        for block in self.down:
            x = block(x)
            kept.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.bottom(x)
        for up, join, skip in zip(self.up, self.join, reversed(kept), strict=True):
            x = join(torch.cat([up(x), skip], 1))
        return self.head(x)


class _Bottleneck(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.second = _conv(width, width, act=nn.SiLU), _conv(width, width, act=nn.SiLU)

    def forward(self, x):
        return x + self.second(self.first(x))


class _Partial(nn.Module):
    """Half of the channels pass through bottlenecks, all results are joined."""

    def __init__(self, read, made, blocks):
        super().__init__()
        self.half = made // 2
        self.first = _conv(read, made, 1, act=nn.SiLU)
        self.blocks = nn.ModuleList(_Bottleneck(self.half) for _ in range(blocks))
        self.last = _conv((2 + blocks) * self.half, made, 1, act=nn.SiLU)

    def forward(self, x):
        parts = list(self.first(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.last(torch.cat(parts, 1))


class Detector(nn.Module):
    """A one-stage detector with a pyramid: backbone, neck upwards and downwards, three heads."""

    def __init__(self, width=16, classes=4):
        super().__init__()
        w = [width, 2 * width, 4 * width, 8 * width]
        self.stem = _conv(3, w[0], 3, 2, act=nn.SiLU)
        self.two = nn.Sequential(_conv(w[0], w[1], 3, 2, act=nn.SiLU), _Partial(w[1], w[1], 1))
        self.three = nn.Sequential(_conv(w[1], w[2], 3, 2, act=nn.SiLU), _Partial(w[2], w[2], 2))
        self.four = nn.Sequential(_conv(w[2], w[3], 3, 2, act=nn.SiLU), _Partial(w[3], w[3], 1))
        self.up = _Partial(w[3] + w[2], w[2], 1)
        self.top = _Partial(w[2] + w[1], w[1], 1)
        self.down = _conv(w[1], w[1], 3, 2, act=nn.SiLU)
        self.mid = _Partial(w[1] + w[2], w[2], 1)
        self.heads = nn.ModuleList(nn.Conv2d(c, 5 + classes, 1) for c in (w[1], w[2], w[3]))

    def forward(self, x):
        two = self.two(self.stem(x))
        three = self.three(two)
        four = self.four(three)
        up = self.up(torch.cat([functional.interpolate(four, scale_factor=2.0), three], 1))
        top = self.top(torch.cat([functional.interpolate(up, scale_factor=2.0), two], 1))
        mid = self.mid(torch.cat([self.down(top), up], 1))
        found = [head(y) for head, y in zip(self.heads, (top, mid, four), strict=True)]
        return torch.cat([y.flatten(2) for y in found], 2).transpose(1, 2)


class DSCNN(nn.Module):
    """Keyword spotter of MLPerf Tiny (Zhang et al., 2017): 64 filters, four separable layers."""

    def __init__(self, width=64, classes=12):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, (10, 4), 2, (5, 1), bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.body = nn.Sequential(
            *(
                nn.Sequential(_conv(width, width, 3, groups=width), _conv(width, width, 1))
                for _ in range(4)
            )
        )
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).mean((2, 3)))


class ResNet(nn.Module):
    """Two stages of basic blocks, squeeze-and-excitation in the second, grouped convolutions."""

    def __init__(self, width=16, classes=5):
        super().__init__()
        self.stem = _conv(3, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(_conv(width, width), _conv(width, width, act=None)) for _ in range(3)
        )
        wide = 2 * width
        self.down = _conv(width, wide, 3, 2)
        self.grouped = nn.Sequential(
            _conv(wide, wide, 1), _conv(wide, wide, 3, groups=4), _conv(wide, wide, 1, act=None)
        )
        self.squeeze, self.excite = nn.Conv2d(wide, 8, 1), nn.Conv2d(8, wide, 1)
        self.head = nn.Linear(wide * 16, classes)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = torch.relu(x + block(x))
        x = self.down(x)
        y = self.grouped(x)
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        x = torch.relu(x + y * gate)
        return self.head(functional.adaptive_avg_pool2d(x, 4).flatten(1))


class _Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, length, width = x.shape
        parts = self.qkv(x).reshape(n, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        shares = ((q @ k.transpose(-2, -1)) * (width // self.heads) ** -0.5).softmax(-1)
        return self.out((shares @ v).transpose(1, 2).reshape(n, length, width))


class ViT(nn.Module):
    """Patches, a class token, positions, pre-norm blocks."""

    def __init__(self, width=32, heads=4, blocks=3, classes=5):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, 17, width))
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                [
                    nn.LayerNorm(width),
                    _Attention(width, heads),
                    nn.LayerNorm(width),
                    nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width)),
                ]
            )
            for _ in range(blocks)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        for norm, attention, second, perceptron in self.blocks:
            x = x + attention(norm(x))
            x = x + perceptron(second(x))
        return self.head(self.norm(x)[:, 0])


class Temporal(nn.Module):
    """A network over one axis: dilated convolutions with residuals, as TCNs have them."""

    def __init__(self, width=16, classes=4):
        super().__init__()
        self.stem = nn.Conv1d(2, width, 5, padding=2)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(width, width, 3, padding=d, dilation=d),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            )
            for d in (1, 2)
        )
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        for layer in self.layers:
            x = x + layer(x)
        return self.head(x.mean(2))


#: Name -> (module, shape of its input).
SMALL = {
    "resnet": (ResNet, (1, 3, 16, 16)),
    "vit": (ViT, (1, 3, 16, 16)),
    "unet": (lambda: UNet(8), (1, 3, 16, 16)),
    "detector": (lambda: Detector(8), (1, 3, 64, 64)),
    "dscnn": (lambda: DSCNN(32), (1, 1, 49, 10)),
    "temporal": (Temporal, (1, 2, 64)),
}


def trained_looking(module, seed=0):
    """Every weight another number, as training leaves them: exporters store equal ones once."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point() and tensor.numel():
                noise = torch.rand(tensor.shape, generator=generator) * 0.1
                tensor.add_(noise if "var" in name else noise - 0.05)
    return module.eval()
