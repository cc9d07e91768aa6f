"""What the page shows beside the report: layers, baselines, the space as a file, a projection.

Everything is computed anew from the space and the target that the report names, so that a page
made from ``front.json`` says what the page of the search itself says.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.accuracy.features import layer_sums
from flash.accuracy.storage import accuracy_of, narrow_to_trained
from flash.errors import FlashError
from flash.evaluation import evaluate
from flash.files.locations import data_file
from flash.files.reading import read_toml
from flash.files.toml_text import toml_text
from flash.metrics import METRICS, scores
from flash.optimize import Objective, exact_front, objective
from flash.report import DesignReport, SearchReport
from flash.spaces.space import SearchSpace, load_space
from flash.spaces.stage_tables import Combine, Floats, SeparableProblem, tabulate
from flash.spaces.table import LayerTable
from flash.targets import Given, Hardware, Target, bits_of, load_hardware
from flash.targets.base import MeasuredRange

__all__ = ["Baseline", "OwnModel", "Projection", "Source", "baselines", "layers_of", "projection"]

Ints = NDArray[np.int64]

#: Random designs drawn behind the front.
_RANDOM = 400
#: Designs of a baseline drawn, spread over its front.
_DRAWN = 60
#: What people rank networks by who have no better score: quantity -> name in the picture.
_NAIVE = {"params": "most parameters", "macs": "most MACs"}


@dataclass(frozen=True)
class OwnModel:
    """A model of the user's on the same target: quantity -> (value, low, high).

    accuracy is there only where the user said it; flash does not know it.
    """

    name: str
    quantities: Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Source:
    """The space and target of a report, by the names that ``flash search`` takes.

    command: the arguments of the search without its limits; empty where they are not known.
    """

    space: str
    target: str
    runtime: str | None = None
    hardware: Given | None = None
    seed: int = 0
    command: Sequence[str] = ()
    own: Sequence[OwnModel] = field(default=())

    @cached_property
    def networks(self) -> SearchSpace:
        """The space of the networks."""
        return load_space(self.space)

    @cached_property
    def profile(self) -> Hardware:
        """The board, or the chips one may build."""
        return load_hardware(self.target, self.runtime, self.networks.family.name)

    def chip(self, hardware: Mapping[str, int]) -> Target:
        """What a design with these hardware variables runs on."""
        return self.profile.target(dict(hardware) or self.hardware)

    def document(self) -> dict[str, Any]:
        """The space's file without its variables, and named as a narrowed one."""
        path = data_file("models", self.space)
        document = {} if path is None else read_toml(path)
        document["name"] = f"{self.networks.name.removesuffix('-narrowed')}-narrowed"
        return {key: value for key, value in document.items() if key != "variables"}

    def space_text(self) -> str:
        """That as TOML; a table ``[variables]`` at its end makes it a space."""
        return toml_text(self.document())


@dataclass(frozen=True)
class Baseline:
    """Designs that a naive rule picks, at what they cost and score: latency in ms, the score."""

    name: str
    latency_ms: Floats
    score: Floats


@dataclass(frozen=True)
class Projection:
    """Designs of a front on the two directions in which their variables differ most.

    points: shape (designs, 2). axes: what each direction is, in words.
    """

    points: Floats
    axes: tuple[str, str]


def layers_of(source: Source, design: DesignReport) -> list[tuple[str, str, float, float]]:
    """Layers of a design as its target runs them: name, operation, latency (ms), energy (mJ)."""
    network = source.networks.network(source.networks.design(design.design))
    found = source.chip(design.hardware).breakdown(network)
    return [
        (layer.name, layer.op, layer.latency_ms, sum(layer.energy_mj.values()))
        for layer in found.layers
    ]


def baselines(report: SearchReport, source: Source) -> list[Baseline]:
    """What ranking by size, or not ranking at all, finds on the same target.

    For one device or chip whose layers' costs add up; elsewhere there are none.
    """
    space = _searched(report, source.networks)
    if any(design.hardware != report.front[0].hardware for design in report.front):
        return []
    target = source.chip(report.front[0].hardware)
    if not target.exact or not _scored(space, report.score):
        return []
    longest = max(design.latency_ms.value for design in report.front)
    found = []
    with contextlib.suppress(FlashError):  # a space that does not separate has no largest ones
        tables = _sizes_and_costs(space, target)
        for name, label in _NAIVE.items():
            front = _largest(tables, name)
            found.append(_baseline(report, space, target, front, label))
    random = space.sample(_RANDOM, np.random.default_rng(source.seed))
    found.append(_baseline(report, space, target, random, "random designs"))
    return [
        Baseline(one.name, one.latency_ms[shown], one.score[shown])
        for one in found
        for shown in [one.latency_ms <= longest]
    ]


def _searched(report: SearchReport, space: SearchSpace) -> SearchSpace:
    """The networks searched: those within what was trained, unless the front has others."""
    inside = narrow_to_trained(space)
    for name, grid in zip(inside.variables, inside.grids, strict=True):
        if not {design.design[name] for design in report.front} <= set(grid.tolist()):
            return space
    return inside


def _scored(space: SearchSpace, score: str) -> bool:
    return score in METRICS or (score == "accuracy" and accuracy_of(space) is not None)


def _sizes_and_costs(space: SearchSpace, target: Target) -> SeparableProblem:
    """Stage tables of parameters, MACs and what the target tells; ``FlashError`` without any."""

    def of_layers(table: LayerTable) -> Mapping[str, Floats]:
        sums = layer_sums(space, table)
        return {**target.stage_costs(table), **{name: sums[name] for name in _NAIVE}}

    combine: dict[str, Combine] = {**target.quantities, **dict.fromkeys(_NAIVE, "sum")}
    return tabulate(space, of_layers, None, combine)


def _largest(tables: SeparableProblem, name: str) -> Ints:
    """The designs that have most of a size for their latency, spread over the front."""
    front = exact_front(tables, [Objective(name, "max"), objective("latency_ms")])
    spread = np.linspace(0, len(front) - 1, min(_DRAWN, len(front))).round().astype(int)
    chosen: Ints = front.indices[spread]
    return chosen


def _baseline(
    report: SearchReport, space: SearchSpace, target: Target, indices: Ints, label: str
) -> Baseline:
    indices = indices[_like_those_searched(report, space, target, indices)]
    latency = evaluate(space, target, indices).latency_ms[0]
    model = accuracy_of(space, bits_of(target)) if report.score == "accuracy" else None
    if model is not None:
        predicted = model.predict(space, indices)
        values = predicted.value
        if space.whole is not None:  # larger than all that was trained: not searched either
            latency, values = latency[~predicted.outside], values[~predicted.outside]
    else:
        values = scores(space, indices, (report.score,))[report.score]
    order = np.argsort(latency)
    return Baseline(label, latency[order], values[order])


def _like_those_searched(
    report: SearchReport, space: SearchSpace, target: Target, indices: Ints
) -> NDArray[np.bool_]:
    """Designs inside what the search stayed in: the measured range that holds its front."""
    every = np.ones(len(indices), dtype=np.bool_)
    if report.space.measured is None or not isinstance(target, MeasuredRange):
        return every
    front = np.stack([space.design(design.design) for design in report.front])
    sums, own = target.sums(space.table(indices)), target.sums(space.table(front))
    for conditions in target.measured:
        slack = [1e-9 * max(abs(one.bound), 1.0) for one in conditions]
        held = zip(conditions, slack, strict=True)
        if all((one.value(own) <= one.bound + more).all() for one, more in held):
            inside = [one.value(sums) <= one.bound for one in conditions]
            return np.asarray(np.all(inside, axis=0))
    return every


def projection(names: Sequence[str], columns: Floats) -> Projection:
    """Principal components of the variables, each scaled to unit variance.

    columns: values of the variables, shape (designs, variables).
    """
    centred = columns - columns.mean(axis=0)
    spread = centred.std(axis=0)
    varied = np.flatnonzero(spread > 0).tolist()
    scaled = centred[:, varied] / spread[varied]
    if len(varied) == 0:
        return Projection(np.zeros((len(columns), 2)), ("", ""))
    _, sizes, directions = np.linalg.svd(scaled, full_matrices=False)
    share = sizes**2 / (sizes**2).sum()
    points, axes = np.zeros((len(columns), 2)), ["", ""]
    for k, direction in enumerate(directions[:2]):
        # The sign of a component is arbitrary: its largest loading points up.
        sign = np.sign(direction[np.argmax(np.abs(direction))])
        points[:, k] = scaled @ direction * sign
        axes[k] = _axis(k, float(share[k]), [names[i] for i in varied], direction * sign)
    return Projection(points, (axes[0], axes[1]))


def _axis(k: int, share: float, names: Sequence[str], loadings: Floats) -> str:
    strongest = sorted(range(len(names)), key=lambda i: -abs(loadings[i]))[:3]
    words = " ".join(f"{'+' if loadings[i] > 0 else '-'}{names[i]}" for i in strongest)
    return f"component {k + 1} ({100 * share:.0f} %): {words}"
