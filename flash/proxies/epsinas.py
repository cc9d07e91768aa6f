"""epsinas: how differently a network of equal weights answers for two values of them."""

from __future__ import annotations

import torch

from flash.proxies.probe import NoScore, Probe, blank_module, class_scores, weight_layers

__all__ = ["epsinas", "spread"]

#: The two weights: the widest window of decades in which networks compute finite numbers.
_WEIGHTS = (1e-7, 1.0)


def epsinas(probe: Probe) -> float:
    """mean|p1 - p2| / mean of both, p the class scores scaled to [0, 1] (Gracheva 2021).

    p1 and p2: all kernels hold one number, 1e-7 or 1, biases are zero.
    """
    images = probe.images()
    outputs = []
    for weight in _WEIGHTS:
        module = blank_module(probe.network, probe.device)
        with torch.no_grad():
            for layer in weight_layers(module):
                layer.weight.fill_(weight)
                if layer.bias is not None:
                    layer.bias.zero_()
            outputs.append(class_scores(module(images)).double())
    return spread(*outputs)


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
