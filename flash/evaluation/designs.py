"""Designs of a space on a target: every quantity flash knows about them.

``evaluate`` goes through the layers of each design and returns everything; ``separable``
tabulates what an optimizer needs, so that millions of designs a second can be scored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from flash.metrics import (
    METRICS,
    network_nn_degree,
    nn_degree,
    nn_mass,
    parameter_count,
    peak_activation_bytes,
    peak_activation_elements,
)
from flash.spaces.layers import FORMAT_BYTES, param_bytes
from flash.spaces.network import Network
from flash.spaces.space import SearchSpace, gathered
from flash.spaces.stage_tables import (
    Combine,
    Floats,
    Quantities,
    SeparableProblem,
    WholeProblem,
    separates,
    tabulate,
)
from flash.spaces.table import LayerTable, network_table
from flash.targets.base import Costs, SummedCosts, Target, Triple

__all__ = [
    "UNCONNECTED",
    "CellScore",
    "Evaluation",
    "Metrics",
    "evaluate",
    "evaluate_network",
    "joined",
    "measure",
    "measure_network",
    "separable",
    "costs_of_random",
    "sum_name",
    "sums_of_random",
]

#: A score as a sum over the cells in a layer table.
CellScore = Callable[[LayerTable], Floats]

#: Designs looked at together: large enough to vectorise, small enough for the cache.
_CHUNK = 1024
#: The same in spaces that do not separate, whose tables have a row for every choice of every node.
_WHOLE_CHUNK = 256
#: Of an element, where no target says otherwise.
_FP32_BYTES = 4
_TRIPLES = ("latency_ms", "energy_mj", "area_mm2")
#: 1 for a design in which no path leads from the input to the output, else 0.
UNCONNECTED = "unconnected"


@dataclass(frozen=True)
class Metrics:
    """What designs are, without a target; arrays of shape (designs,).

    weight_kb, activation_kb: 10^3 bytes in the target's precision (fp32 without one).
    """

    nn_degree: Floats
    nn_mass: Floats
    params: Floats
    macs: Floats
    weight_kb: Floats
    activation_kb: Floats


@dataclass(frozen=True)
class Evaluation(Metrics):
    """What designs are and cost; arrays of shape (designs,).

    latency_ms, energy_mj: value, low and high of the interval the target gives.
    extrapolated:          the cost model was fitted to nothing like the design.
    area_mm2:              the same of the chip's area; None on chips one buys ready-made.
    details:               what else the target tells (tiles, utilisation).
    sums:                  what stage tables add up to, scores included, where they were given.
    """

    latency_ms: Triple
    energy_mj: Triple
    extrapolated: NDArray[np.bool_]
    area_mm2: Triple | None = None
    details: Mapping[str, Floats] = field(default_factory=dict)
    sums: Mapping[str, Floats] = field(default_factory=dict)

    def __contains__(self, name: object) -> bool:
        return name == "memory_kb" or name in _QUANTITIES

    def quantity(self, name: str) -> Floats:
        """The value of a quantity by name, ``memory_kb`` included; shape (designs,).

        ``name in evaluation`` tells whether there is one.
        """
        if name == "memory_kb":
            return self.weight_kb + self.activation_kb
        found = getattr(self, name)
        values: Floats = found[0] if isinstance(found, tuple) else found
        return values


#: Of ``Metrics``, those that ``separable`` tabulates.
_SUMMED = ("nn_degree", "nn_mass", "weight_kb", "activation_kb")
#: What ``Evaluation.quantity`` knows beside ``memory_kb``.
_QUANTITIES = (*Metrics.__dataclass_fields__, *_TRIPLES)


def sum_name(name: str) -> str:
    """What stage tables call one of ``flash.targets.base.SummedCosts.sums``."""
    return f"sum {name}"


def measure(space: SearchSpace, indices: NDArray[np.int64]) -> Metrics:
    """What can be said of designs (indices, shape (designs, variables)) without a target."""
    return Metrics(**_in_chunks(space, indices, lambda table, _: plain_metrics(table)))


def measure_network(network: Network) -> Metrics:
    """What can be said of one network without a target; arrays of shape (1,)."""
    return Metrics(**_without_cells(network, plain_metrics(network_table(network))))


def evaluate(
    space: SearchSpace,
    target: Target,
    indices: NDArray[np.int64],
    tables: SeparableProblem | None = None,
) -> Evaluation:
    """Everything about designs (indices, shape (designs, variables)) on a target.

    tables: stage tables of the space on the target. Where the target is ``exact`` their sums are
            the costs, and intervals lie around them: another sum of the same layers would differ
            in its last digits.
    """
    sums = {} if tables is None else tables.evaluate(indices)
    return replace(evaluate_summed(space, target, indices, sums), sums=sums)


def evaluate_summed(
    space: SearchSpace, target: Target, indices: NDArray[np.int64], sums: Mapping[str, Floats]
) -> Evaluation:
    """``evaluate`` where the sums of stage tables, each of shape (designs,), are known."""
    taken = sums if target.exact else {}

    def look(table: LayerTable, rows: NDArray[np.int64]) -> dict[str, Floats]:
        return _look(table, target, {name: values[rows] for name, values in taken.items()})

    return evaluation_of(_in_chunks(space, indices, look))


def sums_of_random(
    draw: Callable[[int, np.random.Generator], NDArray[np.int64]],
    tables: SeparableProblem,
    quantities: Sequence[str],
    designs: int,
    seed: int,
) -> tuple[Floats, ...]:
    """Sums of stage tables of designs that ``draw`` draws: what a front is shown against.

    Each of shape (designs,), in the order of ``quantities``.
    """
    found = tables.evaluate(draw(designs, np.random.default_rng(seed)), *quantities)
    return tuple(found[name] for name in quantities)


def costs_of_random(
    draw: Callable[[int, np.random.Generator], NDArray[np.int64]],
    price: Callable[[NDArray[np.int64]], Evaluation],
    designs: int,
    seed: int,
) -> Evaluation:
    """Costs of designs that ``draw`` draws, where stage tables only bound them."""
    return price(draw(designs, np.random.default_rng(seed)))


def evaluate_network(network: Network, target: Target) -> Evaluation:
    """Everything about one network on a target; arrays of shape (1,)."""
    found = _look(network_table(network), target, {})
    return evaluation_of(_without_cells(network, found))


def _look(table: LayerTable, target: Target, totals: Mapping[str, Floats]) -> dict[str, Floats]:
    found = plain_metrics(table, target.weight_bytes, target.activation_bytes)
    found |= {name: totals[name] for name in _SUMMED if name in totals}
    costs = target.costs(table, {n: totals[n] for n in target.quantities if n in totals})
    return found | cost_columns(costs)


def cost_columns(costs: Costs) -> dict[str, Floats]:
    """Costs as arrays by name, as ``evaluation_of`` puts them together."""
    found: dict[str, Floats] = {}
    for name in _TRIPLES:
        triple = getattr(costs, name)
        if triple is not None:
            found |= {f"{name}/{end}": v for end, v in enumerate(triple)}
    found |= {f"details/{name}": v for name, v in costs.details.items()}
    return found | {"extrapolated": costs.extrapolated.astype(np.float64)}


def evaluation_of(found: Mapping[str, Floats]) -> Evaluation:
    """The metrics, and the costs of ``cost_columns``, as one object."""
    return Evaluation(
        found["nn_degree"],
        found["nn_mass"],
        found["params"],
        found["macs"],
        found["weight_kb"],
        found["activation_kb"],
        latency_ms=_triple(found, "latency_ms"),
        energy_mj=_triple(found, "energy_mj"),
        extrapolated=found["extrapolated"] > 0,
        area_mm2=_triple(found, "area_mm2") if "area_mm2/0" in found else None,
        details={name[8:]: v for name, v in found.items() if name.startswith("details/")},
    )


def joined(parts: Sequence[Evaluation], order: NDArray[np.int64] | None = None) -> Evaluation:
    """The designs of several evaluations as one, by ``order`` where it is given."""

    def together(columns: Sequence[Floats]) -> Floats:
        every = np.concatenate(columns)
        return every if order is None else every[order]

    def plain(name: str) -> Floats:
        return together([getattr(part, name) for part in parts])

    def triple(name: str) -> Triple:
        low, middle, high = (
            together([getattr(part, name)[end] for part in parts]) for end in range(3)
        )
        return low, middle, high

    def by_name(name: str) -> dict[str, Floats]:
        first = getattr(parts[0], name)
        return {key: together([getattr(part, name)[key] for part in parts]) for key in first}

    return Evaluation(
        **{name: plain(name) for name in Metrics.__dataclass_fields__},
        latency_ms=triple("latency_ms"),
        energy_mj=triple("energy_mj"),
        extrapolated=plain("extrapolated").astype(np.bool_),
        area_mm2=None if parts[0].area_mm2 is None else triple("area_mm2"),
        details=by_name("details"),
        sums=by_name("sums"),
    )


def _without_cells(network: Network, found: dict[str, Floats]) -> dict[str, Floats]:
    """Where nobody says what a cell is: NN-Degree from the graph, NN-Mass unknown (not 0)."""
    if all(layer.cell < 0 for layer in network.layers):
        found |= {
            "nn_degree": np.array([network_nn_degree(network)]),
            "nn_mass": np.full(1, np.nan),
        }
    return found


def _triple(found: Mapping[str, Floats], name: str) -> Triple:
    return found[f"{name}/0"], found[f"{name}/1"], found[f"{name}/2"]


def separable(
    space: SearchSpace,
    target: Target,
    metric: str,
    index: CellScore | None = None,
    more: Quantities | None = None,
    names: Sequence[str] = (),
    sums: Sequence[str] = (),
    cells: Quantities | None = None,
    cell_names: Sequence[str] = (),
    *,
    peaks: bool = True,
) -> SeparableProblem:
    """The stage tables of ``metric`` and of all costs on the target.

    index: what ``metric`` is, for one that is none of ``flash.metrics.METRICS``.
    cells: of its sums over cells those called ``cell_names`` are tabulated with ``index``.
    more:  of its quantities of layers those called ``names`` are tabulated too.
    sums:  names of ``flash.targets.base.SummedCosts.sums``: they are tabulated too, each as
           ``sum_name`` calls it.
    peaks: ``activation_kb`` too, which takes as long as all other costs.

    Quantities: the metric, the target's (``latency_ms``, ``energy_mj``, on accelerators
    ``area_mm2``), ``weight_kb`` (sums over stages) and ``activation_kb`` (a maximum). Where the
    target is not ``exact`` its quantities are lower bounds. In spaces that have networks without a
    path from the input to the output, ``UNCONNECTED`` tells these. Raises ``UsageError`` for a
    metric that is no sum over the stages of the space. A space that does not separate gives a
    ``WholeProblem``, which takes any metric.
    """

    may_break = not space.family.connected
    offered: object = target
    summed = offered if sums and isinstance(offered, SummedCosts) else None

    def stage_costs(table: LayerTable) -> Mapping[str, Floats]:
        broken: dict[str, Floats] = {}
        if may_break:
            dead: NDArray[np.bool_] = ~np.any(table.live, axis=0)
            broken[UNCONNECTED] = dead.astype(np.float64)
        costs: Mapping[str, Floats] = target.stage_costs(table) if summed is None else {}
        if summed is not None:  # the costs are among the sums
            found = summed.sums(table)
            costs = {name: found[name] for name in target.quantities}
            costs |= {sum_name(name): found[name] for name in sums}
        sizes = {} if more is None else more(table)
        return {
            **broken,
            **costs,
            **{name: sizes[name] for name in names},
            "weight_kb": _kilobytes(parameter_count(table), target.weight_bytes),
            **(_peaks(table, target) if peaks else {}),
        }

    combine: dict[str, Combine] = {
        **target.quantities,
        "weight_kb": "sum",
        **({"activation_kb": "max"} if peaks else {}),
        **({UNCONNECTED: "sum"} if may_break else {}),
    }
    if not separates(space):
        return _whole(space, target, stage_costs, combine, (metric, index))
    combine |= dict.fromkeys((*names, *(sum_name(name) for name in sums)), "sum")
    if index is not None:
        score = index

        def cell_scores(table: LayerTable) -> Mapping[str, Floats]:
            further = {} if cells is None else cells(table)
            return {
                metric: score(table) if len(table) else np.zeros(table.designs),
                **{name: further[name] for name in cell_names},
            }

        combine |= dict.fromkeys(cell_names, "sum")
        return tabulate(space, stage_costs, cell_scores, {metric: "sum", **combine})
    return METRICS[metric].tabulated(tabulate(space, stage_costs, None, combine), space)


def _peaks(table: LayerTable, target: Target) -> dict[str, Floats]:
    peak = peak_activation_elements(table)
    return {"activation_kb": _kilobytes(peak, target.activation_bytes)}


def _whole(
    space: SearchSpace,
    target: Target,
    costs: Quantities,
    combine: Mapping[str, Combine],
    score: tuple[str, CellScore | None],
) -> WholeProblem:
    metric, index = score

    def scores(indices: NDArray[np.int64], names: tuple[str, ...]) -> dict[str, Floats]:
        if not len(indices):
            return {name: np.zeros(0) for name in names}
        found: dict[str, Floats] = {}
        if set(names) & set(combine):
            found |= _in_chunks(space, indices, lambda table, _: dict(costs(table)))
        if metric in names:
            if index is None:
                found[metric] = METRICS[metric].of_designs(space, indices)[metric]
            else:
                part = _in_chunks(space, indices, lambda table, _: {metric: index(table)})
                found[metric] = part[metric]
        return {name: found[name] for name in names}

    sizes = tuple(len(grid) for grid in space.grids)
    return WholeProblem(sizes, (), {metric: "sum", **combine}, scores)


def plain_metrics(
    table: LayerTable, weight_bytes: float = _FP32_BYTES, activation_bytes: float = _FP32_BYTES
) -> dict[str, Floats]:
    """``Metrics`` of the designs of a table, by name; elements of so many bytes."""
    return {
        "nn_degree": nn_degree(table),
        "nn_mass": nn_mass(table),
        "params": table.params.sum(axis=0).astype(np.float64),
        "macs": table.macs.sum(axis=0).astype(np.float64),
        "weight_kb": _weight_kb(table, weight_bytes),
        "activation_kb": _activation_kb(table, activation_bytes),
    }


def _weight_kb(table: LayerTable, element_bytes: float) -> Floats:
    """Weights in the target's format, or in a file's own."""
    if not any(layer.format for layer in table.layers):
        return _kilobytes(parameter_count(table), element_bytes)
    total = sum(float(param_bytes(layer, element_bytes)) for layer in table.layers)
    return np.array([total / 1e3])


def _activation_kb(table: LayerTable, element_bytes: float) -> Floats:
    """The same of the activations alive at one time."""
    if not any(layer.out_format for layer in table.layers):
        return _kilobytes(peak_activation_elements(table), element_bytes)
    formats = [layer.out_format for layer in table.layers]
    sizes = [FORMAT_BYTES[name] if name else element_bytes for name in formats]
    return peak_activation_bytes(table, sizes, element_bytes) / 1e3


def _kilobytes(elements: NDArray[np.int64], element_bytes: float) -> Floats:
    kilobytes: Floats = elements.astype(np.float64) * (element_bytes / 1e3)
    return kilobytes


def _in_chunks(
    space: SearchSpace,
    indices: NDArray[np.int64],
    look: Callable[[LayerTable, NDArray[np.int64]], dict[str, Floats]],
) -> dict[str, Floats]:
    """What ``look`` tells of layer tables and the rows that they are of, of all designs."""
    size = _CHUNK if separates(space) else _WHOLE_CHUNK
    tables = space.tables(indices, size)
    return gathered(len(indices), ((rows, look(table, rows)) for rows, table in tables))
