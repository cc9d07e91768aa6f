"""The accuracy model in a space's TOML file: its section ``[accuracy]``, read and written.

It holds the trained networks (features and accuracies), what the model needs beside them, and
where all that comes from. Nothing else is in it: intervals and the sampled box follow.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from flash.accuracy.bits import LOSSLESS, Drop, quantization_drop
from flash.accuracy.box import Box
from flash.accuracy.calibration import AccuracyModel, Provenance
from flash.accuracy.features import FEATURES, is_feature
from flash.accuracy.fit import FEWEST, LEAST, Rival
from flash.accuracy.kriging import Kriging, Ridge
from flash.accuracy.level import Level
from flash.accuracy.monotone import FlashForm, RisingLine
from flash.accuracy.power import PowerLaw
from flash.accuracy.regression import Regression, Samples
from flash.accuracy.task import Task
from flash.accuracy.trees import ScoreAndTrees
from flash.errors import SpaceError, did_you_mean, shown
from flash.files.reading import parse_toml, read_text
from flash.files.section import Section
from flash.files.writing import write_text
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats

__all__ = [
    "accuracy_of",
    "accuracy_text",
    "knows_cost_of",
    "narrow_to_trained",
    "why_no_accuracy",
    "without_accuracy",
    "words_on_bits",
    "write_accuracy",
]

_KINDS = ("flash", "kriging", "line", "power", "ridge", "trees")
_MOST_SAMPLES = 2_000
#: Designs looked at for convolutions in groups.
_DRAWN = 64
#: As many as a fit tries, and more.
_MOST_CHOICES = 1_000
#: No logarithm of a count comes near it.
_LARGEST = 1e6


# ------------------------------------------------------------------------------------ reading
def accuracy_of(space: SearchSpace, bits: int = LOSSLESS) -> AccuracyModel | None:
    """The accuracy model in the space's file; None if it has none, or one of another task.

    bits: of weights and activations on a target; what they cost is taken off, where it is known.

    Raises ``SpaceError`` naming what is wrong with the section.
    """
    if space.accuracy is None:
        return None
    section = Section("accuracy", space.accuracy, SpaceError)
    try:
        task = _task(section)
        if task is None or task.differs_from(space):
            return None
        model = _model(section, task, space)
    except SpaceError as error:
        raise SpaceError(f"space {space.name}: {error}") from None
    return replace(model, drop=_drop(model, space, bits)) if bits < LOSSLESS else model


def knows_cost_of(bits: int, model: AccuracyModel, space: SearchSpace) -> bool:
    """Whether it is known what numbers of so many bits cost designs of a space in accuracy."""
    return bits >= LOSSLESS or _drop(model, space, bits) is not None


def words_on_bits(bits: int, model: AccuracyModel) -> str:
    """What a reader should know of predictions in so many bits; empty of floats."""
    if model.drop is not None:
        return str(model.drop)
    if bits >= LOSSLESS:
        return ""
    return (
        f"predicted accuracies are those of floats: what {bits} bits cost such networks in "
        f"{model.measure} is not known here"
    )


def _drop(model: AccuracyModel, space: SearchSpace, bits: int) -> Drop | None:
    """What bits cost: known of top-1, and of networks like those that others quantized."""
    if model.measure != "accuracy":
        return None
    table = space.table(space.sample(_DRAWN, np.random.default_rng(0)))
    convolutions = (table.ops == "conv")[:, None] & table.active
    return quantization_drop(bits, grouped=bool((convolutions & (table["groups"] > 1)).any()))


def why_no_accuracy(space: SearchSpace) -> str:
    """Why ``accuracy_of`` has no model, in a line for people; empty where it has one."""
    if space.accuracy is None:
        return f"space {space.name} is not calibrated"
    try:
        task = _task(Section("accuracy", space.accuracy, SpaceError))
    except SpaceError as error:
        raise SpaceError(f"space {space.name}: {error}") from None
    mend = "flash.calibrate makes a model for this task"
    if task is None:
        return f"the accuracy model of space {space.name} does not say its task; {mend}"
    why = task.differs_from(space)
    return f"the accuracy model of space {space.name} is for {why}; {mend}" if why else ""


def narrow_to_trained(space: SearchSpace) -> SearchSpace:
    """The designs of a space whose variables lie within what was trained.

    The space itself where it has no accuracy, or one that does not say what was trained. Raises
    ``SpaceError`` as ``accuracy_of``.
    """
    if space.accuracy is None or "inside" not in space.accuracy or why_no_accuracy(space):
        return space
    try:
        box = _box(Section("accuracy", space.accuracy, SpaceError), space)
    except SpaceError as error:
        raise SpaceError(f"space {space.name}: {error}") from None
    kept = () if box is None else box.inside(space)
    if not kept or not all(map(len, kept)):
        return space
    return space.narrowed(kept)


def _task(section: Section) -> Task | None:
    """The task a section is for; None in sections of older versions, which do not say."""
    if not section.has("classes"):
        return None
    shape = _matrix(section, "input_shape", 0)[0]
    if len(shape) != 3 or (shape < 1).any() or (shape % 1 != 0).any():
        section.refuse("input_shape", "must be channels, height and width")
    channels, height, width = (int(size) for size in shape)
    digest = section.text("data_digest") if section.has("data_digest") else ""
    classes = section.integer("classes", most=10_000_000)
    return Task(section.text("family"), classes, (channels, height, width), digest)


def _model(section: Section, task: Task, space: SearchSpace) -> AccuracyModel:
    kind = section.choice("model", _KINDS)
    coverage = section.number("coverage", 0.5, 0.99)
    names = _features(section, "columns")
    features = _features(section, "features", names)
    rows = _matrix(section, "rows", len(names))
    accuracies = _matrix(section, "accuracies", 0)[0]
    if len(rows) != len(accuracies):
        section.refuse("rows", f"has {len(rows)} networks, accuracies {len(accuracies)}")
    least = FEWEST if kind == "power" else LEAST
    if not least <= len(rows) <= _MOST_SAMPLES:
        section.refuse("rows", f"must have {least} to {_MOST_SAMPLES} networks, got {len(rows)}")
    if ((accuracies < 0) | (accuracies > 100)).any():
        section.refuse("accuracies", "must lie between 0 and 100 per cent")
    samples = Samples(names, rows, accuracies)
    if kind in ("flash", "line") and len(features) != 1:
        section.refuse("features", f"must be one score for the model '{kind}'")
    model: Regression
    if kind == "flash":
        found = _matrix(section, "coefficients", 4)
        if len(found) != len(rows) + 1:
            section.refuse("coefficients", f"must have {len(rows) + 1} rows, got {len(found)}")
        if not FlashForm.allowed(found):
            section.refuse("coefficients", "must be a, b, c, d within the bounds of the form")
        model = FlashForm(samples, features[0], found)
    elif kind == "line":
        model = RisingLine(samples, features[0])
    elif kind == "power":
        model = PowerLaw(samples, features)
    elif kind == "ridge":
        model = Ridge(samples, features, section.number("ratio", 1e-3, 1e3))
    elif kind == "trees":
        model = ScoreAndTrees(samples, features)
    else:
        model = _kriging(section, samples, features)
    provenance = _provenance(section, len(rows))
    box, level = _box(section, space), _level(section)
    measure = section.text("measure") if section.has("measure") else "accuracy"
    section.done()
    rmse = Rival.of(model, samples).loo_rmse
    if abs(rmse - provenance.loo_rmse) > 0.01 * max(rmse, 0.1):
        section.refuse("loo_rmse", f"is {provenance.loo_rmse:g}, but the networks give {rmse:.4g}")
    return AccuracyModel(model, samples, task, provenance, coverage, box, level, measure)


def _box(section: Section, space: SearchSpace) -> Box | None:
    """What was trained; None in sections of older versions."""
    if not section.has("inside"):
        return None
    given = section.section("inside")
    ranges: dict[str, tuple[int, ...]] = {}
    for name in space.variables:
        if name in space.family.branches:
            values = _matrix(given, name, 0)[0]
            if (values % 1 != 0).any():
                given.refuse(name, "must be whole numbers")
            ranges[name] = tuple(int(value) for value in values)
            continue
        low, high = given.pair(name)
        if low % 1 or high % 1:
            given.refuse(name, "must be whole numbers")
        ranges[name] = (int(low), int(high))
    given.done()
    return Box(ranges)


def _level(section: Section) -> Level | None:
    if not section.has("level"):
        return None
    return Level(
        section.text("level"),
        section.integer("anchors", 0, _MOST_SAMPLES),
        section.number("level_spread", 0.0, 5.0),
    )


def _kriging(section: Section, samples: Samples, features: tuple[str, ...]) -> Kriging:
    trend = _features(section, "trend", features)
    length = section.number("length", 1e-3, 1e3)
    sizes = _matrix(section, "blocks", 0)[0]
    if (sizes < 1).any() or (sizes % 1 != 0).any() or sizes.sum() != len(features):
        section.refuse("blocks", f"must be whole numbers that add up to {len(features)} features")
    ends = np.cumsum([0, *sizes]).astype(int)
    blocks = [features[a:b] for a, b in itertools.pairwise(ends)]
    mixture = _matrix(section, "mixture", len(blocks) + 2)
    if (mixture < 0).any() or len(mixture) > _MOST_CHOICES or abs(mixture[:, -1].sum() - 1) > 1e-6:
        section.refuse(
            "mixture", "must be rows of variances and a weight, the weights adding up to 1"
        )
    return Kriging(samples, blocks, trend, mixture, length)


def _provenance(section: Section, networks: int) -> Provenance:
    given = section.anything("seeds")
    seeds = _matrix(section, "seeds", 0)[0] if given != [] else np.zeros(0)
    if not np.array_equal(seeds, np.floor(seeds)) or (seeds < 0).any():
        section.refuse("seeds", "must be whole numbers of 0 or more")
    return Provenance(
        data=section.text("data"),
        recipe=section.text("recipe"),
        epochs=section.integer("epochs", 0, 100_000),
        seeds=tuple(int(seed) for seed in seeds),
        hardware=section.text("hardware"),
        date=section.text("date"),
        networks=section.integer("networks", networks, networks),
        loo_rmse=section.number("loo_rmse", 0.0, 100.0),
        loo_spearman=section.correlation("loo_spearman"),
    )


def _features(section: Section, key: str, known: Sequence[str] | None = None) -> tuple[str, ...]:
    """Different features by name, of ``known`` or any there is."""
    names = section.texts(key)
    for name in names:
        if name not in (known or FEATURES) and (known or not is_feature(name)):
            section.refuse(key, f"has {shown(name)}{did_you_mean(name, known or FEATURES)}")
    if not names or len(set(names)) != len(names):
        section.refuse(key, "must name different features, at least one")
    return names


def _matrix(section: Section, key: str, width: int) -> Floats:
    """Rows of ``width`` finite numbers; one row of any length where ``width`` is 0."""
    given = section.anything(key)
    rows = given if width else [given]
    if not isinstance(rows, list) or not rows or not all(isinstance(r, list) and r for r in rows):
        section.refuse(key, f"must be a list of {'lists of ' if width else ''}numbers")
    for row in rows:
        for value in row:
            if type(value) not in (int, float) or not abs(value) <= _LARGEST:
                section.refuse(key, f"must hold finite numbers, got {shown(value)}")
        if width and len(row) != width:
            section.refuse(key, f"must have {width} numbers a row, got {len(row)}")
    return np.array(rows, dtype=np.float64)


# ------------------------------------------------------------------------------------ writing
def write_accuracy(path: str | Path, model: AccuracyModel) -> None:
    """Put ``model`` into the space file ``path`` in place of what section it had.

    The rest of the file stays as it is, comments included; it is written whole or not at all.
    Raises ``SpaceError`` for a file that is no TOML, ``UsageError`` or ``FlashError`` as
    ``flash.report.files.write_text``.
    """
    place = Path(path)
    text = read_text(place, SpaceError)
    parse_toml(text, place, SpaceError)
    whole = f"{without_accuracy(text)}\n{accuracy_text(model)}"
    parse_toml(whole, place, SpaceError)
    write_text(place, whole)


#: The section as ``accuracy_text`` writes it: up to the next table, or the end.
_SECTION = re.compile(
    r"^(# Accuracy model[^\n]*\n)?\[accuracy\]\n(?:(?!\[[a-z]).*(?:\n|\Z))*", re.M
)


def without_accuracy(text: str) -> str:
    """The text of a space file without its section ``[accuracy]``; all else stays as it is."""
    return _SECTION.sub("", text).rstrip("\n") + "\n"


def accuracy_text(model: AccuracyModel) -> str:
    """The section ``[accuracy]`` as TOML; the same model gives the same bytes."""
    regression, samples = model.regression, model.samples
    lines = ["# Accuracy model, written by flash.calibrate: do not edit by hand.", "[accuracy]"]
    task = model.task
    values: dict[str, Any] = {"model": regression.kind, "family": task.family}
    values |= {"classes": task.classes, "input_shape": task.shape}
    values |= {"data_digest": task.digest} if task.digest else {}
    values |= {"measure": model.measure} if model.measure != "accuracy" else {}
    values |= {f.name: getattr(model.provenance, f.name) for f in fields(Provenance)}
    values |= {"coverage": model.coverage} | regression.settings() | regression.parameters()
    if model.level is not None:
        values |= {"level": model.level.statement, "anchors": model.level.anchors}
        values |= {"level_spread": model.level.spread}
    values |= {"columns": samples.names, "accuracies": samples.accuracy.tolist()}
    values["rows"] = samples.rows.tolist()
    lines += [f"{key} = {_value(value)}" for key, value in values.items()]
    if model.box is not None:
        ranges = (f"{name} = {list(values)}" for name, values in model.box.ranges.items())
        lines.append(f"inside = {{ {', '.join(ranges)} }}")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float):
        return repr(value)
    items = [_value(item) for item in value]
    if value and isinstance(value[0], list | tuple):
        return "[\n" + "".join(f"    {item},\n" for item in items) + "]"
    return "[" + ", ".join(items) + "]"
