"""The smaller variants of one given model: the family that ``flash.shrink`` makes.

Its definition is the model's own graph with open widths and depths (``flash.spaces.template``),
in a file beside the space's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.errors import InputError, SpaceError, shown
from flash.files.limits import UNPACKED_BYTES
from flash.files.reading import read_bytes
from flash.spaces.emitter import Emitter
from flash.spaces.family import Cutting, Family, InputShape, Setting, Stage
from flash.spaces.layers import INPUT, ZEROS, Ints, Layer, Tensor
from flash.spaces.template import (
    Importance,
    Slot,
    Template,
    TemplateLayer,
    layer_fields,
    read_template,
    sized,
)

__all__ = ["HALVINGS", "ModelFamily"]

#: Halvings of a layer's norm that count as much as leaving the layer out: chosen by us. At twice
#: the value, narrow layers lose half as much against layers that are left out. A halving of the
#: input's side counts as one of the norm of every layer that sees it: MobileNet-V2 loses as much
#: from 224 to 128 (0.81 halvings, 71.8 to 65.3 %) as at half its widths (65.4 %; TF-slim's models).
HALVINGS: Final = 4


class ModelFamily(Family):
    """Widths of a model's channel groups, heads of its attention, depths of its runs of blocks.

    Variables: ``width{n}`` channels of a group, ``inner{n}`` channels inside the blocks of a run,
    ``heads{n}`` heads of attention, ``depth{n}`` blocks of a run, kept from its start,
    ``kernel{n}`` the side of depthwise kernels, ``side`` the height of the input, its width along.
    The largest values are the model itself.
    """

    name = "model"
    settings = {"graph": Setting(None, file=True)}

    def __init__(self, shape: InputShape, classes: int, settings: Mapping[str, Any]) -> None:
        super().__init__(shape, classes, settings)
        self.template: Template = read_template(self.options["graph"])
        if (shape.channels, shape.height, shape.width) != self.template.source:
            raise SpaceError(
                "[input] must be that of the model: "
                f"{' x '.join(map(str, self.template.source))} (channels, height, width)"
            )

    @property
    def model_file(self) -> Path:
        """The model, beside the graph."""
        return Path(self.options["graph"]).parent / self.template.model

    def checked_model_file(self) -> Path:
        """The model, if it is the one that the graph was made of; ``InputError`` else."""
        path = self.model_file
        content = read_bytes(path, most=UNPACKED_BYTES)
        if hashlib.sha256(content).hexdigest() != self.template.sha256:
            raise InputError(f"{path}: not the model that {self.options['graph']} was made of")
        return path

    def cutting(self, values: Mapping[str, int]) -> Cutting:
        """How a design is cut from the model."""
        template = self.template
        kept = {int(k): int(n) for k, n in template.units(values).items()}
        depths = {run: values[name] for run, name in enumerate(template.runs)}
        side = int(values.get("side", 0))
        return Cutting(kept, depths, 0 if side == template.source[1] else side, template.orders)

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(v.name for v in self.template.variables)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self.template.stages

    def check(self, values: Mapping[str, Sequence[int]]) -> None:
        for variable in self.template.variables:
            wrong = [v for v in values[variable.name] if v not in variable.values]
            if wrong:
                known = ", ".join(map(str, variable.values))
                raise SpaceError(
                    f"[variables.{variable.name}] has the value {shown(wrong[0])}; the model's "
                    f"graph has {known}"
                )

    def canonical(self, values: Mapping[str, Ints]) -> dict[str, Ints]:
        """Widths inside a run of which no block is left have no effect."""
        result = dict(values)
        for name, depth in self._inside.items():
            own = next(v for v in self.template.variables if v.name == name)
            gone = values[depth] == 0
            if isinstance(gone, np.ndarray):
                result[name] = np.where(gone, own.values[-1], values[name])
            elif gone:
                result[name] = own.values[-1]
        return result

    @property
    def _inside(self) -> dict[str, str]:
        """Variables whose groups are in the blocks of one run only -> the run's depth."""
        runs: dict[str, set[int]] = {}
        for layer in self.template.layers:
            for name in self._named(layer):
                runs.setdefault(name, set()).add(layer.run)
        return {
            name: self.template.runs[min(own)]
            for name, own in runs.items()
            if len(own) == 1 and min(own) >= 0
        }

    def _named(self, layer: TemplateLayer) -> set[str]:
        """Variables that a layer's sizes follow from."""
        groups = set().union(*(_groups(terms) for terms in layer.sizes.values()))
        return {v.name for v in self.template.variables if groups & set(v.units)}

    # ------------------------------------------------------------------------------- the layers
    def emit(self, e: Emitter, values: Mapping[str, Ints]) -> tuple[Tensor, Tensor]:
        template = self.template
        units = template.units(values)
        if template.long_links:
            e.follow_passing()
        channels, *sides = template.source
        height, width = (sized(x, units) for x in template.side or sides)
        source = e.source(channels, height, width)
        made: dict[int, Tensor] = {INPUT: source}
        for number, layer in enumerate(template.layers):
            if layer.run < 0:
                made[number] = self._layer(e, layer, units, made)
                continue
            blocks = template.leaving.get(number, ())
            for block in blocks:
                made[number] = made[block.enters]
            for _ in e.when(values[template.runs[layer.run]] > layer.block):
                made[number] = self._layer(e, layer, units, made)
                for block in blocks:
                    made[number] = e.merge(made[number], made[block.enters])
        return source, _seen(template.output, units, made)

    @staticmethod
    def _layer(
        e: Emitter, layer: TemplateLayer, units: Mapping[int, Ints], made: Mapping[int, Tensor]
    ) -> Tensor:
        inputs = tuple(_seen(slot, units, made) for slot in layer.inputs)
        return e.layer(Layer(inputs=inputs, cell=-1, **layer_fields(layer, units)))

    # ------------------------------------------------------------------------------- importance
    def kept_importance(self, values: Mapping[str, Ints], stage: str) -> NDArray[np.float64]:
        """A stage's part of ``flash.metrics.importance``; one value a design, or of shape (1,)."""
        template, levels = self.template, self.template.levels(values)
        units = template.units(values) if template.side else {}
        total: NDArray[np.float64] = np.zeros(1)
        for layer in template.importance:
            if layer.stage != stage:
                continue
            # A squared share of 2**-2h is one of the norm of 2**-h: h halvings.
            squares = np.clip(_squares(layer, levels), 1e-12, 1.0)
            halvings = -np.log2(squares) / 2
            if layer.extent >= 0:
                halvings = halvings + np.log2(template.source[1] / np.asarray(units[layer.extent]))
            kept = np.maximum(1.0 - halvings / HALVINGS, 0.0)
            if layer.run >= 0:
                kept = kept * (np.asarray(values[template.runs[layer.run]]) > layer.block)
            total = total + kept
        return total / max(len(template.importance), 1)


def _squares(layer: Importance, levels: Mapping[int, Ints]) -> NDArray[np.float64]:
    total: NDArray[np.float64] = np.zeros(1)
    for rows, columns, table in layer.parts:
        total = total + table[levels.get(rows, 0), levels.get(columns, 0)]
    return total


def _groups(terms: Any) -> set[int]:
    """The groups that a size follows from."""
    if isinstance(terms, int):
        return set()
    found: set[int] = set()
    for atoms, _ in terms:
        for atom in atoms:
            found |= {atom} if isinstance(atom, int) else _groups(atom[1])
    return found


def _seen(slot: Slot, units: Mapping[int, Ints], made: Mapping[int, Tensor]) -> Tensor:
    channels, height, width = (
        sized(terms, units) for terms in (slot.channels, slot.height, slot.width)
    )
    if slot.producer == ZEROS:
        return Tensor(channels, height, width, ZEROS, present=False, signal=False)
    made_there = made[slot.producer]
    sizes = (made_there.channels, made_there.height, made_there.width)
    if made_there.present is slot.present and all(
        np.array_equal(a, b) for a, b in zip(sizes, (channels, height, width), strict=True)
    ):
        return made_there  # the very tensor: who reads the input is known by it
    return replace(made_there, channels=channels, height=height, width=width, present=slot.present)
