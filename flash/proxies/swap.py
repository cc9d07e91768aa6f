"""SWAP: how many different patterns the neurons show over a batch of images."""

from __future__ import annotations

import math

import numpy as np
import torch

from flash.proxies.observing import codes_seen
from flash.proxies.probe import NoScore, Probe

__all__ = ["distinct_patterns", "regularised", "swap", "swap_reg"]

#: Weights drawn anew; the score is the mean. The source draws 32 times; the deviation between
#: draws is far below that between networks, so fewer serve (ours).
_DRAWS = 4
#: Images a pattern spans at most: each is a bit of a 64-bit integer, one kept for the sign.
_MOST_IMAGES = 63
#: Preferred size and tolerance, million parameters; ours, the source chooses them for each space.
_MU, _SIGMA = 1.0, 1.0


def swap(probe: Probe) -> float:
    """Distinct sample-wise patterns, mean over several draws of N(0, 1) weights.

    Peng et al. 2024, definition 3.2: a neuron's pattern is on which of the images it is on.
    At most 2^images patterns exist; with 16 images (the source's number) large networks come
    near that, and the score stops rising.
    """
    return probe.once("swap", lambda: _mean_patterns(probe))


def swap_reg(probe: Probe) -> float:
    """SWAP times exp(-(params - mu)^2 / sigma), in million parameters; see ``regularised``."""
    return regularised(swap(probe), probe.network.params / 1e6)


def regularised(patterns: float, params_m: float, mu: float = _MU, sigma: float = _SIGMA) -> float:
    """The regularised score: mu is the preferred size, sigma the tolerance (Peng et al. 2024).

    params_m, mu, sigma: in million parameters; the source's form has no square on sigma.
    """
    return patterns * math.exp(-((params_m - mu) ** 2) / sigma)


def _mean_patterns(probe: Probe) -> float:
    if probe.batch > _MOST_IMAGES:
        raise NoScore(f"a pattern spans at most {_MOST_IMAGES} images, got {probe.batch}")
    return float(np.mean([_patterns(probe, draw) for draw in range(_DRAWS)]))


def _patterns(probe: Probe, draw: int) -> int:
    codes: list[torch.Tensor] = []
    codes_seen(probe.module("normal", draw), probe.images(draw), codes.append)
    return distinct_patterns(torch.cat(codes, dim=1))


def distinct_patterns(codes: torch.Tensor) -> int:
    """Number of different columns; codes is bool of shape (images, neurons), 63 images at most."""
    bits = 1 << torch.arange(len(codes), dtype=torch.int64, device=codes.device)
    numbers = torch.zeros(codes.shape[1], dtype=torch.int64, device=codes.device)
    for row, bit in zip(codes, bits, strict=True):  # a product would need a copy of 8 bytes a bool
        numbers += row * bit
    return len(torch.unique(numbers))
