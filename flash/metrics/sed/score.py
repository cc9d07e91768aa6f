"""The scores of one network, and of many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from flash.metrics.sed.graph import trace
from flash.metrics.sed.isometry import isometry
from flash.metrics.sed.paths import capacities, path_shares, thinness, unbypassed_depth
from flash.spaces.network import Network

__all__ = ["LONGEST_BARE", "Score", "Scores", "score_network"]

Floats = NDArray[np.float64]

#: Convolutions that nothing bypasses at which depth costs half of what a network can do.
LONGEST_BARE = 28.0


@dataclass(frozen=True)
class Score:
    """Data-free scores of one network; more is better (``SED.md``).

    sed:              entropy its live convolutions read and write, nats (weighted).
    isometry:         share of the depth that a gradient bypasses unchanged.
    capacity:         sum over live convolutions of the root of what each can tell apart.
    thinness:         depth over width along an average path; less is better.
    unbypassed_depth: convolutions on the path that has the fewest.
    """

    sed: float
    isometry: float
    capacity: float = 0.0
    thinness: float = 0.0
    unbypassed_depth: float = 0.0

    @property
    def rank_score(self) -> float:
        """The default ranking: capacity, as far as depth lets a network be trained."""
        trained = (1 + self.isometry) / math.sqrt(1 + self.thinness)
        return self.capacity * trained / (1 + (self.unbypassed_depth / LONGEST_BARE) ** 4)


@dataclass(frozen=True)
class Scores:
    """The same for many networks: arrays of shape (networks,)."""

    sed: Floats
    isometry: Floats
    capacity: Floats
    thinness: Floats
    unbypassed_depth: Floats

    @property
    def rank_score(self) -> Floats:
        """The default ranking: capacity, as far as depth lets a network be trained."""
        trained = (1 + self.isometry) / np.sqrt(1 + self.thinness)
        result: Floats = self.capacity * trained / (1 + (self.unbypassed_depth / LONGEST_BARE) ** 4)
        return result

    @classmethod
    def of(cls, several: Sequence[Score]) -> Scores:
        """Scores of single networks, put together."""
        columns = [[getattr(one, field.name) for one in several] for field in fields(cls)]
        return cls(*(np.array(column, dtype=np.float64) for column in columns))

    def at(self, numbers: NDArray[np.int64]) -> Scores:
        """Those of some of the networks."""
        return Scores(*(getattr(self, field.name)[numbers] for field in fields(self)))


def score_network(network: Network) -> Score:
    """Scores of the live part of ``network``; zeros if it has none.

    >>> from flash.spaces.reference import reference_network
    >>> small, large = (score_network(reference_network(f"resnet{n}")) for n in (18, 50))
    >>> small.rank_score < large.rank_score
    True
    """
    found = trace(network)
    if not found.live.order:
        return Score(0.0, 0.0)
    shares = path_shares(found)
    return Score(
        found.sed,
        isometry(found),
        sum(capacities(found, shares).values()),
        thinness(found, shares),
        unbypassed_depth(found.live),
    )
