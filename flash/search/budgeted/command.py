"""``python -m flash.search --search NAME``: a search that spends a small training budget.

From Python: ``flash.search.budgeted.spend``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from flash.errors import NothingDoneError, UsageError
from flash.files.results import put_result, refuse_others_files
from flash.files.writing import make_folder
from flash.optimize import Limit, SeparableProblem
from flash.quantities import parse_duration_s, parse_whole
from flash.search.budgeted.candidates import Floats, Ints
from flash.search.budgeted.evaluator import Evaluator, TableEvaluator, Trial
from flash.search.budgeted.journal import Journal, read_accuracies
from flash.search.budgeted.options import BUDGET, CANDIDATES, SUPERNET
from flash.search.budgeted.program import ProgramEvaluator, check_program, command_words
from flash.search.budgeted.report import BudgetReport
from flash.search.budgeted.shared import SupernetEvaluator, check_same_designs
from flash.search.budgeted.spending import spend
from flash.search.budgeted.training import TrainingEvaluator
from flash.search.problem import Problem
from flash.spaces.space import SearchSpace, load_space
from flash.supernet.network import check_sharing
from flash.supernet.registry import SAMPLERS
from flash.supernet.sampler import Epoch
from flash.training.datasets import read_images
from flash.training.jobs import Event, Failed, Finished, Job
from flash.training.trainer import check_classifiers, recipe_for, trainer_for

__all__ = ["spend_budget"]

#: What --evaluator begins with where flash is to train itself.
_CALIBRATE = "calibrate:"


def spend_budget(
    options: argparse.Namespace,
    problem: Problem,
    tables: SeparableProblem,
    limits: Sequence[Limit],
    metric: str,
    seed: int,
) -> None:
    """Run the search the options ask for and write its result.

    tables: stage tables of ``metric``, which limits may name, and of all costs.
    """
    budget = _whole("--budget", options.budget, BUDGET)
    if options.evaluator is None:
        raise UsageError(
            f"space {problem.networks.name} has no table of accuracies; give --evaluator "
            "'./train.sh' (reads a design as JSON, prints its accuracy) or --evaluator "
            "table.csv (columns design,accuracy) or --evaluator calibrate:images/ (trains here) or "
            "--evaluator supernet:images/ (trains weights that all designs share)"
        )
    out = Path(options.out or "flash-out")
    if not options.json:
        refuse_others_files(out, [f"{options.search}.json"])
    only, make = _source(options, problem.networks, out, seed, tables)
    report = spend(
        problem,
        tables,
        limits,
        options.search,
        make,
        options.evaluator,
        budget=budget,
        metric=metric,
        metrics=_names(options.metrics),
        candidates=_whole("--candidates", options.candidates, CANDIDATES),
        only=only,
        seed=seed,
        scored=None if options.quiet else _scored,
    )
    if options.json == "-":
        sys.stdout.write(report.to_json())
        _check_done(report)
        return
    place = options.json or out / f"{options.search}.json"
    if not options.json:
        make_folder(out)
    put_result(place, report.to_json(), options.quiet)
    sys.stdout.write("\n".join([*report.lines(), f"written: {place}"]) + "\n")
    _check_done(report)


def _check_done(report: BudgetReport) -> None:
    """Raise ``NothingDoneError`` where not one training gave an accuracy."""
    trials = report.outcome.trials
    if not trials:
        raise NothingDoneError(
            f"{report.outcome.strategy} trained nothing: no design that it came to is among the "
            f"{report.candidates:,} candidates"
        )
    if report.outcome.best is None:
        raise NothingDoneError(f"all {len(trials)} trainings failed; {trials[0].failure}")


def _source(
    options: argparse.Namespace,
    space: SearchSpace,
    out: Path,
    seed: int,
    tables: SeparableProblem,
) -> tuple[Ints | None, Callable[[int], Evaluator]]:
    """Designs with known accuracies (None: any can be trained), and budget -> evaluator."""
    if options.evaluator_space is not None and not options.evaluator.startswith(SUPERNET):
        raise UsageError("--evaluator-space goes with --evaluator supernet:DATA")
    for prefix in (_CALIBRATE, SUPERNET):
        if options.evaluator == prefix:
            raise UsageError(f"--evaluator {prefix} names no data: give {prefix}DATA")
    if options.evaluator.startswith(_CALIBRATE):
        return None, _training(options, space, out)
    if options.evaluator.startswith(SUPERNET):
        return None, _supernet(options, space, out, seed, tables)
    if options.evaluator_epochs is not None:
        raise UsageError("--evaluator-epochs goes with --evaluator calibrate:DATA or supernet:DATA")
    if options.evaluator.endswith(".csv"):
        if options.evaluator_timeout is not None:
            raise UsageError("--evaluator-timeout is for programs; leave it out with a table")
        designs, accuracy = read_accuracies(options.evaluator, space)
        return designs, lambda budget: TableEvaluator(budget, designs, accuracy)
    words = command_words(options.evaluator)
    check_program(words)
    timeout_s = None
    if options.evaluator_timeout is not None:
        timeout_s = parse_duration_s(options.evaluator_timeout, "--evaluator-timeout")

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
    check_classifiers(space)
    epochs = options.evaluator_epochs
    recipe = recipe_for("auto").varied(
        None if epochs is None else parse_whole(epochs, "--evaluator-epochs", 1)
    )
    read = read_images(
        options.evaluator.removeprefix(_CALIBRATE), space.family.shape, space.family.classes
    )
    images = read.subset(recipe.images)
    results = Path(options.results or out / "calibrate.csv")
    trainer = trainer_for(recipe, images)

    def make(budget: int) -> Evaluator:
        make_folder(results.parent)
        tell = _silent if options.quiet else _trained
        return TrainingEvaluator(
            budget, space, options.space, images, recipe, trainer, results, tell
        )

    return make


def _supernet(
    options: argparse.Namespace, space: SearchSpace, out: Path, seed: int, tables: SeparableProblem
) -> Callable[[int], Evaluator]:
    """budget -> evaluator that trains shared weights on the images the options name."""
    if options.evaluator_timeout is not None:
        raise UsageError("--evaluator-timeout is for programs; leave it out with supernet:DATA")
    recipe_for("auto")  # says what to install
    trained = space if options.evaluator_space is None else load_space(options.evaluator_space)
    check_sharing(trained)
    check_same_designs(space, trained)
    sampler = options.search if options.search in SAMPLERS else "uniform"
    epochs = _epochs(options, sampler)
    place = options.evaluator.removeprefix(SUPERNET)
    images = read_images(place, trained.family.shape, trained.family.classes)
    weights = Path(options.results or out / f"{sampler}.supernet.pt")

    def tell(epoch: Epoch) -> None:
        if not options.quiet:
            sys.stderr.write(f"flash: {epoch}\n")

    def latency_ms(designs: Ints) -> Floats:
        return tables.evaluate(designs, "latency_ms")["latency_ms"]

    def make(budget: int) -> Evaluator:
        return SupernetEvaluator(
            budget,
            space,
            trained,
            images,
            epochs,
            sampler,
            proposes=options.search in SAMPLERS,
            seed=seed,
            checkpoint=weights,
            tell=tell,
            latency_ms=latency_ms,
        )

    return make


def _epochs(options: argparse.Namespace, sampler: str) -> int | None:
    if options.evaluator_epochs is None:
        return None
    epochs = parse_whole(options.evaluator_epochs, "--evaluator-epochs", 1)
    if epochs < SAMPLERS[sampler].least_epochs:
        raise UsageError(
            f"--evaluator-epochs {epochs}: {sampler} needs {SAMPLERS[sampler].least_epochs} or "
            "more, as the first train weights only and it learns in those after them"
        )
    return epochs


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


def _scored(done: int, total: int, left_s: float) -> None:
    sys.stderr.write(f"flash: {done:,} of {total:,} candidates scored, about {left_s:.0f} s left\n")


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text is not None else ()


def _whole(option: str, text: str | None, default: int) -> int:
    return default if text is None else parse_whole(text, option, 1)
