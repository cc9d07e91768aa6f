"""The graph of a model with its widths and depths left open: what a space of variants is made of.

A template is read from ``*.graph.json`` (schema ``flash.model-graph/1``), which
``flash.shrink`` writes. Sizes of layers are sums of terms over the units of groups
(``flash.spaces.sizes``); a variable says how many units the groups that follow it keep, or how
many blocks of a run are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.errors import SpaceError
from flash.files.reading import read_json
from flash.files.section import Section
from flash.spaces.family import Stage
from flash.spaces.layers import ZEROS, Ints, Layer
from flash.spaces.sizes import Terms, evaluate, terms_from_json

__all__ = [
    "SCHEMA",
    "SIZES",
    "Block",
    "Importance",
    "Slot",
    "Template",
    "TemplateLayer",
    "Variable",
    "read_template",
]

SCHEMA: Final = "flash.model-graph/1"
#: Fields of a layer that may follow from the variables.
SIZES: Final = (
    "in_channels",
    "out_channels",
    "in_height",
    "in_width",
    "out_height",
    "out_width",
    "kernel_height",
    "kernel_width",
    "stride",
    "pad_height",
    "pad_width",
    "groups",
    "operands",
    "batch",
    "params",
    "macs",
)
_FLAGS: Final = ("norm", "bias", "signal")
_TEXTS: Final = ("act", "format", "out_format")
_KINDS: Final = ("width", "inner", "heads", "depth", "kernel", "side")

SizeTerms = Terms | int


@dataclass(frozen=True)
class Variable:
    """What a variant chooses.

    values: all that it may be, rising; the last is the model's own.
    kind:   ``width``, ``inner`` (a width inside a block), ``heads``, ``depth``, ``kernel`` (side
            of depthwise kernels) or ``side`` (of the input).
    units:  of each group that follows it, how many it keeps at each value; of each size that is no
            width (a kernel's, a map's), that size.
    what:   one line for people.
    """

    name: str
    kind: str
    values: tuple[int, ...]
    units: Mapping[int, tuple[int, ...]]
    what: str


@dataclass(frozen=True)
class Slot:
    """An input of a layer: which layer makes it (or ``INPUT``, ``ZEROS``), and how it is seen."""

    producer: int
    channels: SizeTerms
    height: SizeTerms
    width: SizeTerms
    present: bool = True


@dataclass(frozen=True)
class TemplateLayer:
    """A layer with open sizes; of a block (run, number) or of none, (-1, -1)."""

    op: str
    name: str
    stage: str
    inputs: tuple[Slot, ...]
    sizes: Mapping[str, SizeTerms]
    flags: Mapping[str, bool]
    texts: Mapping[str, str]
    run: int = -1
    block: int = -1


@dataclass(frozen=True)
class Block:
    """Block ``number`` of a run: without it, who reads layer ``leaves`` reads ``enters``."""

    run: int
    number: int
    enters: int
    leaves: int


@dataclass(frozen=True)
class Importance:
    """The share of a layer's weight norm that a variant keeps.

    parts: (group of rows, group of columns, squared norm kept for as many units of each); a
           group of -1 is rows or columns that never vary, a table of one entry there. They add
           up to 1 for the model itself.
    """

    stage: str
    run: int
    block: int
    parts: tuple[tuple[int, int, NDArray[np.float64]], ...]
    extent: int = -1


@dataclass(frozen=True)
class Template:
    """A model's graph with open sizes.

    model:  file name of the model, beside the template, and its SHA-256.
    fixed:  layers whose widths cannot vary, and why.
    source: the input's channels, height and width.  output: the last layer's result.
    classes: channels of the (first) output.
    side:   height and width of the input, where they vary; else empty.
    orders: of groups, the units as they are kept, where that is not by the weights' squares.
    """

    name: str
    model: str
    sha256: str
    variables: tuple[Variable, ...]
    runs: tuple[str, ...]
    blocks: tuple[Block, ...]
    layers: tuple[TemplateLayer, ...]
    stages: tuple[Stage, ...]
    importance: tuple[Importance, ...]
    fixed: Mapping[str, str]
    source: tuple[int, int, int]
    output: Slot
    input_names: tuple[str, ...] = ()
    classes: int = 1
    side: tuple[SizeTerms, ...] = ()
    orders: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @cached_property
    def leaving(self) -> Mapping[int, Sequence[Block]]:
        """The block that ends with each layer."""
        found: dict[int, list[Block]] = {}
        for block in self.blocks:
            found.setdefault(block.leaves, []).append(block)
        return found

    @cached_property
    def long_links(self) -> bool:
        """Whether a stage reads or is passed by more than the one tensor before it."""
        stage = {name: k for k, name in enumerate(s.name for s in self.stages)}
        made = [stage[layer.stage] for layer in self.layers]
        crossing: dict[int, set[int]] = {}
        for layer in self.layers:
            for slot in layer.inputs:
                first = made[slot.producer] if slot.producer >= 0 else -1
                for k in range(first + 1, stage[layer.stage] + 1):
                    crossing.setdefault(k, set()).add(slot.producer)
        return any(len(tensors - {ZEROS}) > 1 for tensors in crossing.values())

    def units(self, values: Mapping[str, Ints]) -> dict[int, Ints]:
        """Units that each group keeps, for values of the variables."""
        found: dict[int, Ints] = {}
        for variable in self.variables:
            if not variable.units:
                continue
            at = _places(variable, values[variable.name])
            for group, units in variable.units.items():
                found[group] = units[at] if isinstance(at, int) else np.array(units)[at]
        return found

    def levels(self, values: Mapping[str, Ints]) -> dict[int, Ints]:
        """Of each group, the position of its variable's value among all values."""
        return {
            group: _places(variable, values[variable.name])
            for variable in self.variables
            for group in variable.units
        }


def _places(variable: Variable, value: Ints) -> Ints:
    if isinstance(value, np.ndarray):
        found: NDArray[np.int64] = np.searchsorted(np.array(variable.values), value)
        return found
    return variable.values.index(int(value))


def sized(terms: SizeTerms, units: Mapping[int, Ints]) -> Ints:
    """A size for these units."""
    return terms if isinstance(terms, int) else evaluate(terms, units)


def layer_fields(layer: TemplateLayer, units: Mapping[int, Ints]) -> dict[str, Any]:
    """What ``Layer`` takes of a template's layer, but for its inputs and its cell."""
    return {
        "op": layer.op,
        "name": layer.name,
        "stage": layer.stage,
        **{name: sized(terms, units) for name, terms in layer.sizes.items()},
        **layer.flags,
        **layer.texts,
    }


# ------------------------------------------------------------------------------- from the file
def read_template(path: str | Path) -> Template:
    """The template in a file; raises ``SpaceError``, one line that begins with the path."""
    document = read_json(path, SpaceError)
    try:
        return _template(Section.of(document, SpaceError), document)
    except SpaceError as error:
        raise SpaceError(f"{path}: {error}") from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise SpaceError(f"{path}: damaged: {error}") from None


def _template(top: Section, document: Mapping[str, Any]) -> Template:
    top.only({"schema", *(f.name for f in fields(Template))})
    top.schema(SCHEMA)
    variables = tuple(_variable(v) for v in document["variables"])
    layers = tuple(_layer(x) for x in document["layers"])
    return Template(
        name=top.text("name"),
        model=top.text("model"),
        sha256=top.text("sha256"),
        variables=variables,
        runs=tuple(document["runs"]),
        blocks=tuple(Block(*map(int, b)) for b in document["blocks"]),
        layers=layers,
        stages=tuple(
            Stage(s["name"], tuple(s["owns"]), tuple(s["reads"])) for s in document["stages"]
        ),
        importance=tuple(_importance(x) for x in document["importance"]),
        fixed={str(k): str(v) for k, v in document["fixed"].items()},
        source=_three(document["source"]),
        output=_slot(document["output"]),
        input_names=tuple(map(str, document["input_names"])),
        classes=int(document["classes"]),
        side=tuple(map(terms_from_json, document.get("side", ()))),
        orders={int(k): tuple(map(int, v)) for k, v in document.get("orders", {}).items()},
    )


def _three(given: Sequence[int]) -> tuple[int, int, int]:
    channels, height, width = map(int, given)
    return channels, height, width


def _variable(given: Mapping[str, Any]) -> Variable:
    if given["kind"] not in _KINDS:
        raise ValueError(f"a variable of kind {given['kind']!r}")
    values = tuple(map(int, given["values"]))
    units = {int(group): tuple(map(int, own)) for group, own in given["units"].items()}
    if any(len(own) != len(values) for own in units.values()):
        raise ValueError(f"variable {given['name']}: not one number of units a value")
    return Variable(str(given["name"]), given["kind"], values, units, str(given["what"]))


def _slot(given: Sequence[Any]) -> Slot:
    producer, *sizes, present = given
    channels, height, width = map(terms_from_json, sizes)
    return Slot(int(producer), channels, height, width, bool(present))


def _layer(given: Mapping[str, Any]) -> TemplateLayer:
    unknown = set(given) - {
        "op",
        "name",
        "stage",
        "inputs",
        "run",
        "block",
        *SIZES,
        *_FLAGS,
        *_TEXTS,
    }
    if unknown:
        raise ValueError(f"a layer with the unknown key {sorted(unknown)[0]!r}")
    return TemplateLayer(
        op=str(given["op"]),
        name=str(given["name"]),
        stage=str(given["stage"]),
        inputs=tuple(_slot(x) for x in given["inputs"]),
        sizes={name: terms_from_json(given[name]) for name in SIZES if name in given},
        flags={name: bool(given[name]) for name in _FLAGS if name in given},
        texts={name: str(given[name]) for name in _TEXTS if name in given},
        run=int(given.get("run", -1)),
        block=int(given.get("block", -1)),
    )


def _importance(given: Mapping[str, Any]) -> Importance:
    parts = tuple(
        (int(rows), int(columns), np.array(table, dtype=np.float64))
        for rows, columns, table in given["parts"]
    )
    if any(table.ndim != 2 for _, _, table in parts):
        raise ValueError("importance is a list of tables")
    extent = int(given.get("extent", -1))
    return Importance(str(given["stage"]), int(given["run"]), int(given["block"]), parts, extent)


def layer_defaults() -> dict[str, Any]:
    """Fields of ``Layer`` that files leave out where they have their default."""
    return {f.name: f.default for f in fields(Layer) if f.name in (*SIZES, *_FLAGS, *_TEXTS)}
