"""The options of a search that spends a training budget."""

from __future__ import annotations

import argparse

from flash.errors import UsageError
from flash.proxies.options import is_proxy
from flash.search.budgeted.strategy import DATA_FREE, STRATEGIES

__all__ = [
    "BUDGET",
    "CANDIDATES",
    "add_budget_options",
    "check_budget_options",
    "refuse_budget_options",
]

#: Designs trained where the user says nothing.
BUDGET = 20
#: Candidates drawn from spaces too large to list.
CANDIDATES = 2000
#: Those that mean nothing without ``--search``.
_NAMES = (
    "budget",
    "evaluator",
    "evaluator_timeout",
    "evaluator_epochs",
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


def add_budget_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser of ``flash.search``."""
    add = parser.add_argument_group("with a training budget").add_argument
    add(
        "--search",
        metavar="NAME",
        help=f"spend trainings instead: {', '.join(STRATEGIES.builtin)}; flash list strategies: "
        "all",
    )
    add("--budget", metavar="N", help=f"designs to train ({BUDGET})")
    add(
        "--evaluator",
        metavar="E",
        help="a program that reads a design (JSON) and prints its accuracy, a CSV file "
        "design,accuracy, or calibrate:DATA to train on images as flash.calibrate does",
    )
    add("--evaluator-timeout", metavar="3600s", help="time a training may take (no limit)")
    add("--evaluator-epochs", metavar="N", help="epochs of calibrate:DATA (its recipe's)")
    add(
        "--results",
        metavar="FILE",
        help="accuracies so far, to resume (trained.csv in --out; calibrate.csv with "
        "calibrate:DATA)",
    )
    add("--metrics", metavar="A,B", help=f"scores to work with, of {', '.join(DATA_FREE)}")
    add("--candidates", metavar="N", help=f"designs drawn from large spaces ({CANDIDATES})")


def check_budget_options(options: argparse.Namespace) -> None:
    """Raise ``UsageError`` for what does not go with ``--search``, and for an unknown strategy."""
    STRATEGIES.check((options.search,))
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


def refuse_budget_options(options: argparse.Namespace) -> None:
    """Raise ``UsageError`` for options that mean nothing without ``--search``."""
    for name in _NAMES:
        if getattr(options, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} needs --search, e.g. --search robot")
