"""AZ-NAS: expressivity, progressivity and trainability of blocks, and complexity."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional

from flash.proxies.observing import block_ends, results_of
from flash.proxies.probe import NoScore, Probe

__all__ = [
    "az_complexity",
    "az_expressivity",
    "az_progressivity",
    "az_trainability",
    "channel_entropy",
    "transfer_score",
]

#: Keeps the reciprocal of a vanishing spectral norm finite, as in the source.
_TINY = 1e-6


def az_complexity(probe: Probe) -> float:
    """Multiply-accumulates of the live network (the source counts FLOPs: twice as many)."""
    return float(probe.network.macs)


def az_expressivity(probe: Probe) -> float:
    """Sum over blocks of the entropy of their channels (Lee & Ham 2024, eq. 3)."""
    return float(sum(_block_scores(probe)[0]))


def az_progressivity(probe: Probe) -> float:
    """The least rise of the entropy from one block to the next (Lee & Ham 2024, eq. 5)."""
    entropies = _block_scores(probe)[0]
    if len(entropies) < 2:
        raise NoScore("the network has fewer than two blocks")
    return min(after - before for before, after in pairwise(entropies))


def az_trainability(probe: Probe) -> float:
    """Mean over blocks of 2 - s - 1/s, s as in ``transfer_score`` (Lee & Ham 2024, eq. 10)."""
    transfers = _block_scores(probe)[1]
    if not transfers:
        raise NoScore("the network has fewer than two blocks")
    return sum(transfers) / len(transfers)


def _block_scores(probe: Probe) -> tuple[list[float], list[float]]:
    """Entropies of all blocks, and transfer scores of all but the first."""
    return probe.once("az_nas", lambda: _run(probe))


def _run(probe: Probe) -> tuple[list[float], list[float]]:
    """One forward and one backward pass; He's initialisation by fan-in, Gaussian images."""
    ends = block_ends(probe.network)
    if not ends:
        raise NoScore("the network has no block before its head")
    module = probe.module("fan_in")
    images = probe.noise((probe.batch, *probe.image_shape), "az_nas images")
    kept = results_of(module, images, set(ends))
    maps = [kept[n] for n in ends if kept[n].dim() == 4]
    entropies = [channel_entropy(x.detach()) for x in maps]
    transfers = []
    for number, (before, after) in enumerate(pairwise(maps)):
        signs = probe.rng("rademacher", number).integers(0, 2, tuple(after.shape), dtype=np.int8)
        sent = (2 * torch.from_numpy(signs) - 1).to(after)
        (received,) = torch.autograd.grad(after, before, sent, retain_graph=True)
        transfers.append(transfer_score(received, sent))
    return entropies, transfers


def channel_entropy(result: torch.Tensor) -> float:
    """-sum p log p of the normalised eigenvalues p of the covariance of a map's channels.

    result: shape (batch, channels, height, width); every position is a sample.
    """
    samples = result.transpose(0, 1).flatten(1)
    samples = samples - samples.mean(1, keepdim=True)
    values = torch.linalg.eigvalsh((samples @ samples.T).double()).clamp_min(0)
    share = values / values.sum()
    share = share[share > 0]
    return float(-(share * share.log()).sum())


def transfer_score(received: torch.Tensor, sent: torch.Tensor) -> float:
    """2 - s - 1/s, s the spectral norm of received^T sent / samples: 0 at best, where s is 1.

    The gradients before and after a block, shape (batch, channels, height, width); where the
    block makes the map smaller, its pixels become channels.
    """
    factor = received.shape[2] // sent.shape[2]
    if factor > 1:
        received = functional.pixel_unshuffle(received, factor)
    matrix = _samples(received).T @ _samples(sent) / _samples(sent).shape[0]
    norm = float(torch.linalg.matrix_norm(matrix, 2))
    return 2 - norm - 1 / (norm + _TINY)


def _samples(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.permute(0, 2, 3, 1).flatten(0, 2)
