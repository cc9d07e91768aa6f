"""A model's graph with open sizes, as ``*.graph.json`` has it (``flash.spaces.template``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from flash.backends.onnx.variants.axes import attribute
from flash.backends.onnx.variants.blocks import Run, blocks_by_node
from flash.backends.onnx.variants.frozen import Frozen
from flash.backends.onnx.variants.sized import Sized
from flash.backends.onnx.variants.stages import Stretch, cut_into_stages
from flash.backends.onnx.variants.units import SIDE, Group, Units
from flash.backends.onnx.variants.variables import Choice
from flash.spaces.layers import Layer, Tensor
from flash.spaces.sizes import Size, terms_to_json
from flash.spaces.template import SCHEMA, SIZES, layer_defaults

__all__ = ["Plan", "graph_document", "groups_of", "kept_ids", "plan"]

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class Plan:
    """Which stages a model has with these variables.

    depends: of each layer, the variables its costs follow from.  block_of: (run, block) or -1.
    """

    choices: tuple[Choice, ...]
    depends: tuple[frozenset[str], ...]
    block_of: tuple[tuple[int, int], ...]
    stages: tuple[Stretch, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """Number of values of each variable."""
        return {c.name: len(c.values) for c in self.choices}


def plan(runs: Sequence[Run], choices: Sequence[Choice], sized: Sized) -> Plan:
    """The stages of a model's layers."""
    layers = sized.network.layers
    blocks = blocks_by_node(runs)
    depth = {c.run: c.name for c in choices if c.run >= 0}
    block_of = [blocks.get(k, (-1, -1)) for k in sized.node_of]
    block_of = [(r, b) if r in depth else (-1, -1) for r, b in block_of]
    followed = {g: c.name for c in choices for g in c.units}
    depends = tuple(
        frozenset(followed[g] for g in groups_of(x) if g in followed)
        | ({depth[r]} if r >= 0 else frozenset())
        for x, (r, _) in zip(layers, block_of, strict=True)
    )
    passes = [frozenset(followed[g] for g in _made_of(x) if g in followed) for x in layers]
    stages = cut_into_stages(layers, depends, passes, {c.name: len(c.values) for c in choices})
    return Plan(tuple(choices), depends, tuple(block_of), tuple(stages))


def graph_document(
    name: str,
    frozen: Frozen,
    units: Units,
    runs: Sequence[Run],
    planned: Plan,
    sized: Sized,
    model: tuple[str, str],
) -> dict[str, Any]:
    """The document; ``model``: file name and SHA-256 of the model beside it."""
    layers, choices, stages = sized.network.layers, planned.choices, planned.stages
    block_of, blocks = planned.block_of, blocks_by_node(runs)
    depth = {c.run: c.name for c in choices if c.run >= 0}
    followed = {g: c.name for c in choices for g in c.units}
    stage_of = {k: s.name for s in stages for k in s.layers}
    runs_kept = sorted(depth)
    run_number = {r: k for k, r in enumerate(runs_kept)} | {-1: -1}
    closed = closed_widths(units, followed)
    source = sized.network.source
    optional: dict[str, Any] = {}
    if isinstance(source.height, Size) or isinstance(source.width, Size):
        optional["side"] = [_open(x, followed, units) for x in (source.height, source.width)]
    if frozen.worth:
        optional["orders"] = {str(k): g.order.tolist() for k, g in enumerate(units.groups)}
    return {
        "schema": SCHEMA,
        "name": name,
        "model": model[0],
        "sha256": model[1],
        "source": [int(source.channels), int(source.height), int(source.width)],
        "classes": max(1, int(sized.network.outputs[0].channels)),
        "input_names": list(frozen.inputs),
        "fixed": dict(units.fixed) | closed,
        "variables": [c.to_dict() for c in choices],
        "runs": [depth[r] for r in runs_kept],
        "blocks": _blocks(runs, runs_kept, sized),
        "stages": [s.to_dict() for s in stages],
        "layers": [
            _layer(x, stage_of[n], run_number[r], b, followed, units)
            for n, (x, (r, b)) in enumerate(zip(layers, block_of, strict=True))
        ],
        "output": _slot(sized.network.output, followed, units),
        "importance": _importance(
            frozen, units, choices, sized, (stages, run_number, blocks, depth)
        ),
    } | optional


def closed_widths(units: Units, followed: Mapping[int, str]) -> dict[str, str]:
    """Groups that follow no variable."""
    return {
        f"{g.channels} channels of '{next(iter(g.places))[0]}'": "too few to leave any out"
        for k, g in enumerate(units.groups)
        if k not in followed
    }


def _blocks(runs: Sequence[Run], kept: Sequence[int], sized: Sized) -> list[list[int]]:
    return [
        [k, number, sized.layer_of[block.enters], sized.layer_of[block.leaves]]
        for k, run in enumerate(kept)
        for number, block in enumerate(runs[run].blocks)
    ]


def groups_of(layer: Layer) -> set[int]:
    """The groups of units that a layer's costs follow from."""
    values = [getattr(layer, name) for name in SIZES]
    values += [v for x in layer.inputs for v in (x.channels, x.height, x.width)]
    return {atom for v in values if isinstance(v, Size) for atom in _atoms(v.terms)}


def _made_of(layer: Layer) -> set[int]:
    """The groups that the size of a layer's result follows from."""
    sizes = (layer.out_channels, layer.out_height, layer.out_width, layer.batch)
    return {atom for v in sizes if isinstance(v, Size) for atom in _atoms(v.terms)}


def _atoms(terms: Any) -> set[int]:
    found: set[int] = set()
    for atoms, _ in terms:
        for atom in atoms:
            found |= {atom} if isinstance(atom, int) else _atoms(atom[1])
    return found


# ------------------------------------------------------------------------------------- layers
def _layer(
    layer: Layer, stage: str, run: int, block: int, followed: Mapping[int, str], units: Units
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "op": layer.op,
        "name": layer.name,
        "stage": stage,
        "inputs": [_slot(x, followed, units) for x in layer.inputs],
    }
    if run >= 0:
        found |= {"run": run, "block": block}
    required = ("in_channels", "out_channels", "in_height", "in_width", "out_height", "out_width")
    for name, default in layer_defaults().items():
        value = getattr(layer, name)
        if name in required or value != default:
            found[name] = _open(value, followed, units) if name in SIZES else value
    return found


def _slot(x: Tensor, followed: Mapping[int, str], units: Units) -> list[Any]:
    sizes = (_open(v, followed, units) for v in (x.channels, x.height, x.width))
    return [int(x.producer), *sizes, bool(x.present)]


def _open(value: Any, followed: Mapping[int, str], units: Units) -> Any:
    """A size as the file has it; groups that follow no variable are numbers."""
    if not isinstance(value, Size):
        return value if value is None else int(value)
    if _atoms(value.terms) <= followed.keys():
        return terms_to_json(value)
    given: dict[int, Any] = {
        g: Size.of_group(g, own.units) if g in followed else own.units
        for g, own in enumerate(units.groups)
    }
    given |= {g: Size.of_group(g, own.sizes[-1]) for g, own in units.numbered_extents}
    return terms_to_json(_substituted(value.terms, given))


def _substituted(terms: Any, given: Mapping[int, Any]) -> int:
    total: int = 0
    for atoms, coefficient in terms:
        product: int = coefficient
        for atom in atoms:
            own = given[atom] if isinstance(atom, int) else _substituted(atom[1], given) // atom[2]
            product = product * own
        total = total + product
    return total


# --------------------------------------------------------------------------------- importance
def _importance(
    frozen: Frozen,
    units: Units,
    choices: Sequence[Choice],
    sized: Sized,
    where: tuple[Sequence[Stretch], Mapping[int, int], Mapping[int, tuple[int, int]], Any],
) -> list[dict[str, Any]]:
    stages, run_number, blocks, depth = where
    stage_of = {k: s.name for s in stages for k in s.layers}
    levels = {g: own for c in choices for g, own in c.units.items()}
    sides = {g for g, own in units.numbered_extents if own.kind == SIDE}
    found = []
    for number, node in enumerate(frozen.nodes):
        weight = frozen.stored.get(node.input[1]) if len(node.input) > 1 else None
        layer = sized.layer_of.get(node.output[0], -1)
        if node.op_type not in _WEIGHTED or weight is None or weight.ndim < 2 or layer < 0:
            continue
        if not weight.any():
            continue
        parts = _parts(node, frozen.importance(node.input[1]), units, levels)
        run, block = blocks.get(number, (-1, -1))
        run, block = (run, block) if run in depth else (-1, -1)
        entry = {"stage": stage_of[layer], "run": run_number[run], "block": block}
        if sides & groups_of(sized.network.layers[layer]):
            entry["extent"] = units.extent_at[_input_side(frozen)]
        found.append(entry | {"parts": parts})
    return found


def _input_side(frozen: Frozen) -> tuple[str, int]:
    """Where the input's height is."""
    return next(iter(frozen.inputs)), 2


def _parts(
    node: onnx.NodeProto,
    importance: NDArray[np.float64],
    units: Units,
    levels: Mapping[int, tuple[int, ...]],
) -> list[list[Any]]:
    """Importance of a kernel by group of rows and of columns, at each of their levels."""
    extent = units.extent_at.get((node.input[1], importance.ndim - 1))
    if extent is not None and extent in levels:
        return _depthwise_parts(node, importance, units, levels, extent)
    squares = importance
    squares = squares.sum(axis=tuple(range(2, squares.ndim))) if squares.ndim > 2 else squares
    if squares.ndim == 2 == importance.ndim and not (
        node.op_type == "Gemm" and attribute(node, "transB", 0)
    ):
        squares = squares.T
        rows, columns = units.of[node.input[1]][1], units.of[node.input[1]][0]
    else:
        rows, columns = units.of[node.input[1]][0], units.of[node.input[1]][1]
    squares = squares / max(float(squares.sum()), 1e-30)
    found = []
    for row, row_sets in _kept_sets(rows, units, levels):
        for column, column_sets in _kept_sets(columns, units, levels):
            table = row_sets @ squares @ column_sets.T
            if table.any():
                found.append([row, column, np.round(table, 9).tolist()])
    return found


def _depthwise_parts(
    node: onnx.NodeProto,
    importance: NDArray[np.float64],
    units: Units,
    levels: Mapping[int, tuple[int, ...]],
    extent: int,
) -> list[list[Any]]:
    """Importance of a depthwise kernel by group of channels and by its side."""
    sides = []
    for side in levels[extent]:
        own = importance[:, 0]
        for axis in range(1, own.ndim):
            outside = max(0, own.shape[axis] - side) // 2
            own = np.take(own, range(outside, own.shape[axis] - outside), axis=axis)
        sides.append(own.sum(axis=tuple(range(1, own.ndim))))
    by_side = np.stack(sides) / max(float(importance.sum()), 1e-30)
    found = []
    for row, row_sets in _kept_sets(units.of[node.input[1]][0], units, levels):
        table = row_sets @ by_side.T
        if table.any():
            found.append([row, extent, np.round(table, 9).tolist()])
    return found


def _kept_sets(
    labels: NDArray[np.int64], units: Units, levels: Mapping[int, tuple[int, ...]]
) -> list[tuple[int, NDArray[np.float64]]]:
    """(group, which positions are kept at each level); -1 for what never varies."""
    found = []
    open_positions = np.zeros(len(labels), dtype=np.bool_)
    for number, kept in levels.items():
        if number >= len(units.groups):
            continue
        group = units.groups[number]
        own = np.isin(labels, group.ids)
        if not own.any():
            continue
        open_positions |= own
        sets = [np.isin(labels, kept_ids(group, n)) for n in kept]
        found.append((number, np.array(sets, dtype=np.float64)))
    if not open_positions.all():
        found.append((-1, (~open_positions)[None].astype(np.float64)))
    return found


def kept_ids(group: Group, units: int) -> NDArray[np.int64]:
    """The ids of the most important ``units`` of a group."""
    return group.ids[group.order[:units]]
