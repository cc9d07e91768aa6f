"""NASWOT: how many ReLUs tell two images apart."""

from __future__ import annotations

import torch

from flash.proxies.observing import codes_seen
from flash.proxies.probe import NoScore, Probe

__all__ = ["kernel_score", "naswot"]


def naswot(probe: Probe) -> float:
    """log |det K|, K_nm the number of ReLUs that images n and m set alike (Mellor et al. 2021,
    eq. 2).
    """
    kernel = torch.zeros((probe.batch, probe.batch), dtype=torch.float64, device=probe.device)

    def see(code: torch.Tensor) -> None:
        on = code.float()  # counts stay exact: far below 2^24 an activation
        both = (on @ on.T).double()
        each = both.diagonal()
        # Neither is on where not one of them is: n - |a| - |b| + |a and b|.
        kernel.add_(2 * both - each[:, None] - each[None, :] + code.shape[1])

    codes_seen(probe.module(), probe.images(), see)
    return kernel_score(kernel)


def kernel_score(kernel: torch.Tensor) -> float:
    """log |det| of a kernel matrix; raises ``NoScore`` for a singular one."""
    sign, logarithm = torch.linalg.slogdet(kernel.double())
    if float(sign) == 0:
        raise NoScore("two images have the same ReLU code")
    return float(logarithm)
