"""Networks and designs priced: rows that ``flash estimate`` shows and ``flash check`` judges."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.errors import FlashError, InputError, UsageError, did_you_mean
from flash.estimate.designs import (
    SHOWN,
    DesignPricing,
    columns_of,
    read_designs,
    target_name,
)
from flash.estimate.formats import as_stored, tell_note
from flash.estimate.layers import block_rows, latency_rows, layer_rows
from flash.estimate.optimised import Optimised
from flash.estimate.report import EstimateReport
from flash.estimate.table import Row
from flash.evaluation import Evaluation, Metrics, evaluate_network, measure_network
from flash.metrics import network_scores
from flash.proxies.metric import metric_scores
from flash.proxies.options import ProxyOptions, refuse_unused
from flash.spaces.network import Network
from flash.spaces.reference import is_reference, reference_names, reference_network
from flash.spaces.space import load_space
from flash.spaces.stage_tables import Floats
from flash.targets import Given, Target, load_target

__all__ = [
    "DEFAULT_SPACE",
    "SHOWN",
    "Model",
    "estimate",
    "load_targets",
    "price_models",
    "read_models",
    "target_name",
    "with_proxy",
]

DEFAULT_SPACE = "cifar10-concat"
#: Share of a latency in operations without a rate of their own from which on it is told.
_TOLD_SHARE = 0.05
#: Operations named in such a note.
_MOST_NAMED = 4


@dataclass(frozen=True)
class Model:
    """A network with the name its rows have.

    source: the ONNX file, or the model in memory, that it was read from; None of a published one.
    """

    name: str
    network: Network
    source: Any = None


def estimate(
    model: Any = None,
    example_input: Any = None,
    *,
    models: Sequence[str | Path] = (),
    space: str = "",
    designs: Sequence[str] = (),
    target: str | Sequence[str] | None = None,
    runtime: str | None = None,
    hardware: Given | None = None,
    input_shape: Sequence[int] | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
    layers: bool = False,
    optimized_by: str | None = None,
    metrics: Sequence[str] = (),
    proxy: str | None = None,
    seed: int = 0,
    scoring: ProxyOptions | None = None,
) -> EstimateReport:
    """One row a network and target, in the order given.

    model:   an ONNX file, several, or a torch module with ``example_input`` (a tensor or a tuple
             of tensors; a dictionary for what is given by name), which PyTorch's exporter turns
             into the same network as its file. A branch or a loop over the input's numbers is
             priced as the example takes it, with a note.
    models:  ONNX files, or published networks by name (``flash list networks``); ``design`` is then
             what is given here. NN-Mass is None: a file does not say which layers form a cell. A
             quantized one counts as the network it quantizes; its memory is that of the numbers it
             stores.
    designs: instead, of a space: each a JSON object of its variables, ``w1=8 d1=3 ...``, or the
             benchmark's own string; those of a calibrated space have their predicted accuracy.
    target:  a profile's name or file, with a runtime if you like (``rpi4b:tflite``); several as
             a sequence or with commas between. Without one there are no latency and energy; with
             several, rows have a column ``target``.
    hardware: the chip of an accelerator, ``rows=16,cols=32``; its default one otherwise.
    input_shape: sizes of the models' only input, e.g. ``(1, 3, 224, 224)``.
    inputs:  sizes by name of the input, for models of several.
    layers:  rows have ``layers``, a row a layer: where the latency goes on a target, and where
             entropy is lost (without a target, that alone); and ``blocks``, their sums.
    optimized_by: ``onnxruntime``: latency and energy of the graph that it makes of each model on
             this machine; for targets whose runtime it is.
    metrics: further ones of ``flash.metrics.METRICS``, a column each.
    proxy:   a score of ``flash.proxies`` that runs each network, more is better, as one more
             column; None where it says nothing. ``seed`` and ``scoring`` say how.

    Raises ``InputError`` with the line's number for a design that is not of the space, and
    with the file's name for one that is no model or has operators without a known cost.
    """
    if scoring is not None and proxy is None:
        refuse_unused(scoring, None)
    given = _given_models(model, example_input, models)
    if given and (space or designs):
        raise UsageError("give ONNX files or a space and its designs, not both")
    found = None if given else load_space(space or DEFAULT_SPACE)
    family = found.family.name if found is not None else ""
    targets = load_targets(target, runtime, hardware, family)
    wanted = (*SHOWN, *metrics)
    if found is None:
        read, errors = read_models(given, input_shape, inputs)
        if errors:
            raise errors[0]
        optimised = Optimised(optimized_by, input_shape, inputs) if optimized_by else None
        rows = price_models(read, targets, wanted, layers, optimised)
        networks = [m.network for m in read for _ in targets or (None,)]
        return EstimateReport(tuple(with_proxy(rows, networks, proxy, seed, scoring)))
    if optimized_by:
        raise UsageError("optimized_by is for ONNX files and torch modules")
    if not designs:
        raise InputError("no designs given; expected one a line")
    indices = read_designs(found, designs)
    rows = []
    for columns in DesignPricing(found, targets, metrics, indices).columns(designs):
        names, values = list(columns), zip(*columns.values(), strict=True)
        rows += [dict(zip(names, row, strict=True)) for row in values]
    if layers:
        for row, place, design in zip(rows, *_each(targets or (None,), indices), strict=True):
            _add_layers(row, layer_rows(found.network(design.astype(np.int64)), place))
    networks = []
    if proxy:
        designs_once = [found.network(row) for row in indices.astype(np.int64)]
        networks = designs_once * max(1, len(targets))
    return EstimateReport(tuple(with_proxy(rows, networks, proxy, seed, scoring)))


def _each(
    targets: Sequence[Target | None], indices: NDArray[np.integer[Any]]
) -> tuple[list[Target | None], list[NDArray[np.integer[Any]]]]:
    """Target and design of each row."""
    return [t for t in targets for _ in indices], [row for _ in targets for row in indices]


def load_targets(
    target: str | Sequence[str] | None,
    runtime: str | None = None,
    hardware: Given | None = None,
    family: str = "",
) -> list[Target]:
    """The targets named: a name, several with commas between, or a sequence of names.

    family: of the networks, for which a target may have a runtime of its own.

    Raises ``UsageError`` for a name that is empty or given twice, by itself or as its runtime.
    """
    names = target.split(",") if isinstance(target, str) else list(target or ())
    names = [name.strip() for name in names]
    if not all(names):
        raise UsageError("--target: expected names with single commas between, got an empty one")
    if not names and (hardware is not None or runtime):
        what = "--runtime" if runtime else "hardware variables"
        raise UsageError(f"{what} need a target, e.g. --target systolic")
    for number, name in enumerate(names):
        if name in names[:number]:
            raise UsageError(f"--target: {name} is given twice")
    targets = [load_target(name, runtime, hardware, family) for name in names]
    shown = [target_name(own) for own in targets]
    for number, name in enumerate(shown):
        if name in shown[:number]:
            first = names[shown.index(name)]
            raise UsageError(f"--target: {first} and {names[number]} are both {name}")
    return targets


def _given_models(
    model: Any, example_input: Any, models: Sequence[str | Path]
) -> list[str | Path | Model]:
    given: list[str | Path | Model] = list(models)
    if model is None:
        return given
    if isinstance(model, str | Path):
        return [model, *given]
    if callable(getattr(model, "state_dict", None)):
        from flash.backends import module_model, network_of  # noqa: PLC0415 (an extra)

        if example_input is None:
            raise UsageError("a torch module needs an example_input, a tensor or a tuple of them")
        name, notes = type(model).__name__, list[str]()
        source = module_model(model, example_input, notes.append)
        network = network_of(source, name)
        network = replace(network, notes=(*notes, *network.notes))
        _tell_notes(name, network)
        return [Model(name, network, source), *given]
    if not isinstance(model, Iterable):
        kind = type(model).__name__
        raise UsageError(f"expected ONNX files or a torch module, got a {kind}")
    return [*model, *given]


def read_models(
    paths: Iterable[str | Path | Model],
    input_shape: Sequence[int] | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
) -> tuple[list[Model], list[FlashError]]:
    """The models that can be read, in order, and why the others cannot.

    A name that is no file may be that of a published network (``flash.spaces.reference``). Notes
    about how a file was read go to standard error. Raises ``UsageError`` for one given twice.
    """
    paths = list(paths)
    names = [str(Path(path)) for path in paths if not isinstance(path, Model)]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise UsageError(f"{name} is given twice")
    read, errors, failed = list[Model](), list[FlashError](), list[str | Path]()
    for path in paths:
        if isinstance(path, Model):
            read.append(path)
            continue
        try:
            model = _published(str(path), input_shape) or _from_file(path, input_shape, inputs)
        except FlashError as error:
            errors.append(error)
            failed.append(path)
            continue
        read.append(model)
    known = {name for model in read for name in model.network.input_names}
    if unknown := [name for name in inputs or () if name not in known]:
        _refuse_unknown(unknown, known, failed)
    return read, errors


def _published(name: str, input_shape: Sequence[int] | None) -> Model | None:
    """A published network, where there is no file of its name."""
    if not is_reference(name) or Path(name).exists():
        return None
    if input_shape is not None:
        raise UsageError(f"{name} is a published network with an input of its own, not a file")
    return Model(name, reference_network(name))


def _from_file(
    path: str | Path,
    input_shape: Sequence[int] | None,
    inputs: Mapping[str, Sequence[float]] | None,
) -> Model:
    from flash.backends import read_onnx  # noqa: PLC0415 (an extra)

    if not Path(path).suffix[1:].isalpha() and not os.path.lexists(path):
        hint = did_you_mean(str(path), reference_names())
        hint = hint if "did you mean" in hint else " (flash list networks)"
        raise InputError(f"no such file: {path}, and no published network{hint}")
    network = read_onnx(path, input_shape, inputs)
    _tell_notes(path, network)
    return Model(str(path), network, path)


def _tell_notes(name: str | Path, network: Network) -> None:
    for note in network.notes:
        tell_note(f"{name}: {note}")


def _refuse_unknown(unknown: Sequence[str], known: set[str], failed: Sequence[str | Path]) -> None:
    """Raise ``UsageError`` for an input that no model has, those that were not read included."""
    from flash.backends import tensor_names  # noqa: PLC0415 (an extra)

    inputs, computed = set(known), set[str]()
    for path in failed:
        try:
            found = tensor_names(path)
        except FlashError:  # no model: what it would have had nobody knows
            return
        inputs |= set(found[0])
        computed |= set(found[1])
    for name in unknown:
        if name not in inputs | computed:
            hint = did_you_mean(name, inputs)
            raise UsageError(f"--input {name}: no model has such an input{hint}")


def price_models(
    models: Sequence[Model],
    targets: Sequence[Target],
    metrics: Sequence[str] = SHOWN,
    layers: bool = False,
    optimised: Optimised | None = None,
    errors: list[FlashError] | None = None,
    tell: Callable[[str], None] = tell_note,
) -> list[Row]:
    """A row a model and target, models first.

    optimised: who makes the graphs that costs are of.
    errors: takes those of models that a target cannot price, which have no row; without it the
            first is raised.
    tell:   takes notes on what a figure rests on.
    """
    if optimised is not None:
        optimised.check(targets)
    rows = []
    for model in models:
        values = {n: np.array([v]) for n, v in network_scores(model.network, metrics).items()}
        for target in targets or (None,):
            try:
                named = len(targets) > 1
                rows.append(_priced(model, target, values, layers, optimised, named, tell))
            except FlashError as error:
                where = "" if target is None or model.name in str(error) else f"{model.name}: "
                placed = type(error)(f"{where}{error}")
                if errors is None:
                    raise placed from None
                errors.append(placed)
    return rows


def _priced(
    model: Model,
    asked: Target | None,
    values: Mapping[str, Floats],
    layers: bool,
    optimised: Optimised | None,
    named: bool,
    tell: Callable[[str], None],
) -> Row:
    """The row of a model on a target; named: it says which."""
    network = model.network
    target = as_stored(model.name, network, asked, tell) if asked else None
    run, pricing = network, target
    if target is not None and optimised is not None:
        run, pricing = optimised.of(model.name, model.source, target)
    result = evaluate_network(network, target) if target else measure_network(network)
    if pricing is not None and run is not network:
        result = _with_costs(result, evaluate_network(run, pricing))
    row = _row(model.name, result, values, target, named)
    if target is not None and pricing is not None:
        _tell_unrated(model.name, target, latency_rows(run, pricing), tell)
    if layers:
        _add_layers(row, layer_rows(network, pricing, run))
    return row


def _with_costs(metrics: Metrics, costs: Evaluation) -> Evaluation:
    """What a network is, and what the graph that is run for it costs."""
    own = {name: getattr(metrics, name) for name in Metrics.__dataclass_fields__}
    return replace(costs, **own)


def _add_layers(row: Row, layers: list[Row]) -> None:
    row["layers"] = layers
    row["blocks"] = block_rows(layers)


def _tell_unrated(
    name: str, target: Target, layers: Sequence[Row], tell: Callable[[str], None]
) -> None:
    unrated = [layer for layer in layers if not layer["rated"]]
    share = sum(layer["share"] for layer in unrated)
    if share < _TOLD_SHARE:
        return
    by_op: dict[str, float] = {}
    for layer in unrated:
        by_op[layer["op"]] = by_op.get(layer["op"], 0.0) + layer["share"]
    ops = sorted(by_op, key=lambda op: -by_op[op])[:_MOST_NAMED]
    tell(
        f"{name} on {target.name}: {share:.0%} of the time is in operations or number "
        f"formats without a rate of their own there ({', '.join(ops)}); its interval is widened"
    )


def with_proxy(
    rows: list[Row],
    networks: Sequence[Network],
    proxy: str | None,
    seed: int,
    scoring: ProxyOptions | None,
) -> list[Row]:
    """The rows with one more column; why some have no score goes to standard error."""
    if proxy is None:
        return rows
    found = metric_scores(networks, proxy, seed, scoring or ProxyOptions())
    for line in found.notes:
        sys.stderr.write(f"note: {line}\n")
    values = iter(found.values[proxy].tolist())
    return [
        row | {proxy: next(values) if ok else None}
        for row, ok in zip(rows, found.scored, strict=True)
    ]


def _row(
    text: str, found: Metrics, values: Mapping[str, Floats], target: Target | None, named: bool
) -> Row:
    columns = columns_of([text], found, values, target, named)
    return {name: column[0] for name, column in columns.items()}
