"""``python -m flash.search``: space + target -> certified Pareto designs.

From Python: ``report = search(target="rpi3b", max_latency_ms=20)``.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from flash.command import CommandParser
from flash.errors import UsageError, did_you_mean
from flash.export import find_formats
from flash.files.writing import write_text
from flash.metrics import METRICS
from flash.optimize import OPTIMIZERS, Limit, Objective, objective
from flash.quantities import (
    parse_accuracy_percent,
    parse_area_mm2,
    parse_energy_mj,
    parse_latency_ms,
    parse_memory_mb,
    parse_seed,
)
from flash.report.chip import ChipView
from flash.report.files import write_files
from flash.report.result import (
    OptimizerSummary,
    SearchReport,
    SpaceSummary,
)
from flash.report.table import print_report
from flash.search.budgeted import command as budgeted
from flash.search.objective import Scoring, scoring
from flash.search.problem import (
    Effort,
    Networks,
    NetworksAndChips,
    Subject,
    load_subject,
)
from flash.search.result import design_report, looked_up, notes, picks
from flash.search.screening import SHORTLIST_METRICS, Shortlist, add_options, from_options, repick
from flash.targets import Given

__all__ = ["main", "search"]

#: What users call the objectives other than the score -> quantity.
_COSTS = {
    "latency": "latency_ms",
    "energy": "energy_mj",
    "memory": "memory_mb",
    "area": "area_mm2",
}
#: Random designs drawn behind the front in the picture.
_BACKGROUND = 400
#: Time for the certificate of a search of network and chip.
CERTIFY_SECONDS = 10.0


@dataclass(frozen=True)
class _Request:
    """What to search for, checked; ``limits`` are the user's own, ``proxy`` re-picks by that."""

    subject: Subject
    scoring: Scoring
    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...]
    effort: Effort
    proxy: str
    shortlist: Shortlist

    @property
    def bounds(self) -> tuple[Limit, ...]:
        """The limits, the weights that the chip can hold, and that there is a network at all."""
        bounds = list(self.limits)
        if self.subject.target.weight_limit_mb < math.inf:
            bounds.append(Limit(objective("weight_mb"), self.subject.target.weight_limit_mb))
        metric = self.scoring.metric
        if metric != "accuracy" and METRICS[metric].positive:
            # Zero means that no path leads from the input to the output.
            tiny = float(np.finfo(np.float64).tiny)
            bounds.append(Limit(Objective(metric, "max"), tiny))
        return tuple(bounds)


def search(
    target: str = "rpi3b",
    space: str = "cifar10-concat",
    *,
    runtime: str | None = None,
    hardware: Given | None = None,
    objectives: Sequence[str] | None = None,
    objective: str | None = None,
    metric: str | None = None,
    max_latency_ms: float | None = None,
    max_energy_mj: float | None = None,
    max_memory_mb: float | None = None,
    max_area_mm2: float | None = None,
    min_score: float | None = None,
    min_accuracy_percent: float | None = None,
    optimizer: str = "shgo",
    seed: int = 0,
    certify_seconds: float = CERTIFY_SECONDS,
    shortlist: Shortlist | None = None,
) -> SearchReport:
    """Search ``space`` for Pareto designs on ``target``.

    target, space: a name that comes with flash or the path of a TOML file.
    runtime:       one of the profile's runtimes; its default one if not given.
    hardware:      on accelerators, the hardware variables that are given (``rows=16,cols=32``); the
                   others are searched with the network. "default" takes them all from the
                   profile's default chip.
    objectives:    "score" and any of "latency", "energy", "memory", on accelerators "area";
                   score and latency if not given, and area where hardware is searched.
    objective:     "flash" asks for one design instead of a front: the most score over area
                   (where there is one) x latency x energy.
    metric:        the score, one of ``flash.metrics.METRICS``; by default predicted
                   accuracy where the space is calibrated, else the space's own.
    limits:        in the unit of their name; ``min_score`` in units of the metric.
    optimizer:     "shgo" (certified by the exact optimizer, whose front is returned),
                   "exact" or "nsga2" (needs the extra of that name).
    shortlist:     how a metric of ``flash.proxies`` scores the best of the front, to pick anew.

    Raises ``UsageError``, ``SpaceError``, ``ProfileError`` or ``InfeasibleError``.
    """
    bounds = {
        "latency_ms": max_latency_ms,
        "energy_mj": max_energy_mj,
        "memory_mb": max_memory_mb,
        "area_mm2": max_area_mm2,
        "score": min_score,
        "accuracy": min_accuracy_percent,
    }
    subject = load_subject(target, runtime, hardware, space)
    if objective is not None:
        objectives = _single(subject, objectives, objective)
    effort = Effort(optimizer, seed, certify_seconds, objective is not None)
    request = _request(subject, objectives, metric, bounds, effort, shortlist or Shortlist())
    return _search(request)[0]


def _request(
    subject: Subject, objectives: Sequence[str] | None, metric: str | None,
    bounds: dict[str, float | None], effort: Effort, shortlist: Shortlist,
) -> _Request:  # fmt: skip
    proxy = metric if metric in SHORTLIST_METRICS else ""
    if proxy:
        given = bounds["score"] is not None or bounds["accuracy"] is not None
        Shortlist.check(proxy, subject, effort.single or given)
        metric = subject.space.metric if isinstance(subject, Networks) else None
    maximised = scoring(subject, metric, bounds.pop("accuracy"))
    metric = maximised.metric
    effort = replace(effort, worth=maximised.worth)
    OPTIMIZERS.check((effort.optimizer,))
    if not isinstance(effort.seed, int) or effort.seed < 0:
        raise UsageError(f"the seed must be a whole number of 0 or more, got {effort.seed!r}")
    if bounds["score"] is not None and maximised.name == "accuracy":
        raise UsageError("the score is predicted accuracy: use --min-accuracy, or give --metric")
    limits = []
    for name, bound in bounds.items():
        if bound is None:
            continue
        if not isinstance(bound, int | float) or not math.isfinite(bound) or bound < 0:
            raise UsageError(f"the limit on {name} must be a number of 0 or more, got {bound!r}")
        limits.append(Limit(_objective(name, metric), bound))
    target = subject.target
    if objectives is None:
        objectives = ("score", "latency")
        if isinstance(subject, NetworksAndChips):
            objectives = (*objectives, "area")
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
    if not target.energy_how and (bounds["energy_mj"] is not None or "energy" in objectives):
        raise UsageError(f"energy was not measured on {target.name}: it can be no goal or limit")
    if len(set(named)) != len(named) or len(named) < 2:
        raise UsageError("a front needs at least two different objectives, e.g. score,latency")
    return _Request(subject, maximised, tuple(named), tuple(limits), effort, proxy or "", shortlist)


def _single(subject: Subject, objectives: Sequence[str] | None, name: str) -> tuple[str, ...]:
    """The objectives whose ratio ``name`` stands for."""
    if name != "flash":
        raise UsageError(f"unknown objective '{name}'{did_you_mean(name, ['flash'])}")
    if objectives is not None:
        raise UsageError("give --objective flash or --objectives, not both")
    area = ("area",) if "area_mm2" in subject.target.quantities else ()
    return ("score", "latency", "energy", *area)


def _objective(name: str, metric: str) -> Objective:
    return Objective(metric, "max") if name == "score" else objective(name)


# ------------------------------------------------------------------------------ the search


def _search(
    request: _Request,
) -> tuple[SearchReport, list[tuple[float, float]], ChipView | None]:
    """The report, random designs (latency_ms, score) for the picture's background, and the
    balanced design's chip.
    """
    subject, scored = request.subject, request.scoring
    space, target = subject.space, subject.target
    began = time.perf_counter()
    problem = subject.problem(scored.metric, scored.index)
    best = scored.optimum(subject, problem, request.objectives, request.bounds, request.effort)
    again = repick(
        subject, problem, best, request.bounds, request.proxy,
        request.effort.seed, request.shortlist,
    )  # fmt: skip
    result = replace(again.result, seconds=time.perf_counter() - began)
    score = problem.evaluate(result.indices, scored.metric)[scored.metric]
    result, accuracy = scored.kept(result, scored.predict(subject, result.indices, score))
    score = problem.evaluate(result.indices, scored.metric)[scored.metric]
    found = subject.evaluate(result.indices)
    if target.exact and isinstance(subject, Networks):
        found = looked_up(problem, found, result)
    front = [
        design_report(
            subject, scored.metric, result.indices[i], found, i, score[i],
            scored.interval(accuracy, i),
            {name: float(values[i]) for name, values in again.scores.items()},
        )
        for i in range(len(result))
    ]  # fmt: skip
    rng = np.random.default_rng(request.effort.seed)
    random = problem.evaluate(space.sample(_BACKGROUND, rng), "latency_ms", scored.metric)
    shown = scored.shown(random[scored.metric])
    drawn = () if request.proxy else zip(random["latency_ms"], shown, strict=True)
    limits = {limit.quantity.name: limit.bound for limit in request.limits}
    if scored.least is not None:
        limits["accuracy"] = scored.least
    worth = score if accuracy is None or scored.rises else accuracy.value
    worth = again.scores.get(request.proxy, worth)
    report = SearchReport(
        target=target.summary(),
        space=SpaceSummary(space.name, space.size, space.distinct),
        objectives=[{scored.metric: scored.name}.get(of.name, of.name) for of in result.objectives],
        limits=limits,
        optimizer=OptimizerSummary(
            result.name,
            result.evaluations,
            result.seconds,
            None if result.gap_percent is None else result.gap_percent / 100,
            result.certified,
            result.message,
        ),
        front=front,
        picks=picks(scored.in_shown_units(result), front, found.latency_ms[0], worth),
        notes=[*notes(target.notes, found), *scored.notes(accuracy), *again.notes],
        accuracy=scored.status,
    )
    balanced = [design.id for design in front].index(report.picks.balanced)
    title = f"Balanced design of {space.name}, target {target.name}"
    return report, list(drawn), subject.chip(result.indices[balanced], title)


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
    add(
        "--hardware",
        metavar="A=N,B=N",
        help="give hardware variables of an accelerator; the others are searched ('default': none)",
    )
    add("--space", default="cifar10-concat", metavar="S", help="space name or file (%(default)s)")
    add("--max-latency", metavar="20ms", help="latency limit (us, ms, s)")
    add("--max-energy", metavar="5mJ", help="energy limit (uJ, mJ, J)")
    add("--max-memory", metavar="8MB", help="limit on weights + peak activations (kB, MB, MiB)")
    add("--max-area", metavar="40mm2", help="chip area limit, for accelerators")
    add("--min-score", metavar="N", help="lower limit on the metric")
    add("--min-accuracy", metavar="92", help="lower limit on predicted accuracy (92 or 92%%)")
    add(
        "--objectives",
        metavar="A,B",
        help="two or more of score, latency, energy, memory, area (score,latency; with hardware "
        "searched score,latency,area)",
    )
    add(
        "--objective",
        metavar="flash",
        help="one design instead of a front: the most score over (area x latency x energy)",
    )
    add(
        "--metric",
        metavar="M",
        help=f"{', '.join((*METRICS.builtin, *SHORTLIST_METRICS))} (the space's own)",
    )
    add_options(parser)
    add(
        "--optimizer",
        default="shgo",
        metavar="O",
        help=f"{', '.join(OPTIMIZERS.builtin)} (%(default)s)",
    )
    seconds = "time for the certificate where hardware is searched (%(default)s)"
    add("--certify-seconds", default=str(CERTIFY_SECONDS), metavar="S", help=seconds)
    add("--seed", default="0", metavar="N", help="seed of everything random (%(default)s)")
    add("--out", metavar="DIR", help="folder for front.json, front.csv, front.svg (flash-out)")
    add("--export", metavar="F,G", help="the balanced design too, as flash.export --format writes")
    add("--json", metavar="FILE", help="write the JSON document to FILE, or to stdout with '-'")
    add("--quiet", action="store_true", help="plain text, nothing but the result")
    budgeted.add_options(parser)
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
        "accuracy": ("--min-accuracy", options.min_accuracy, parse_accuracy_percent),
    }
    bounds = {
        name: None if text is None else parse(text, option)
        for name, (option, text, parse) in parsers.items()
    }
    subject = load_subject(options.target, options.runtime, options.hardware, options.space)
    objectives = options.objectives and options.objectives.split(",")
    if options.objective is not None:
        objectives = _single(subject, objectives, options.objective)
    effort = Effort(
        options.optimizer,
        parse_seed(options.seed),
        _number(options.certify_seconds, "--certify-seconds"),
        options.objective is not None,
    )
    request = _request(subject, objectives, options.metric, bounds, effort, from_options(options))
    if "" in (options.json, options.out):
        raise UsageError("--json and --out need a name")
    if options.export:
        find_formats(options.export)  # before the work
    if options.search is not None:
        budgeted.command(options, subject, request.bounds, request.scoring.metric, effort.seed)
        return
    budgeted.refuse_options(options)
    report, background, chip = _search(request)
    if options.json == "-":
        sys.stdout.write(report.to_json())
    elif options.json:
        write_text(options.json, report.to_json())
    written: tuple[Path, ...] = ()
    folder = Path(options.out or "flash-out")
    if options.out or options.export or not options.json:
        written = write_files(report, folder, background, chip)
    if options.export:
        from flash.export import export  # noqa: PLC0415 (another verb, seldom asked for)

        manifest = export(
            folder / "front.json", out=folder, format=options.export,
            space=options.space, target=options.target, seed=effort.seed,
        )  # fmt: skip
        builds = [build for design in manifest["designs"] for build in design["builds"]]
        written += tuple(folder / name for name in [b["file"] for b in builds] + ["manifest.json"])
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
