"""Jacobian covariance: how differently the network responds to different images."""

from __future__ import annotations

import torch

from flash.proxies.probe import JACOBIAN, NoScore, Probe, class_scores

__all__ = ["correlation_score", "jacob_cov"]

#: Added to each eigenvalue, as in the source.
_OFFSET = 1e-5


def jacob_cov(probe: Probe) -> float:
    """-sum of log(s_i + k) + 1/(s_i + k), k = 1e-5, s_i as in ``correlation_score``.

    Rows are the gradients of each image's summed class scores by its pixels (Mellor et al.
    2020, first version; Abdelfattah et al. 2021, eq. 5).
    """
    return correlation_score(probe.once(JACOBIAN, lambda: _jacobian(probe)).flatten(1))


def _jacobian(probe: Probe) -> torch.Tensor:
    module = probe.module()
    images = probe.images().requires_grad_()
    (jacobian,) = torch.autograd.grad(class_scores(module(images)).sum(), images)
    return jacobian


def correlation_score(rows: torch.Tensor) -> float:
    """-sum of log(s_i + k) + 1/(s_i + k) over the eigenvalues s_i of the rows' correlations.

    rows: shape (images, features). Raises ``NoScore`` if a row does not vary.
    """
    centred = rows.detach().double()
    centred = centred - centred.mean(1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    if not bool((length > 0).all()):
        raise NoScore("an image's gradient is constant")
    unit = centred / length
    values = torch.linalg.eigvalsh(unit @ unit.T).clamp_min(0) + _OFFSET
    return float(-(values.log() + 1 / values).sum())
