"""``python -m flash.search --search NAME``: a search that spends a small training budget.

From Python: build a ``Subject`` (``flash.search.problem.load_subject``) and call ``search``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from flash.errors import InfeasibleError, InputError, UsageError
from flash.files.writing import write_text
from flash.optimize import Limit, SeparableProblem
from flash.quantities import parse_latency_ms
from flash.report.result import DesignReport
from flash.search.budgeted import (
    STRATEGIES,
    Candidates,
    Evaluator,
    Outcome,
    ProgramEvaluator,
    TableEvaluator,
    Trial,
    layer_statistics,
    run_strategy,
)
from flash.search.budgeted.candidates import Floats, Ints
from flash.search.budgeted.journal import Journal, read_accuracies
from flash.search.budgeted.listing import listed, within_limits
from flash.search.budgeted.program import command_words
from flash.search.budgeted.report import BudgetReport
from flash.search.budgeted.scores import DATA_FREE, data_free_scores, usable
from flash.search.budgeted.training import TrainingEvaluator
from flash.search.problem import Networks, Subject
from flash.search.result import design_report
from flash.spaces.space import SearchSpace
from flash.training.datasets import read_images
from flash.training.jobs import Event, Failed, Finished, Job
from flash.training.trainer import recipe_for, trainer_for

__all__ = ["add_options", "command", "refuse_options", "search"]

#: Candidates drawn from spaces too large to list.
_CANDIDATES = 2000
_BUDGET = 20
_OPTIONS = (
    "budget", "evaluator", "evaluator_timeout", "evaluator_epochs", "results", "metrics",
    "candidates",
)  # fmt: skip
#: What --evaluator begins with where flash is to train itself.
_CALIBRATE = "calibrate:"


def search(
    subject: Networks,
    limits: Sequence[Limit],
    strategy: str,
    make_evaluator: Callable[[int], Evaluator],
    source: str,
    *,
    budget: int = _BUDGET,
    metric: str = "nn_degree",
    metrics: Sequence[str] = (),
    candidates: int = _CANDIDATES,
    only: Ints | None = None,
    seed: int = 0,
) -> BudgetReport:
    """Spend ``budget`` trainings on designs within the limits.

    make_evaluator: budget -> evaluator.  source: what it is, for the report.
    metric:  the score that the limits may name.
    metrics: scores the strategy works with, of ``DATA_FREE``; by default those that tell
             candidates apart.
    candidates: designs drawn from a space too large to list.
    only:    designs (indices) there are accuracies for, where not every design has one.

    Raises ``UsageError``, ``InputError`` and ``InfeasibleError``.
    """
    chosen = STRATEGIES[strategy]
    if chosen.needs_metrics and not metrics:
        raise UsageError(chosen.needs_metrics)
    evaluator = make_evaluator(budget)
    space = subject.space
    problem = subject.problem(metric)
    within = within_limits(space, subject.target, problem, limits)
    if only is None:
        designs, whole = _listed(subject, problem, limits, candidates, seed)
    else:
        designs, whole = only[within(only)], True
        if not len(designs):
            raise InfeasibleError("no design with a known accuracy meets the limits")
    names, scores = _scored(space, designs, metrics or chosen.metrics or DATA_FREE)
    table = Candidates(
        [len(grid) for grid in space.grids], designs, names, scores,
        None if whole else data_free_scores(space, names), within,
        lambda chosen: layer_statistics(space, chosen),
    )  # fmt: skip
    outcome = run_strategy(strategy, table, evaluator, seed)
    return BudgetReport(
        space, subject.target.summary(), {limit.quantity.name: limit.bound for limit in limits},
        source, len(designs), whole, tuple(names), outcome, _best(subject, metric, outcome),
    )  # fmt: skip


def _listed(
    subject: Networks, problem: SeparableProblem, limits: Sequence[Limit], most: int, seed: int
) -> tuple[Ints, bool]:
    within = within_limits(subject.space, subject.target, problem, limits)
    try:
        return listed(subject.space, within, most, np.random.default_rng(seed))
    except InfeasibleError as error:
        why = subject.why_unmet(problem, limits)
        raise InfeasibleError(why or str(error)) from None


def _scored(
    space: SearchSpace, designs: Ints, names: Sequence[str]
) -> tuple[tuple[str, ...], Floats]:
    """Scores that tell the candidates apart, and their names."""
    scores = data_free_scores(space, names)(designs)
    keep = usable(names, scores) or [0]
    return tuple(names[k] for k in keep), scores[:, keep]


def _best(subject: Networks, metric: str, outcome: Outcome) -> DesignReport | None:
    if outcome.best is None:
        return None
    indices = np.array([outcome.best.design], dtype=np.int64)
    found = subject.evaluate(indices)
    score = float(data_free_scores(subject.space, [metric])(indices)[0, 0])
    return design_report(subject, metric, indices[0], found, 0, score)


# ------------------------------------------------------------------------- the command line


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of a search with a training budget."""
    add = parser.add_argument_group("with a training budget").add_argument
    add(
        "--search", metavar="NAME", help=f"spend trainings instead: {', '.join(STRATEGIES.builtin)}"
    )
    add("--budget", metavar="N", help=f"designs to train ({_BUDGET})")
    add(
        "--evaluator",
        metavar="E",
        help="a program that reads a design (JSON) and prints its accuracy, a CSV file "
        "design,accuracy, or calibrate:DATA to train on images as flash.calibrate does",
    )
    add("--evaluator-timeout", metavar="3600s", help="time a training may take (no limit)")
    add("--evaluator-epochs", metavar="N", help="epochs of calibrate:DATA (its recipe's)")
    add("--results", metavar="FILE", help="accuracies so far, to resume (trained.csv in --out; "
        "calibrate.csv with calibrate:DATA)")  # fmt: skip
    add("--metrics", metavar="A,B", help=f"scores to work with, of {', '.join(DATA_FREE)}")
    add("--candidates", metavar="N", help=f"designs drawn from large spaces ({_CANDIDATES})")


def command(
    options: argparse.Namespace,
    subject: Subject,
    limits: Sequence[Limit],
    metric: str,
    seed: int,
) -> None:
    """Run the search the options ask for and write its result."""
    if not isinstance(subject, Networks):
        raise UsageError("--search needs a fixed chip; add --hardware default")
    if options.export:
        raise UsageError("--export goes with a front; export a design found with flash.export")
    if options.min_accuracy is not None:
        raise UsageError("--min-accuracy limits predicted accuracy, --search trains: leave it out")
    if metric == "accuracy":  # the index of the space's accuracy model, no score of a design
        metric = subject.space.metric
    budget = _whole("--budget", options.budget, _BUDGET)
    if options.evaluator is None:
        raise UsageError(
            f"space {subject.space.name} has no table of accuracies; give --evaluator "
            "'./train.sh' (reads a design as JSON, prints its accuracy) or --evaluator "
            "table.csv (columns design,accuracy) or --evaluator calibrate:images/ (trains here)"
        )
    out = Path(options.out or "flash-out")
    only, make = _source(options, subject.space, out)
    report = search(
        subject, limits, options.search, make, options.evaluator,
        budget=budget, metric=metric, metrics=_names(options.metrics),
        candidates=_whole("--candidates", options.candidates, _CANDIDATES), only=only, seed=seed,
    )  # fmt: skip
    if options.json == "-":
        sys.stdout.write(report.to_json())
        return
    place = options.json or out / f"{options.search}.json"
    if not options.json:
        out.mkdir(parents=True, exist_ok=True)
    write_text(place, report.to_json())
    sys.stdout.write("\n".join([*report.lines(), f"written: {place}"]) + "\n")


def _source(
    options: argparse.Namespace, space: SearchSpace, out: Path
) -> tuple[Ints | None, Callable[[int], Evaluator]]:
    """Designs with known accuracies (None: any can be trained), and budget -> evaluator."""
    if options.evaluator.endswith(".csv"):
        if not Path(options.evaluator).is_file():
            raise InputError(f"{options.evaluator}: no such file")
        designs, accuracy = read_accuracies(options.evaluator, space)
        return designs, lambda budget: TableEvaluator(budget, designs, accuracy)
    if options.evaluator.startswith(_CALIBRATE):
        return None, _training(options, space, out)
    if options.evaluator_epochs is not None:
        raise UsageError("--evaluator-epochs goes with --evaluator calibrate:DATA")
    words = command_words(options.evaluator)
    timeout_s = None
    if options.evaluator_timeout is not None:
        timeout_s = parse_latency_ms(options.evaluator_timeout, "--evaluator-timeout") / 1e3

    def make(budget: int) -> Evaluator:
        journal = Journal(options.results or out / "trained.csv", space, options.evaluator)
        progress = None if options.quiet else _progress(budget, journal)
        return ProgramEvaluator(budget, space, words, journal, timeout_s, progress)

    return None, make


def _training(
    options: argparse.Namespace, space: SearchSpace, out: Path
) -> Callable[[int], Evaluator]:
    """budget -> evaluator that trains on the images the options name."""
    if options.evaluator_timeout is not None:
        raise UsageError("--evaluator-timeout is for programs; leave it out with calibrate:DATA")
    epochs = options.evaluator_epochs
    recipe = recipe_for("auto").varied(
        None if epochs is None else _whole("--evaluator-epochs", epochs, 0)
    )
    read = read_images(
        options.evaluator.removeprefix(_CALIBRATE), space.family.shape, space.family.classes
    )
    images = read.subset(recipe.images)
    results = Path(options.results or out / "calibrate.csv")
    trainer = trainer_for(recipe, images)

    def make(budget: int) -> Evaluator:
        results.parent.mkdir(parents=True, exist_ok=True)
        tell = _silent if options.quiet else _trained
        return TrainingEvaluator(budget, space, options.space, images, recipe, trainer, results,
                                 tell)  # fmt: skip

    return make


def _silent(event: Event, jobs: Sequence[Job]) -> None:
    return


def _trained(event: Event, jobs: Sequence[Job]) -> None:
    if isinstance(event, Finished):
        what = f"{event.validation_accuracy:.2f} % in {event.seconds:.1f} s"
    elif isinstance(event, Failed):
        what = event.reason
    else:
        return
    sys.stderr.write(f"flash: {event.job.design}: {what}\n")


def _progress(budget: int, journal: Journal) -> Callable[[int, Trial], None]:
    def tell(number: int, trial: Trial) -> None:
        what = trial.failure or f"{trial.accuracy:g}"
        known = f" (known from {journal.path})" if trial.reused else f" in {trial.seconds:.1f} s"
        sys.stderr.write(f"flash: {number}/{budget}: {what}{known}\n")

    return tell


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text is not None else ()


def _whole(option: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= len(text) < 10 and int(text) > 0):
        raise UsageError(f"{option} {text}: expected a whole number of 1 or more")
    return int(text)


def refuse_options(options: argparse.Namespace) -> None:
    """Raise ``UsageError`` for options that mean nothing without ``--search``."""
    for name in _OPTIONS:
        if getattr(options, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} needs --search, e.g. --search robot")
