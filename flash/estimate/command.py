"""``python -m flash.estimate``: designs or ONNX files -> metrics, and costs on a target.

From Python: ``rows = estimate(space="nasbench201", designs=[...], target="rpi4b")`` or
``rows = estimate(models=["resnet18.onnx"], target="rpi4b")``.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flash.command import CommandParser
from flash.errors import FlashError, InputError, UsageError, did_you_mean
from flash.evaluation import (
    Evaluation,
    Metrics,
    evaluate,
    evaluate_network,
    measure,
    measure_network,
)
from flash.files.reading import read_input
from flash.files.writing import write_text
from flash.measurements.comparison import comparison_table, read_comparison
from flash.metrics import METRICS, network_scores, scores
from flash.proxies.metric import metric_scores
from flash.proxies.options import ProxyOptions, add_options, is_proxy, options_from, proxy_names
from flash.quantities import parse_seed, parse_sizes, quantity
from flash.spaces.network import Network
from flash.spaces.space import SearchSpace, load_space
from flash.spaces.stage_tables import Floats
from flash.targets import Given, Target, load_target

if TYPE_CHECKING:
    from flash.accuracy import Prediction

__all__ = ["main", "estimate"]

#: A value is None where it is not known.
Row = dict[str, str | int | float | bool | None]

#: Metrics of every row, in this order; any other is a column where it is asked for.
_SHOWN = ("nn_degree", "nn_mass", "sed", "rank_score")
_METRICS = (*_SHOWN, "params", "macs")
_DEFAULT_SPACE = "cifar10-concat"
_QUANTIZED = "all numbers are of its layers in the precision of the target, fp32 without one"


def estimate(
    space: str = "",
    designs: Sequence[str] = (),
    target: str | None = None,
    *,
    models: Sequence[str | Path] = (),
    runtime: str | None = None,
    hardware: Given | None = None,
    input_shape: Sequence[int] | None = None,
    metrics: Sequence[str] = (),
    proxy: str | None = None,
    seed: int = 0,
    scoring: ProxyOptions | None = None,
) -> list[Row]:
    """One row a design, or one an ONNX file, in the order given.

    Designs of a calibrated space have their predicted accuracy (per cent) with its interval.

    designs: each a JSON object of the space's variables, ``w1=8 d1=3 ...``, or the
             benchmark's own string; not together with ``models``.
    hardware: the chip of an accelerator, ``rows=16,cols=32``; its default one otherwise.
    target:  a profile's name or file; without one there are no latency and energy.
    models:  ONNX files; ``design`` is then the file as named here. NN-Degree and NN-Mass are
             None: a file does not say which layers form a cell. A quantized one (QDQ form) counts
             as the network it quantizes, in the target's precision.
    input_shape: sizes for the models' dynamic axes, e.g. ``(1, 3, 224, 224)``.
    metrics: further ones of ``flash.metrics.METRICS``, a column each.
    proxy:   a score of ``flash.proxies`` that runs each network, more is better, as one more
             column; None where it says nothing. ``seed`` and ``scoring`` say how.

    Raises ``InputError`` with the line's number for a design that is not of the space, and
    with the file's name for one that is no model or has operators without a known cost.
    """
    if models and (space or designs):
        raise UsageError("give ONNX files or a space and its designs, not both")
    if hardware is not None and not target:
        raise UsageError("hardware variables need a target, e.g. --target systolic")
    priced_on = load_target(target, runtime, hardware) if target else None
    if models:
        from flash.backends import holds_quantized, read_onnx  # noqa: PLC0415 (an extra)

        networks = [read_onnx(path, input_shape) for path in models]
        for path in models:
            if holds_quantized(path):
                sys.stderr.write(f"note: {path} is quantized: {_QUANTIZED}\n")
        model_rows = [
            _model_row(path, network, priced_on, (*_SHOWN, *metrics))
            for path, network in zip(models, networks, strict=True)
        ]
        return _with_proxy(model_rows, networks, proxy, seed, scoring)
    found = load_space(space or _DEFAULT_SPACE)
    rows = []
    for number, text in enumerate(designs, start=1):
        try:
            rows.append(found.parse(text))
        except FlashError as error:
            raise InputError(f"design {number}: {error}") from None
    if not rows:
        raise InputError("no designs given; expected one a line")
    indices = np.array(rows)
    result = evaluate(found, priced_on, indices) if priced_on else measure(found, indices)
    known = scores(found, indices, (*_SHOWN, *metrics))
    predicted = _accuracy(found, indices)
    design_rows = [
        _row(text, result, known, i, priced_on, predicted) for i, text in enumerate(designs)
    ]
    networks = [found.network(row) for row in indices] if proxy else []
    return _with_proxy(design_rows, networks, proxy, seed, scoring)


def _with_proxy(
    rows: list[Row], networks: Sequence[Network], proxy: str | None, seed: int,
    scoring: ProxyOptions | None,
) -> list[Row]:  # fmt: skip
    """The rows with one more column; why some have no score goes to standard error."""
    if proxy is None:
        return rows
    scores = metric_scores(networks, proxy, seed, scoring or ProxyOptions())
    for line in scores.notes:
        sys.stderr.write(f"note: {line}\n")
    values = iter(scores.values[proxy].tolist())
    return [
        row | {proxy: next(values) if ok else None}
        for row, ok in zip(rows, scores.scored, strict=True)
    ]


def _model_row(
    path: str | Path, network: Network, target: Target | None, metrics: Sequence[str]
) -> Row:
    result = evaluate_network(network, target) if target else measure_network(network)
    known = network_scores(network, metrics)
    return _row(str(path), result, {n: np.array([v]) for n, v in known.items()}, 0, target)


def _accuracy(space: SearchSpace, designs: NDArray[np.int64]) -> Prediction | None:
    """Predicted accuracy of designs, None without a model; why not goes to standard error."""
    if space.accuracy is None:
        return None
    from flash.accuracy import accuracy_of, why_no_accuracy  # noqa: PLC0415 (few spaces have one)

    model = accuracy_of(space)
    if model is None:
        sys.stderr.write(f"note: no accuracy: {why_no_accuracy(space)}\n")
        return None
    predicted = model.predict(space, designs)
    if outside := int(predicted.outside.sum()):
        sys.stderr.write(
            f"note: {outside} of {len(designs)} designs lie beyond the trained networks: their "
            "accuracy is extrapolated\n"
        )
    return predicted


def _row(
    text: str,
    found: Metrics,
    scores: Mapping[str, Floats],
    i: int,
    target: Target | None,
    accuracy: Prediction | None = None,
) -> Row:
    row: Row = {
        "design": text,
        **{name: _known(values[i]) for name, values in scores.items()},
        "params": int(found.params[i]),
        "macs": int(found.macs[i]),
        "weight_kb": float(found.weight_mb[i]) * 1e3,
        "activation_kb": float(found.activation_mb[i]) * 1e3,
    }
    if accuracy is not None:
        ends = (float(v[i]) for v in (accuracy.value, accuracy.low, accuracy.high))
        row |= dict(zip(quantity("accuracy").columns, ends, strict=True))
        row["accuracy_extrapolated"] = bool(accuracy.outside[i])
    if isinstance(found, Evaluation):
        for name in ("latency_ms", "energy_mj", "area_mm2"):
            triple = getattr(found, name)
            if triple is None or (name == "energy_mj" and target and not target.energy_how):
                continue
            row |= dict(zip(quantity(name).columns, (float(v[i]) for v in triple), strict=True))
        row |= {name: float(v[i]) for name, v in found.details.items()}
        row["extrapolated"] = bool(found.extrapolated[i])
    return row


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _csv(rows: Sequence[Row]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _parser() -> CommandParser:
    parser = CommandParser(
        "estimate", "Metrics of designs of a space or of ONNX files, and their costs on a target."
    )
    add = parser.add_argument
    add("models", nargs="*", metavar="MODEL.onnx", help="networks as ONNX files")
    add("--space", metavar="S", help=f"instead: space name or file ({_DEFAULT_SPACE})")
    add("--designs", metavar="FILE", help="and its designs, one a line; '-' reads stdin")
    add("--metric", metavar="M", help=f"only this of {', '.join((*_METRICS, *proxy_names()))}")
    add("--seed", default="0", metavar="N", help="seed of a metric that runs the network (0)")
    add_options(parser)
    add("--target", metavar="T", help="profile name or TOML file")
    add("--runtime", metavar="R", help="one of the profile's runtimes (its default one)")
    add("--hardware", metavar="A=N,B=N", help="an accelerator's chip (its default one)")
    add("--input-shape", metavar="1x3x224x224", help="sizes for dynamic axes of the models")
    add("--measured", metavar="FILE", help="what flash.profile measured, to compare with")
    add("--csv", metavar="FILE", help="write CSV to FILE; '-' (the default) is stdout")
    add("--json", metavar="FILE", help="write JSON instead, to FILE or to stdout with '-'")
    return parser


def _designs(file: str) -> list[str]:
    return [line.strip() for line in read_input(file).splitlines() if line.strip()]


def _provenance(options: argparse.Namespace) -> list[str]:
    """Where the predictions come from, a line each."""
    target = load_target(options.target, options.runtime, options.hardware)
    summary = target.summary()
    lines = [str(line) for line in summary["provenance"]]
    about = [line for line in lines if not line.startswith("energy:")]
    return [f"{target.name}, {summary['description']}", *about]


def main(arguments: Sequence[str]) -> None:
    """Run the command; raises ``FlashError`` for whatever the user can mend."""
    options = _parser().parse_args(arguments)
    if options.runtime and not options.target:
        raise UsageError("--runtime needs --target")
    proxy = options.metric if is_proxy(options.metric) else None
    further = bool(options.metric) and proxy is None and options.metric not in _METRICS
    if further and options.metric not in METRICS:
        known = did_you_mean(options.metric, (*METRICS, *_METRICS, *proxy_names()))
        raise UsageError(f"unknown metric '{options.metric}'{known}")
    if options.csv and options.json:
        raise UsageError("give --csv or --json, not both")
    if options.models and (options.space or options.designs):
        raise UsageError("give ONNX files or --space and --designs, not both")
    if not options.models and not options.designs:
        raise UsageError("give ONNX files, or designs of a space with --designs FILE")
    if options.input_shape and not options.models:
        raise UsageError("--input-shape is for ONNX files; a space has its own input")
    if options.measured and not (options.models and options.target):
        raise UsageError("--measured needs ONNX files and a --target to compare")
    if options.measured and options.metric:
        raise UsageError("give --metric or --measured, not both")
    rows = estimate(
        options.space or "",
        _designs(options.designs) if options.designs else (),
        options.target,
        models=options.models,
        runtime=options.runtime,
        hardware=options.hardware,
        input_shape=parse_sizes(options.input_shape, "--input-shape")
        if options.input_shape
        else None,
        metrics=(options.metric,) if further else (),
        proxy=proxy,
        seed=parse_seed(options.seed),
        scoring=options_from(options),
    )
    if options.measured:
        measured = read_comparison(options.measured)
        for problem in measured.problems:
            sys.stderr.write(f"note: {problem}\n")
        rows = [
            row | measured.columns(path, row)
            for path, row in zip(options.models, rows, strict=True)
        ]
        if not (options.csv or options.json):
            sys.stdout.write(comparison_table(rows, _provenance(options), measured.origin))
            return
    if options.metric:
        rows = [{name: row[name] for name in ("design", options.metric)} for row in rows]
    if options.json:
        output, place = json.dumps(rows, indent=1, ensure_ascii=False) + "\n", options.json
    else:
        output, place = _csv(rows), options.csv or "-"
    if place == "-":
        sys.stdout.write(output)
    else:
        write_text(place, output)
