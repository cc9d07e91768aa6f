"""Gradient norm: sum over layers of the Euclidean norm of the loss gradient."""

from __future__ import annotations

from flash.proxies.observing import loss_gradients
from flash.proxies.probe import Probe

__all__ = ["grad_norm"]


def grad_norm(probe: Probe) -> float:
    """Sum over convolutions and linear layers of ||dL/dW||_2 (Abdelfattah et al. 2021, 3.1)."""
    return float(sum(gradient.norm() for gradient in loss_gradients(probe).by_kernel))
