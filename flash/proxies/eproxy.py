"""Eproxy: how well a few steps of training fit synthetic maps through a frozen random layer.

Li et al. 2022 (arXiv 2210.09459). A convolution on top of each of the network's last stages is
trained with the network for ten steps on one batch; what it puts out goes through a frozen random
convolution (the barrier) and is compared with fixed targets, so that the head alone cannot learn
them. A task's settings are one record, ``ProxyTask``; ``scripts/search_proxy_task.py`` searches for
one that ranks given networks well (the source's DPS).

Read of the source: the steps, batch, rates, widths, the map of 8 x 8, the kinds of targets and the
weights 1 / 2^i of the stages. Ours: the exact waves and dots, the last stage weighing most, and
a stage ends where the map shrinks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from flash.backends.torch.module import TorchNetwork
from flash.proxies.observing import block_ends, results_of
from flash.proxies.probe import Initial, NoScore, Probe
from flash.spaces.network import Network

__all__ = ["DEFAULT", "TARGETS", "ProxyTask", "eproxy", "stage_ends", "task_loss"]

#: Side of the maps that are compared, and channels between head and barrier.
_SIDE, _HEAD = 8, 512
#: Periods of a wave over the map, least and most.
_WAVES: Final = {"wave_low": (0.0, 1.0), "wave_middle": (1.0, 2.0), "wave_high": (2.0, 4.0)}
#: Share of the positions that a dot takes.
_DOTS: Final = 0.1
#: What targets may be made of.
TARGETS: Final = (*_WAVES, "dots", "random_network")


@dataclass(frozen=True)
class ProxyTask:
    """What decides a task besides the network, the images and the seed.

    rate, momentum, decay: of SGD, ``steps`` times; scales, shifts and biases do not decay.
    branches: stages compared, from the last one back.
    channels: of the targets.  kernel: side of the heads' kernels.
    targets:  kinds (``TARGETS``) that are added up.  level: their deviation.
    alpha:    share of the score that a network of the most MACs loses; only among several
              networks (``scripts/search_proxy_task.py``).
    initial:  how the network's kernels are drawn.
    """

    rate: float = 1.2
    momentum: float = 0.9
    decay: float = 4e-5
    steps: int = 10
    branches: int = 3
    channels: int = 64
    kernel: int = 1
    targets: tuple[str, ...] = ("wave_low", "wave_high")
    level: float = 1.0
    alpha: float = 0.0
    initial: Initial = "torch"


#: The source's defaults where they were to be read.
DEFAULT = ProxyTask()


def eproxy(probe: Probe) -> float:
    """Minus the loss of the task ``DEFAULT`` after its steps."""
    return -task_loss(probe, DEFAULT)


def task_loss(probe: Probe, task: ProxyTask) -> float:
    """Sum over stages of the mean squared error / 2^i after the last step, i = 0 at the last stage.

    Raises ``NoScore`` where the network has no map before its head, or the loss is no number.
    """
    ends = stage_ends(probe.network)[-task.branches :]
    if not ends:
        raise NoScore("the network has no map before its head")
    module = probe.module(task.initial)
    images = probe.images()
    channels = [int(probe.network.layers[end].out_channels) for end in ends]
    heads = nn.ModuleList(_head(probe, task, k, width) for k, width in enumerate(channels))
    heads.to(probe.device)
    targets = [_target(probe, task, k) for k in range(len(ends))]
    optimizer = _optimizer(task, [module, heads])
    loss = torch.zeros(())
    for step in range(task.steps + 1):
        loss = _loss(module, images, ends, heads, targets)
        if not bool(torch.isfinite(loss)):
            raise NoScore(f"the loss of the proxy task is no number after {step} steps")
        if step < task.steps:
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return float(loss.detach())


def stage_ends(network: Network) -> list[int]:
    """The last block's end at each resolution, in order, before the head (the network live)."""
    layers = network.layers
    ends: dict[tuple[int, int], int] = {}
    for end in block_ends(network):
        if layers[end].op not in ("global_pool", "linear"):
            ends[int(layers[end].out_height), int(layers[end].out_width)] = end
    return sorted(ends.values())


def _loss(
    module: TorchNetwork,
    images: torch.Tensor,
    ends: list[int],
    heads: nn.ModuleList,
    targets: list[torch.Tensor],
) -> torch.Tensor:
    kept = results_of(module, images, set(ends))
    total = torch.zeros((), device=images.device)
    for back, k in enumerate(reversed(range(len(ends)))):
        resized = functional.interpolate(
            kept[ends[k]], (_SIDE, _SIDE), mode="bilinear", align_corners=False
        )
        total = total + functional.mse_loss(heads[k](resized), targets[k]) / 2**back
    return total


def _head(probe: Probe, task: ProxyTask, number: int, width: int) -> nn.Sequential:
    """Convolution, ReLU, batch norm, and the barrier, which does not learn."""
    with torch.device("meta"):  # PyTorch's own initialisation would draw from global numbers
        trained = nn.Conv2d(width, _HEAD, task.kernel, padding=task.kernel // 2)
        barrier = nn.Conv2d(_HEAD, task.channels, 1, bias=False)
    for part in (trained, barrier):
        part.to_empty(device=probe.device)
    with torch.no_grad():
        for name, part in (("head", trained), ("barrier", barrier)):
            fan_in = int(np.prod(part.weight.shape[1:]))
            drawn = probe.noise(tuple(part.weight.shape), f"eproxy {name}", number)
            part.weight.copy_(drawn / math.sqrt(fan_in))
        if trained.bias is not None:
            trained.bias.zero_()
    barrier.weight.requires_grad_(False)
    return nn.Sequential(trained, nn.ReLU(), nn.BatchNorm2d(_HEAD), barrier)


def _optimizer(task: ProxyTask, modules: list[nn.Module]) -> torch.optim.SGD:
    learnt = [p for module in modules for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learnt if p.dim() > 1], "weight_decay": task.decay},
        {"params": [p for p in learnt if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=task.rate, momentum=task.momentum)


# ------------------------------------------------------------------------------------- targets
def _target(probe: Probe, task: ProxyTask, number: int) -> torch.Tensor:
    """Maps of mean 0 and deviation ``level``, shape (batch, channels, side, side)."""
    shape = (probe.batch, task.channels, _SIDE, _SIDE)
    total = torch.zeros(shape)
    for kind in task.targets:
        drawn = _kind(probe, kind, number, shape)
        total = total + (drawn - drawn.mean()) / drawn.std()
    return (task.level * (total - total.mean()) / total.std()).to(probe.device)


def _kind(probe: Probe, kind: str, number: int, shape: tuple[int, int, int, int]) -> torch.Tensor:
    rng = probe.rng(f"eproxy {kind}", number)
    if kind == "dots":
        signs = rng.choice([-1.0, 1.0], size=shape)
        return torch.from_numpy((signs * (rng.random(shape) < _DOTS)).astype(np.float32))
    if kind == "random_network":
        return _random_network(probe, number, shape)
    images, channels, side, _ = shape
    low, high = _WAVES[kind]
    along = 2 * np.pi * np.arange(side) / side
    periods = rng.uniform(low, high, size=(2, images, channels, 1, 1))
    phase = rng.uniform(0, 2 * np.pi, size=(images, channels, 1, 1))
    wave = np.sin(periods[0] * along[:, None] + periods[1] * along + phase)
    return torch.from_numpy(wave.astype(np.float32))


def _random_network(probe: Probe, number: int, shape: tuple[int, int, int, int]) -> torch.Tensor:
    """The images through two frozen 3x3 convolutions of random weights."""
    x = functional.interpolate(
        probe.images().cpu(), shape[2:], mode="bilinear", align_corners=False
    )
    for layer in range(2):
        kernel = (shape[1], x.shape[1], 3, 3)
        drawn = probe.noise(kernel, f"eproxy random_network {layer}", number).cpu()
        x = functional.conv2d(x, drawn / math.sqrt(9 * x.shape[1]), padding=1)
        x = x.relu() if layer == 0 else x
    return x
