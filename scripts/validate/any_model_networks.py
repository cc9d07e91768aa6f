"""Small versions of the networks people deploy, written here: what ``any_model.py`` exports.

Every function returns a module and its example inputs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

__all__ = ["NETWORKS", "Case"]

Case = tuple[nn.Module, tuple[torch.Tensor, ...]]


def _conv(before: int, after: int, kernel: int = 3, stride: int = 1, groups: int = 1,
          act: type[nn.Module] = nn.ReLU) -> nn.Sequential:  # fmt: skip
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after), act(),
    )  # fmt: skip


class _Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class _Block(nn.Module):
    """A transformer block with attention written out."""

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q, k, v = (
            y.reshape(batch, length, self.heads, -1).transpose(1, 2)
            for y in self.qkv(self.norms[0](x)).chunk(3, dim=-1)
        )
        scores = q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5
        if self.causal:
            scores = scores.masked_fill(
                torch.triu(torch.ones(length, length, dtype=torch.bool), 1), -1e9
            )
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width)
        x = x + self.project(y)
        return x + self.mlp(self.norms[1](x))


class _Gpt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(500, 64), nn.Embedding(32, 64)
        self.blocks = nn.Sequential(*(_Block(64, 4, causal=True) for _ in range(2)))
        self.head = nn.Linear(64, 500)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        return self.head(self.blocks(x))


class _Bert(nn.Module):
    """Two inputs: token ids and a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(500, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.pool = nn.Linear(64, 2)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.encoder(self.words(ids), src_key_padding_mask=mask)
        return self.pool(x[:, 0])


class _Recurrent(nn.Module):
    def __init__(self, kind: type[nn.Module], **options: bool) -> None:
        super().__init__()
        self.body = kind(40, 64, num_layers=2, batch_first=True, **options)
        self.head = nn.Linear(128 if options.get("bidirectional") else 64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x)[0][:, -1])


class _Crnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.Sequential(_conv(1, 16), nn.MaxPool2d(2), _conv(16, 32), nn.MaxPool2d(2))
        self.lstm, self.head = nn.LSTM(32 * 8, 64, batch_first=True), nn.Linear(64, 40)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.convs(x).permute(0, 3, 1, 2).flatten(2)
        return self.head(self.lstm(y)[0]).log_softmax(-1)


class _Tcn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(40 if k == 0 else 64, 64, 3, dilation=2**k) for k in range(4)
        )
        self.head = nn.Linear(64, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for k, layer in enumerate(self.layers):
            y = torch.relu(layer(functional.pad(x, (2 * 2**k, 0))))
            x = y if x.shape != y.shape else x + y
        return self.head(x.mean(-1))


class _UNet(nn.Module):
    def __init__(self, transposed: bool) -> None:
        super().__init__()
        self.down = nn.ModuleList([_conv(3, 16), _conv(16, 32), _conv(32, 64)])
        self.up = nn.ModuleList([
            nn.ConvTranspose2d(64, 32, 2, 2) if transposed
            else nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(64, 32, 1)),
            nn.ConvTranspose2d(32, 16, 2, 2) if transposed
            else nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(32, 16, 1)),
        ])  # fmt: skip
        self.joined = nn.ModuleList([_conv(64, 32), _conv(32, 16)])
        self.head = nn.Conv2d(16, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = []
        for layer in self.down:
            x = layer(x)
            kept.append(x)
            x = functional.max_pool2d(x, 2) if len(kept) < 3 else x
        for k in range(2):
            x = self.joined[k](torch.cat([self.up[k](x), kept[1 - k]], 1))
        return self.head(x).softmax(1)


class _Detector(nn.Module):
    """Backbone, spatial pyramid of pools, top-down neck, decoded boxes of two strides."""

    def __init__(self, act: type[nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, 16, 3, 2, act=act), _conv(16, 32, 3, 2, act=act))
        self.p3, self.p4 = _conv(32, 64, 3, 2, act=act), _conv(64, 128, 3, 2, act=act)
        self.pools = _conv(4 * 128, 128, 1, act=act)
        self.lateral, self.joined = _conv(128, 64, 1, act=act), _conv(128, 64, act=act)
        self.heads = nn.ModuleList([nn.Conv2d(64, 4 + 3, 1), nn.Conv2d(128, 4 + 3, 1)])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        p3 = self.p3(self.stem(x))
        p4 = self.p4(p3)
        pools = [p4]
        for _ in range(3):
            pools.append(functional.max_pool2d(pools[-1], 5, 1, 2))
        p4 = self.pools(torch.cat(pools, 1))
        up = functional.interpolate(self.lateral(p4), scale_factor=2.0, mode="nearest")
        maps = [self.heads[0](self.joined(torch.cat([up, p3], 1))), self.heads[1](p4)]
        boxes, scores = [], []
        for stride, y in zip((8, 16), maps, strict=True):
            height, width = y.shape[2:]
            rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            grid = torch.stack((columns, rows)).float()[None] + 0.5
            centre, size = y[:, :2].sigmoid() * 2 - 1 + grid, y[:, 2:4].exp()
            boxes.append((torch.cat([centre - size / 2, centre + size / 2], 1) * stride).flatten(2))
            scores.append(y[:, 4:].flatten(2).sigmoid())
        return torch.cat(boxes, 2).transpose(1, 2), torch.cat(scores, 2).transpose(1, 2)


class _Pyramid(nn.Module):
    """Dilated convolutions side by side, bilinear to the input's size."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(3, 16, 3, 2), _conv(16, 32, 3, 2))
        self.branches = nn.ModuleList(
            nn.Conv2d(32, 16, 3, padding=d, dilation=d) for d in (1, 2, 4)
        )
        self.image, self.head = nn.Conv2d(32, 16, 1), nn.Conv2d(64, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        whole = self.image(functional.adaptive_avg_pool2d(y, 1)).expand(-1, -1, *y.shape[2:])
        z = self.head(torch.cat([*(b(y) for b in self.branches), whole], 1))
        return functional.interpolate(z, size=x.shape[2:], mode="bilinear", align_corners=False)


class _Shuffle(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, c, h, w = x.shape
        return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


class _Siamese(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(3, 16, 3, 2), _conv(16, 32, 3, 2))

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        x, y = (self.body(z).mean((2, 3)) for z in (a, b))
        return functional.cosine_similarity(x, y)


class _Rms(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.a, self.b = nn.RMSNorm(64), nn.Linear(64, 128), nn.Linear(64, 128)
        self.c = nn.Linear(128, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        return x + self.c(functional.silu(self.a(y)) * self.b(y))


def _image(channels: int = 3, side: int = 64) -> tuple[torch.Tensor, ...]:
    return (torch.randn(1, channels, side, side),)


def _classifier(*layers: nn.Module, width: int) -> nn.Module:
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(width, 10)
    )


def _ds_cnn() -> Case:
    layers = [_conv(1, 64, 5, 2)]
    for _ in range(4):
        layers += [_conv(64, 64, 3, groups=64), _conv(64, 64, 1)]
    return _classifier(*layers, width=64), (torch.randn(1, 1, 49, 10),)


def _plain(act: type[nn.Module]) -> Callable[[], Case]:
    return lambda: (
        _classifier(_conv(3, 16, 3, 2, act=act), _conv(16, 32, 3, 2, act=act), width=32), _image(),
    )  # fmt: skip


def _norm(norm: Callable[[int], nn.Module]) -> Callable[[], Case]:
    def made() -> Case:
        body = [_Residual(nn.Sequential(nn.Conv2d(32, 32, 3, 1, 1), norm(32), nn.ReLU()))] * 1
        return _classifier(
            nn.Conv2d(3, 32, 3, 2, 1), norm(32), nn.ReLU(), *body, width=32
        ), _image()

    return made


def _mixer() -> Case:
    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 64, 8, 8)
            self.tokens, self.channels = nn.Linear(64, 64), nn.Linear(64, 64)
            self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.patches(x).flatten(2).transpose(1, 2)
            y = y + self.tokens(self.norm(y).transpose(1, 2)).transpose(1, 2)
            return self.head((y + functional.gelu(self.channels(y))).mean(1))

    return Mixer(), _image()


def _sequence(module: nn.Module, length: int = 50, width: int = 40) -> Callable[[], Case]:
    return lambda: (module, (torch.randn(1, length, width),))


#: Name -> what makes the network. Kinds are the words before the slash.
NETWORKS: dict[str, Callable[[], Case]] = {
    "mlp/autoencoder": lambda: (
        nn.Sequential(nn.Linear(640, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 8),
                      nn.ReLU(), nn.Linear(8, 640)), (torch.randn(1, 640),)),
    "mlp/batch-32": lambda: (
        nn.Sequential(nn.Linear(64, 128), nn.ELU(), nn.Linear(128, 1)), (torch.randn(32, 64),)),
    "mlp/mixer": _mixer,
    "recurrent/lstm": _sequence(_Recurrent(nn.LSTM)),
    "recurrent/lstm-both-ways": _sequence(_Recurrent(nn.LSTM, bidirectional=True)),
    "recurrent/gru": _sequence(_Recurrent(nn.GRU)),
    "recurrent/rnn": _sequence(_Recurrent(nn.RNN)),
    "recurrent/crnn": lambda: (_Crnn(), (torch.randn(1, 1, 32, 96),)),
    "audio/tcn": lambda: (_Tcn(), (torch.randn(1, 40, 100),)),
    "audio/ds-cnn": _ds_cnn,
    "audio/conv1d": lambda: (
        nn.Sequential(nn.Conv1d(1, 32, 80, 16), nn.BatchNorm1d(32), nn.ReLU(), nn.MaxPool1d(4),
                      nn.Conv1d(32, 64, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
                      nn.Linear(64, 35)), (torch.randn(1, 1, 8000),)),
    "segmentation/unet-transposed": lambda: (_UNet(transposed=True), _image()),
    "segmentation/unet-upsampled": lambda: (_UNet(transposed=False), _image()),
    "segmentation/pyramid": lambda: (_Pyramid(), _image()),
    "detector/silu": lambda: (_Detector(nn.SiLU), _image(side=128)),
    "detector/mish": lambda: (_Detector(nn.Mish), _image(side=128)),
    "detector/leaky": lambda: (_Detector(nn.LeakyReLU), _image(side=128)),
    "cnn/hardswish": _plain(nn.Hardswish),
    "cnn/prelu": _plain(nn.PReLU),
    "cnn/elu": _plain(nn.ELU),
    "cnn/gelu": _plain(nn.GELU),
    "cnn/group-norm": _norm(lambda width: nn.GroupNorm(4, width)),
    "cnn/instance-norm": _norm(lambda width: nn.InstanceNorm2d(width, affine=True)),
    "cnn/local-response-norm": _norm(lambda _: nn.LocalResponseNorm(5)),
    "cnn/shuffle": lambda: (
        _classifier(_conv(3, 16, 3, 2), _conv(16, 32, 1, groups=2), _Shuffle(),
                    _conv(32, 32, 3, groups=32), width=32), _image()),
    "cnn/super-resolution": lambda: (
        nn.Sequential(nn.Conv2d(1, 32, 5, 1, 2), nn.Tanh(), nn.Conv2d(32, 9, 3, 1, 1),
                      nn.PixelShuffle(3)), _image(1, 32)),
    "cnn/siamese": lambda: (_Siamese(), _image() + _image()),
    "cnn/video": lambda: (
        nn.Sequential(nn.Conv3d(3, 16, 3, padding=1), nn.BatchNorm3d(16), nn.ReLU(),
                      nn.MaxPool3d(2), nn.Conv3d(16, 32, (1, 3, 3)), nn.ReLU(),
                      nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(32, 10)),
        (torch.randn(1, 3, 8, 32, 32),)),
    "transformer/encoder": lambda: (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), 2,
                              enable_nested_tensor=False), (torch.randn(1, 50, 64),)),
    "transformer/encoder-decoder": lambda: (
        nn.Transformer(64, 4, 1, 1, 128, batch_first=True),
        (torch.randn(1, 20, 64), torch.randn(1, 10, 64))),
    "transformer/written-out": lambda: (_Block(64, 4), (torch.randn(1, 50, 64),)),
    "transformer/gpt": lambda: (_Gpt(), (torch.randint(0, 500, (1, 32)),)),
    "transformer/bert": lambda: (
        _Bert(), (torch.randint(0, 500, (1, 24)), torch.zeros(1, 24, dtype=torch.bool))),
    "transformer/rms-gated": lambda: (_Rms(), (torch.randn(1, 16, 64),)),
}  # fmt: skip
