"""A model and all its smaller variants: found once, written as a space, cut one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from flash.backends.onnx.variants.axes import Axes
from flash.backends.onnx.variants.blocks import Run, find_runs
from flash.backends.onnx.variants.cutting import Cut, cut
from flash.backends.onnx.variants.document import (
    Plan,
    closed_widths,
    graph_document,
    groups_of,
    plan,
)
from flash.backends.onnx.variants.extents import kernel_extents, side_extents
from flash.backends.onnx.variants.frozen import Frozen, freeze, freeze_at, freeze_file
from flash.backends.onnx.variants.sized import Sized, sized_network
from flash.backends.onnx.variants.stages import effort
from flash.backends.onnx.variants.units import SIDE, Extent, Units, find_units
from flash.backends.onnx.variants.variables import SHARES, Choice, choose_variables
from flash.errors import InputError
from flash.spaces.family import Cutting

#: Options times states of an exact search; with more, variants keep coarser shares of widths.
_MOST_EFFORT: Final = 100_000
#: Widths that one layer may follow from.
_MOST_GROUPS: Final = 4

__all__ = [
    "Open",
    "Variants",
    "reopened",
    "variant_of",
    "variants_model",
    "variants_of",
    "variants_of_file",
]


@dataclass(frozen=True)
class Variants:
    """A model with its widths and depths; ``path`` begins messages.

    at: the model at other sides of its input, where that varies.
    """

    path: str
    frozen: Frozen
    units: Units
    runs: tuple[Run, ...]
    sized: Sized
    planned: Plan
    at: Mapping[int, tuple[Frozen, Units]] = field(default_factory=dict)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The variables."""
        return self.planned.choices

    @property
    def largest(self) -> dict[str, int]:
        """The values that make the model itself."""
        return {c.name: c.values[-1] for c in self.choices}

    @cached_property
    def content(self) -> bytes:
        """The model, static but for the batch, as a file."""
        content: bytes = self.model(self.largest).SerializeToString(deterministic=True)
        return content

    def model(self, values: Mapping[str, int]) -> onnx.ModelProto:
        """The variant with these values of all variables, with the weights it inherits."""
        depths = {c.run: values[c.name] for c in self.choices if c.run >= 0}
        frozen, units = self.at.get(values.get(SIDE, 0), (self.frozen, self.units))
        return cut(frozen, units, self.runs, self._kept_units(values), depths)

    def _kept_units(self, values: Mapping[str, int]) -> dict[int, int]:
        kept: dict[int, int] = {}
        for choice in self.choices:
            at = choice.values.index(values[choice.name])
            kept.update({group: own[at] for group, own in choice.units.items()})
        return kept

    def kept(self, values: Mapping[str, int]) -> dict[str, NDArray[np.bool_]]:
        """Result of a convolution or product -> which of its channels the variant keeps."""
        stays = Cut(self.frozen, self.units, self._kept_units(values))
        return {
            node.output[0]: stays.positions(node.output[0])[1 if node.op_type == "Conv" else -1]
            for node in self.frozen.nodes
            if node.op_type in ("Conv", "Gemm")
        }

    @property
    def input_kinds(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Sizes and type of the inputs by name."""
        return {
            x.name: (
                self.frozen.shapes[x.name],
                np.dtype(onnx.helper.tensor_dtype_to_np_dtype(x.type.tensor_type.elem_type)),
            )
            for x in self.frozen.model.graph.input
        }

    @property
    def document_fixed(self) -> dict[str, str]:
        """What cannot vary -> why."""
        followed = {g: c.name for c in self.choices for g in c.units}
        return dict(self.units.fixed) | closed_widths(self.units, followed)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know of how the model was read."""
        if not self.frozen.unshared:
            return ()
        return (
            f"{self.frozen.unshared:,} parameters of vectors that several layers share are "
            "written out for each, and counted so",
        )

    def document(self, name: str, model_file: str) -> dict[str, Any]:
        """The model's graph with open sizes, as its file has it."""
        found = (model_file, hashlib.sha256(self.content).hexdigest())
        return graph_document(
            name, self.frozen, self.units, self.runs, self.planned, self.sized, found
        )


@dataclass(frozen=True)
class Open:
    """How far a model is opened.

    block: channels that the target computes at once: wider groups keep multiples of it.
    sides: of the input beside its own, in positions of its height.
    worth: of stored tensors, the importance of every element; their squares where not given.
    """

    block: int = 1
    sides: tuple[int, ...] = ()
    worth: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


def variants_of_file(
    path: str | Path,
    input_shape: Sequence[int] | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
    how: Open | None = None,
) -> Variants:
    """The variants of the model in a file; raises ``InputError``."""
    return _variants(freeze_file(path, input_shape, inputs), str(path), how or Open())


def variants_model(path: str | Path) -> onnx.ModelProto:
    """The model of a file, static but for the batch, as PyTorch trains it; ``InputError``."""
    frozen = freeze_file(path)
    return cut(frozen, find_units(Axes(frozen)), (), {}, {})


def variants_of(model: onnx.ModelProto, path: str = "model", how: Open | None = None) -> Variants:
    """The variants of a model already loaded; raises ``InputError``."""
    return _variants(freeze(model, path), path, how or Open())


def reopened(variants: Variants, how: Open) -> Variants:
    """The same model opened otherwise."""
    return _variants(variants.frozen, variants.path, how)


def variant_of(path: str | Path, how: Cutting) -> onnx.ModelProto:
    """The variant of the model at ``path`` that a space of it means; raises ``InputError``."""
    frozen = freeze_file(path)
    units = find_units(Axes(frozen))
    runs = find_runs(frozen, units)
    kernels = kernel_extents(frozen, runs)
    if how.side:
        frozen, units = _at_side(frozen, units, how.side, str(path))
    groups = [
        replace(g, order=np.array(how.orders[k])) if k in how.orders else g
        for k, g in enumerate(units.groups)
    ]
    units = replace(units, groups=tuple(groups), extents=kernels)
    return cut(frozen, units, runs, how.kept, how.depths)


def _variants(frozen: Frozen, path: str, how: Open) -> Variants:
    frozen = replace(frozen, worth=how.worth)
    units = find_units(Axes(frozen))
    runs = find_runs(frozen, units)
    at = {side: _at_side(frozen, units, side, path) for side in how.sides}
    extents = kernel_extents(frozen, runs)
    if at:
        own = next(iter(frozen.inputs.values()))[2]
        extents += _sides({side: pair[0] for side, pair in at.items()} | {own: frozen}, own, path)
    units = replace(units, extents=extents)
    at = {side: (own, replace(given, extents=extents)) for side, (own, given) in at.items()}
    sized = sized_network(frozen, units, path)
    tied = _tied(sized, units)
    for shares in SHARES:
        choices = choose_variables(frozen, units, runs, shares, tied, how.block)
        planned = plan(runs, choices, sized)
        if effort(planned.stages, planned.sizes) <= _MOST_EFFORT:
            break
    if not choices:
        reasons = [f"{node} {why}" for node, why in units.fixed.items()]
        reasons += ["its layers compute their weights; none is stored"]
        raise InputError(
            f"{path}: nothing in it can be made smaller: no width is free ({reasons[0]})"
        )
    return Variants(path, frozen, units, runs, sized, planned, at)


def _at_side(frozen: Frozen, units: Units, side: int, path: str) -> tuple[Frozen, Units]:
    """The model at another side of its input, and its units, which are the model's own."""
    shape = next(iter(frozen.inputs.values()))
    if len(frozen.inputs) != 1 or len(shape) != 4:
        raise InputError(f"{path}: the side varies where a model reads one image only")
    height, width = shape[2:]
    if not 0 < side < height:
        raise InputError(f"{path}: sides must lie below the model's own, {height}, got {side}")
    whole = cut(frozen, units, (), {}, {})
    try:
        found = freeze_at(whole, (*shape[:2], side, max(1, round(width * side / height))), path)
    except InputError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise InputError(f"{path}: its side cannot be {side}: {reason}") from None
    found = replace(found, worth=frozen.worth)
    other = find_units(Axes(found))
    same = len(other.groups) == len(units.groups) and all(
        np.array_equal(a.ids, b.ids) for a, b in zip(other.groups, units.groups, strict=True)
    )
    if not same:
        raise InputError(f"{path}: its side cannot be {side}: its widths follow from it")
    return found, other


def _sides(at: Mapping[int, Frozen], own: int, path: str) -> tuple[Extent, ...]:
    try:
        return side_extents(at, own)
    except InputError as error:
        raise InputError(f"{path}: its side cannot vary: {error}") from None


def _tied(sized: Sized, units: Units) -> list[list[int]]:
    """Groups of equal widths that layers join in such numbers that each cannot vary alone."""
    found: dict[int, set[int]] = {}
    for layer in sized.network.layers:
        groups = {g for g in groups_of(layer) if g < len(units.groups)}
        if len(groups) > _MOST_GROUPS:
            for g in groups:
                found.setdefault(units.groups[g].units, set()).add(g)
    return [sorted(own) for own in found.values() if len(own) > 1]
