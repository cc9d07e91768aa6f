"""What the command line of ``flash.search.search`` asks for, done: search, write, print."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from flash.files.locations import data_file, data_file_and_part
from flash.files.results import put_result, refuse_others_files
from flash.proxies.options import options_from
from flash.quantities import parse_confidence, parse_number, parse_seed, parse_whole, quantity
from flash.report.files import NAMES, write_files
from flash.report.runs import Run, dated_folder, point_latest
from flash.report.table import print_report
from flash.search.pipeline import Outcome, prepare, run
from flash.search.request import OPTIMIZER, Request
from flash.search.waiting import teller

__all__ = ["requested", "search_and_write", "spend_budget_on"]

_T = TypeVar("_T")
#: What the page is called, beside the other files or, where there are none, in the current folder.
_PAGE = "front.html"


def search_and_write(options: argparse.Namespace, request: Request) -> None:
    """Search, and write what was found."""
    began = datetime.datetime.now().astimezone()
    kept = options.out or options.export or not options.json
    if options.out or not kept:  # the folder of a run that names none is its own
        names: tuple[str, ...] = NAMES if kept else ()
        names += ("manifest.json",) if options.export else ()
        refuse_others_files(options.out or "", (*names, _PAGE) if options.html == "" else names)
    outcome = run(request)
    report = outcome.report
    html = _page(options, request, outcome)
    if options.json:
        put_result(options.json, report.to_json(), options.quiet)
    written: tuple[Path, ...] = ()
    if html and (options.html or not kept):
        place = Path(options.html or _PAGE)
        put_result(place, html, options.quiet)
        written += (place,)
        html = ""
    if kept:
        written = (*_keep(options, request, outcome, html, began), *written)
    if options.json and options.json != "-":
        written += (Path(options.json),)
    if options.json != "-":
        print_report(report, files=written, quiet=options.quiet, verbose=options.verbose)
    elif written and not options.quiet and sys.stderr is not None:
        sys.stderr.write(f"written: {', '.join(map(str, written))}\n")


def _keep(
    options: argparse.Namespace,
    request: Request,
    outcome: Outcome,
    html: str,
    began: datetime.datetime,
) -> tuple[Path, ...]:
    """Write the files of a search: into the folder given, or one of this run; returns them."""
    target, _ = data_file_and_part("hw_profiles", request.target)
    read = {"target": target, "space": data_file("models", request.space)}
    inputs = {name: path for name, path in read.items() if path is not None}
    made = Run(["flash", "search", *options.words], request.seed, inputs, began)
    names = (outcome.report.target["name"], request.space.rpartition("/")[2].removesuffix(".toml"))
    folder = Path(options.out) if options.out else dated_folder(Path("flash-out"), names, began)
    more = {_PAGE: html} if html else {}
    written = write_files(
        outcome.report,
        folder,
        outcome.background,
        outcome.chip,
        more=more,
        run=made,
        new=not options.out,
    )
    folder = written[0].parent
    if options.export:
        written += _export(options, folder, request.seed)
    shown = folder if options.out else point_latest(folder)
    return tuple(shown / path.name for path in written)


def _page(options: argparse.Namespace, request: Request, outcome: Outcome) -> str:
    """The front as an HTML page; empty where none is asked for."""
    if options.html is None:
        return ""
    from flash.search.page import front_page, own_models  # noqa: PLC0415 (seldom asked for)

    own = own_models(request, options.model or (), options.model_accuracy, options.input)
    return front_page(request, outcome, own, options.words)


def spend_budget_on(options: argparse.Namespace, request: Request) -> None:
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


def requested(options: argparse.Namespace) -> Request:
    """What the options say; raises ``UsageError`` for values that cannot be."""

    def given(parse: Callable[[str, str], _T], option: str) -> _T | None:
        text: str | None = getattr(options, option.replace("-", "_"))
        return None if text is None else parse(text, f"--{option}")

    def limit(option: str, name: str) -> float | None:
        return given(quantity(name).parse, option)

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
        optimizer=options.optimizer or OPTIMIZER,
        seed=parse_seed(options.seed),
        certify_seconds=given(parse_number, "certify-seconds"),
        shortlist=given(parse_whole, "shortlist"),
        scoring=options_from(options),
        tell=teller(quiet=options.quiet),
    )
