"""InTrain and its forward part: how many directions a unit's channels spread over."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from flash.proxies.observing import results_of
from flash.proxies.probe import NoScore, Probe, class_scores

__all__ = ["intrain", "participation", "participation_ratio"]

#: Keeps the spread of a gradient that vanishes finite.
_TINY = 1e-12


def participation(probe: Probe) -> float:
    """gamma: sum over convolutions with batch norm of log PR of what they put out, on noise.

    PR = (tr C)^2 / tr C^2 of the covariance C of the channels, every position a sample: 1 where
    one direction has all variance, their number where all have the same. InTrain's expressivity,
    from one forward pass.
    """
    return probe.once("participation", lambda: _run(probe, trained=False))[0]


def intrain(probe: Probe) -> float:
    """gamma (1 + o) / log(L + 1), after InTrain (CVPR 2026), as notes on the paper give it.

    o: sum over parameter tensors of min(1, deviation / largest magnitude) of the gradient of the
    cross-entropy with random labels; L: the number of convolutions that gamma counts. The source
    takes noise of 64 x 64 pixels; here it has the size of the network's own image.
    """
    gamma, order, units = probe.once("intrain", lambda: _run(probe, trained=True))
    return gamma * (1 + order) / math.log(units + 1)


def participation_ratio(result: torch.Tensor) -> float:
    """(tr C)^2 / tr C^2 of the channels of maps, shape (batch, channels, height, width)."""
    samples = result.transpose(0, 1).flatten(1)
    samples = samples - samples.mean(1, keepdim=True)
    covariance = (samples @ samples.T / samples.shape[1]).double()
    return float(covariance.trace() ** 2 / covariance.square().sum().clamp_min(_TINY))


def _run(probe: Probe, *, trained: bool) -> tuple[float, float, int]:
    layers = probe.network.layers
    units = [n for n, layer in enumerate(layers) if layer.op == "conv" and layer.norm]
    if not units:
        raise NoScore("the network has no convolution with a batch norm")
    module = probe.module("fan_in")
    images = probe.noise((probe.batch, *probe.image_shape), "intrain images")
    with torch.set_grad_enabled(trained):
        kept = results_of(module, images, {*units})
    ratios = [participation_ratio(kept[n].detach()) for n in units]
    gamma = sum(math.log(max(ratio, _TINY)) for ratio in ratios)
    if not trained:
        return gamma, 0.0, len(units)
    labels = probe.labelled()[1]
    loss = functional.cross_entropy(class_scores(kept[-1]), labels)
    gradients = torch.autograd.grad(loss, list(module.parameters()), allow_unused=True)
    spreads = [
        min(1.0, float(g.std(unbiased=False) / (g.abs().max() + _TINY)))
        for g in gradients
        if g is not None
    ]
    return gamma, sum(spreads), len(units)
