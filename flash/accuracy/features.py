"""What is known of a design before it is trained: the numbers accuracy models are made of.

All but ``rank_score`` are sums over the stages of a space (or a ratio of two such sums), so
millions of designs a second are looked up in stage tables (``flash.spaces.stage_tables``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError, did_you_mean
from flash.metrics import METRICS, network_scores, nn_degree, nn_mass, scores
from flash.spaces.network import Network
from flash.spaces.space import SearchSpace, gathered
from flash.spaces.stage_tables import (
    Combine,
    Floats,
    SeparableProblem,
    WholeProblem,
    separates,
    tabulate,
)
from flash.spaces.table import LayerTable

__all__ = [
    "CELL_BARE",
    "CELL_SHAPES",
    "CELL_SIDES",
    "CELL_SIZES",
    "CELL_SIZE_FEATURES",
    "CELL_SUMS",
    "FEATURES",
    "SHAPE_SUMS",
    "SUMS",
    "cell_features",
    "cell_sums",
    "design_features",
    "feature",
    "features_of",
    "is_feature",
    "is_kind",
    "kind_features",
    "mean_cell_params",
    "network_features",
    "shape_sums",
    "size_problem",
    "structure_features",
    "sums_over_cells",
]

#: Sums over cells of the logarithms of degree, depth and width: as much of a network's shape as
#: adds up, so an optimizer can search whatever is made of them.
CELL_SUMS = ("cell_degree", "cell_depth", "cell_width")
#: Cells without a skip channel, and the convolutions in them: depth that nothing bridges makes
#: training harder, where bridged depth does not (He et al., CVPR 2016, section 4.2).
CELL_BARE = ("cell_bare", "cell_bare_depth")
#: The same of the side of its maps, and of its square: where designs read images of several sizes.
CELL_SIDES = ("cell_side", "cell_side2")
#: Sums over cells of squares and products of those: how much more of one is worth where another
#: is large.
CELL_SHAPES = (
    "cell_width2",
    "cell_depth2",
    "cell_width_side",
    "cell_depth_side",
    "cell_width_depth",
)
#: Sums over cells of what their layers cost: size without stem and classifier, which add up over
#: cells as well.
CELL_SIZES = ("cell_macs", "cell_params")
CELL_SIZE_FEATURES = ("log_cell_macs", "log_cell_params")
#: Quantities every space has as sums over its stages.
SUMS = (
    "nn_degree",
    "nn_mass",
    "params",
    "macs",
    "convs",
    "channels",
    *CELL_SUMS,
    *CELL_BARE,
    *CELL_SIDES,
    *CELL_SHAPES,
    *CELL_SIZES,
)
#: More of them: over convolutions, the elements they write, and the logarithms of width and side
#: with their squares, for mean and spread.
SHAPE_SUMS = ("activations", "widths", "widths2", "sides", "sides2")

#: A layer's output, as its table's columns.
_SHAPE = ("out_channels", "out_height", "out_width")
_LOG = np.log


def _mean(total: Floats, count: Floats) -> Floats:
    return total / np.maximum(count, 1.0)


def _spread(total: Floats, squares: Floats, count: Floats) -> Floats:
    variance = _mean(squares, count) - _mean(total, count) ** 2
    return np.sqrt(np.where(variance > 1e-9, variance, 0.0))  # equal layers differ by rounding


#: As many designs are scored graph by graph in the time it takes to tabulate a space's SED.
_TABLE_PAYS = 500
#: Designs looked at together in spaces that do not separate.
_WHOLE_CHUNK = 256
#: The layers of so many designs are added up in a fifth of the time it takes to tabulate a space;
#: of a space with branches, of so many of each.
_LAYERS_PAY = 2048
#: Designs looked at together: large enough to vectorise, small enough for the cache.
_AT_ONCE = 512
#: Feature -> the quantities it needs, and how it is made of them. Logarithms, because sizes of
#: one space span decades; a mass of 0 (no skip channels) is an ordinary value, hence log1p. Width
#: and side are logarithms too, their mean and spread over the convolutions: how wide and how large
#: maps are, and how early that changes.
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
        "log_activations": (("activations",), lambda a: _LOG(np.maximum(a, 1.0))),
        "mean_width": (("widths", "convs"), _mean),
        "mean_side": (("sides", "convs"), _mean),
        "spread_width": (("widths", "widths2", "convs"), _spread),
        "spread_side": (("sides", "sides2", "convs"), _spread),
        "log_trainable": (("rank_score", "capacity"), lambda r, c: np.log1p(r) - np.log1p(c)),
        "log_sed": (("sed",), lambda s: np.log1p(s)),
        "log_rank_score": (("rank_score",), lambda s: np.log1p(s)),
        **{
            name: ((name,), lambda s: s)
            for name in (*CELL_SUMS, *CELL_BARE, *CELL_SIDES, *CELL_SHAPES)
        },
        "log_cell_macs": (("cell_macs",), lambda m: _LOG(np.maximum(m, 1.0))),
        "log_cell_params": (("cell_params",), lambda p: _LOG(np.maximum(p, 1.0))),
    }
)


#: What a feature of ``Family.structure`` begins with.
_AT = "at_"
#: What the number of a design's cells of one kind begins with (``Emitter.cell``).
_KIND = "cell_kind_"
_KINDS = re.compile(_KIND + r"[0-9]{1,6}")


def is_kind(name: str) -> bool:
    """Whether a feature counts cells of a kind."""
    return _KINDS.fullmatch(name) is not None


def kind_features(space: SearchSpace, indices: NDArray[np.int64]) -> tuple[str, ...]:
    """Names of the features that count cells of each kind in these designs.

    None where all cells of a family are alike (``Emitter.cell``).
    """
    table = space.table(indices)
    cells = np.array([layer.cell for layer in table.layers], dtype=np.int64)
    kept = np.unique(cells[(cells >= 0) & table.active.any(axis=1)])
    kinds = sorted({table.cell_kinds.get(int(cell), 0) for cell in kept})
    return tuple(f"{_KIND}{kind}" for kind in kinds) if kinds != [0] else ()


def structure_features(space: SearchSpace) -> tuple[str, ...]:
    """Names of the features that say which choice stands where, ``at_...``."""
    first = {name: int(grid[0]) for name, grid in zip(space.variables, space.grids, strict=True)}
    return tuple(_AT + name for name in space.family.structure(first))


def feature(name: str) -> tuple[tuple[str, ...], Callable[..., Floats]]:
    """The quantities a feature needs, and how it is made of them.

    Beside ``FEATURES`` every metric of ``flash.metrics.METRICS`` has one, its signed logarithm
    ``log_<metric>``, everything of ``Family.structure``, ``at_<name>``, and every kind of cell,
    ``cell_kind_<number>``, how many of them there are. Raises ``UsageError``
    for any other name.
    """
    if name in FEATURES:
        return FEATURES[name]
    if name.startswith((_AT, _KIND)) and is_feature(name):
        return (name,), lambda s: s
    if not is_feature(name):
        raise UsageError(f"unknown feature '{name}'{did_you_mean(name, FEATURES)}")
    return (name.removeprefix("log_"),), lambda s: np.sign(s) * np.log1p(np.abs(s))


def is_feature(name: str) -> bool:
    """Whether ``feature`` knows this name."""
    if name.startswith(_AT):
        return _STRUCTURE.fullmatch(name) is not None
    if name.startswith(_KIND):
        return is_kind(name)
    return name in FEATURES or (name.startswith("log_") and name.removeprefix("log_") in METRICS)


#: Such a feature's name.
_STRUCTURE = re.compile(r"at_[a-z0-9_]{1,60}")


def size_problem(
    space: SearchSpace,
    *,
    metrics: Sequence[str] = (),
    shape: bool = False,
    kinds: Sequence[str] = (),
) -> SeparableProblem:
    """Stage tables of ``SUMS`` (and of ``metrics``, of ``SHAPE_SUMS``) for every design.

    kinds: numbers of cells of a kind that are wanted too (``kind_features``).

    ``convs`` counts convolutions, ``channels`` their output channels together. In a space of
    one stage only layers on a path from input to output count; in the chains every layer is. A
    space that does not separate has no tables: its designs are looked at one by one.
    """
    wanted = (*SUMS, *(SHAPE_SUMS if shape else ()), *kinds)
    combine: dict[str, Combine] = dict.fromkeys(wanted, "sum")
    if not separates(space):
        combine |= dict.fromkeys(metrics, "sum")
        return _whole_sizes(space, combine, metrics, shape)

    def sums(table: LayerTable) -> dict[str, Floats]:
        return _with_kinds(sums_over_cells(table), kinds, table.designs)

    problem = tabulate(space, lambda table: layer_sums(space, table, shape=shape), sums, combine)
    for name in set(metrics).difference(SUMS):
        problem = METRICS[name].tabulated(problem, space)
    return problem


def _whole_sizes(
    space: SearchSpace, combine: Mapping[str, Combine], metrics: Sequence[str], shape: bool
) -> WholeProblem:
    def block(indices: NDArray[np.int64]) -> dict[str, Floats]:
        table = space.table(indices)
        return {**layer_sums(space, table, shape=shape), **sums_over_cells(table)}

    def looked_at(indices: NDArray[np.int64], names: tuple[str, ...]) -> dict[str, Floats]:
        starts = range(0, max(len(indices), 1), _WHOLE_CHUNK)
        parts = [block(indices[start : start + _WHOLE_CHUNK]) for start in starts]
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        asked = [name for name in names if name in metrics and name not in found]
        found |= scores(space, indices, asked) if asked else {}
        return {name: found[name] for name in names}

    return WholeProblem(tuple(len(g) for g in space.grids), (), combine, looked_at)


def layer_sums(space: SearchSpace, table: LayerTable, *, shape: bool = False) -> dict[str, Floats]:
    """The quantities of ``size_problem`` that are sums over layers, each of shape (designs,)."""
    kept = table.live if len(space.family.stages) == 1 else table.active
    convs = kept & (table.ops == "conv")[:, None]
    found = {
        "params": (table.params * kept).sum(axis=0),
        "macs": (table.macs * kept).sum(axis=0),
        "convs": convs.sum(axis=0),
        "channels": (table["out_channels"] * convs).sum(axis=0),
    }
    if shape:
        found |= shape_sums(convs, *(table[name] for name in _SHAPE))
    return {name: values.astype(np.float64) for name, values in found.items()}


def sums_over_cells(table: LayerTable) -> dict[str, Floats]:
    """Those that are sums over cells."""
    return {"nn_degree": nn_degree(table), "nn_mass": nn_mass(table), **cell_sums(table)}


def shape_sums(
    convs: NDArray[np.bool_],
    channels: NDArray[np.int64],
    height: NDArray[np.int64],
    width: NDArray[np.int64],
) -> dict[str, Floats]:
    """``SHAPE_SUMS``, each of shape (designs,), of layers' outputs, each (layers, designs).

    convs: which of the layers are convolutions that a design has.
    """
    elements = channels * height * width
    widths = np.where(convs, _LOG(np.maximum(channels, 1)), 0.0)
    sides = np.where(convs, 0.5 * _LOG(np.maximum(height * width, 1)), 0.0)
    layers = (elements * convs, widths, widths**2, sides, sides**2)
    return {
        name: found.sum(axis=0).astype(np.float64)
        for name, found in zip(SHAPE_SUMS, layers, strict=True)
    }


def cell_sums(table: LayerTable) -> dict[str, Floats]:
    """``CELL_SUMS`` ... ``CELL_SIZES`` and kinds of cells of a table, each of shape (designs,).

    A cell's width is the mean over its convolutions; its degree is that plus the long-range
    links a channel has (``flash.metrics.degree``), its side the mean logarithm of its
    convolutions' heights. Cells without a convolution count nothing.
    """
    cells = np.array([layer.cell for layer in table.layers], dtype=np.int64)
    conv = table.ops == "conv"
    out = table["out_channels"] * table.active
    links = table["skip"] * out
    kinds = (f"{_KIND}{kind}" for kind in set(table.cell_kinds.values()))
    names = (*CELL_SUMS, *CELL_BARE, *CELL_SIDES, *CELL_SHAPES, *CELL_SIZES, *kinds)
    total = {name: np.zeros(table.designs) for name in names}
    # A height is one number in most layers: its logarithm is taken once.
    sides = table.active.astype(np.float64)
    for row, layer in enumerate(table.layers):
        sides[row] *= _LOG(np.maximum(layer.out_height, 1))
    for cell in sorted(set(cells[cells >= 0].tolist())):
        rows = cells == cell
        nodes, layers = out[rows & conv].sum(axis=0), table.active[rows & conv].sum(axis=0)
        width = nodes / np.maximum(layers, 1)
        bridges = links[rows].sum(axis=0)
        degree = width + bridges / np.maximum(nodes, 1)
        bare = (bridges == 0) & (layers > 0)
        deep, wide = _LOG(np.maximum(layers, 1.0)), _LOG(np.maximum(width, 1.0))
        side = sides[rows & conv].sum(axis=0) / np.maximum(layers, 1)
        total["cell_degree"] += _LOG(np.maximum(degree, 1.0))
        total["cell_depth"] += deep
        total["cell_width"] += wide
        total["cell_bare"] += bare
        total["cell_bare_depth"] += bare * layers
        total["cell_side"] += side
        total["cell_side2"] += side**2
        total["cell_width2"] += wide**2
        total["cell_depth2"] += deep**2
        total["cell_width_side"] += wide * side
        total["cell_depth_side"] += deep * side
        total["cell_width_depth"] += wide * deep
        total[f"{_KIND}{table.cell_kinds.get(int(cell), 0)}"] += layers > 0
        total["cell_macs"] += (table.macs[rows] * table.active[rows]).sum(axis=0)
        total["cell_params"] += (table.params[rows] * table.active[rows]).sum(axis=0)
    return total


def mean_cell_params(space: SearchSpace, indices: NDArray[np.int64]) -> Floats:
    """Geometric mean of the params of a network's cells, of designs; shape (designs,).

    Cells without a parameter count nothing. Of a network without others, and in a space of one
    stage, which has no cells to add up over, it is all its params.
    """
    table = space.table(indices)
    cells = np.array([layer.cell for layer in table.layers], dtype=np.int64)
    params = table.params * table.active
    whole: Floats = np.maximum(params.sum(axis=0), 1).astype(np.float64)
    if len(space.family.stages) == 1:
        return whole
    total, count = np.zeros(table.designs), np.zeros(table.designs)
    for cell in sorted(set(cells[cells >= 0].tolist())):
        own = params[cells == cell].sum(axis=0)
        total += _LOG(np.maximum(own, 1))
        count += own > 0
    found: Floats = np.where(count > 0, np.exp(_mean(total, count)), whole)
    return found


def cell_features(table: LayerTable, names: Sequence[str]) -> Floats:
    """Features that are sums over cells of the designs of a table, shape (designs, features)."""
    return features_of(_with_kinds(cell_sums(table), names, table.designs), names)


def _with_kinds(values: dict[str, Floats], names: Iterable[str], designs: int) -> dict[str, Floats]:
    """The values, and none of the cells of kinds that no design in them has."""
    kinds = filter(is_kind, names)
    return dict.fromkeys(kinds, np.zeros(designs)) | values


def features_of(values: Mapping[str, Floats], names: Sequence[str]) -> Floats:
    """Features, shape (designs, features), made of quantities by name, each (designs,).

    Raises ``UsageError`` for an unknown feature.
    """
    columns = []
    for name in names:
        needed, make = feature(name)
        columns.append(make(*(values[quantity] for quantity in needed)))
    return np.stack(columns, axis=1)


def design_features(space: SearchSpace, indices: NDArray[np.int64], names: Sequence[str]) -> Floats:
    """Features of designs given as indices, shape (designs, variables).

    Raises ``UsageError`` for a feature that the space's family does not have.
    """
    needed = {quantity for name in names for quantity in feature(name)[0]}
    if placed := {name for name in needed if name.startswith(_AT)}:
        sizes = [name for name in names if name not in placed]
        found = design_features(space, indices, sizes) if sizes else np.zeros((len(indices), 0))
        columns = dict(zip(sizes, found.T, strict=True)) | _structure(space, indices, placed)
        return np.stack([columns[name] for name in names], axis=1)
    kinds = sorted(filter(is_kind, needed))
    metrics = sorted(needed.difference(SUMS, SHAPE_SUMS, kinds))
    shape = not needed.isdisjoint(SHAPE_SUMS)
    # ``rank_score`` is computed with the others for the same price, and has no table.
    if metrics and {*metrics} <= {"sed", "capacity"} and len(indices) > _TABLE_PAYS:
        return features_of(
            size_problem(space, metrics=metrics, shape=shape, kinds=kinds).evaluate(indices), names
        )
    values: Mapping[str, Floats]
    if len(indices) > _LAYERS_PAY * _branches(space):
        values = size_problem(space, shape=shape, kinds=kinds).evaluate(indices)
    else:
        values = gathered(len(indices), _sums_of_tables(space, indices, shape, kinds))
    return features_of(values | scores(space, indices, metrics), names)


def _branches(space: SearchSpace) -> int:
    """Kinds of designs whose layer tables have no row in common."""
    grids = dict(zip(space.variables, space.grids, strict=True))
    return math.prod(len(grids[name]) for name in space.family.branches)


def _sums_of_tables(
    space: SearchSpace, indices: NDArray[np.int64], shape: bool, kinds: Sequence[str]
) -> Iterator[tuple[NDArray[np.int64], dict[str, Floats]]]:
    """The quantities of ``size_problem``, layer by layer: of some designs at a time."""
    for rows, table in space.tables(indices, _AT_ONCE):
        sums = _with_kinds(sums_over_cells(table), kinds, table.designs)
        yield rows, layer_sums(space, table, shape=shape) | sums


def _structure(
    space: SearchSpace, indices: NDArray[np.int64], names: Collection[str]
) -> dict[str, Floats]:
    values = space.decode(indices)
    columns = {name: values[:, k] for k, name in enumerate(space.variables)}
    found = space.family.structure(columns)
    for name in names:
        if name.removeprefix(_AT) not in found:
            raise UsageError(f"family {space.family.name} has no feature '{name}'")
    return {
        name: np.broadcast_to(np.asarray(found[name.removeprefix(_AT)], float), (len(indices),))
        for name in names
    }


def network_features(network: Network, names: Sequence[str]) -> Floats:
    """Features of one network, shape (features,), whoever described it.

    A file does not say what a cell is: raises ``UsageError`` for sums over cells.
    """
    needed = {quantity for name in names for quantity in feature(name)[0]}
    if cells := sorted(name for name in needed if name.startswith("cell_")):
        raise UsageError(f"{cells[0]} is not known of a network without cells")
    if placed := sorted(name for name in needed if name.startswith(_AT)):
        raise UsageError(f"{placed[0]} is not known of a network that is no design")
    live = network.live()
    convs = [layer for layer in live.layers if layer.op == "conv"]
    channels, height, width = (
        np.array([[int(getattr(layer, name))] for layer in convs], dtype=np.int64).reshape(-1, 1)
        for name in _SHAPE
    )
    sums = shape_sums(np.ones(channels.shape, dtype=np.bool_), channels, height, width)
    values = {name: float(value[0]) for name, value in sums.items()}
    values |= {"params": live.params, "macs": live.macs, "convs": len(convs)}
    values["channels"] = float(channels.sum())
    values |= network_scores(network, sorted(needed.difference(values)))
    known = {name: np.array([v], dtype=np.float64) for name, v in values.items()}
    found: Floats = features_of(known, names)[0]
    return found
