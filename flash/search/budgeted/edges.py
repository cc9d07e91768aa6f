"""Designs as graphs whose edges can be removed: what searches that shrink a network start from."""

from __future__ import annotations

import numpy as np

from flash.evaluation import measure
from flash.search.budgeted.candidates import Edges, Floats, Ints
from flash.spaces.space import SearchSpace

__all__ = ["removable_edges"]


def removable_edges(space: SearchSpace) -> Edges | None:
    """The densest design of a space and what is left without one of its edges.

    None where the family's networks have no edges to remove (``Family.densest``). Designs that
    the space's ranges do not hold are left out.
    """
    choices = {n: grid.tolist() for n, grid in zip(space.variables, space.grids, strict=True)}
    densest = space.family.densest(choices)
    if densest is None:
        return None

    def without(design: Ints) -> Ints:
        fewer = space.family.without_an_edge(space.named(design))
        inside = (v for v in fewer if all(v[name] in choices[name] for name in space.variables))
        rows = [space.design(values) for values in inside]
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(space.variables))

    def macs(designs: Ints) -> Floats:
        return np.asarray(measure(space, designs).macs, dtype=np.float64)

    return Edges(space.design(densest), without, macs)
