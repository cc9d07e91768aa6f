"""ZiCo: gradients that are large and agree between batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from flash.proxies.observing import loss_gradients
from flash.proxies.probe import NoScore, Probe

__all__ = ["batches_score", "zico"]

#: Batches compared; the source's number.
_BATCHES = 2


def zico(probe: Probe) -> float:
    """Sum over layers of log sum_w E|g| / sqrt(Var g) over two batches (Li et al. 2023, ZiCo).

    The deviation is that of the signed gradient, without Bessel's correction; weights whose
    gradient does not vary are left out.
    """
    batches = [loss_gradients(probe, draw).by_kernel for draw in range(_BATCHES)]
    return batches_score(batches)


def batches_score(batches: Sequence[Sequence[torch.Tensor]]) -> float:
    """The score of gradients, one sequence of layers' gradients a batch."""
    total, layers = 0.0, 0
    for gradients in zip(*batches, strict=True):
        mean, spread = _mean_and_spread([gradient.flatten() for gradient in gradients])
        varying = spread > 0
        if bool(varying.any()):
            total += float((mean[varying] / spread[varying]).sum().log())
            layers += 1
    if not layers:
        raise NoScore("no gradient varies between batches")
    return total


def _mean_and_spread(values: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean magnitude and standard deviation of each weight's gradient over the batches."""
    if len(values) == _BATCHES == 2:  # half their sum, half their distance
        a, b = values
        return (a.abs() + b.abs()) / 2, (a - b).abs() / 2
    together = torch.stack(list(values))
    return together.abs().mean(0), together.std(0, correction=0)
