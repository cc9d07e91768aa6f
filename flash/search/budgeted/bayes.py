"""Where to look next, by a Gaussian process (scikit-learn)."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np

from flash.extras import need
from flash.search.budgeted.candidates import Floats

__all__ = ["suggest"]

#: Random points of the box at which the acquisition is computed first.
_SPREAD = 2048
#: Points around the best of them, at each of two narrower widths.
_AROUND = 256


def suggest(
    points: Floats,
    values: Floats,
    bounds: Floats,
    rng: np.random.Generator,
    acquisition: Literal["ucb", "ei"] = "ucb",
    kappa: float = 2.576,
) -> Floats:
    """The point, shape (d,), of highest acquisition; a random one where nothing is known yet.

    points, values: what was looked at, shapes (k, d) and (k,); more is better.
    bounds:         shape (d, 2).
    acquisition:    the upper confidence bound mean + kappa x sd (Srinivas et al. 2010; 2.576
                    is a two-sided 99 %), or the expected improvement (Jones et al. 1998).
    """
    from scipy.special import ndtr  # noqa: PLC0415 (slow to import)

    low, high = bounds.T
    if len(points) == 0:
        return np.asarray(rng.uniform(low, high))
    unit = (points - low) / (high - low)
    gp = need("sklearn.gaussian_process", "strategies", "Bayesian optimization")
    kernels = gp.kernels
    model = gp.GaussianProcessRegressor(
        kernels.Matern(nu=2.5),
        alpha=1e-6,
        normalize_y=True,
        n_restarts_optimizer=1,
        random_state=int(rng.integers(2**31)),
    )
    with warnings.catch_warnings():
        # A length scale at its bound is an answer here: the metric's weight does not matter.
        warnings.simplefilter("ignore")
        model.fit(unit, values)

        def gain(at: Floats) -> Floats:
            mean, sd = model.predict(at, return_std=True)
            if acquisition == "ucb":
                return np.asarray(mean + kappa * sd)
            better = mean - values.max()
            z = better / np.maximum(sd, 1e-12)
            density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
            return np.asarray(better * ndtr(z) + sd * density)

        spread = rng.uniform(size=(_SPREAD, len(low)))
        best = spread[gain(spread).argmax()]
        for width in (0.1, 0.02):
            around = np.clip(best + width * rng.normal(size=(_AROUND, len(low))), 0, 1)
            around = np.concatenate([best[None], around])
            best = around[gain(around).argmax()]
    return np.asarray(low + best * (high - low))
