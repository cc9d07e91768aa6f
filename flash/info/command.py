"""``flash list``, ``flash doctor`` and ``flash compare``: for people, and JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from flash.command import CommandParser
from flash.errors import UsageError, did_you_mean
from flash.files.results import put_result
from flash.info.examination import doctor
from flash.info.topics import TOPICS, catalogue
from flash.quantities import parse_only_input

__all__ = ["compare_main", "doctor_main", "list_main", "main"]


def main(arguments: Sequence[str]) -> None:
    """``list``, ``doctor`` or ``compare``; raises ``FlashError`` for whatever the user can mend."""
    commands = {"list": list_main, "doctor": doctor_main, "compare": compare_main}
    command, *rest = arguments or ["--help"]
    if command in ("-h", "--help"):
        sys.stdout.write("usage: python -m flash.info list|doctor|compare [options]\n")
        return
    if command not in commands:
        raise UsageError(f"unknown command '{command}'{did_you_mean(command, commands)}")
    commands[command](rest)


def list_main(arguments: Sequence[str]) -> None:
    """``flash list``; raises ``UsageError`` for an unknown topic, with the closest."""
    parser = CommandParser("list", "Everything of a kind that flash knows by name.")
    parser.add_argument("topic", nargs="?", metavar="TOPIC", help=", ".join(TOPICS))
    parser.add_argument("--json", action="store_true", help="a JSON document instead of a table")
    options = parser.parse_args(arguments)
    if options.topic is None:
        raise UsageError(f"give what to list: {', '.join(TOPICS)}")
    found = catalogue(options.topic)
    sys.stdout.write(found.to_json() if options.json else "\n".join(found.lines()[1:]) + "\n")


def doctor_main(arguments: Sequence[str]) -> None:
    """``flash doctor``."""
    parser = CommandParser(
        "doctor", "Versions, extras, devices and sensors, and what would mend what is missing."
    )
    parser.add_argument("--json", action="store_true", help="a JSON document instead of a text")
    options = parser.parse_args(arguments)
    found = doctor()
    sys.stdout.write(found.to_json() if options.json else "\n".join(found.lines()) + "\n")


def compare_main(arguments: Sequence[str]) -> None:
    """``flash compare``; raises ``InputError`` for what is neither a search nor a model."""
    parser = CommandParser(
        "compare",
        "Two searches, or two ONNX models, side by side.",
        "A and B are folders of runs (flash-out/latest), their front.json, or both ONNX files.",
    )
    parser.add_argument("a", metavar="A")
    parser.add_argument("b", metavar="B")
    parser.add_argument("--target", metavar="T", help="of models: what their costs are on")
    parser.add_argument("--runtime", metavar="R", help="one of the profile's runtimes")
    parser.add_argument("--input-shape", metavar="1x3x224x224", help="of models' only input")
    parser.add_argument(
        "--input",
        metavar="NAME=SHAPE",
        action="append",
        default=[],
        help="of models: sizes of an input by name, once for each",
    )
    parser.add_argument("--json", metavar="FILE", help="the comparison as JSON, '-' for stdout")
    parser.add_argument("--csv", metavar="FILE", help="its rows as CSV, '-' for stdout")
    options = parser.parse_args(arguments)
    from flash.info.comparison import compare, compare_models, sides_of  # noqa: PLC0415 (numpy)

    if sides_of(options.a, options.b):
        shape, inputs = parse_only_input(options.input_shape, options.input)
        found = compare_models(
            options.a,
            options.b,
            options.target,
            options.runtime,
            shape,
            inputs,
        )
    elif options.target or options.runtime or options.input or options.input_shape:
        raise UsageError(
            "--target, --runtime and inputs are of models; a search has its own target"
        )
    else:
        found = compare(options.a, options.b)
    texts = ((options.json, found.to_json), (options.csv, found.to_csv))
    for place, text in texts:
        if place is not None:
            put_result(place, text())
    if "-" not in (options.json, options.csv):
        sys.stdout.write("\n".join(found.lines()) + "\n")
