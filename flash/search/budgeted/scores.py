"""Training-free scores of a space's designs by name, as strategies take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from flash.errors import UsageError, did_you_mean
from flash.evaluation import measure
from flash.metrics import METRICS
from flash.metrics import scores as metric_scores
from flash.search.budgeted.candidates import Floats, Ints
from flash.search.budgeted.strategy import DATA_FREE
from flash.spaces.space import SearchSpace

__all__ = ["DATA_FREE", "data_free_scores", "usable"]

#: Those that are no metrics of ``flash.metrics``.
_SIZES = ("params", "macs")


def data_free_scores(space: SearchSpace, names: Sequence[str]) -> Callable[[Ints], Floats]:
    """A function of designs (indices) that gives scores of shape (designs, names).

    names: metrics, "params" and "macs". Raises ``UsageError`` for any other.
    """
    for name in names:
        if name not in _SIZES and name not in METRICS:
            known = did_you_mean(name, (*METRICS, *_SIZES))
            raise UsageError(f"unknown metric '{name}'{known}")

    def scores(designs: Ints) -> Floats:
        columns = metric_scores(space, designs, [name for name in names if name not in _SIZES])
        if any(name in _SIZES for name in names):
            plain = measure(space, designs)
            columns |= {name: getattr(plain, name) for name in _SIZES}
        return np.stack([columns[name] for name in names], axis=1)

    return scores


def usable(names: Sequence[str], scores: Floats) -> list[int]:
    """Columns of scores that tell designs apart: finite everywhere, and not the same for all."""
    return [
        k
        for k, column in enumerate(scores.T)
        if np.isfinite(column).all() and (len(column) == 1 or np.ptp(column) > 0)
    ]
