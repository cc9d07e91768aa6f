"""The levels of the hierarchical SHGO: how a point of at most five variables stands for designs.

scipy's simplicial complex is quick and dependable up to about five variables and poor from
eight on, so no level has more than five. A design is a place on the menu of each group of
variables (see ``flash.optimize.menus``):

- Coarse level: the place on the first, middle and last group's menu, those between
  interpolated, and the price mix of the menus.
- Fine level: the places on the menus of some groups in a box around the winner.

A point fixes only the relative sizes of the groups. It is scaled by each factor in ``scales``,
every cap on peak activations is tried, and the objective value of the point is the best feasible
design among those. So a limit never makes a point infeasible by its size alone: SHGO compares
proportions, and the size that just meets the limits is found for each of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.optimize.menus import Menus
from flash.spaces.stage_tables import Floats

__all__ = ["MOST_VARIABLES", "Coarse", "Fine", "Place"]

Ints = NDArray[np.int64]
Bounds = list[tuple[float, float]]

MOST_VARIABLES = 5
#: Groups whose place is a variable of the coarse level; the others lie between.
_ANCHORS = 3


@dataclass(frozen=True)
class Place:
    """A design on the menus: the price mix, and the position on each group's menu."""

    mix: int
    positions: Ints


@dataclass(frozen=True)
class Coarse:
    """Level 1: relative places of up to three anchor groups, and the mix."""

    menus: Menus
    scales: Floats

    @property
    def bounds(self) -> Bounds:
        """Box of the level's variables."""
        places = [(0.0, 1.0)] * min(_ANCHORS, len(self.menus.groups))
        prices = len(self.menus.prices)
        # Rounding makes the ends of a box as likely as its middle.
        return places + ([(-0.4, prices - 0.6)] if prices > 1 else [])

    def places(self, points: Floats) -> tuple[Ints, Ints]:
        """(points, level variables) -> mix (points, ray), positions (points, ray, groups)."""
        count = len(self.menus.groups)
        anchors = min(_ANCHORS, count)
        if points.shape[1] > anchors:
            price = np.rint(points[:, anchors]).astype(np.int64)
        else:
            price = np.zeros(len(points), dtype=np.int64)
        at = np.linspace(0, anchors - 1, count)
        left = np.minimum(at.astype(int), max(0, anchors - 2))
        right = np.minimum(left + 1, anchors - 1)
        where = points[:, left] + (points[:, right] - points[:, left]) * (at - left)
        return _ray(self.menus, price, where, self.scales)


@dataclass(frozen=True)
class Fine:
    """Level 2: places of some groups, in shares of their menus, near a design's."""

    menus: Menus
    window: tuple[int, ...]
    centre: Place
    radius: float
    scales: Floats

    @property
    def bounds(self) -> Bounds:
        """Box of the level's variables."""
        return [
            (max(where - self.radius, 0.0), min(where + self.radius, 1.0))
            for where in self._where[list(self.window)]
        ]

    @property
    def _where(self) -> Floats:
        most = np.maximum(self.menus.length(self.centre.mix) - 1, 1)
        return np.asarray(self.centre.positions / most)

    def places(self, points: Floats) -> tuple[Ints, Ints]:
        """(points, level variables) -> mix (points, ray), positions (points, ray, groups)."""
        where = np.repeat(self._where[None], len(points), axis=0)
        where[:, self.window] = points
        price = np.full(len(points), self.centre.mix // self.menus.caps)
        return _ray(self.menus, price, where, self.scales)


def _ray(menus: Menus, price: Ints, where: Floats, scales: Floats) -> tuple[Ints, Ints]:
    """Every scale under every cap: mix (points, ray), positions (points, ray, groups)."""
    mix = price[:, None] * menus.caps + np.arange(menus.caps)
    ray = np.clip(where[:, None, None, :] * scales[:, None], 0.0, 1.0)
    positions = np.rint(ray * (menus.length(mix) - 1)[:, :, None, :]).astype(np.int64)
    mixes = np.broadcast_to(mix[:, :, None], positions.shape[:3])
    return mixes.reshape(len(price), -1), positions.reshape(len(price), -1, where.shape[1])
