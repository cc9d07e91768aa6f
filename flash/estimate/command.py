"""``python -m flash.estimate``: designs or ONNX files -> metrics, and costs on targets.

From Python: ``report = estimate("resnet18.onnx", target="rpi4b,x86-avx512")`` or
``report = estimate(space="nasbench201", designs=[...], target="rpi4b")``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from flash.command import CommandParser
from flash.errors import FlashError, InputError, UsageError, did_you_mean
from flash.estimate.designs import DesignPricing, read_designs
from flash.estimate.layers import block_rows, with_measured
from flash.estimate.optimised import OPTIMIZERS, Optimised
from flash.estimate.options import (
    add_model_options,
    asked_optimiser,
    end_with,
    input_sizes,
    only_shape,
)
from flash.estimate.pricing import (
    DEFAULT_SPACE,
    SHOWN,
    estimate,
    load_targets,
    price_models,
    read_models,
    target_name,
    with_proxy,
)
from flash.estimate.report import EstimateReport
from flash.estimate.sheet import check_sheet, write_sheet
from flash.estimate.stream import DesignLines, fingerprint, write_designs
from flash.estimate.table import Row, basis_lines, entropy_table, estimate_table, layer_table
from flash.files.cells import csv_text
from flash.files.results import put_result
from flash.measurements.comparison import comparison_table, read_comparison
from flash.measurements.records import KernelTime
from flash.metrics import METRICS, evidence
from flash.proxies.options import (
    add_options,
    is_proxy,
    options_from,
    own_proxy_names,
    proxy_names,
    refuse_unused,
)
from flash.quantities import parse_seed
from flash.spaces.network import Network
from flash.spaces.space import load_space
from flash.targets import load_target

__all__ = ["estimate", "main"]

#: Columns that ``--metric`` may name and that are no metrics.
_SIZES = ("params", "macs")
_METRICS = (*SHOWN, *_SIZES)
#: Share of the measured time in kernels that no layer stands for from which on it is told.
_TOLD_LACKING = 0.02
#: Word after --sort -> column.
_SORTED_BY = {
    "latency": "latency_ms",
    "energy": "energy_mj",
    "area": "area_mm2",
    "params": "params",
    "macs": "macs",
    "weights": "weight_kb",
    "activations": "activation_kb",
}


def _parser() -> CommandParser:
    parser = CommandParser(
        "estimate", "Metrics of ONNX files or of designs of a space, and their costs on targets."
    )
    add = parser.add_argument
    add(
        "models", nargs="*", metavar="MODEL.onnx", help="ONNX files, or names (flash list networks)"
    )
    add("--space", metavar="S", help=f"instead: space name or file ({DEFAULT_SPACE})")
    add("--designs", metavar="FILE", help="and its designs, one a line; '-' reads stdin")
    add("--metric", metavar="M", help=f"only this of {', '.join((*_METRICS, *own_proxy_names()))}; "
        "flash list metrics, flash list proxies: all")  # fmt: skip
    add("--seed", default="0", metavar="N", help="seed of a metric that runs the network (0)")
    add_options(parser)
    add_model_options(parser)
    add("--layers", action="store_true", help="layer by layer: time on a target, lost entropy")
    add("--sheet", metavar="FILE", help="HTML page of an accelerator with one network: picture, "
        "every layer's cycles, bytes, energy by component; FILE.svg: the picture")  # fmt: skip
    add("--sort", metavar="WORD", help=f"rows by {', '.join(_SORTED_BY)}, least first")
    add("--measured", metavar="FILE", help="what flash.profile measured, to compare with; with "
        "--layers kernel by kernel (flash.profile --kernels), in onnxruntime's graph")  # fmt: skip
    add("--table", action="store_true", help="the table for people also where none looks")
    add("--csv", metavar="FILE", help="CSV to FILE; '-' is stdout, as where no terminal is")
    add("--json", metavar="FILE", help="write JSON instead, to FILE or to stdout with '-'")
    return parser


def _provenance(options: argparse.Namespace) -> list[str]:
    """Where the predictions come from, a line each."""
    target = load_target(options.target, options.runtime, options.hardware)
    summary = target.summary()
    lines = [str(line) for line in summary["provenance"]]
    about = [line for line in lines if not line.startswith("energy:")]
    return [f"{target.name}, {summary['description']}", *about]


def _bases(options: argparse.Namespace) -> dict[str, str]:
    """Target -> what its costs rest on, in a few words."""
    targets = load_targets(options.target, options.runtime, options.hardware)
    found = {target_name(target): target.summary().get("basis") for target in targets}
    return {name: str(basis) for name, basis in found.items() if basis}


def _check_options(options: argparse.Namespace) -> None:
    """Raise ``UsageError`` for options that contradict each other."""
    if options.runtime and not options.target:
        raise UsageError("--runtime needs --target")
    proxy = is_proxy(options.metric)
    further = bool(options.metric) and not proxy and options.metric not in _METRICS
    if further and options.metric not in METRICS:
        known = did_you_mean(options.metric, (*METRICS, *_METRICS, *proxy_names()))
        raise UsageError(f"unknown metric '{options.metric}'{known}")
    if not proxy:
        refuse_unused(options_from(options), options.metric)
    if sum(bool(x) for x in (options.csv, options.json, options.table)) > 1:
        raise UsageError("give one of --csv, --json and --table")
    if options.models and (options.space or options.designs):
        raise UsageError("give ONNX files or --space and --designs, not both")
    if not options.models and not options.designs:
        raise UsageError("give ONNX files, or designs of a space with --designs FILE")
    if (options.input_shape or options.input) and not options.models:
        what = "--input-shape" if options.input_shape else "--input"
        raise UsageError(f"{what} is for ONNX files; a space has its own input")
    if options.measured and not (options.models and options.target):
        raise UsageError("--measured needs ONNX files and a --target to compare")
    if options.optimized_by and not options.models:
        raise UsageError("--optimized-by is for ONNX files")
    if options.measured and "," in options.target:
        raise UsageError("--measured compares with one --target, that it was measured on")
    if options.measured and options.metric:
        raise UsageError("give --metric or --measured, not both")
    if options.layers and options.metric:
        raise UsageError("give --metric or --layers, not both")
    if options.sheet and not options.target:
        raise UsageError("--sheet needs the --target that is an accelerator, e.g. systolic")
    if options.sort and options.sort not in _SORTED_BY:
        raise UsageError(f"--sort {options.sort}{did_you_mean(options.sort, _SORTED_BY)}")


def main(arguments: Sequence[str]) -> None:
    """Run the command; raises ``FlashError`` for whatever the user can mend.

    A bad file among several is named, the others are done, and the exit code is its error's.
    """
    options = _parser().parse_args(arguments)
    _check_options(options)
    parse_seed(options.seed)
    if _streams(options):
        _tell_evidence(options, [])
        _stream(options)
        return
    rows, networks, errors = _rows(options)
    if not rows:
        end_with(errors)
        return
    if options.sheet:
        (target,) = load_targets(options.target, options.runtime, options.hardware)
        write_sheet(options.sheet, rows[0], networks[0], target)
    if options.sort:
        column = _SORTED_BY[options.sort]
        if column not in rows[0]:
            raise UsageError(f"--sort {options.sort} needs a --target that tells it")
        rows = sorted(rows, key=lambda row: float(row[column]))
    if options.measured:
        rows = _compared(options, rows)
    _tell_evidence(options, rows)
    if options.metric:
        rows = _narrowed(options, rows)
    if not (options.measured and not (options.csv or options.json)):
        _write(options, rows)
    end_with(errors)


def _streams(options: argparse.Namespace) -> bool:
    """Whether rows can be written as they come: designs as CSV, in their order, as they are."""
    gathered = any(getattr(options, x) for x in ("json", "table", "sort", "layers", "sheet"))
    table = sys.stdout.isatty() and not options.csv and not options.metric
    return bool(options.designs) and not (gathered or table or is_proxy(options.metric))


def _stream(options: argparse.Namespace) -> None:
    """Price designs and write them some at a time; an interrupted file is gone on with."""
    space, texts = load_space(options.space or DEFAULT_SPACE), DesignLines(options.designs)
    targets = load_targets(options.target, options.runtime, options.hardware, space.family.name)
    if not len(texts):
        raise InputError("no designs given; expected one a line")
    indices = read_designs(space, texts)
    metrics = (options.metric,) if options.metric and options.metric not in _SIZES else ()
    pricing = DesignPricing(space, targets, metrics, indices)
    wanted = _wanted(options) if options.metric else None
    described = [target.summary() for target in targets], [target.chip for target in targets]
    mark = fingerprint(
        texts, space.name, [g.tolist() for g in space.grids], space.accuracy, described, wanted
    )
    write_designs(pricing, texts, wanted, options.csv or "-", mark)


def _rows(options: argparse.Namespace) -> tuple[list[Row], list[Network], list[FlashError]]:
    """Rows, the network of each where a sheet or the rows themselves need it, and what failed."""
    proxy = options.metric if is_proxy(options.metric) else None
    further = bool(options.metric) and proxy is None and options.metric not in _METRICS
    metrics = (options.metric,) if further else ()
    seed, scoring = parse_seed(options.seed), options_from(options)
    if options.models:
        targets = load_targets(options.target, options.runtime, options.hardware)
        if options.sheet:
            check_sheet(options.sheet, targets, len(options.models))
        models, errors = read_models(options.models, only_shape(options), input_sizes(options))
        if errors and not models and len(errors) == 1:
            raise errors[0]
        optimised = asked_optimiser(options)
        if optimised is None and options.measured and options.layers:
            # Measured kernels have the names of that graph.
            optimised = Optimised(OPTIMIZERS[0], only_shape(options), input_sizes(options))
        rows = price_models(models, targets, (*SHOWN, *metrics), options.layers, optimised, errors)
        named = {model.name: model.network for model in models}
        networks = [named[row["design"]] for row in rows]
        return with_proxy(rows, networks, proxy, seed, scoring), networks, errors
    texts, networks = list(DesignLines(options.designs)), []
    if options.sheet:
        space = load_space(options.space or DEFAULT_SPACE)
        targets = load_targets(options.target, options.runtime, options.hardware, space.family.name)
        check_sheet(options.sheet, targets, len(texts))
        networks = [space.network(row.astype(np.int64)) for row in read_designs(space, texts)]
    found = estimate(
        space=options.space or "",
        designs=texts,
        target=options.target,
        runtime=options.runtime,
        hardware=options.hardware,
        layers=options.layers,
        metrics=metrics,
        proxy=proxy,
        seed=seed,
        scoring=scoring,
    )
    return list(found), networks, []


def _tell_evidence(options: argparse.Namespace, rows: list[Row]) -> None:
    """How far the score asked for is to be believed, on standard error."""
    metric = options.metric or "rank_score"
    if metric not in evidence.SHOWN_TO_RANK:
        return
    if options.designs and not (options.metric or rows):
        return
    if options.designs and options.metric:
        lines = evidence.of_space(load_space(options.space or DEFAULT_SPACE), metric)
    else:
        lines = [evidence.SHOWN_TO_RANK[metric]] if options.metric else []
        once = {row["design"]: row for row in rows if row[metric] is not None}
        columns = {
            name: np.array([row[key] for row in once.values()], dtype=np.float64)
            for name, key in (("score", metric), ("params", "params"), ("MACs", "macs"))
        }
        lines += evidence.of_networks(metric, columns.pop("score"), columns)
    for line in lines:
        sys.stderr.write(f"note: {line}\n")


def _compared(options: argparse.Namespace, rows: list[Row]) -> list[Row]:
    """The rows with what was measured; the table of both, unless it goes to a file."""
    measured = read_comparison(options.measured)
    for problem in measured.problems:
        sys.stderr.write(f"note: {problem}\n")
    rows = [row | measured.columns(row["design"], row) for row in rows]
    for row in rows if options.layers else ():
        _add_kernels(row, measured.kernels(row["design"]))
    if not (options.csv or options.json):
        sys.stdout.write(comparison_table(rows, _provenance(options), measured.origin))
        for row in rows if options.layers else ():
            sys.stdout.write("\n" + layer_table(row))
    return rows


def _add_kernels(row: Row, kernels: Sequence[KernelTime]) -> None:
    """Measured times beside those predicted, layer by layer."""
    if not kernels:
        sys.stderr.write(f"note: {row['design']}: no kernels were timed: flash.profile --kernels\n")
    row["layers"], lacking = with_measured(row["layers"], kernels)
    row["blocks"] = block_rows(row["layers"])
    if lacking > _TOLD_LACKING:
        sys.stderr.write(
            f"note: {row['design']}: {lacking:.0%} of the measured time is in kernels that the "
            "graph made here does not have: another version, or another machine's layouts\n"
        )


def _narrowed(options: argparse.Namespace, rows: list[Row]) -> list[Row]:
    """The rows with the metric asked for, and the costs where a target was named."""
    names = [name for name in _wanted(options) if name in rows[0]]
    without = sum(row[options.metric] is None for row in rows)
    if without and not is_proxy(options.metric):
        line = f"note: {without} of {len(rows)} networks have no {options.metric}"
        sys.stderr.write(f"{line}: it is a score of designs of a space\n")
    return [{name: row[name] for name in names} for row in rows]


def _wanted(options: argparse.Namespace) -> tuple[str, ...]:
    """The columns of ``--metric``, those of them that there are."""
    costs = [
        f"{quantity}{end}_{unit}"
        for quantity, unit in (("latency", "ms"), ("energy", "mj"), ("area", "mm2"))
        for end in ("", "_low", "_high")
    ]
    return ("design", "target", options.metric, *(costs if options.target else ()))


def _write(options: argparse.Namespace, rows: list[Row]) -> None:
    """Rows as the options say: a table where a person looks, CSV elsewhere."""
    table = options.table or (sys.stdout.isatty() and not (options.csv or options.json))
    if table and not options.metric:
        sys.stdout.write(estimate_table(rows) + basis_lines(_bases(options)))
        for row in rows if options.layers else ():
            table_of = layer_table if options.target else entropy_table
            sys.stdout.write("\n" + table_of(row))
        return
    report = EstimateReport(tuple(rows))
    if options.json:
        output, place = report.to_json(), options.json
    else:
        flat = report.layer_records() if options.layers else report.to_records()
        output, place = csv_text(flat), options.csv or "-"
    put_result(place, output)
