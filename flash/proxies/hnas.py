"""HNAS's trace metric: size of the neural tangent kernel."""

from __future__ import annotations

import math

from flash.proxies.observing import per_image_gradients
from flash.proxies.probe import Probe

__all__ = ["hnas_trace"]


def hnas_trace(probe: Probe) -> float:
    """sqrt(tr(K) / N), K the tangent kernel of the labelled class's score (Shu et al. 2022).

    tr(K) is the sum over images of ||d score / dW||^2, kernels only.
    """
    module = probe.module()
    images, labels = probe.labelled()
    gradients = per_image_gradients(
        module, images, lambda scores: scores.gather(1, labels[:, None])[:, 0]
    )
    trace = sum(float(g.square().sum()) for image in gradients for g in image)
    return math.sqrt(trace / len(labels))
