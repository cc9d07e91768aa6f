"""``python -m flash.search``: the command line of ``flash.search.search``."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from flash.command import CommandParser
from flash.errors import UsageError
from flash.extras import without_collection
from flash.metrics.registry import METRICS
from flash.optimize.optimizer import OPTIMIZERS
from flash.proxies.options import add_options, own_proxy_names
from flash.search.budgeted.options import (
    add_budget_options,
    check_budget_options,
    refuse_budget_options,
)
from flash.search.request import OPTIMIZER, PICKS, SHORTLIST

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Run the command; raises ``FlashError`` for whatever the user can mend."""
    options = _parser().parse_args(arguments)
    with without_collection(for_good=True):
        from flash.search.answer import (  # noqa: PLC0415 (numpy: --help does without)
            requested,
            search_and_write,
            spend_budget_on,
        )

    options.words = list(arguments)
    request = requested(options)
    if "" in (options.json, options.out):
        raise UsageError("--json and --out need a name")
    if (options.model or options.model_accuracy) and options.html is None:
        raise UsageError("--model is shown on the page of the front: add --html")
    if options.input and not options.model:
        raise UsageError("--input has the sizes of a --model's input: add the model")
    if options.export:
        from flash.export import find_formats  # noqa: PLC0415 (another verb, seldom asked for)

        find_formats(options.export)  # before the work
    if options.search is None:
        refuse_budget_options(options)
        search_and_write(options, request)
    else:
        check_budget_options(options)
        spend_budget_on(options, request)


def _parser() -> CommandParser:
    parser = CommandParser(
        "search",
        "Pareto designs of a search space for a target, certified by an exact optimizer.",
        "Quantities take units: --max-latency 20ms --max-energy 5mJ --max-memory 8MB.\n\n"
        + textwrap.fill(PICKS, 100)
        + "\n",
    )
    _add_question(parser)
    _add_method(parser)
    _add_answer(parser)
    add_budget_options(parser)
    return parser


def _add_question(parser: CommandParser) -> None:
    """What is searched, on what, within which limits."""
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
    add("--confidence", metavar="90%", help="hold limits at the far end of this interval")
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


def _add_method(parser: CommandParser) -> None:
    """By which score and optimizer."""
    add = parser.add_argument
    add(
        "--metric",
        metavar="M",
        help=f"{', '.join((*METRICS.builtin, *own_proxy_names()))}; flash list metrics, flash "
        "list proxies: all (the space's own)",
    )
    add(
        "--extrapolate",
        action="store_true",
        help="search networks beyond those trained for the accuracy model, or measured on the "
        "target, too",
    )
    add_proxy = add_options(parser)
    add_proxy("--shortlist", metavar="N", help=f"designs it scores ({SHORTLIST})")
    known = f"{', '.join(OPTIMIZERS.builtin)}; flash list optimizers: all"
    add("--optimizer", metavar="O", help=f"{known} ({OPTIMIZER})")
    seconds = "time for the certificate where hardware is searched (effort counted in work)"
    add("--certify-seconds", metavar="S", help=seconds)
    add("--seed", default="0", metavar="N", help="seed of everything random (%(default)s)")


def _add_answer(parser: CommandParser) -> None:
    """What is shown and written."""
    add = parser.add_argument
    add(
        "--out",
        metavar="DIR",
        help="folder for the files (flash-out/DATE-TARGET-SPACE, with a link flash-out/latest)",
    )
    add(
        "--html",
        nargs="?",
        const="",
        metavar="FILE",
        help="a page to explore the front in a browser (front.html beside the other files)",
    )
    add("--model", action="append", metavar="M.onnx", help="your own model, on that page too")
    add("--model-accuracy", metavar="91%", help="its accuracy, which only you know")
    add("--input", metavar="NAME=1x3x224x224", action="append", default=[],
        help="sizes of an input of those models; without NAME= of their only one")  # fmt: skip
    add("--export", metavar="F,G", help="the balanced design too, as flash.export --format writes")
    add("--json", metavar="FILE", help="write the JSON document to FILE, or to stdout with '-'; "
        "no folder then, unless --out or --export asks for one")  # fmt: skip
    alone = parser.add_mutually_exclusive_group().add_argument
    alone("--quiet", action="store_true", help="the picks and the certificate, nothing else")
    more = "more of the front, and where each number is from"
    alone("--verbose", action="store_true", help=more)
