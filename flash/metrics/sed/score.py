"""The scores of one network, and of many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.metrics.sed.graph import trace
from flash.metrics.sed.isometry import isometric_depth
from flash.spaces.network import Network

__all__ = ["Score", "Scores", "score_network"]


@dataclass(frozen=True)
class Score:
    """Data-free scores of one network; more is better.

    sed:             entropy its live convolutions read and write, nats (weighted, ``SED.md``).
    isometric_depth: convolutions a gradient bypasses unchanged, mean over the network.
    """

    sed: float
    isometric_depth: float

    @property
    def rank_score(self) -> float:
        """``sed x (1 + isometric_depth)``: the default ranking."""
        return self.sed * (1 + self.isometric_depth)


@dataclass(frozen=True)
class Scores:
    """The same for many networks: arrays of shape (networks,)."""

    sed: NDArray[np.float64]
    isometric_depth: NDArray[np.float64]

    @property
    def rank_score(self) -> NDArray[np.float64]:
        """``sed x (1 + isometric_depth)``: the default ranking."""
        return self.sed * (1 + self.isometric_depth)


def score_network(network: Network) -> Score:
    """SED and isometric depth of the live part of ``network``; zeros if it has none.

    >>> from flash.spaces.reference import reference_network
    >>> small, large = (score_network(reference_network(f"resnet{n}")) for n in (18, 50))
    >>> small.sed < large.sed
    True
    """
    found = trace(network)
    if not found.live.order:
        return Score(0.0, 0.0)
    return Score(found.sed, isometric_depth(found))
