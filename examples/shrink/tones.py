"""A keyword spotter on generated tones: four sounds told apart by a temporal network.

    python examples/shrink/tones.py        needs flash-codesign[onnx,train]

Each "word" is a sweep of its own; a sample is 20 bands of energy over 32 steps of time. With your
own recordings, save such arrays and their labels as ``x`` and ``y`` of an .npz file.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from flash.backends import module_model
from flash.train import train

folder = Path("build/keyword")
folder.mkdir(parents=True, exist_ok=True)
words = ("up", "down", "low", "high")
rng = np.random.default_rng(0)
labels = rng.integers(0, len(words), 160)
steps = np.linspace(0, 1, 32)
pitch = np.stack([4 + 12 * steps, 16 - 12 * steps, 0 * steps + 4, 0 * steps + 16])[labels]
pitch = pitch + rng.normal(0, 1, (160, 1))
bands = np.exp(-((np.arange(20)[None, :, None] - pitch[:, None]) ** 2) / 4)
bands = bands + 0.2 * rng.standard_normal(bands.shape)
np.savez(folder / "tones.npz", x=bands.astype(np.float32), y=labels, classes=words)


class Temporal(nn.Module):
    """Dilated convolutions over time with residuals (Bai et al. 2018, arXiv:1803.01271)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(20, 24, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv1d(24, 24, 3, padding=d, dilation=d) for d in (1, 2, 4))
        self.head = nn.Linear(2 * 24, len(words))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the words: the means of both halves of the sample."""
        x = torch.relu(self.stem(x))
        for layer in self.layers:
            x = x + torch.relu(layer(x))
        return self.head(torch.cat([x[..., :16].mean(2), x[..., 16:].mean(2)], 1))


model = module_model(Temporal(), torch.zeros(1, 20, 32))
(folder / "temporal.onnx").write_bytes(model.SerializeToString())
report = train(folder / "temporal.onnx", folder / "tones.npz", epochs=15, out=folder / "trained")
print("\n".join(report.lines()))
