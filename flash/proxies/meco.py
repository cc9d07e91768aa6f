"""MeCo: how far the channels of each feature map are from being linearly dependent."""

from __future__ import annotations

import torch

from flash.proxies.probe import NoScore, Probe

__all__ = ["meco", "smallest_eigenvalue"]


def meco(probe: Probe) -> float:
    """Sum over all maps of the least eigenvalue of their channels' correlations (MeCo, 2023).

    Maps are the results of all layers with two channels and two positions or more, batch norm
    and activation included, for one random image (the source counts every module's result).
    """
    module = probe.module()
    total: list[float] = []

    def observe(number: int, result: torch.Tensor) -> None:
        if result.dim() == 4 and result.shape[1] > 1 and result[0, 0].numel() > 1:
            total.append(smallest_eigenvalue(result[0].flatten(1)))

    with torch.no_grad():
        module(probe.images(), observe)
    if not total:
        raise NoScore("the network has no map of several channels")
    return float(sum(total))


def smallest_eigenvalue(rows: torch.Tensor) -> float:
    """Least eigenvalue of the correlation matrix of rows; 0 where a row does not vary."""
    centred = rows.double() - rows.double().mean(1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    if not bool((length > 0).all()):
        return 0.0
    unit = centred / length
    return float(torch.linalg.eigvalsh(unit @ unit.T)[0].clamp_min(0))
