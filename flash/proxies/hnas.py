"""HNAS's metrics: size and condition number of the tangent kernel of the labelled class's score."""

from __future__ import annotations

import math

import torch

from flash.proxies.observing import per_image_gradients
from flash.proxies.probe import Probe
from flash.proxies.te_nas import condition_number

__all__ = ["hnas_condition", "hnas_trace"]


def hnas_trace(probe: Probe) -> float:
    """sqrt(tr(K) / N), K the tangent kernel of the labelled class's score (Shu et al. 2022).

    tr(K) is the sum over images of ||d score / dW||^2, kernels only.
    """
    trace, _ = _kernel(probe)
    return math.sqrt(trace / probe.batch)


def hnas_condition(probe: Probe) -> float:
    """Largest over smallest eigenvalue of the same K.

    Raises ``NoScore`` where K is singular; the source's code takes 1e5 then.
    """
    _, rows = _kernel(probe)
    features = torch.stack(rows).double()
    return condition_number(features @ features.T)


def _kernel(probe: Probe) -> tuple[float, list[torch.Tensor]]:
    """tr(K), and each image's gradient where the whole of K is asked for; computed once."""
    return probe.once("hnas kernel", lambda: _run(probe, whole="hnas_condition" in probe.asked))


def _run(probe: Probe, *, whole: bool) -> tuple[float, list[torch.Tensor]]:
    images, labels = probe.labelled()
    trace, rows = 0.0, []
    for gradients in per_image_gradients(
        probe.module(), images, lambda scores: scores.gather(1, labels[:, None])[:, 0]
    ):
        for gradient in gradients:
            trace += float(gradient.square().sum())
        if whole:
            rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
    return trace, rows
