"""Designs of a kind that no trained network is of: how much less is known of them.

What leaving out one network at a time says of errors holds for networks like those. So each kind
(``flash.accuracy.features.kind_features``) is left out as a whole, and what the others predict of
it is held against what one network's absence does to its prediction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flash.accuracy.features import is_kind
from flash.accuracy.kriging import Ridge
from flash.accuracy.regression import Regression, Samples, Saturation
from flash.spaces.stage_tables import Floats

__all__ = ["interval_factor", "strangers"]

#: Times as wide where too few kinds were trained to tell: what ``flash.accuracy.conformal`` makes
#: of a feature that lies a whole range beyond the samples.
_UNKNOWN = 5.0
#: Fewer networks than this fit nothing.
_FEWEST = 5


def strangers(samples: Samples, rows: Floats) -> NDArray[np.bool_]:
    """Which designs have no cell of a kind that a sample has, shape (designs,).

    rows: the samples' features of the designs. None where samples do not say their kinds.
    """
    kinds = [k for k, name in enumerate(samples.names) if is_kind(name)]
    found: NDArray[np.bool_] = (rows[:, kinds].sum(axis=1) == 0) & bool(kinds)
    return found


def interval_factor(model: Regression, samples: Samples) -> float:
    """How many times as wide the interval of a design of a strange kind is, 1 or more.

    The root of the mean squared error of kinds left out whole over that of single networks, on the
    scale of ``Saturation``; a kind counts as much as another. A few kinds tell their spread
    poorly, so it is wider by what Student's t adds at 90 %.
    """
    names = tuple(name for name in samples.names if is_kind(name))
    own = np.argmax(samples.columns(names), axis=1)
    if not isinstance(model, Ridge):
        return _UNKNOWN
    scale = Saturation.of(samples)
    truth = scale.apply(samples.accuracy)
    whole = []
    for kind in np.unique(own):
        rest = own != kind
        if rest.sum() < _FEWEST:
            continue
        others = Samples(samples.names, samples.rows[rest], samples.accuracy[rest], samples.bounds)
        found = Ridge(others, model.features, model.ratio).predict(
            samples.columns(model.features)[~rest]
        )
        whole.append(float(np.mean((scale.apply(found) - truth[~rest]) ** 2)))
    alone = float(np.mean((scale.apply(model.left_out()) - truth) ** 2))
    if len(whole) < 2 or alone <= 0:
        return _UNKNOWN
    from scipy.special import ndtri, stdtrit  # noqa: PLC0415 (slow to import)

    few = float(stdtrit(len(whole) - 1, 0.95) / ndtri(0.95))
    return max(few * float(np.sqrt(np.mean(whole) / alone)), 1.0)
