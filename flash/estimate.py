"""``python -m flash.estimate``: designs of a space -> metrics, and costs on a target.

From Python: ``rows = flash.estimate(space="nasbench201", designs=[...], target="rpi4b")``.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flash import Command
from flash.command import CommandParser, run_command
from flash.errors import FlashError, InputError, UsageError
from flash.evaluation import Evaluation, Metrics, evaluate, measure
from flash.report.files import write_text
from flash.spaces.space import SearchSpace, load_space
from flash.targets import Given, load_target

__all__ = ["main", "run"]

Row = dict[str, str | int | float | bool]


def run(
    space: str,
    designs: Sequence[str],
    target: str | None = None,
    *,
    runtime: str | None = None,
    hardware: Given | None = None,
) -> list[Row]:
    """One row a design, in the order given.

    designs: each a JSON object of the space's variables, ``w1=8 d1=3 ...``, or the
             benchmark's own string.
    target:  a profile's name or file; without one there are no latency and energy.
    hardware: the chip of an accelerator, ``rows=16,cols=32``; its default one otherwise.

    Raises ``InputError`` with the line's number for a design that is not of the space.
    """
    found = load_space(space)
    if hardware is not None and not target:
        raise UsageError("hardware variables need a target, e.g. --target systolic")
    priced_on = load_target(target, runtime, hardware) if target else None
    rows = []
    for number, text in enumerate(designs, start=1):
        try:
            rows.append(found.design(_values(found, text)))
        except FlashError as error:
            raise InputError(f"design {number}: {error}") from None
    if not rows:
        raise InputError("no designs given; expected one a line")
    indices = np.array(rows)
    result = evaluate(found, priced_on, indices) if priced_on else measure(found, indices)
    return [_row(text, result, i) for i, text in enumerate(designs)]


def _values(space: SearchSpace, text: str) -> dict[str, int]:
    if not text.lstrip().startswith("{"):
        return space.family.parse(text)
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"not valid JSON: {error}") from None
    if not all(type(v) is int for v in values.values()):
        raise InputError("the values of a design are whole numbers")
    return dict(values)


def _row(text: str, found: Metrics, i: int) -> Row:
    row: Row = {
        "design": text,
        "nn_degree": float(found.nn_degree[i]),
        "nn_mass": float(found.nn_mass[i]),
        "params": int(found.params[i]),
        "macs": int(found.macs[i]),
        "weight_kb": float(found.weight_mb[i]) * 1e3,
        "activation_kb": float(found.activation_mb[i]) * 1e3,
    }
    if isinstance(found, Evaluation):
        for name, unit, triple in (
            ("latency", "ms", found.latency_ms),
            ("energy", "mj", found.energy_mj),
            ("area", "mm2", found.area_mm2),
        ):
            if triple is None:
                continue
            value, low, high = (float(v[i]) for v in triple)
            row |= {f"{name}_{unit}": value, f"{name}_low_{unit}": low, f"{name}_high_{unit}": high}
        row |= {name: float(v[i]) for name, v in found.details.items()}
        row["extrapolated"] = bool(found.extrapolated[i])
    return row


def _csv(rows: Sequence[Row]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _parser() -> CommandParser:
    parser = CommandParser(
        "estimate", "Metrics of designs of a space, and their costs on a target."
    )
    add = parser.add_argument
    add("--space", default="cifar10-concat", metavar="S", help="space name or file (%(default)s)")
    add("--designs", required=True, metavar="FILE", help="one design a line; '-' reads stdin")
    add("--target", metavar="T", help="profile name or TOML file")
    add("--runtime", metavar="R", help="one of the profile's runtimes (its default one)")
    add("--hardware", metavar="A=N,B=N", help="an accelerator's chip (its default one)")
    add("--csv", metavar="FILE", help="write CSV to FILE; '-' (the default) is stdout")
    add("--json", metavar="FILE", help="write JSON instead, to FILE or to stdout with '-'")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Run the command; raises ``FlashError`` for whatever the user can mend."""
    options = _parser().parse_args(arguments)
    if options.csv and options.json:
        raise UsageError("give --csv or --json, not both")
    try:
        text = sys.stdin.read() if options.designs == "-" else Path(options.designs).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise InputError(f"{options.designs}: {reason}") from None
    designs = [line.strip() for line in text.splitlines() if line.strip()]
    rows = run(
        options.space,
        designs,
        options.target,
        runtime=options.runtime,
        hardware=options.hardware,
    )
    if options.json:
        output, place = json.dumps(rows, indent=1, ensure_ascii=False) + "\n", options.json
    else:
        output, place = _csv(rows), options.csv or "-"
    if place == "-":
        sys.stdout.write(output)
    else:
        write_text(place, output)


sys.modules[__name__].__class__ = Command

if __name__ == "__main__":
    sys.exit(run_command(main))
