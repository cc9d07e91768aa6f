"""Options that ``flash estimate`` and ``flash check`` share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from flash.command import CommandParser
from flash.errors import FlashError
from flash.estimate.optimised import OPTIMIZERS, Optimised
from flash.quantities import parse_only_input

__all__ = ["add_model_options", "asked_optimiser", "end_with", "input_sizes", "only_shape"]


def add_model_options(parser: CommandParser) -> None:
    """Inputs, targets and runtimes."""
    add = parser.add_argument
    add(
        "--target", metavar="T[,T]", help="profile names or TOML files; rpi4b:armnn names a runtime"
    )
    add("--runtime", metavar="R", help="one of the profile's runtimes (its default one)")
    add("--hardware", metavar="A=N,B=N", help="an accelerator's chip (its default one)")
    add("--input-shape", metavar="1x3x224x224", help="sizes of the models' only input")
    add(
        "--input",
        metavar="NAME=1x3x224x224",
        action="append",
        default=[],
        help="sizes of an input by name, once for each; of one without axes, its value",
    )
    add(
        "--optimized-by",
        metavar="R",
        help=f"price the graph that {' or '.join(OPTIMIZERS)} makes of each model here",
    )


def only_shape(options: argparse.Namespace) -> Sequence[int] | None:
    """Sizes of the only input, if given."""
    return parse_only_input(options.input_shape, options.input)[0]


def asked_optimiser(options: argparse.Namespace) -> Optimised | None:
    """Who makes the graphs that costs are of, if somebody is asked."""
    if options.optimized_by is None:
        return None
    return Optimised(options.optimized_by, only_shape(options), input_sizes(options))


def input_sizes(options: argparse.Namespace) -> Mapping[str, Sequence[float]]:
    """Sizes by name of the input; one number may also be the value of an input without axes."""
    return parse_only_input(options.input_shape, options.input)[1]


def end_with(errors: Sequence[FlashError]) -> None:
    """Tell all errors but the last, and raise that: the command ends with its exit code."""
    for error in errors[:-1]:
        sys.stderr.write("".join(c if c.isprintable() else " " for c in f"flash: {error}") + "\n")
    if errors:
        raise errors[-1]
