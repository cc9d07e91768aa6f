"""SynFlow: strength of all paths from input to output."""

from __future__ import annotations

import math

import torch
from torch import nn

from flash.backends.torch.module import TorchNetwork
from flash.proxies.probe import NoScore, Probe, class_scores, weight_layers

__all__ = ["layer_saliencies", "synflow"]


def synflow(probe: Probe) -> float:
    """log of the sum of |w| dR/d|w| over all kernels, R as in ``layer_saliencies``.

    The logarithm is ours: the sum itself spans a hundred orders of magnitude.
    """
    total = float(sum(layer_saliencies(probe)))
    if not 0 < total < math.inf:
        raise NoScore(f"the strength of all paths is {total:g}, beyond double precision")
    return math.log(total)


def layer_saliencies(probe: Probe) -> list[torch.Tensor]:
    """Sum of |w| dR/d|w| over the kernel of each layer (Tanaka et al. 2020, eq. 3).

    R sums the outputs for one image of ones, all weights replaced by their magnitudes and the
    batch norms switched off; double precision.
    """
    module = probe.module().double()
    layers = weight_layers(module)
    _linearise(module)
    image = torch.ones((1, *probe.image_shape), dtype=torch.float64, device=probe.device)
    strength = class_scores(module(image)).sum()
    weights = [layer.weight for layer in layers]
    gradients = torch.autograd.grad(strength, weights)
    return [(w.detach() * g).sum() for w, g in zip(weights, gradients, strict=True)]


def _linearise(module: TorchNetwork) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()
            part.eps = 0.0  # with mean 0 and variance 1: exactly the identity
