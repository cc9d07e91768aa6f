"""epsinas: how differently a network of equal weights answers for two values of them."""

from __future__ import annotations

import torch
from torch import nn

from flash.backends.torch.module import TorchNetwork
from flash.proxies.probe import NoScore, Probe, blank_module, class_scores, weight_layers

__all__ = ["epsinas", "fill", "spread"]

#: The two weights, the source's.
_WEIGHTS = (1e-7, 1.0)


def epsinas(probe: Probe) -> float:
    """mean|p1 - p2| / mean of both, p the class scores scaled to [0, 1] (Gracheva 2021).

    p1 and p2: all weights hold one number, 1e-7 or 1 (see ``fill``). Single precision, as in
    the source: a network without a path free of convolutions answers 0 to every image for the
    smaller weight, and has no score. In double precision most of these get one, which ranks
    NAS-Bench-201 worse.
    """
    images = probe.images()
    outputs = []
    for weight in _WEIGHTS:
        module = blank_module(probe.network, probe.device)
        fill(module, weight)
        with torch.no_grad():
            outputs.append(class_scores(module(images)).double())
    return spread(*outputs)


def fill(module: TorchNetwork, weight: float) -> None:
    """Set kernels and the scales of batch norms to ``weight``, biases and shifts to zero.

    The scales decide: left at 1, they undo what the small weight does to each convolution, and
    the score ranks NAS-Bench-201 the wrong way round (Spearman -.8 instead of .9, 40 cells).
    """
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    with torch.no_grad():
        for layer in (*weight_layers(module), *norms):
            layer.weight.fill_(weight)
            if layer.bias is not None:
                layer.bias.zero_()


def spread(first: torch.Tensor, second: torch.Tensor) -> float:
    """mean|p1 - p2| / mean(p1, p2) of two outputs, each scaled to [0, 1]."""
    scaled = []
    for output in (first, second):
        low, high = output.min(), output.max()
        if not bool(torch.isfinite(low) & torch.isfinite(high)) or bool(high <= low):
            raise NoScore("all outputs are the same for equal weights")
        scaled.append((output - low) / (high - low))
    middle = (scaled[0].mean() + scaled[1].mean()) / 2
    return float((scaled[0] - scaled[1]).abs().mean() / middle)
