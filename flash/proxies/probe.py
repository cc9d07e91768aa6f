"""One network under test: built, initialised, fed and observed the same way for every proxy.

Everything random (weights, images, labels) is drawn from NumPy generators seeded by (seed,
purpose), so a score depends on the network, the seed and the batch alone, not on what was
scored before.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection
from typing import Any, Literal, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from flash.backends.torch.module import TorchNetwork
from flash.errors import UsageError
from flash.proxies.images import Images
from flash.spaces.network import Network

__all__ = [
    "JACOBIAN",
    "Initial",
    "NoScore",
    "Probe",
    "WeightLayer",
    "class_scores",
    "weight_layers",
]

#: How kernels are drawn: PyTorch's own rule (uniform up to 1 / sqrt(fan-in)), He's normal by
#: fan-in or fan-out, or the standard normal. Biases are zero but in "torch".
Initial = Literal["torch", "fan_in", "fan_out", "normal"]

WeightLayer = nn.Conv2d | nn.Linear

#: Key of the gradient of the summed class scores by the images: whoever runs the first batch
#: forward for a loss works it out too, where it is asked for.
JACOBIAN = "jacobian"

_T = TypeVar("_T")


class NoScore(Exception):
    """Raised by a proxy that says nothing about this network; the text says why."""


class Probe:
    """What proxies need of one network; results shared by several proxies are kept.

    network: scored on its live part, what lies on a path from the input to the output.
    batch:   images a batch.
    data:    real images; standard normal numbers and random labels without them.
    asked:   names of all proxies that are to be computed with it.
    """

    def __init__(
        self,
        network: Network,
        *,
        seed: int,
        batch: int,
        device: str,
        data: Images | None = None,
        asked: Collection[str] = (),
    ) -> None:
        self.asked = frozenset(asked)
        self.network = network.live()
        if not self.network.layers:
            raise NoScore("no path leads from the input to the output")
        self.seed = seed
        self.batch = batch
        self.device = torch.device(device)
        self._data = data
        self._kept: dict[str, Any] = {}
        x = network.source
        self.image_shape = (int(x.channels), int(x.height), int(x.width))
        if data is not None:
            data.check(self.image_shape)

    def once(self, key: str, make: Callable[[], _T]) -> _T:
        """What ``make`` returns, computed at the first call under this key only."""
        if key not in self._kept:
            self._kept[key] = make()
        return cast(_T, self._kept[key])

    def rng(self, purpose: str, number: int = 0) -> np.random.Generator:
        """A generator of its own for each purpose and number."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode()), number])

    # ------------------------------------------------------------------------- the network
    def module(self, initial: Initial = "torch", draw: int = 0) -> TorchNetwork:
        """A new module in training mode; each ``draw`` has weights of its own."""
        module = blank_module(self.network, self.device)
        rng = self.rng(f"weights {initial}", draw)
        with torch.no_grad():
            for layer in weight_layers(module):
                layer.weight.copy_(_kernel(layer, initial, rng))
                if layer.bias is not None:
                    bound = 1 / np.sqrt(_fan_in(layer)) if initial == "torch" else 0.0
                    bias = rng.uniform(-bound, bound, layer.bias.shape)
                    layer.bias.copy_(torch.from_numpy(bias))
        return module

    # --------------------------------------------------------------------------- its inputs
    def images(self, draw: int = 0, count: int = 0) -> torch.Tensor:
        """Images of batch number ``draw``, shape (count or batch, channels, height, width)."""
        return self.labelled(draw, count)[0]

    def labelled(self, draw: int = 0, count: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Batch number ``draw`` with labels, shape (count or batch,)."""
        count = count or self.batch
        rng = self.rng("images", draw)
        if self._data is None:
            pixels = rng.standard_normal((count, *self.image_shape), dtype=np.float32)
            labels = rng.integers(int(self.network.output.channels), size=count)
        else:
            rows = self.rng("rows").permutation(len(self._data))
            chosen = rows[np.arange(draw * count, (draw + 1) * count) % len(rows)]
            pixels, labels = self._data.pixels(chosen), self._data.labels[chosen]
            if labels.max() >= int(self.network.output.channels):
                raise UsageError(
                    f"the data has a label {labels.max()}; the network has "
                    f"{int(self.network.output.channels)} classes"
                )
        images = _fast(torch.from_numpy(pixels).to(self.device))
        return images, torch.from_numpy(labels).to(self.device)

    def noise(self, shape: tuple[int, ...], purpose: str, draw: int = 0) -> torch.Tensor:
        """Standard normal numbers, float32."""
        rng = self.rng(purpose, draw)
        return _fast(torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(self.device))


def _fast(images: torch.Tensor) -> torch.Tensor:
    """Channels last: the same numbers, up to twice as fast on CPUs."""
    return images.contiguous(memory_format=torch.channels_last) if images.dim() == 4 else images


def blank_module(network: Network, device: torch.device) -> TorchNetwork:
    """A module whose kernels are still to be set; batch norms are the identity.

    Made on the meta device first: PyTorch's own initialisation would take time and draw from
    the global generator.
    """
    with torch.device("meta"):
        module = TorchNetwork(network)
    module.to_empty(device=device)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.reset_parameters()
    return module.train()


def _fan_in(layer: WeightLayer) -> int:
    return int(np.prod(layer.weight.shape[1:]))


def _kernel(layer: WeightLayer, initial: Initial, rng: np.random.Generator) -> torch.Tensor:
    shape = tuple(layer.weight.shape)
    fan_in = _fan_in(layer)
    if initial == "torch":
        # Kaiming uniform with a = sqrt(5), what nn.Conv2d and nn.Linear do.
        unit = rng.random(shape, dtype=np.float32)
        return torch.from_numpy((2 * unit - 1) * np.float32(1 / np.sqrt(fan_in)))
    fan_out = shape[0] * fan_in // shape[1]
    gain = {"normal": 1.0, "fan_in": np.sqrt(2 / fan_in), "fan_out": np.sqrt(2 / fan_out)}[initial]
    kernel: NDArray[np.float32] = rng.standard_normal(shape, dtype=np.float32) * np.float32(gain)
    return torch.from_numpy(kernel)


def weight_layers(module: nn.Module) -> list[WeightLayer]:
    """Convolutions and linear layers, in execution order; raises ``NoScore`` without any."""
    found = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    if not found:
        raise NoScore("the network has no convolution and no linear layer")
    return found


def class_scores(output: torch.Tensor) -> torch.Tensor:
    """Shape (batch, classes): maps are averaged over their positions."""
    return output.mean((2, 3)) if output.dim() == 4 else output
