"""What is known of a design before it is trained: the numbers accuracy models are made of.

All but ``rank_score`` are sums over the stages of a space (or a ratio of two such sums), so
millions of designs a second are looked up in stage tables (``flash.spaces.stage_tables``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError, did_you_mean
from flash.metrics import nn_degree, nn_mass
from flash.metrics.rank import score_designs, with_score
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Combine, Floats, SeparableProblem, tabulate
from flash.spaces.table import LayerTable

__all__ = [
    "CELL_SUMS",
    "FEATURES",
    "SUMS",
    "cell_sums",
    "design_features",
    "features_of",
    "size_problem",
]

#: Sums over cells of the logarithms of degree, depth and width: as much of a network's shape as
#: adds up, so an optimizer can search whatever is made of them.
CELL_SUMS = ("cell_degree", "cell_depth", "cell_width")
#: Quantities every space has as sums over its stages.
SUMS = ("nn_degree", "nn_mass", "params", "macs", "convs", "channels", *CELL_SUMS)

#: Feature -> the quantities it needs, and how it is made of them. Logarithms, because sizes of
#: one space span decades; a mass of 0 (no skip channels) is an ordinary value, hence log1p.
_LOG = np.log
#: As many designs are scored graph by graph in the time it takes to tabulate a space's SED.
_TABLE_PAYS = 500
FEATURES: Mapping[str, tuple[tuple[str, ...], Callable[..., Floats]]] = MappingProxyType(
    {
        "log_nn_degree": (("nn_degree",), lambda g: _LOG(np.maximum(g, 1e-12))),
        "log_nn_mass": (("nn_mass",), lambda m: np.log1p(m)),
        "log_params": (("params",), lambda p: _LOG(np.maximum(p, 1.0))),
        "log_macs": (("macs",), lambda m: _LOG(np.maximum(m, 1.0))),
        "log_depth": (("convs",), lambda n: _LOG(np.maximum(n, 1.0))),
        "log_width": (
            ("channels", "convs"),
            lambda c, n: _LOG(np.maximum(c / np.maximum(n, 1), 1)),
        ),
        "log_sed": (("sed",), lambda s: np.log1p(s)),
        "log_rank_score": (("rank_score",), lambda s: np.log1p(s)),
        **{name: ((name,), lambda s: s) for name in CELL_SUMS},
    }
)


def size_problem(space: SearchSpace, *, sed: bool = False) -> SeparableProblem:
    """Stage tables of ``SUMS`` (and of ``sed``) for every design of ``space``.

    ``convs`` counts convolutions, ``channels`` their output channels together. In a space of
    one stage only layers on a path from input to output count; in the chains every layer is.
    """
    single = len(space.family.stages) == 1

    def sizes(table: LayerTable) -> Mapping[str, Floats]:
        kept = table.live if single else table.active
        convs = kept & (table.ops == "conv")[:, None]
        found = {
            "params": (table.params * kept).sum(axis=0),
            "macs": (table.macs * kept).sum(axis=0),
            "convs": convs.sum(axis=0),
            "channels": (table["out_channels"] * convs).sum(axis=0),
        }
        return {name: values.astype(np.float64) for name, values in found.items()}

    def scores(table: LayerTable) -> Mapping[str, Floats]:
        return {"nn_degree": nn_degree(table), "nn_mass": nn_mass(table), **cell_sums(table)}

    combine: dict[str, Combine] = dict.fromkeys(SUMS, "sum")
    problem = tabulate(space, sizes, scores, combine)
    return with_score(problem, space, "sed") if sed else problem


def cell_sums(table: LayerTable) -> dict[str, Floats]:
    """``CELL_SUMS`` of the designs of a table, each of shape (designs,).

    A cell's width is the mean over its convolutions; its degree is that plus the long-range
    links a channel has (``flash.metrics.nn_degree``). Cells without a convolution count nothing.
    """
    cells = np.array([layer.cell for layer in table.layers], dtype=np.int64)
    conv = table.ops == "conv"
    out = table["out_channels"] * table.active
    links = table["skip"] * out
    total = {name: np.zeros(table.designs) for name in CELL_SUMS}
    for cell in np.unique(cells[cells >= 0]):
        rows = cells == cell
        nodes, layers = out[rows & conv].sum(axis=0), table.active[rows & conv].sum(axis=0)
        width = nodes / np.maximum(layers, 1)
        degree = width + links[rows].sum(axis=0) / np.maximum(nodes, 1)
        total["cell_degree"] += _LOG(np.maximum(degree, 1.0))
        total["cell_depth"] += _LOG(np.maximum(layers, 1.0))
        total["cell_width"] += _LOG(np.maximum(width, 1.0))
    return total


def features_of(values: Mapping[str, Floats], names: Sequence[str]) -> Floats:
    """Features, shape (designs, features), made of quantities by name, each (designs,).

    Raises ``UsageError`` for an unknown feature.
    """
    columns = []
    for name in names:
        if name not in FEATURES:
            raise UsageError(f"unknown feature '{name}'{did_you_mean(name, FEATURES)}")
        needed, make = FEATURES[name]
        columns.append(make(*(values[quantity] for quantity in needed)))
    return np.stack(columns, axis=1)


def design_features(space: SearchSpace, indices: NDArray[np.int64], names: Sequence[str]) -> Floats:
    """Features of designs given as indices, shape (designs, variables)."""
    needed = {q for name in names if name in FEATURES for q in FEATURES[name][0]}
    tabulated = "sed" in needed and "rank_score" not in needed and len(indices) > _TABLE_PAYS
    values = size_problem(space, sed=tabulated).evaluate(indices)
    if needed & {"sed", "rank_score"} and not tabulated:
        found = score_designs(space, indices)
        values |= {"sed": found.sed, "rank_score": found.rank_score}
    return features_of(values, names)
