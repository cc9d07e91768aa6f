"""A design of a space as its family emits it, with the place of each layer that has weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError
from flash.spaces.layers import Flags, Ints, Layer, Tensor
from flash.spaces.network import GraphEmitter, Network
from flash.spaces.space import SearchSpace

__all__ = ["GATE", "Path", "check_sharing", "empty_values", "gated_variables", "path_of"]

#: The operation of a gate, in networks that share weights only.
GATE = "gate"


@dataclass(frozen=True)
class Path:
    """One design among those that share weights.

    network: its live part, gates included; without layers where no path leads to the output.
    places:  layer name -> where the family's code emitted it, the same for every design.
    gates:   name of a gate -> (variable, value), both as numbers.
    """

    network: Network
    places: Mapping[str, str]
    gates: Mapping[str, tuple[int, int]]


class _PlaceEmitter(GraphEmitter):
    """Records one design, and where in the family's code each layer was emitted.

    A family is code that is the same for every design but for its loops (``Emitter.repeat``). So
    the loops around a call, each by its number and its pass, and the number of the call among
    those inside them say which call it is: the row of the layer in a table of all designs.
    """

    def __init__(self, design: Mapping[str, int]) -> None:
        super().__init__()
        self.places: list[str] = []
        self.gates: dict[str, str] = {}
        self.design = design
        self._around = ""
        self._calls: Counter[str] = Counter()

    def repeat(self, count: Ints, start: int = 0) -> Iterator[int]:
        outer, loop = self._around, self._number("/")
        try:
            for i in super().repeat(count, start):
                self._around = f"{loop}.{i}"
                yield i
        finally:
            self._around = outer

    def chosen(self, x: Tensor, variable: str) -> Tensor:
        if not x.present:
            self._number(":")  # so that the layers after it keep their places
            return x
        gate = self._pointwise(GATE, (x,), x.channels, x.channels)
        self.gates[gate.name] = variable
        return self._record(gate)

    def _record(
        self, layer: Layer, needed: Flags = True, otherwise: Tensor | None = None
    ) -> Tensor:
        place, before = self._number(":"), len(self._layers)
        found = super()._record(layer, needed, otherwise)
        if len(self._layers) > before:
            self.places.append(place)
        return found

    def _number(self, kind: str) -> str:
        """The next loop ("/") or layer (":") inside the loops that we are in."""
        key = f"{self._around}{kind}"
        self._calls[key] += 1
        return f"{key}{self._calls[key]}"


def path_of(space: SearchSpace, design: NDArray[np.int64]) -> Path:
    """A design (indices, shape (variables,)) with the places of its layers."""
    values = space.named(design)
    emitter = _PlaceEmitter(values)
    network = emitter.network(*space.family.emit(emitter, values))
    names = [layer.name for layer in network.layers]
    variables = {name: k for k, name in enumerate(space.variables)}
    gates = {
        gate: (variables[name], int(design[variables[name]]))
        for gate, name in emitter.gates.items()
    }
    return Path(network.live(), dict(zip(names, emitter.places, strict=True)), gates)


def check_sharing(space: SearchSpace) -> None:
    """Raise ``UsageError`` for a space whose designs cannot share weights."""
    family = space.family
    why = ""
    if family.model_file is not None:
        why = "they are cut from a trained model and have its weights"
    elif len(family.output_channels) > 1:
        why = "they are no classifiers"
    else:
        ends = (np.zeros(len(space.grids), dtype=np.int64), [len(g) - 1 for g in space.grids])
        shapes = {family.input_shape(space.named(np.array(end))) for end in ends}
        if len(shapes) > 1:
            why = "they read images of different sizes"
    if why:
        raise UsageError(f"networks of {space.name} cannot share weights: {why}")


def gated_variables(space: SearchSpace) -> tuple[bool, ...]:
    """Which variables choose an operation, so that its result has a gate."""
    return tuple(bool(row.any()) for row in ~empty_values(space))


def empty_values(space: SearchSpace) -> NDArray[np.bool_]:
    """Values without an operation that has a gate, shape (variables, most values of any)."""
    sizes = np.array([len(grid) for grid in space.grids])
    found = np.ones((len(sizes), sizes.max()), dtype=np.bool_)
    for k in range(sizes.max()):
        design = np.minimum(k, sizes - 1)
        emitter = _PlaceEmitter(space.named(design))
        space.family.emit(emitter, emitter.design)
        gated = set(emitter.gates.values())
        for variable, name in enumerate(space.variables):
            if name in gated:
                found[variable, design[variable]] = False
    return found
