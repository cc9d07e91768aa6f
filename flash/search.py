"""``python -m flash.search``: space + target -> certified Pareto designs.

From Python: ``report = flash.search(target="rpi3b", max_latency_ms=20)``.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flash import Command
from flash.bounded import bounded_front
from flash.command import CommandParser, run_command
from flash.errors import InfeasibleError, UsageError, did_you_mean
from flash.evaluation import Evaluation, evaluate, separable
from flash.metrics import CELL_METRICS
from flash.optimize import (
    Limit,
    Objective,
    OptimizerResult,
    SeparableProblem,
    certify_front,
    exact_front,
    knee,
    nsga2_front,
    objective,
    shgo_front,
)
from flash.quantities import (
    parse_accuracy_percent,
    parse_area_mm2,
    parse_energy_mj,
    parse_latency_ms,
    parse_memory_mb,
)
from flash.report.files import write_files, write_text
from flash.report.result import (
    DesignReport,
    Interval,
    OptimizerSummary,
    Picks,
    SearchReport,
    SpaceSummary,
)
from flash.report.table import print_report
from flash.spaces.space import SearchSpace, load_space
from flash.targets import Given, Target, Triple, load_target
from flash.unmet import why_unmet

__all__ = ["main", "run"]

_OPTIMIZERS = ("shgo", "exact", "nsga2")
#: What users call the objectives other than the score -> quantity.
_COSTS = {
    "latency": "latency_ms",
    "energy": "energy_mj",
    "memory": "memory_mb",
    "area": "area_mm2",
}
#: Random designs drawn behind the front in the picture.
_BACKGROUND = 400


@dataclass(frozen=True)
class _Request:
    """What to search for, checked; ``limits`` are the user's own."""

    space: SearchSpace
    target: Target
    metric: str
    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...]
    optimizer: str
    seed: int

    @property
    def bounds(self) -> tuple[Limit, ...]:
        """The limits, and the weights that the chip can hold."""
        held = Limit(objective("weight_mb"), self.target.weight_limit_mb)
        return self.limits if held.bound == math.inf else (*self.limits, held)


def run(
    target: str = "rpi3b",
    space: str = "cifar10-concat",
    *,
    runtime: str | None = None,
    hardware: Given | None = None,
    objectives: Sequence[str] = ("score", "latency"),
    metric: str = "nn_degree",
    max_latency_ms: float | None = None,
    max_energy_mj: float | None = None,
    max_memory_mb: float | None = None,
    max_area_mm2: float | None = None,
    min_score: float | None = None,
    optimizer: str = "shgo",
    seed: int = 0,
) -> SearchReport:
    """Search ``space`` for Pareto designs on ``target``.

    target, space: a name that comes with flash or the path of a TOML file.
    runtime:       one of the profile's runtimes; its default one if not given.
    hardware:      the chip of an accelerator, ``rows=16,cols=32``; the rest its default chip's.
    objectives:    "score" and any of "latency", "energy", "memory", on accelerators "area".
    metric:        the score, "nn_degree" or "nn_mass".
    limits:        in the unit of their name; ``min_score`` in units of the metric.
    optimizer:     "shgo" (certified by the exact optimizer, whose front is returned),
                   "exact" or "nsga2" (needs the extra of that name).

    Raises ``UsageError``, ``SpaceError``, ``ProfileError`` or ``InfeasibleError``.
    """
    bounds = {
        "latency_ms": max_latency_ms,
        "energy_mj": max_energy_mj,
        "memory_mb": max_memory_mb,
        "area_mm2": max_area_mm2,
        metric: min_score,
    }
    priced_on = load_target(target, runtime, hardware)
    request = _request(priced_on, space, objectives, metric, bounds, optimizer, seed)
    return _search(request)[0]


def _request(
    target: Target, space: str, objectives: Sequence[str], metric: str,
    bounds: dict[str, float | None], optimizer: str, seed: int,
) -> _Request:  # fmt: skip
    if metric not in CELL_METRICS:
        raise UsageError(f"unknown metric '{metric}'{did_you_mean(metric, CELL_METRICS)}")
    if optimizer not in _OPTIMIZERS:
        raise UsageError(f"unknown optimizer '{optimizer}'{did_you_mean(optimizer, _OPTIMIZERS)}")
    limits = [Limit(_objective(name, metric), v) for name, v in bounds.items() if v is not None]
    for limit in limits:
        if not math.isfinite(limit.bound) or limit.bound <= 0:
            raise UsageError(f"the limit on {limit.quantity.name} must be a positive number")
    named = []
    for name in objectives:
        known = ("score", *_COSTS)
        if name not in known:
            raise UsageError(f"unknown objective '{name}'{did_you_mean(name, known)}")
        named.append(_objective(_COSTS.get(name, metric), metric))
    if "area_mm2" not in target.quantities and (
        bounds["area_mm2"] is not None or "area" in objectives
    ):
        raise UsageError(f"target {target.name} has no chip area; leave area out")
    if len(set(named)) != len(named) or len(named) < 2:
        raise UsageError("a front needs at least two different objectives, e.g. score,latency")
    return _Request(load_space(space), target, metric, tuple(named), tuple(limits), optimizer, seed)


def _objective(name: str, metric: str) -> Objective:
    return Objective(metric, "max") if name == metric else objective(name)


# ------------------------------------------------------------------------------ the search


def _search(request: _Request) -> tuple[SearchReport, list[tuple[float, float]]]:
    """The report, and random designs (latency_ms, score) for the picture's background."""
    space, target = request.space, request.target
    began = time.perf_counter()
    problem = separable(space, target, request.metric)
    try:
        result = _optimize(problem, request)
    except InfeasibleError as error:
        why = why_unmet(space, problem, request.bounds, target.exact)
        raise InfeasibleError(why or str(error)) from None
    result = replace(result, seconds=time.perf_counter() - began)
    found = evaluate(space, target, result.indices)
    front = [_design(space, target, result.indices[i], found, i) for i in range(len(result))]
    rng = np.random.default_rng(request.seed)
    random = problem.evaluate(space.sample(_BACKGROUND, rng), "latency_ms", request.metric)
    background = list(zip(random["latency_ms"], random[request.metric], strict=True))
    report = SearchReport(
        target=target.summary(),
        space=SpaceSummary(space.name, space.size, space.distinct),
        objectives=[of.name for of in request.objectives],
        limits={limit.quantity.name: limit.bound for limit in request.limits},
        optimizer=OptimizerSummary(
            result.name,
            result.evaluations,
            result.seconds,
            None if result.gap_percent is None else result.gap_percent / 100,
            result.certified,
            result.message,
        ),
        front=front,
        picks=_picks(result, front, found, request.metric),
        notes=_notes(target, found),
    )
    return report, background


def _optimize(problem: SeparableProblem, request: _Request) -> OptimizerResult:
    """The exact front, and how close the optimizer asked for came to it."""
    objectives, limits = request.objectives, request.bounds
    found: list[OptimizerResult] = []
    if request.optimizer == "nsga2":
        found.append(nsga2_front(problem, objectives, limits, seed=request.seed))
    elif request.optimizer == "shgo":
        found.append(shgo_front(problem, objectives, limits, seed=request.seed))
    if not request.target.exact:
        return bounded_front(request.space, request.target, problem, objectives, limits, found)
    exact = exact_front(problem, objectives, limits)
    return _certified(problem, found[0], limits, exact) if found else exact


def _certified(
    problem: SeparableProblem,
    found: OptimizerResult,
    limits: Sequence[Limit],
    exact: OptimizerResult,
) -> OptimizerResult:
    found = certify_front(problem, found, limits, exact)
    return replace(
        found,
        indices=exact.indices,
        values=exact.values,
        message=(
            f"{found.name.upper()} within {found.gap_percent:.2g} % of the exact hypervolume "
            f"({len(found):,} designs); shown is the exact front ({len(exact):,} designs)"
        ),
    )


def _design(
    space: SearchSpace, target: Target, indices: NDArray[np.int64], found: Evaluation, row: int
) -> DesignReport:
    named = space.named(indices)
    return DesignReport(
        id=space.identify(indices),
        design=named,
        accuracy=None,
        nn_degree=found.nn_degree[row],
        nn_mass=found.nn_mass[row],
        sed=None,
        latency_ms=_interval(found.latency_ms, row, target.latency_how),
        energy_mj=_interval(found.energy_mj, row, target.energy_how),
        memory_mb=found.weight_mb[row] + found.activation_mb[row],
        weight_mb=found.weight_mb[row],
        activation_mb=found.activation_mb[row],
        area_mm2=found.area_mm2 and _interval(found.area_mm2, row, target.area_how),
        params=int(found.params[row]),
        macs=int(found.macs[row]),
        extrapolated=bool(found.extrapolated[row]),
        description=space.family.describe(named),
    )


def _interval(triple: Triple, row: int, how: str) -> Interval:
    value, low, high = (float(values[row]) for values in triple)
    return Interval(value, low, high, how)


def _picks(
    result: OptimizerResult, front: Sequence[DesignReport], found: Evaluation, metric: str
) -> Picks:
    score = getattr(found, metric)
    return Picks(
        fastest=front[int(np.argmin(found.latency_ms[0]))].id,
        balanced=front[knee(result.values, result.signs)].id,
        most_accurate=front[int(np.argmax(score))].id,
    )


def _notes(target: Target, found: Evaluation) -> list[str]:
    notes = list(target.notes)
    outside = int(found.extrapolated.sum())
    if outside:
        notes.append(
            f"{outside} of {len(found.extrapolated)} designs lie outside the networks the "
            "cost model was fitted to; their intervals are widened"
        )
    return notes


# ------------------------------------------------------------------------- the command line


def _parser() -> CommandParser:
    parser = CommandParser(
        "search",
        "Pareto designs of a search space for a target, certified by an exact optimizer.",
        "Quantities take units: --max-latency 20ms --max-energy 5mJ --max-memory 8MB.\n"
        "Exit codes: 0 done, 2 wrong arguments, 3 no design meets the limits, 4 bad file,\n"
        "130 interrupted.",
    )
    add = parser.add_argument
    add("--target", default="rpi3b", metavar="T", help="profile name or TOML file (%(default)s)")
    add("--runtime", metavar="R", help="one of the profile's runtimes (its default one)")
    add("--hardware", metavar="A=N,B=N", help="an accelerator's chip (its default one)")
    add("--space", default="cifar10-concat", metavar="S", help="space name or file (%(default)s)")
    add("--max-latency", metavar="20ms", help="latency limit (us, ms, s)")
    add("--max-energy", metavar="5mJ", help="energy limit (uJ, mJ, J)")
    add("--max-memory", metavar="8MB", help="limit on weights + peak activations (kB, MB, MiB)")
    add("--max-area", metavar="40mm2", help="chip area limit, for accelerators")
    add("--min-score", metavar="N", help="lower limit on the metric")
    add("--min-accuracy", metavar="92", help="lower limit on predicted accuracy, per cent")
    add(
        "--objectives",
        default="score,latency",
        metavar="A,B",
        help="two or more of score, latency, energy, memory, area (%(default)s)",
    )
    add("--metric", default="nn_degree", metavar="M", help="nn_degree or nn_mass (%(default)s)")
    add("--optimizer", default="shgo", metavar="O", help="shgo, exact or nsga2 (%(default)s)")
    add("--seed", default="0", metavar="N", help="seed of everything random (%(default)s)")
    add("--out", metavar="DIR", help="folder for front.json, front.csv, front.svg (flash-out)")
    add("--json", metavar="FILE", help="write the JSON document to FILE, or to stdout with '-'")
    add("--quiet", action="store_true", help="plain text, nothing but the result")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Run the command; raises ``FlashError`` for whatever the user can mend."""
    options = _parser().parse_args(arguments)
    if options.min_accuracy is not None:
        parse_accuracy_percent(options.min_accuracy, "--min-accuracy")
        raise UsageError(
            f"space {options.space} is not calibrated, so it has no accuracy to limit; "
            "use --min-score"
        )
    bounds = {
        "latency_ms": options.max_latency
        and parse_latency_ms(options.max_latency, "--max-latency"),
        "energy_mj": options.max_energy and parse_energy_mj(options.max_energy, "--max-energy"),
        "memory_mb": options.max_memory and parse_memory_mb(options.max_memory, "--max-memory"),
        "area_mm2": options.max_area and parse_area_mm2(options.max_area, "--max-area"),
        options.metric: options.min_score and _number(options.min_score, "--min-score"),
    }
    request = _request(
        load_target(options.target, options.runtime, options.hardware), options.space,
        options.objectives.split(","), options.metric, bounds, options.optimizer,
        int(_number(options.seed, "--seed", whole=True)),
    )  # fmt: skip
    report, background = _search(request)
    if options.json == "-":
        sys.stdout.write(report.to_json())
    elif options.json:
        write_text(options.json, report.to_json())
    written: tuple[Path, ...] = ()
    if options.out or not options.json:
        written = write_files(report, options.out or "flash-out", background)
    if options.json != "-":
        print_report(report, files=written, quiet=options.quiet)


def _number(text: str, option: str, *, whole: bool = False) -> float:
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"{option} {text}: expected {kind} of 0 or more")
    return value


sys.modules[__name__].__class__ = Command

if __name__ == "__main__":
    sys.exit(run_command(main))
