"""``python -m flash.search``: space + target -> certified Pareto designs.

From Python: ``report = flash.search(target="rpi3b", max_latency_ms=20)``.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything that takes long to import
    from flash.interrupts import quiet_interrupts

    quiet_interrupts()

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
from flash.evaluation import METRICS, Evaluation, evaluate, separable
from flash.metrics.rank import RANK_METRICS
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
from flash.optimize.problem import Floats
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
        """The limits, the weights that the chip can hold, and that there is a network at all."""
        bounds = list(self.limits)
        if self.target.weight_limit_mb < math.inf:
            bounds.append(Limit(objective("weight_mb"), self.target.weight_limit_mb))
        if self.metric in RANK_METRICS:
            # Zero means that no path leads from the input to the output.
            tiny = float(np.finfo(np.float64).tiny)
            bounds.append(Limit(Objective(self.metric, "max"), tiny))
        return tuple(bounds)


def run(
    target: str = "rpi3b",
    space: str = "cifar10-concat",
    *,
    runtime: str | None = None,
    hardware: Given | None = None,
    objectives: Sequence[str] = ("score", "latency"),
    metric: str | None = None,
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
    metric:        the score, one of ``flash.evaluation.METRICS``; the space's own by default.
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
        "score": min_score,
    }
    priced_on = load_target(target, runtime, hardware)
    request = _request(priced_on, space, objectives, metric, bounds, optimizer, seed)
    return _search(request)[0]


def _request(
    target: Target, space_name: str, objectives: Sequence[str], metric: str | None,
    bounds: dict[str, float | None], optimizer: str, seed: int,
) -> _Request:  # fmt: skip
    space = load_space(space_name)
    metric = metric or space.metric
    if metric not in METRICS:
        raise UsageError(f"unknown metric '{metric}'{did_you_mean(metric, METRICS)}")
    if optimizer not in _OPTIMIZERS:
        raise UsageError(f"unknown optimizer '{optimizer}'{did_you_mean(optimizer, _OPTIMIZERS)}")
    limits = []
    for name, bound in bounds.items():
        if bound is None:
            continue
        if not isinstance(bound, int | float) or not math.isfinite(bound) or bound < 0:
            raise UsageError(f"the limit on {name} must be a number of 0 or more, got {bound!r}")
        limits.append(Limit(_objective(name, metric), bound))
    named = []
    for name in [objectives] if isinstance(objectives, str) else objectives:
        known = ("score", *_COSTS)
        if name not in known:
            raise UsageError(f"unknown objective '{name}'{did_you_mean(name, known)}")
        named.append(_objective(_COSTS.get(name, name), metric))
    if "area_mm2" not in target.quantities and (
        bounds["area_mm2"] is not None or "area" in objectives
    ):
        raise UsageError(f"target {target.name} has no chip area; leave area out")
    if len(set(named)) != len(named) or len(named) < 2:
        raise UsageError("a front needs at least two different objectives, e.g. score,latency")
    if not isinstance(seed, int) or seed < 0:
        raise UsageError(f"the seed must be a whole number of 0 or more, got {seed!r}")
    return _Request(space, target, metric, tuple(named), tuple(limits), optimizer, seed)


def _objective(name: str, metric: str) -> Objective:
    return Objective(metric, "max") if name == "score" else objective(name)


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
    if target.exact:
        found = _looked_up(problem, found, result)
    score = problem.evaluate(result.indices, request.metric)[request.metric]
    front = [_design(request, result.indices[i], found, i, score[i]) for i in range(len(result))]
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
        picks=_picks(result, front, found.latency_ms[0], score),
        notes=_notes(target, found),
    )
    return report, background


def _optimize(problem: SeparableProblem, request: _Request) -> OptimizerResult:
    """The exact front (or a bounded one), and how close the optimizer asked for came to it."""
    objectives, limits = request.objectives, request.bounds
    found = _heuristic(problem, request)
    if not request.target.exact:
        more = [found] if found else []
        return bounded_front(request.space, request.target, problem, objectives, limits, more)
    exact = exact_front(problem, objectives, limits)
    if request.optimizer == "exact":
        return exact
    name, shown = request.optimizer, f"shown is the exact front ({len(exact):,} designs)"
    if found is None:
        message = f"{name.upper()} found no design within the limits; {shown}"
        return replace(exact, name=name, gap_percent=100.0, message=message)
    found = certify_front(problem, found, limits, exact)
    message = (
        f"{name.upper()} within {_percent(found.gap_percent)} % of the exact hypervolume "
        f"({len(found):,} designs); {shown}"
    )
    return replace(found, indices=exact.indices, values=exact.values, message=message)


def _heuristic(problem: SeparableProblem, request: _Request) -> OptimizerResult | None:
    """What SHGO or NSGA-II finds, None if it finds nothing or neither was asked for."""
    if request.optimizer == "exact":
        return None
    front = nsga2_front if request.optimizer == "nsga2" else shgo_front
    try:
        return front(problem, request.objectives, request.bounds, seed=request.seed)
    except InfeasibleError:
        return None


def _percent(gap: float | None) -> str:
    # Below a millionth of a per cent only rounding is left.
    return f"{gap:.2g}" if gap and gap >= 1e-6 else "0"


def _looked_up(problem: SeparableProblem, found: Evaluation, result: OptimizerResult) -> Evaluation:
    """The evaluation with the very numbers the limits were checked on.

    Layers and stage tables add up in different orders; the last digits differ.
    """
    same = problem.evaluate(result.indices)

    def around(value: Floats, triple: Triple) -> Triple:
        return value, np.minimum(triple[1], value), np.maximum(triple[2], value)

    return replace(
        found,
        latency_ms=around(same["latency_ms"], found.latency_ms),
        energy_mj=around(same["energy_mj"], found.energy_mj),
        weight_mb=same["weight_mb"],
        activation_mb=same["activation_mb"],
    )


def _design(
    request: _Request, indices: NDArray[np.int64], found: Evaluation, row: int, score: float
) -> DesignReport:
    space, target = request.space, request.target
    named = space.named(indices)
    extrapolated = bool(found.extrapolated[row])
    widened = ", widened outside the fitted networks (our rule)" if extrapolated else ""
    return DesignReport(
        id=space.identify(indices),
        design=named,
        accuracy=None,
        nn_degree=found.nn_degree[row],
        nn_mass=found.nn_mass[row],
        sed=score if request.metric == "sed" else None,
        rank_score=score if request.metric == "rank_score" else None,
        latency_ms=_interval(found.latency_ms, row, target.latency_how + widened),
        energy_mj=_interval(found.energy_mj, row, target.energy_how),
        memory_mb=found.weight_mb[row] + found.activation_mb[row],
        weight_mb=found.weight_mb[row],
        activation_mb=found.activation_mb[row],
        area_mm2=found.area_mm2 and _interval(found.area_mm2, row, target.area_how),
        params=int(found.params[row]),
        macs=int(found.macs[row]),
        extrapolated=extrapolated,
        description=space.family.describe(named),
    )


def _interval(triple: Triple, row: int, how: str) -> Interval:
    value, low, high = (float(values[row]) for values in triple)
    return Interval(value, low, high, how)


def _picks(
    result: OptimizerResult, front: Sequence[DesignReport], latency_ms: Floats, score: Floats
) -> Picks:
    return Picks(
        fastest=front[int(np.argmin(latency_ms))].id,
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
        "Exit codes: 0 done, 1 disk or output failed, 2 wrong arguments, 3 no design meets the\n"
        "limits, 4 bad file, 130 interrupted.",
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
    add("--metric", metavar="M", help=f"{', '.join(METRICS)} (the space's own)")
    add("--optimizer", default="shgo", metavar="O", help="shgo, exact or nsga2 (%(default)s)")
    add("--seed", default="0", metavar="N", help="seed of everything random (%(default)s)")
    add("--out", metavar="DIR", help="folder for front.json, front.csv, front.svg (flash-out)")
    add("--json", metavar="FILE", help="write the JSON document to FILE, or to stdout with '-'")
    add("--quiet", action="store_true", help="plain text, nothing but the result")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Run the command; raises ``FlashError`` for whatever the user can mend."""
    options = _parser().parse_args(arguments)
    parsers = {
        "latency_ms": ("--max-latency", options.max_latency, parse_latency_ms),
        "energy_mj": ("--max-energy", options.max_energy, parse_energy_mj),
        "memory_mb": ("--max-memory", options.max_memory, parse_memory_mb),
        "area_mm2": ("--max-area", options.max_area, parse_area_mm2),
        "score": ("--min-score", options.min_score, _number),
    }
    bounds = {
        name: None if text is None else parse(text, option)
        for name, (option, text, parse) in parsers.items()
    }
    request = _request(
        load_target(options.target, options.runtime, options.hardware), options.space,
        options.objectives.split(","), options.metric, bounds, options.optimizer,
        _seed(options.seed),
    )  # fmt: skip
    if options.min_accuracy is not None:
        parse_accuracy_percent(options.min_accuracy, "--min-accuracy")
        raise UsageError(
            f"space {request.space.name} is not calibrated, so it has no accuracy to limit; "
            "use --min-score"
        )
    report, background = _search(request)
    if "" in (options.json, options.out):
        raise UsageError("--json and --out need a name")
    if options.json == "-":
        sys.stdout.write(report.to_json())
    elif options.json:
        write_text(options.json, report.to_json())
    written: tuple[Path, ...] = ()
    if options.out or not options.json:
        written = write_files(report, options.out or "flash-out", background)
    if options.json != "-":
        print_report(report, files=written, quiet=options.quiet)


def _number(text: str, option: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1e12:
        raise UsageError(f"{option} {text}: expected a number from 0 to 1e12")
    return value


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise UsageError(f"--seed {text}: expected a whole number of 0 or more")
    return int(text)


sys.modules[__name__].__class__ = Command

if __name__ == "__main__":
    sys.exit(run_command(main))
