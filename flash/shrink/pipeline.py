"""``shrink``: a model -> its space of smaller variants -> the front -> the variant chosen."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flash.errors import InfeasibleError, UsageError, did_you_mean
from flash.evaluation import evaluate, evaluate_network
from flash.files.results import refuse_others_files
from flash.files.samples import read_samples
from flash.files.scratch import scratch_folder
from flash.files.writing import check_folder, write_folder
from flash.metrics import METRICS
from flash.proxies.options import is_proxy, proxy_names
from flash.report.design import DesignReport
from flash.report.interval import Interval
from flash.report.picture import Mark, front_svg
from flash.report.result import SearchReport
from flash.search import search
from flash.shrink.report import Candidate, ShrinkReport
from flash.shrink.variant import Inputs, Variant, make_variant
from flash.spaces.space import SearchSpace, load_space
from flash.targets import ChannelBlocks, Target, load_target

if TYPE_CHECKING:
    from flash.backends.onnx.variants.model import Open, Variants

__all__ = ["IMPORTANCES", "shrink"]

#: What filters are kept by: the squares of weights, or what those change on data.
IMPORTANCES: Final = ("norm", "taylor")

#: Inputs that the variant is compared with the model on.
_MOST_INPUTS: Final = 256
_NOISE_INPUTS: Final = 8
#: Searches under a lowered limit, where a file costs more than its space says.
_TRIES: Final = 3
#: The files that every run writes.
_REPORTS: Final = ("front.json", "front.csv", "front.svg", "shrink.json")
#: Where each model gets a folder of its own, unless another place is given.
_FOLDER: Final = Path("flash-shrink")
#: Digits of a name that a file may have.
_LONGEST_NAME: Final = 80


def shrink(
    model: Any,
    target: str = "rpi4b",
    *,
    example_input: Any = None,
    input_shape: Sequence[int] | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
    runtime: str | None = None,
    max_latency_ms: float | None = None,
    max_latency_share: float | None = None,
    max_energy_mj: float | None = None,
    max_memory_kb: float | None = None,
    metric: str | None = None,
    importance: str = "norm",
    sides: Sequence[int] = (),
    design: str | None = None,
    data: str | Path | None = None,
    measured_ms: float | None = None,
    out: str | Path | None = None,
    seed: int = 0,
) -> ShrinkReport:
    """Find the model's own smaller variants for ``target``, and write the best within the limits.

    model:  an ONNX file, or a ``torch.nn.Module`` with ``example_input`` (PyTorch exports it).
    input_shape, inputs: sizes of inputs that the file leaves open.
    runtime: one of the profile's runtimes; its default one if not given.
    max_latency_share: instead of ``max_latency_ms``, a share of the model's own latency.
    metric: the score, ``kept_importance`` if not given.
    importance: of weights: "norm", their squares, or "taylor", what they change on ``data``.
    sides:  heights of the input that variants may have beside its own, its width along.
    design: an id of the front, "fastest", "balanced" or "most_accurate"; if not given the
            most accurate within the limits, or the balanced one without limits.
    data:   inputs as the model is fed them (``flash.files.samples``): the variant is compared with
            the model on them, and its channels are scaled to vary as the model's do.
    measured_ms: what the model takes on the target, to show beside what is predicted.

    out:    folder for the files; ``flash-shrink/NAME``, after the model, if not given.

    Writes into ``out``: the space (``NAME.toml``, ``NAME.graph.json`` and the model itself), which
    ``flash.search`` takes; ``front.json``, ``front.csv``, ``front.svg``; the variant as ``.onnx``
    and its weights as ``.pt``; ``shrink.json``. Files of flash of these names are replaced,
    another's is refused.

    Raises ``InputError`` for a model that cannot be used, ``InfeasibleError`` if no variant meets
    the limits, ``UsageError`` for arguments that cannot be.
    """
    _check(max_latency_ms, max_latency_share, importance, data, metric)
    name = _name(model)
    place = _FOLDER / name if out is None else Path(out)
    check_folder(place)
    refuse_others_files(place, _REPORTS)
    device = load_target(target, runtime)
    how = _openness(device, sides)
    told = list[str]()
    variants = _read(model, example_input, (input_shape, inputs), how, told.append)
    read = _inputs(variants, data, seed)
    if importance == "taylor":
        variants = _by_data(variants, how, read)
    with scratch_folder("shrink") as folder:
        inner = folder / "space"  # the folder above is locked as long as it is in use
        contents = _space_files(variants, name, inner)
        file = str(inner / f"{name}.toml")
        space = load_space(file)
        original = _candidate(space, device, space.design(variants.largest), metric)
        if max_latency_share is not None:
            max_latency_ms = original.latency_ms.value * max_latency_share
        limited = any(x is not None for x in (max_latency_ms, max_energy_mj, max_memory_kb))
        front = partial(
            search,
            target,
            file,
            runtime=runtime,
            hardware="default" if device.chip else None,
            metric=metric,
            max_energy_mj=max_energy_mj,
            max_memory_kb=max_memory_kb,
            optimizer="exact",
            seed=seed,
            # A model beyond what was measured has variants there too; each says so.
            extrapolate=original.latency_ms.extrapolated,
        )
        choose = partial(_chosen, wanted=design, limited=limited)
        file_ms = partial(_file_ms, variants, device)
        report, chosen = _within(front, choose, max_latency_ms, file_ms)
    variant = make_variant(variants, chosen.design, (chosen.params, chosen.macs), read, name)
    found = _report(name, space, variants, report, (original, chosen, variant), measured_ms)
    found = replace(found, notes=(*told, *found.notes))
    contents |= _result_files(found, report, original, variant)
    refuse_others_files(place, contents)
    files = write_folder(place, contents)
    return replace(found, files=files)


def _check(
    latency_ms: float | None,
    share: float | None,
    importance: str,
    data: str | Path | None,
    metric: str | None,
) -> None:
    """Refuse arguments that exclude or need one another, and names of nothing."""
    if latency_ms is not None and share is not None:
        raise UsageError("give a latency in ms or as a share of the model's, not both")
    if importance not in IMPORTANCES:
        hint = did_you_mean(importance, IMPORTANCES)
        raise UsageError(f"unknown importance '{importance}'{hint}")
    if importance == "taylor" and data is None:
        raise UsageError("importance 'taylor' is measured on data: give --data")
    if metric is not None and metric not in METRICS and not is_proxy(metric):
        hint = did_you_mean(metric, (*METRICS, *proxy_names()))
        raise UsageError(f"unknown metric '{metric}'{hint}")


def _within(
    front: Callable[..., SearchReport],
    choose: Callable[[SearchReport], DesignReport],
    limit_ms: float | None,
    file_ms: Callable[[DesignReport], float],
) -> tuple[SearchReport, DesignReport]:
    """The front, and a design of it whose file keeps the limit on latency too.

    A file costs what its space says and what a runtime does between the stages, which is mostly
    nothing; where that is beyond the limit, the space's is lowered by as much.
    """
    report = front(max_latency_ms=limit_ms)
    chosen = choose(report)
    if limit_ms is None:
        return report, chosen
    limit = limit_ms
    for _ in range(_TRIES):
        over = file_ms(chosen) / limit_ms
        if over <= 1:
            break
        limit /= over
        try:
            report = front(max_latency_ms=limit)
        except InfeasibleError:
            break
        chosen = choose(report)
    return replace(report, limits={**report.limits, "latency_ms": limit_ms}), chosen


def _file_ms(variants: Variants, target: Target, chosen: DesignReport) -> float:
    """What ``flash estimate`` says of the file of a design, in ms."""
    from flash.backends import network_of  # noqa: PLC0415 (an extra)

    network = network_of(variants.model(chosen.design))
    return float(evaluate_network(network, target).latency_ms[0][0])


def _report(
    name: str,
    space: SearchSpace,
    variants: Variants,
    report: SearchReport,
    made: tuple[Candidate, DesignReport, Variant],
    measured_ms: float | None,
) -> ShrinkReport:
    """What was found, without its files."""
    original, chosen, variant = made
    notes = [*variants.notes, *variant.notes, *report.notes]
    if original.latency_ms.extrapolated:
        notes.append(
            f"the model is unlike what was measured on {report.target['name']}, and so may its "
            "variants be: their intervals are wider"
        )
    if variants.frozen.worth:
        notes.append("kept importance is what weights change on the data (Taylor), not their norm")
    return ShrinkReport(
        model=name,
        target=report.target["name"],
        space=space.name,
        size=space.size,
        metric=report.score,
        front=len(report.front),
        certificate=report.certificate_without_time,
        candidates=(original, *_picks(report, chosen)),
        chosen=chosen.id,
        verified=variant.verified,
        agreement=variant.agreement,
        fixed=variants.document_fixed,
        variables={c.name: c.what for c in variants.choices},
        limits=report.limits,
        measured=measured_ms,
        notes=tuple(notes),
    )


def _result_files(
    found: ShrinkReport, report: SearchReport, original: Candidate, variant: Variant
) -> dict[str, str | bytes]:
    """The front, the variant and the report, by file name."""
    stem = f"{found.model}-{found.chosen}"
    mark = Mark("original", original.latency_ms.value, original.score)
    state = {} if variant.state is None else {f"{stem}.pt": variant.state}
    return {
        f"{stem}.onnx": variant.onnx,
        **state,
        "front.json": report.to_json(),
        "front.csv": report.to_csv(),
        "front.svg": front_svg(report, (), [mark]),
        "shrink.json": json.dumps(found.document(), indent=1, ensure_ascii=False) + "\n",
    }


# ------------------------------------------------------------------------------------ the model
def _openness(device: Target, sides: Sequence[int]) -> Open:
    """How far a model is opened for a target."""
    from flash.backends import Open  # noqa: PLC0415 (an extra)

    block = device.channel_block if isinstance(device, ChannelBlocks) else 1
    return Open(block, tuple(sorted(set(sides))))


def _read(
    model: Any,
    example_input: Any,
    sizes: tuple[Sequence[int] | None, Mapping[str, Sequence[float]] | None],
    how: Open,
    tell: Callable[[str], None],
) -> Variants:
    from flash.backends import variants_of, variants_of_file  # noqa: PLC0415 (an extra)

    if isinstance(model, str | Path):
        return variants_of_file(model, *sizes, how)
    if example_input is None:
        raise UsageError("a torch module needs example_input: a tensor of the shape to price")
    from flash.backends import module_model  # noqa: PLC0415 (an extra)

    return variants_of(module_model(model, example_input, tell), type(model).__name__, how)


def _by_data(variants: Variants, how: Open, data: Inputs) -> Variants:
    """The model opened again, its filters ordered by what they change on data."""
    from flash.backends import reopened, taylor_importance  # noqa: PLC0415 (extras)

    return reopened(variants, replace(how, worth=taylor_importance(variants.content, data.values)))


def _name(model: Any) -> str:
    """What the files of a model are called: after its file, or the class of a torch module."""
    text = Path(model).stem if isinstance(model, str | Path) else type(model).__name__
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-")[:_LONGEST_NAME] or "model"


def _inputs(variants: Variants, data: str | Path | None, seed: int) -> Inputs:
    first = next(iter(variants.frozen.inputs.values()))
    if data is None:
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((_NOISE_INPUTS, *first[1:]), dtype=np.float32)
        return Inputs(noise, f"normal noise of seed {seed}", real=False)
    values, source = read_samples(data, first[1:], _MOST_INPUTS)
    return Inputs(values, source, real=True)


def _space_files(variants: Variants, name: str, folder: Path) -> dict[str, str | bytes]:
    """The space's files, written into a folder as well."""
    document = variants.document(name, f"{name}.onnx")
    contents: dict[str, str | bytes] = {
        f"{name}.toml": space_text(name, document),
        f"{name}.graph.json": json.dumps(document, ensure_ascii=False) + "\n",
    }
    write_folder(folder, contents)
    return contents | {f"{name}.onnx": variants.content}


def space_text(name: str, document: Mapping[str, Any]) -> str:
    """The space's file."""
    channels, height, width = document["source"]
    lines = [
        'schema = "flash.space/1"',
        f"name = {json.dumps(name)}",
        'family = "model"',
        f"description = {json.dumps(f'smaller variants of {name}, the largest values are it')}",
        f"classes = {document['classes']}",
        'metric = "kept_importance"',
        "",
        "[input]",
        f"channels = {channels}",
        f"height = {height}",
        f"width = {width}",
        "",
        "[settings]",
        f"graph = {json.dumps(f'{name}.graph.json')}",
        "",
        "# Values may be left out, the last of each is the model's own.",
        "[variables]",
    ]
    lines += [f"{v['name']} = {v['values']} # {v['what']}" for v in document["variables"]]
    return "\n".join(line if line.isprintable() else "" for line in lines) + "\n"


# ------------------------------------------------------------------------------------- the front
def _candidate(space: SearchSpace, target: Target, indices: Any, metric: str | None) -> Candidate:
    """The model itself, evaluated as every design is."""
    chosen = metric or space.metric
    if chosen not in METRICS:
        raise UsageError(f"unknown metric '{chosen}'{did_you_mean(chosen, METRICS)}")
    found = evaluate(space, target, indices[None])
    score = METRICS[chosen].of_designs(space, indices[None])[chosen][0]
    value, low, high = (float(end[0]) for end in found.latency_ms)
    outside = bool(found.extrapolated[0])
    return Candidate(
        "original",
        space.identify(indices),
        space.named(indices),
        float(score),
        Interval(value, low, high, target.latency_how, outside),
        float(found.quantity("memory_kb")[0]),
        int(found.params[0]),
        int(found.macs[0]),
    )


def _chosen(report: SearchReport, wanted: str | None, limited: bool) -> DesignReport:
    by_id = {d.id: d for d in report.front}
    picks = {label: getattr(report.picks, label) for label in _PICKS}
    word = wanted or ("most_accurate" if limited else "balanced")
    identity = picks.get(word, word)
    if identity not in by_id:
        raise UsageError(f"the front has no design '{word}'{did_you_mean(word, [*picks, *by_id])}")
    return by_id[identity]


_PICKS: Final = ("fastest", "balanced", "most_accurate")


def _picks(report: SearchReport, chosen: DesignReport) -> list[Candidate]:
    """The picks of the front and the variant chosen, each once."""
    by_id = {d.id: d for d in report.front}
    labels: dict[str, list[str]] = {}
    for label, design in report.picked:
        labels.setdefault(design.id, []).append(label)
    labels.setdefault(chosen.id, ["chosen"])
    return [
        Candidate(
            ", ".join(words),
            identity,
            by_id[identity].design,
            by_id[identity].quantity(report.score) or 0.0,
            by_id[identity].latency_ms,
            by_id[identity].memory_kb,
            by_id[identity].params,
            by_id[identity].macs,
        )
        for identity, words in labels.items()
    ]
