"""SiGeo: gradients that agree between batches, the Fisher-Rao norm and the loss, of warmed weights.

From the release (zhenghuazx/NasRec-SiGeo) of the paper's authors (2311.13169, 2023): of a network
with weights that were trained a little,

    c1 sum_layers log sum_w (mean |g| / sd g)  +  c2 log |sum_w g w|  -  c3 loss.

Means and deviations are over batches. With c2 = c3 = 0 and weights that nobody trained it is ZiCo's
score of as many batches. Ours: the sums are over all weights (the release indexes one of each
group, a slip), g in the second term is the mean over the batches, the three factors are 1, and no
step of the optimizer is taken between batches.
"""

from __future__ import annotations

import math

from flash.proxies.observing import loss_gradients
from flash.proxies.probe import NoScore, Probe
from flash.proxies.zico import batches_score

__all__ = ["sigeo", "sigeo_terms"]

#: Batches compared, the source's number.
_BATCHES = 4


def sigeo(
    probe: Probe, factors: tuple[float, float, float] = (1.0, 1.0, 1.0), batches: int = _BATCHES
) -> float:
    """The score by factors c1, c2, c3; a term of factor 0 is not computed."""
    terms = sigeo_terms(probe, batches, fisher_rao=factors[1] != 0)
    return sum(factor * term for factor, term in zip(factors, terms, strict=True) if factor)


def sigeo_terms(
    probe: Probe, batches: int = _BATCHES, *, fisher_rao: bool = True
) -> tuple[float, float, float]:
    """(ZiCo's sum, log |sum g w|, minus the mean loss) over so many batches."""
    found = [loss_gradients(probe, draw) for draw in range(batches)]
    agreement = batches_score([one.by_kernel for one in found])
    loss = sum(one.loss for one in found) / batches
    if not fisher_rao:
        return agreement, 0.0, -loss
    # The mean over batches of sum g w, as the weights are the same for all.
    product = sum(
        float((gradient * kernel).sum()) / batches
        for one in found
        for gradient, kernel in zip(one.by_kernel, one.kernels, strict=True)
    )
    if product == 0:
        raise NoScore("the gradient is at a right angle to the weights")
    return agreement, math.log(abs(product)), -loss
