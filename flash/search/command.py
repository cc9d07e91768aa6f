"""``python -m flash.search``: the command line of ``flash.search.search``."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

from flash.command import CommandParser
from flash.errors import UsageError
from flash.files.locations import data_file
from flash.files.writing import write_text
from flash.metrics import METRICS
from flash.optimize import OPTIMIZERS
from flash.proxies.options import add_options, options_from, own_proxy_names
from flash.quantities import parse_confidence, parse_number, parse_seed, parse_whole, quantity
from flash.report.files import write_files
from flash.report.runs import Run, dated_folder, point_latest
from flash.report.table import print_report
from flash.search.budgeted.options import (
    add_budget_options,
    check_budget_options,
    refuse_budget_options,
)
from flash.search.pipeline import Outcome, prepare, run
from flash.search.request import CERTIFY_SECONDS, SHORTLIST, Request
from flash.targets import find_profile

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Run the command; raises ``FlashError`` for whatever the user can mend."""
    options = _parser().parse_args(arguments)
    options.words = list(arguments)
    request = _request(options)
    if "" in (options.json, options.out):
        raise UsageError("--json and --out need a name")
    if (options.model or options.model_accuracy) and options.html is None:
        raise UsageError("--model is shown on the page of the front: add --html")
    if options.export:
        from flash.export import find_formats  # noqa: PLC0415 (another verb, seldom asked for)

        find_formats(options.export)  # before the work
    if options.search is None:
        refuse_budget_options(options)
        _search(options, request)
    else:
        check_budget_options(options)
        _spend_budget(options, request)


def _search(options: argparse.Namespace, request: Request) -> None:
    """Search, and write what was found."""
    began = datetime.datetime.now().astimezone()
    outcome = run(request)
    report = outcome.report
    html = _page(options, request, outcome)
    if options.json == "-":
        sys.stdout.write(report.to_json())
    elif options.json:
        write_text(options.json, report.to_json())
    written: tuple[Path, ...] = ()
    kept = options.out or options.export or not options.json
    if html and (options.html or not kept):
        place = Path(options.html or "front.html")
        write_text(place, html)
        written += (place,)
        html = ""
    if kept:
        written = (*_keep(options, request, outcome, html, began), *written)
    if options.json != "-":
        print_report(report, files=written, quiet=options.quiet, verbose=options.verbose)


def _keep(
    options: argparse.Namespace,
    request: Request,
    outcome: Outcome,
    html: str,
    began: datetime.datetime,
) -> tuple[Path, ...]:
    """Write the files of a search: into the folder given, or one of this run; returns them."""
    target, space = find_profile(request.target)[0], data_file("models", request.space)
    inputs = {"target": target} | ({} if space is None else {"space": space})
    made = Run(["flash", "search", *options.words], request.seed, inputs, began)
    names = (outcome.report.target["name"], request.space.rpartition("/")[2].removesuffix(".toml"))
    folder = Path(options.out) if options.out else dated_folder(Path("flash-out"), names, began)
    more = {"front.html": html} if html else {}
    written = write_files(
        outcome.report, folder, outcome.background, outcome.chip, more=more, run=made
    )
    if options.export:
        written += _export(options, folder, request.seed)
    shown = folder if options.out else point_latest(folder)
    return tuple(shown / path.name for path in written)


def _page(options: argparse.Namespace, request: Request, outcome: Outcome) -> str:
    """The front as an HTML page; empty where none is asked for."""
    if options.html is None:
        return ""
    from flash.search.page import front_page, own_models  # noqa: PLC0415 (seldom asked for)

    own = own_models(request, options.model or (), options.model_accuracy)
    return front_page(request, outcome, own, options.words)


def _spend_budget(options: argparse.Namespace, request: Request) -> None:
    """Run a search that spends trainings."""
    from flash.search.budgeted.command import spend_budget  # noqa: PLC0415 (seldom asked for)

    setup = prepare(request, budgeted=True)
    spend_budget(
        options, setup.problem, setup.tables, setup.criteria.bounds, setup.goal.metric, request.seed
    )


def _export(options: argparse.Namespace, folder: Path, seed: int) -> tuple[Path, ...]:
    """The balanced design in the formats asked for; returns the files written."""
    from flash.export import export  # noqa: PLC0415 (another verb, seldom asked for)

    done = export(
        folder / "front.json",
        out=folder,
        format=options.export,
        space=options.space,
        target=options.target,
        seed=seed,
    )
    return done.files


def _request(options: argparse.Namespace) -> Request:
    """What the options say; raises ``UsageError`` for values that cannot be."""

    def limit(option: str, name: str) -> float | None:
        text: str | None = getattr(options, option.replace("-", "_"))
        return None if text is None else quantity(name).parse(text, f"--{option}")

    return Request(
        target=options.target,
        space=options.space,
        runtime=options.runtime,
        hardware=options.hardware,
        objectives=options.objectives and options.objectives.split(","),
        objective=options.objective,
        metric=options.metric,
        max_latency_ms=limit("max-latency", "latency_ms"),
        max_energy_mj=limit("max-energy", "energy_mj"),
        max_memory_kb=limit("max-memory", "memory_kb"),
        max_area_mm2=limit("max-area", "area_mm2"),
        min_score=limit("min-score", "score"),
        min_accuracy_percent=limit("min-accuracy", "accuracy"),
        confidence=parse_confidence(options.confidence, "--confidence"),
        extrapolate=options.extrapolate,
        optimizer=options.optimizer,
        seed=parse_seed(options.seed),
        certify_seconds=parse_number(options.certify_seconds, "--certify-seconds"),
        shortlist=parse_whole(options.shortlist, "--shortlist", 2),
        scoring=options_from(options),
    )


def _parser() -> CommandParser:
    parser = CommandParser(
        "search",
        "Pareto designs of a search space for a target, certified by an exact optimizer.",
        "Quantities take units: --max-latency 20ms --max-energy 5mJ --max-memory 8MB.\n"
        "Exit codes: 0 done, 1 disk or output failed, 2 wrong arguments, 3 no design meets the\n"
        "limits, 4 bad file, 130 interrupted.",
    )
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
    add(
        "--metric",
        metavar="M",
        help=f"{', '.join((*METRICS.builtin, *own_proxy_names()))} (the space's own)",
    )
    add(
        "--extrapolate",
        action="store_true",
        help="search networks beyond those trained for the accuracy model too",
    )
    add_proxy = add_options(parser)
    add_proxy(
        "--shortlist", default=str(SHORTLIST), metavar="N", help="designs it scores (%(default)s)"
    )
    known = ", ".join(OPTIMIZERS.builtin)
    add("--optimizer", default="shgo", metavar="O", help=f"{known} (%(default)s)")
    seconds = "time for the certificate where hardware is searched (%(default)s)"
    add("--certify-seconds", default=str(CERTIFY_SECONDS), metavar="S", help=seconds)
    add("--seed", default="0", metavar="N", help="seed of everything random (%(default)s)")
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
    add("--export", metavar="F,G", help="the balanced design too, as flash.export --format writes")
    add("--json", metavar="FILE", help="write the JSON document to FILE, or to stdout with '-'")
    add("--quiet", action="store_true", help="the picks and the certificate, nothing else")
    add("--verbose", action="store_true", help="more of the front, and where each number is from")
    add_budget_options(parser)
    return parser
