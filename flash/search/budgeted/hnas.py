"""HNAS (Shu et al., NeurIPS 2022): a generalisation bound with two unknowns, found by training.

Among designs A the bound prefers the smallest

    mu |M(A)^2 - nu^2| + K(A) / (M(A) + 1e-6),

M the trace-norm metric of the network's tangent kernel and K its condition number: the first
term asks for a network neither too small nor too hard to optimise. Bayesian optimization
(expected improvement) looks for nu and log10 mu in [-4, 0] under which the design that leads
trains best. The source gives each space its own range of nu; in ``hnas`` nu is a quantile of M
among the candidates (ours): a few networks of huge gradients stretch the range of M a hundredfold
beyond where good networks lie. ``hnas-published`` is the source's own protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from flash.search.budgeted.bayes import suggest
from flash.search.budgeted.candidates import Candidates, Floats
from flash.search.budgeted.evaluator import Evaluator
from flash.search.budgeted.robot import filled
from flash.search.budgeted.strategy import Strategy

__all__ = ["HNAS", "HNAS_PUBLISHED", "hnas", "hnas_published"]

#: Share of the budget that probes nu on a grid before Bayesian optimization takes over (ours).
_PROBES = 0.25
#: mu of these probes: the middle of its range on a logarithmic scale (ours).
_PROBE_MU = 1e-2
#: Bound of a design whose metrics are no numbers: the last choice.
_LARGEST = 1e300


def hnas(candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator) -> dict[str, Any]:
    """The first metric is M, the second K; without a second, the first term decides alone.

    The authors show grad_norm, SNIP and GraSP to bound M up to constants, so either may stand
    for it. Every query trains a design not trained before.
    """
    return _search(candidates, evaluator, rng, _QUANTILES)


def hnas_published(
    candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator
) -> dict[str, Any]:
    """As the authors' code has it: nu in [0, 5,000], both ends probed, and a pool that grows.

    2,000 designs drawn with replacement join the pool before every query; what was trained has
    left it. The range of nu is the one that the code gives NAS-Bench-201, for its own M.
    """
    return _search(candidates, evaluator, rng, _PUBLISHED)


@dataclass(frozen=True)
class _Protocol:
    """What one form of the search does otherwise than another.

    ends:    probes of nu include both ends of its range.
    scale:   nu is this times its coordinate; None takes a quantile of M instead.
    growth:  designs that join the pool before a query; None has all from the start.
    """

    ends: bool
    scale: float | None
    growth: int | None

    def probes(self, count: int) -> Floats:
        """Coordinates of nu that are probed first."""
        inner = np.linspace(0.0, 1.0, count + 2)[1:-1]
        return np.linspace(0.0, 1.0, count) if self.ends and count > 1 else inner

    def nu(self, coordinate: float, trace: Floats) -> float:
        """The value of nu at a coordinate, 0 to 1."""
        if self.scale is not None:
            return self.scale * coordinate
        return float(np.quantile(trace, coordinate))


_QUANTILES: Final = _Protocol(ends=False, scale=None, growth=None)
_PUBLISHED: Final = _Protocol(ends=True, scale=5e3, growth=2000)


def _search(
    candidates: Candidates, evaluator: Evaluator, rng: np.random.Generator, protocol: _Protocol
) -> dict[str, Any]:
    trace = np.abs(candidates.scores[:, 0])
    second = np.zeros_like(trace)
    if len(candidates.names) > 1:
        second = candidates.scores[:, 1] / (trace + 1e-6)
    bounds = np.array([[0.0, 1.0], [-4.0, 0.0]])
    probes = max(1, round(_PROBES * evaluator.left))
    grid = protocol.probes(probes)
    points: list[Floats] = []
    trained: list[int] = []
    pooled = np.full(len(candidates), protocol.growth is None)
    while evaluator.left and len(trained) < len(candidates):
        if protocol.growth is not None:
            pooled[rng.integers(len(candidates), size=protocol.growth)] = True
        if len(points) < probes:
            point = np.array([grid[len(points)], np.log10(_PROBE_MU)])
        else:
            values = filled(evaluator.known(candidates.designs[trained]))
            point = suggest(np.array(points), values, bounds, rng, "ei")
        nu = protocol.nu(point[0], trace)
        bound = np.nan_to_num(10 ** point[1] * np.abs(trace**2 - nu**2) + second, nan=_LARGEST)
        bound[~pooled] = np.inf
        bound[trained] = np.inf
        if not np.isfinite(bound).any():  # the whole pool is trained
            continue
        points.append(point)
        trained.append(int(np.argmin(bound)))
        evaluator.accuracy(candidates.designs[trained[-1:]])
    values = filled(evaluator.known(candidates.designs[trained]))
    coordinate, log_mu = points[int(np.argmax(values))]
    nu = protocol.nu(coordinate, trace)
    return {"metrics": list(candidates.names[:2]), "nu": nu, "mu": float(10**log_mu)}


_NEEDS = (
    "hnas has no default metrics; give the trace norm's and the condition number's "
    "stand-ins, e.g. --metrics sed,macs, or its own: --metrics hnas_trace,hnas_condition"
)
HNAS = Strategy(hnas, needs_metrics=_NEEDS)
HNAS_PUBLISHED = Strategy(hnas_published, needs_metrics=_NEEDS)
