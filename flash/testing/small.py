"""Small inputs of the suites: spaces of a few designs, separable problems of a few tables."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.spaces.family import FAMILIES, InputShape
from flash.spaces.network import Network
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Combine, SeparableProblem, StageTable

__all__ = ["SMALL", "every_design", "random_problem", "small_network", "small_space"]

Ints = NDArray[np.int64]

#: Built-in family -> settings and values of its variables, for 8 x 8 images and 4 classes.
SMALL: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Sequence[int]]]] = {
    "add": (
        {"cells": 2, "stem": 4},
        {"w1": (4, 6), "b1": (1, 3), "t1": (0, 2, 4), "w2": (6, 8), "b2": (1, 2), "t2": (0, 8)},
    ),
    "concat": (
        {"cells": 2, "stem": 4},
        {"w1": (4, 6), "d1": (3, 4), "t1": (0, 4, 16), "w2": (6, 8), "d2": (3, 5), "t2": (0, 8)},
    ),
    "darts": (
        {"nodes": 2, "cells": 3, "channels": 4, "concat": 2},
        {
            **{f"{cell}i{k}": (0, 1) if k < 2 else (1, 2) for cell in "nr" for k in (0, 2)},
            **{f"{cell}i{k}": (1,) if k < 2 else (2,) for cell in "nr" for k in (1, 3)},
            **{f"no{k}": (k, k + 3) if k % 2 else (k + 4,) for k in range(4)},
            **{f"ro{k}": (2, 3) if k % 2 else (k,) for k in range(4)},
        },
    ),
    "nasbench101": (
        {"nodes": 4, "edges": 4, "stacks": 2, "cells": 1, "channels": 6},
        {"p1": (0, 1), "p2": (0, 1, 3), "p3": (1, 2, 6, 7), "o1": (0, 2), "o2": (0, 1)},
    ),
    "nasbench201": (
        {"cells": 1, "channels": 4},
        {"e0": (0, 3), "e1": (1, 3), "e2": (0, 2), "e3": (3,), "e4": (1, 4), "e5": (0, 3)},
    ),
    "nasbench_macro": (
        {"stem": 4, "head": 8},
        {
            "o0": (0, 1),
            **{f"o{k}": (0, 2) for k in range(1, 4)},
            **{f"o{k}": (1,) for k in (4, 5)},
            "o6": (0, 1),
            "o7": (0, 2),
        },
    ),
}


_SHAPE = InputShape(3, 8, 8)


def small_space(
    family: str,
    variables: Mapping[str, Sequence[int]] | None = None,
    settings: Mapping[str, Any] | None = None,
    shape: InputShape = _SHAPE,
    classes: int = 4,
) -> SearchSpace:
    """A space of a registered family that is small enough to look at every design.

    variables, settings: as in a space file; those of ``SMALL`` where they are not given.
    """
    own_settings, own_variables = SMALL.get(family, ({}, {}))
    grids = dict(own_variables if variables is None else variables)
    made = FAMILIES[family](shape, classes, own_settings if settings is None else settings)
    made.check({name: list(values) for name, values in grids.items()})
    columns = tuple(np.array(grids[name], dtype=np.int64) for name in made.variables)
    return SearchSpace(f"small-{family}", "", made, columns)


def small_network() -> Network:
    """A network of two cells with skips, for 8 x 8 images and 4 classes."""
    space = small_space("concat")
    return space.network(np.array([len(grid) - 1 for grid in space.grids]))


def every_design(sizes: Sequence[int]) -> Ints:
    """All designs of a problem or space, shape (designs, variables)."""
    return np.array(list(itertools.product(*(range(n) for n in sizes))), dtype=np.int64)


#: Quantities of ``random_problem`` and how each combines over stages.
_COMBINE: dict[str, Combine] = {
    "score": "sum",
    "latency_ms": "sum",
    "energy_mj": "sum",
    "weight_kb": "sum",
    "activation_kb": "max",
}


def random_problem(seed: int, whole: bool = False) -> SeparableProblem:
    """A few stages over two to six variables of two to four values, tables filled at random.

    whole: small whole numbers, so that equal values are common; else any.
    """
    rng = np.random.default_rng(seed)
    sizes = tuple(int(n) for n in rng.integers(2, 5, size=rng.integers(2, 7)))
    cuts = sorted({0, len(sizes), *(int(k) for k in rng.integers(0, len(sizes) + 1, size=2))})
    stages = []
    for first, last in itertools.pairwise(cuts):
        owns = tuple(range(first, last))
        reads = tuple(k for k in range(first) if rng.random() < 0.5)
        shape = tuple(sizes[k] for k in (*reads, *owns))
        tables = {
            name: rng.integers(1, 9, shape).astype(np.float64)
            if whole
            else rng.uniform(0.1, 1.0, shape)
            for name in _COMBINE
        }
        stages.append(StageTable(f"stage{first}", reads, owns, tables))
    return SeparableProblem(sizes, tuple(stages), _COMBINE)
