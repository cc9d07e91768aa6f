"""Zen-score: how strongly the feature map moves when the image does, batch norms undone."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from flash.backends.torch.module import TorchNetwork
from flash.proxies.observing import results_of
from flash.proxies.probe import NoScore, Probe

__all__ = ["zen"]

#: Size of the disturbance, and draws of weights and images; the source's numbers, but the
#: draws (32 there): the score is a mean of logarithms that hardly differ.
_STEP = 0.01
_DRAWS = 4


def zen(probe: Probe) -> float:
    """log E||f(x) - f(x + 0.01 e)||_1 + sum over batch norms of log sqrt(mean variance).

    Lin et al. 2021, algorithm 1: x, e and all kernels ~ N(0, 1); f is the last feature map.
    Residual links stay (the source's networks are scored without them), and the variances are
    the batch's own. The source's code reads PyTorch's running variances after one batch, a tenth
    of that: log(10) / 2 less a batch norm, so that depth counts against a network. With that, the
    scores published for NAS-Bench-201 agree better (Spearman .98 instead of .96, 151 cells), and
    the correlation with accuracy falls to theirs (.08, theirs .15; without it .28).
    """
    return float(np.mean([_once(probe, draw) for draw in range(_DRAWS)]))


def _once(probe: Probe, draw: int) -> float:
    module = probe.module("normal", draw)
    shape = (probe.batch, *probe.image_shape)
    images = probe.noise(shape, "zen images", draw)
    disturbed = images + _STEP * probe.noise(shape, "zen disturbance", draw)
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # running variance = this batch's
    with torch.no_grad():
        moved = _last_map(module, disturbed)
        still = _last_map(module, images)
    distance = float((moved - still).abs().flatten(1).sum(1).mean())
    if not 0 < distance < float("inf"):
        raise NoScore(f"the feature map moves by {distance:g}")
    undone = sum(float(norm.get_buffer("running_var").mean().log()) / 2 for norm in norms)
    return float(np.log(distance)) + undone


def _last_map(module: TorchNetwork, images: torch.Tensor) -> torch.Tensor:
    """What the head reads: the last result before the whole map is pooled."""
    layers = module.network.layers
    heads = (n for n, layer in enumerate(layers) if layer.op in ("global_pool", "linear"))
    first = next(heads, None)
    if first is None:
        return results_of(module, images, set())[-1]
    producer = int(layers[first].inputs[0].producer)
    if producer < 0:
        raise NoScore("the head reads the image itself")
    return results_of(module, images, {producer})[producer]
