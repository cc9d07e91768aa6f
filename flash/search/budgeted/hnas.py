"""HNAS (Shu et al., NeurIPS 2022): a generalisation bound with two unknowns, found by training.

Among designs A the bound prefers the smallest

    mu |M(A)^2 - nu^2| + K(A) / (M(A) + 1e-6),

M the trace-norm metric of the network's tangent kernel and K its condition number: the first
term asks for a network neither too small nor too hard to optimise. Bayesian optimization
(expected improvement) looks for nu and log10 mu in [-4, 0] under which the design that leads
trains best. The source gives each space its own range of nu; here nu is a quantile of M among the
candidates (ours): a few networks of huge gradients stretch the range of M a hundredfold beyond
where good networks lie.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flash.search.budgeted.bayes import suggest
from flash.search.budgeted.candidates import Candidates, Floats
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.robot import filled
from flash.search.budgeted.strategy import Strategy

__all__ = ["HNAS", "hnas"]

#: Share of the budget that probes nu on a grid before Bayesian optimization takes over (ours).
_PROBES = 0.25
#: mu of these probes: the middle of its range on a logarithmic scale (ours).
_PROBE_MU = 1e-2


def hnas(candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator) -> dict[str, Any]:
    """The first metric is M, the second K; without a second, the first term decides alone.

    The authors show grad_norm, SNIP and GraSP to bound M up to constants, so either may stand
    for it. Every query trains a design not trained before.
    """
    trace = np.abs(candidates.scores[:, 0])
    second = np.zeros_like(trace)
    if len(candidates.names) > 1:
        second = candidates.scores[:, 1] / (trace + 1e-6)
    bounds = np.array([[0.0, 1.0], [-4.0, 0.0]])
    probes = max(1, round(_PROBES * evaluator.left))
    grid = np.linspace(0.0, 1.0, probes + 2)[1:-1]
    points: list[Floats] = []
    trained: list[int] = []
    while evaluator.left and len(trained) < len(candidates):
        if len(points) < probes:
            point = np.array([grid[len(points)], np.log10(_PROBE_MU)])
        else:
            values = filled(evaluator.known(candidates.designs[trained]))
            point = suggest(np.array(points), values, bounds, rng, "ei")
        nu = float(np.quantile(trace, point[0]))
        bound = 10 ** point[1] * np.abs(trace**2 - nu**2) + second
        bound[trained] = np.inf
        points.append(point)
        trained.append(int(np.argmin(bound)))
        evaluator.accuracy(candidates.designs[trained[-1:]])
    values = filled(evaluator.known(candidates.designs[trained]))
    quantile, log_mu = points[int(np.argmax(values))]
    nu = float(np.quantile(trace, quantile))
    return {"metrics": list(candidates.names[:2]), "nu": nu, "mu": float(10**log_mu)}


HNAS = Strategy(
    hnas,
    needs_metrics="hnas has no default metrics; give the trace norm's and the condition number's "
    "stand-ins, e.g. --metrics sed,macs",
)
