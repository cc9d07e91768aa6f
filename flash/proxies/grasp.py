"""GraSP: how much cutting connections would change the gradient flow."""

from __future__ import annotations

import torch
from torch.nn import functional

from flash.proxies.probe import Probe, class_scores, weight_layers

__all__ = ["grasp"]


def grasp(probe: Probe) -> float:
    """-sum of w (H g) over all kernels, H the Hessian of the loss and g its gradient.

    Wang et al. 2020, eq. 8; the sign as in Abdelfattah et al. 2021.
    """
    module = probe.module()
    weights = [layer.weight for layer in weight_layers(module)]
    images, labels = probe.labelled()
    loss = functional.cross_entropy(class_scores(module(images)), labels)
    first = torch.autograd.grad(loss, weights, create_graph=True)
    product = torch.stack([(g.detach() * g).sum() for g in first]).sum()
    second = torch.autograd.grad(product, weights)
    return float(-sum((w.detach() * h).sum() for w, h in zip(weights, second, strict=True)))
