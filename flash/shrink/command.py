"""``python -m flash.shrink``: the command line of ``flash.shrink.shrink``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from flash.command import CommandParser
from flash.errors import UsageError
from flash.files.results import put_result
from flash.quantities import (
    parse_number,
    parse_only_input,
    parse_seed,
    parse_whole,
    quantity,
)
from flash.shrink.pipeline import IMPORTANCES, shrink

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Run the command; raises ``FlashError`` for whatever the user can mend."""
    options = _parser().parse_args(arguments)
    if "" in (options.json, options.out):
        raise UsageError("--json and --out need a name")
    latency, share = _latency(options.max_latency)
    only, inputs = parse_only_input(options.input_shape, options.input)
    report = shrink(
        options.model,
        options.target,
        input_shape=only,
        inputs=inputs,
        runtime=options.runtime,
        max_latency_ms=latency,
        max_latency_share=share,
        max_energy_mj=_limit(options, "max-energy", "energy_mj"),
        max_memory_kb=_limit(options, "max-memory", "memory_kb"),
        metric=options.metric,
        importance=options.importance,
        sides=[
            parse_whole(side, "--sides", 1) for side in (options.sides or "").split(",") if side
        ],
        design=options.design,
        data=options.data,
        measured_ms=_limit(options, "measured", "latency_ms"),
        out=options.out,
        seed=parse_seed(options.seed),
    )
    if options.json == "-":
        sys.stdout.write(report.to_json())
        return
    if options.json:
        put_result(options.json, report.to_json(), options.quiet)
    lines = report.lines()
    if options.verbose:
        lines += ["", "what varies:", *(f"  {k}: {v}" for k, v in report.variables.items())]
        lines += ["what does not:", *(f"  {k}: {v}" for k, v in report.fixed.items())]
    if not options.quiet:
        lines += [f"written: {path}" for path in report.files]
    sys.stdout.write("\n".join(lines) + "\n")


def _latency(text: str | None) -> tuple[float | None, float | None]:
    """A latency in ms, or a share of the model's own."""
    if text is None or not text.endswith("%"):
        return (None if text is None else quantity("latency_ms").parse(text, "--max-latency")), None
    percent = parse_number(text[:-1], "--max-latency")
    if not 0 < percent <= 100:
        raise UsageError(f"--max-latency {text}: expected a share above 0 and up to 100 %")
    return None, percent / 100


def _limit(options: argparse.Namespace, option: str, name: str) -> float | None:
    text: str | None = getattr(options, option.replace("-", "_"))
    return None if text is None else quantity(name).parse(text, f"--{option}")


def _parser() -> CommandParser:
    parser = CommandParser(
        "shrink",
        "A model's own smaller variants for a target: the certified front, and the best within\n"
        "the limits written as ONNX and PyTorch weights, with the weights it inherits.",
    )
    add = parser.add_argument
    add("model", metavar="MODEL.onnx", help="the model, trained or not, in floating point")
    add("--target", default="rpi4b", metavar="T", help="profile name or TOML file (%(default)s)")
    add("--runtime", metavar="R", help="one of the profile's runtimes (its default one)")
    add("--max-latency", metavar="30ms", help="latency limit (us, ms, s), or 50%% of the model's")
    add("--max-memory", metavar="8MB", help="limit on weights + peak activations (kB, MB, MiB)")
    add("--max-energy", metavar="5mJ", help="energy limit (uJ, mJ, J)")
    add("--metric", metavar="M", help="what is maximised (kept_importance: the share of the weights"
        " kept)")  # fmt: skip
    add("--importance", default="norm", metavar="I", help=f"of filters: {', '.join(IMPORTANCES)} "
        "(what they change on --data; %(default)s)")  # fmt: skip
    add("--sides", metavar="160,192", help="heights that the input may have beside its own")
    add("--design", metavar="D", help="an id of the front, fastest, balanced or most_accurate")
    add("--data", metavar="FILE", help="inputs (.npy, .npz, or labelled images): the variant is "
        "fitted to and compared on them")  # fmt: skip
    add("--measured", metavar="80ms", help="what the model takes on the target, to show beside")
    add("--input-shape", metavar="1x3x224x224", help="sizes of the model's only input")
    add("--input", metavar="NAME=1x3x224x224", action="append", default=[], help="of one by name")
    add("--out", metavar="DIR", help="folder for the files (flash-shrink/NAME, after the model)")
    add("--seed", default="0", metavar="N", help="seed of everything random (%(default)s)")
    add("--json", metavar="FILE", help="write the JSON document to FILE, or to stdout with '-'")
    add("--quiet", action="store_true", help="without the list of files")
    add("--verbose", action="store_true", help="what varies too, and what does not and why")
    return parser
