"""TE-NAS: condition number of the neural tangent kernel, and number of linear regions."""

from __future__ import annotations

import math

import torch

from flash.proxies.observing import codes_seen, per_image_gradients
from flash.proxies.probe import NoScore, Probe
from flash.proxies.thin import thin_network

__all__ = ["condition_number", "distinct_codes", "linear_regions", "ntk_condition"]

#: The thin copy: widths divided by this, images of side x side (the source: 1 input channel,
#: 1 channel at the stem, images of 3 x 3, which not every network halves evenly).
_DIVISOR = 16
_SIDE = 4


def ntk_condition(probe: Probe) -> float:
    """Largest over smallest eigenvalue of <dF_n/dW, dF_m/dW>, F the summed class scores.

    Chen et al. 2021, section 3.1; He's initialisation by fan-out; batch statistics.
    """
    module = probe.module("fan_out")
    rows = [
        torch.cat([g.flatten() for g in gradients])
        for gradients in per_image_gradients(module, probe.images(), lambda scores: scores.sum(1))
    ]
    features = torch.stack(rows).double()
    return condition_number(features @ features.T)


def condition_number(kernel: torch.Tensor) -> float:
    """Largest over smallest eigenvalue; raises ``NoScore`` if the smallest is 0 or less."""
    values = torch.linalg.eigvalsh(kernel)
    if not bool(torch.isfinite(values).all()) or float(values[0]) <= 0:
        raise NoScore("the tangent kernel is singular")
    ratio = float(values[-1] / values[0])
    if not math.isfinite(ratio):
        raise NoScore("the tangent kernel is singular")
    return ratio


def linear_regions(probe: Probe) -> float:
    """Different ReLU codes among random images, of a thin copy of the network (section 3.2).

    A wide network gives every image a code of its own; hence the copy.
    """
    thin = Probe(
        thin_network(probe.network, _DIVISOR, _SIDE),
        seed=probe.seed,
        batch=probe.batch,
        device=str(probe.device),
    )
    codes: list[torch.Tensor] = []
    codes_seen(thin.module("fan_in"), thin.images(), codes.append)
    return float(distinct_codes(torch.cat(codes, dim=1)))


def distinct_codes(codes: torch.Tensor) -> int:
    """Number of different rows; codes is bool of shape (images, neurons)."""
    return len(torch.unique(codes, dim=0))
