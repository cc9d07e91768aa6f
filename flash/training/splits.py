"""Which samples train, which validate and which test: seeded, balanced over the classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flash.errors import InputError
from flash.files.labelled import Labelled

__all__ = ["Split", "split"]

#: With fewer samples nothing can be said of what was learnt.
_LEAST_SAMPLES: Final = 8


@dataclass(frozen=True)
class Split:
    """Numbers of the samples for training, validation and test."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split(data: Labelled, share: float, seed: int) -> Split:
    """Training, validation and test samples, of every class as its part of all.

    Raises ``InputError`` where too few are there.
    """
    rng = np.random.default_rng([seed, 1])
    rest = np.flatnonzero(~data.test)
    test = np.flatnonzero(data.test)
    aside = max(1, round(share * len(rest)))
    if len(rest) < _LEAST_SAMPLES or 2 * aside >= len(rest):
        raise InputError(f"{len(rest)} samples are too few to set any aside for validation")
    order = _balanced(data, rest, rng)
    if not len(test):
        test, order = order[:aside], order[aside:]
    validation, train = order[:aside], order[aside:]
    return Split(np.sort(train), np.sort(validation), np.sort(test))


def _balanced(
    data: Labelled, rest: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """In random order, every beginning balanced over the classes."""
    order = rng.permutation(rest)
    if data.task != "classification":
        return order
    labels = data.labels[order]
    place = np.empty(len(order))
    for label in np.unique(labels):
        mine = labels == label
        place[mine] = (np.arange(mine.sum()) + 0.5) / mine.sum()
    found: NDArray[np.int64] = order[np.argsort(place, kind="stable")]
    return found
