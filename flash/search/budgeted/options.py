"""The options of a search that spends a training budget."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from flash.errors import UsageError, did_you_mean
from flash.proxies.options import is_proxy
from flash.quantities import parse_duration_s, parse_whole
from flash.search.budgeted.strategy import DATA_FREE, STRATEGIES
from flash.supernet.registry import SAMPLERS

__all__ = [
    "BUDGET",
    "CANDIDATES",
    "SUPERNET",
    "add_budget_options",
    "check_budget_options",
    "refuse_budget_options",
]

#: Designs trained where the user says nothing.
BUDGET = 20
#: Candidates drawn from spaces too large to list.
CANDIDATES = 2000
#: What --evaluator begins with where designs share weights.
SUPERNET = "supernet:"
#: Those that mean nothing without ``--search``.
_NAMES = (
    "budget",
    "evaluator",
    "evaluator_timeout",
    "evaluator_epochs",
    "evaluator_space",
    "results",
    "metrics",
    "candidates",
)


#: Those that mean nothing with it.
_FRONT_NAMES = (
    "optimizer",
    "objectives",
    "objective",
    "certify_seconds",
    "shortlist",
    "extrapolate",
    "verbose",
    "html",
)


def _number(text: str, option: str) -> None:
    parse_whole(text, option, 1)


#: Those whose value is one, and what refuses what is none.
_NUMBERS: Mapping[str, Callable[[str, str], object]] = {
    "budget": _number,
    "candidates": _number,
    "evaluator_epochs": _number,
    "evaluator_timeout": parse_duration_s,
}


def add_budget_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser of ``flash.search``."""
    add = parser.add_argument_group("with a training budget").add_argument
    add(
        "--search",
        metavar="NAME",
        help=f"spend trainings instead: {', '.join(STRATEGIES.builtin)}; with supernet:DATA also "
        f"{', '.join(SAMPLERS.builtin)}; flash list strategies, flash list samplers: all",
    )
    add("--budget", metavar="N", help=f"designs to train ({BUDGET})")
    add(
        "--evaluator",
        metavar="E",
        help="a program that reads a design (JSON) and prints its accuracy, a CSV file "
        "design,accuracy, calibrate:DATA to train on images as flash.calibrate does, or "
        "supernet:DATA to train weights that all designs share",
    )
    add("--evaluator-timeout", metavar="3600s", help="time a training may take (no limit)")
    add(
        "--evaluator-epochs",
        metavar="N",
        help="epochs of calibrate:DATA (its recipe's) or supernet:DATA",
    )
    add(
        "--evaluator-space",
        metavar="FILE",
        help="with supernet:DATA: a space of the same variables whose networks are trained in "
        "place of this one's (fewer cells, smaller images)",
    )
    add(
        "--results",
        metavar="FILE",
        help="accuracies so far, to resume (trained.csv in --out; calibrate.csv with "
        "calibrate:DATA); the shared weights (NAME.supernet.pt) with supernet:DATA",
    )
    add("--metrics", metavar="A,B", help=f"scores to work with, of {', '.join(DATA_FREE)}")
    add("--candidates", metavar="N", help=f"designs drawn from large spaces ({CANDIDATES})")


def check_budget_options(options: argparse.Namespace) -> None:
    """Raise ``UsageError`` for what does not go with ``--search``, and for an unknown strategy."""
    _check_search(options.search, (options.evaluator or "").startswith(SUPERNET))
    for name, parse in _NUMBERS.items():
        text = getattr(options, name)
        if text is not None:
            parse(text, f"--{name.replace('_', '-')}")
    for name in _FRONT_NAMES:
        if getattr(options, name) not in (None, False):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is for a search of a front: leave it out with --search")
    if is_proxy(options.metric):
        raise UsageError(
            f"--metric {options.metric} runs the network: --search takes data-free metrics"
        )
    if options.export:
        raise UsageError("--export goes with a front; export a design found with flash.export")
    if options.min_accuracy is not None:
        raise UsageError("--min-accuracy limits predicted accuracy, --search trains: leave it out")


def _check_search(name: str, shared: bool) -> None:
    """Raise ``UsageError`` for a name that is no search, or a sampler's without shared weights."""
    if name in STRATEGIES or (shared and name in SAMPLERS):
        return
    if name in SAMPLERS:
        raise UsageError(
            f"--search {name} draws designs that share weights: add --evaluator supernet:DATA, "
            "DATA a folder of images"
        )
    known = (*STRATEGIES, *SAMPLERS)
    raise UsageError(f"unknown search '{name}'{did_you_mean(name, known)}")


def refuse_budget_options(options: argparse.Namespace) -> None:
    """Raise ``UsageError`` for options that mean nothing without ``--search``."""
    for name in _NAMES:
        if getattr(options, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} needs --search, e.g. --search robot")
