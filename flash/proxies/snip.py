"""SNIP: how much the loss would change if single connections were cut."""

from __future__ import annotations

from flash.proxies.observing import loss_gradients
from flash.proxies.probe import Probe

__all__ = ["snip"]


def snip(probe: Probe) -> float:
    """Sum of |w dL/dw| over all kernels (Lee et al. 2019, eq. 5, not normalised)."""
    found = loss_gradients(probe)
    pairs = zip(found.kernels, found.by_kernel, strict=True)
    return float(sum((kernel * gradient).abs().sum() for kernel, gradient in pairs))
