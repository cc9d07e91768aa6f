"""``flash list``, ``flash doctor`` and ``flash compare``: for people, and JSON for programs."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence

from flash.command import CommandParser
from flash.errors import UsageError, did_you_mean
from flash.files.writing import write_text
from flash.info.examination import Examination, examine
from flash.info.topics import TOPICS, Entry, catalogue

__all__ = ["compare_main", "doctor_main", "list_main", "main"]

_WIDTH = 100


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
    parser = CommandParser("info list", "Everything of a kind that flash knows by name.")
    parser.add_argument("topic", nargs="?", metavar="TOPIC", help=", ".join(TOPICS))
    parser.add_argument("--json", action="store_true", help="a JSON document instead of a table")
    options = parser.parse_args(arguments)
    if options.topic is None:
        raise UsageError(f"give what to list: {', '.join(TOPICS)}")
    entries = catalogue(options.topic)
    if options.json:
        document = {"schema": "flash.list/1", options.topic: [entry.to_dict() for entry in entries]}
        sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        return
    sys.stdout.write("\n".join(_lines(entries)) + "\n")


def _lines(entries: Sequence[Entry]) -> list[str]:
    width = max(len(entry.name) for entry in entries)
    lines = []
    for entry in entries:
        words = entry.description + (f" (from {entry.origin})" if entry.origin != "flash" else "")
        lines += _hanging(f"{entry.name:<{width}}  ", words)
    return lines


def doctor_main(arguments: Sequence[str]) -> None:
    """``flash doctor``."""
    parser = CommandParser(
        "info doctor", "Versions, extras, devices and sensors, and what would mend what is missing."
    )
    parser.add_argument("--json", action="store_true", help="a JSON document instead of a text")
    options = parser.parse_args(arguments)
    found = examine()
    if options.json:
        sys.stdout.write(json.dumps(found.to_dict(), indent=1, ensure_ascii=False) + "\n")
        return
    sys.stdout.write("\n".join(_text(found)) + "\n")


def compare_main(arguments: Sequence[str]) -> None:
    """``flash compare``; raises ``InputError`` for what is neither a search nor a model."""
    parser = CommandParser(
        "info compare",
        "Two searches, or two ONNX models, side by side.",
        "A and B are folders of runs (flash-out/latest), their front.json, or both ONNX files.",
    )
    parser.add_argument("a", metavar="A")
    parser.add_argument("b", metavar="B")
    parser.add_argument("--target", metavar="T", help="of models: what their costs are on")
    parser.add_argument("--runtime", metavar="R", help="one of the profile's runtimes")
    parser.add_argument("--json", metavar="FILE", help="the comparison as JSON, '-' for stdout")
    parser.add_argument("--csv", metavar="FILE", help="its rows as CSV, '-' for stdout")
    options = parser.parse_args(arguments)
    from flash.info.comparison import compare, compare_models, sides_of  # noqa: PLC0415 (numpy)

    if sides_of(options.a, options.b):
        found = compare_models(options.a, options.b, options.target, options.runtime)
    elif options.target or options.runtime:
        raise UsageError("--target and --runtime are of models; a search has its own target")
    else:
        found = compare(options.a, options.b)
    texts = ((options.json, found.to_json), (options.csv, found.to_csv))
    for place, text in texts:
        if place == "-":
            sys.stdout.write(text())
        elif place is not None:
            write_text(place, text())
    if "-" not in (options.json, options.csv):
        sys.stdout.write("\n".join(found.lines()) + "\n")


def _text(found: Examination) -> list[str]:
    libraries = ", ".join(f"{x.name} {x.version or 'missing'}" for x in found.libraries)
    device = found.device
    words = f"{device['model']}: {device['cpu']}, {device['cores']} cores"
    if device["ram_mb"]:
        words += f", {device['ram_mb'] / 1e3:.3g} GB"
    lines = [
        f"flash    {found.flash}",
        f"python   {found.python}",
        f"system   {found.system}",
        *_hanging("core     ", libraries),
        *_hanging("device   ", words),
        *_hanging("gpus     ", ", ".join(found.gpus) or "none with an NVIDIA driver"),
        "",
        "extras",
    ]
    for extra in found.extras:
        here = ", ".join(f"{x.name} {x.version}" for x in extra.libraries if x.version)
        what = f"missing {', '.join(extra.missing)}: {extra.remedy}" if extra.missing else here
        lines += _hanging(f"  {'no ' if extra.missing else 'yes'}  {extra.name:<11}", what)
    lines += ["", "sensors of power"]
    for sensor in found.sensors:
        mark = "no " if sensor.problem else "yes"
        what = sensor.problem or f"{sensor.kind} of the {sensor.scope}"
        lines += _hanging(f"  {mark}  {sensor.name:<11}", what)
    if found.plugins:
        lines += ["", "from other packages"]
        for name, problem in found.plugins.items():
            lines += _hanging(f"  {'no ' if problem else 'yes'}  ", f"{name} {problem}".rstrip())
    return lines


def _hanging(first: str, words: str) -> list[str]:
    """``words`` after ``first``, further lines indented as far."""
    return textwrap.wrap(
        words,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]
