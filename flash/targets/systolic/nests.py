"""Loop nests: what a mapping of a layer moves, takes and costs.

A weight-stationary array unrolls filters over its columns and channels over its rows. What is
left of every dimension is a loop in time, and a *mapping* says in which order the loops run,
innermost first, and which of them each memory serves:

* an element keeps some weights and one partial sum,
* a buffer keeps inputs and outputs,
* DRAM keeps everything.

The part of a tensor that lies in a memory is its *tile*: what the loops inside the memory's
boundary touch. It is loaded once for every iteration of the loops outside, but for those right
outside that do not change it. Operands have boundaries of their own (an "uneven" mapping).

Time, of one layer alone: the first tiles arrive, then arithmetic and DRAM run side by side where
a memory holds two tiles, and one after the other where it holds one; all data pass one DRAM port:

    cycles = max(arithmetic + first tiles + loads that do not overlap, DRAM words) + drain
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError
from flash.spaces.layers import Layer

__all__ = ["DIMENSIONS", "Aim", "Costs", "Loop", "Memories", "Nest", "Product", "nest_costs"]

#: Loops: groups, filters, channels, rows and columns of the output, of the kernel.
DIMENSIONS: Final = ("G", "K", "C", "Y", "X", "R", "S")
_G, _K, _C, _Y, _X, _R, _S = range(7)
ALL: Final = frozenset(range(7))
#: Dimensions that choose among the elements of a tensor.
OF_WEIGHTS: Final = frozenset({_G, _K, _C, _R, _S})
_OF_OUTPUTS: Final = frozenset({_G, _K, _Y, _X})
_OF_INPUTS: Final = ALL - {_K}
#: Those that add up in one output.
SUMMED: Final = ALL - _OF_OUTPUTS

Points = NDArray[np.int64]
#: A dimension and how often its loop runs, innermost first in a sequence.
Loop = tuple[str, int]
Aim = Literal["latency", "energy", "product"]
#: Tensors that are in the buffer from before, or stay in it.
Resident = frozenset[Literal["inputs", "outputs"]]
NOTHING: Final[Resident] = frozenset()


class Product(NamedTuple):
    """A convolution or matrix product: sizes of its loops; filters and channels of one group."""

    groups: int
    filters: int
    channels: int
    height: int
    width: int
    kernel_height: int
    kernel_width: int
    stride: int
    in_height: int
    in_width: int

    @classmethod
    def of(cls, layer: Layer) -> Product:
        """Of a ``conv`` or ``linear`` layer of one design."""
        if layer.op == "linear":
            rows = int(layer.out_height * layer.out_width)
            channels = int(layer.in_channels)
            return cls(1, int(layer.out_channels), channels, rows, 1, 1, 1, 1, rows, 1)
        if layer.op != "conv":
            raise UsageError(f"layer {layer.name}: {layer.op} is no product of inputs and weights")
        groups = int(layer.groups)
        sizes = (
            layer.out_height, layer.out_width, layer.kernel_height, layer.kernel_width,
            layer.stride, layer.in_height, layer.in_width,
        )  # fmt: skip
        filters, channels = int(layer.out_channels) // groups, int(layer.in_channels) // groups
        return cls(groups, filters, channels, *(int(size) for size in sizes))

    @property
    def loops(self) -> tuple[int, ...]:
        """Sizes in the order of ``DIMENSIONS``."""
        return self[:7]

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return int(np.prod(self.loops))


@dataclass(frozen=True)
class Memories:
    """An array with its memories; energies in pJ, of one word of the operands' width.

    weight_words: of an element.  grain_bytes: least that the buffer and DRAM pass at a time.
    *_byte: of the buffer and DRAM, a byte.
    """

    rows: int
    cols: int
    weight_words: int
    buffer_bytes: float
    dram_bytes_per_cycle: float
    mac: float
    weight_read: float
    weight_write: float
    sum_read: float
    sum_write: float
    buffer_read_byte: float
    buffer_write_byte: float
    dram_read_byte: float
    dram_write_byte: float
    grain_bytes: int = 8
    bytes: float = 1
    sum_bytes: float = 2


@dataclass(frozen=True)
class Nest:
    """A mapping: loops in time, innermost first, and how many of them lie inside each boundary.

    sums:    loops whose results add up in an element's register before the buffer sees them.
    weights, inputs, outputs: loops that a tile serves, in elements (weights) or the buffer.
    """

    loops: tuple[Loop, ...]
    sums: int
    weights: int
    inputs: int
    outputs: int

    def __str__(self) -> str:
        marks = {"sums": self.sums, "weights": self.weights}
        marks |= {"inputs": self.inputs, "outputs": self.outputs}
        words = []
        for number in range(len(self.loops) + 1):
            ends = [name for name, place in marks.items() if place == number]
            words += [f"[{', '.join(ends)}]"] if ends else []
            words += [f"{dim}{size}" for dim, size in self.loops[number : number + 1]]
        return " ".join(words)


@dataclass(frozen=True)
class Costs:
    """Of one layer on one mapping; arrays where several mappings are counted at once.

    arithmetic: cycles without waiting.  first: cycles that the first tiles take, and what stays
    to be written in the end.  alone: of loads that nothing overlaps.  drain: the last sums on
    their way down and out of the array.
    """

    arithmetic: Any
    first: Any
    alone: Any
    drain: Any
    dram_bytes: Any
    buffer_bytes: Any
    element_pj: Any
    buffer_pj: Any
    dram_pj: Any
    dram_cycles: Any

    @property
    def cycles(self) -> Any:
        """Time of the layer."""
        busy = self.arithmetic + self.first + self.alone
        return np.maximum(busy, self.dram_cycles) + self.drain

    @property
    def energy_pj(self) -> Any:
        """Energy without clock and leakage."""
        return self.element_pj + self.buffer_pj + self.dram_pj

    def of(self, aim: Aim) -> Any:
        """What is to be least: cycles, energy, or their product."""
        factors = {"latency": self.cycles, "energy": self.energy_pj}
        return self.cycles * self.energy_pj if aim == "product" else factors[aim]


class Boundaries(NamedTuple):
    """How far each boundary has come in every dimension: points (..., 7) or one point (7,).

    innermost: loops of one kind at the bottom: they add up in registers, or let the array keep
    the input it reads (filters), or the weight (rows and columns).
    """

    innermost: Points
    weights: Points
    inputs: Points
    outputs: Points


def _check(sizes: Product, memories: Memories) -> None:
    """Raises ``UsageError`` for a size that is no number from 1 on, or a cost that is below 0."""
    counts = {**sizes._asdict(), **{name: getattr(memories, name) for name in _COUNTS}}
    for name, value in counts.items():
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise UsageError(f"{name} must be a whole number from 1 on, got {value!r}")
    for name, value in vars(memories).items():
        number = isinstance(value, int | float | np.number) and math.isfinite(value)
        if not number or value < 0 or (value == 0 and "bytes" in name):
            raise UsageError(f"{name} must be a number from 0 on, got {value!r}")


#: Fields of ``Memories`` that are whole numbers.
_COUNTS: Final = ("rows", "cols", "weight_words", "grain_bytes")


class NestedLayer:
    """One product on one array: sizes in time and space, and costs of points."""

    def __init__(self, sizes: Product, memories: Memories, resident: Resident = NOTHING) -> None:
        _check(sizes, memories)
        self.sizes, self.memories = sizes, memories
        self.has_inputs, self.keeps_outputs = "inputs" in resident, "outputs" in resident
        steps = list(sizes.loops)
        steps[_K] = -(-sizes.filters // memories.cols)
        steps[_C] = -(-sizes.channels // memories.rows)
        self.steps = np.array(steps, dtype=np.int64)
        #: Filters and channels side by side, on average.
        self.across = sizes.filters / steps[_K]
        self.down = sizes.channels / steps[_C]

    @cached_property
    def arithmetic(self) -> int:
        """Cycles of the loops in time."""
        return int(self.steps.prod())

    @cached_property
    def weight_bytes(self) -> float:
        """All weights."""
        words = float(turns(self.steps, OF_WEIGHTS))
        return words * self.across * self.down * self.memories.bytes

    @cached_property
    def outputs(self) -> float:
        """All outputs."""
        return float(turns(self.steps, _OF_OUTPUTS)) * self.across

    @property
    def least_written(self) -> float:
        """Bytes that every mapping writes to DRAM."""
        return 0.0 if self.keeps_outputs else self.outputs * self.memories.bytes

    def allowed(self, inputs: Points, outputs: Points) -> Any:
        """Whether the buffer holds the tiles, and what is to stay in it as a whole."""
        room = self.input_tile(inputs) + self.output_tile(outputs) <= self.memories.buffer_bytes
        if self.has_inputs:
            room = room & (self.input_tile(inputs) == self.input_tile(self.steps))
        if self.keeps_outputs:
            room = room & (outputs.prod(axis=-1) == self.arithmetic)
        return room

    # -------------------------------------------------------------------------------- tiles
    def input_tile(self, points: Points) -> Any:
        """Bytes of inputs that the loops inside touch."""
        s = self.sizes
        rows = _window(points[..., _Y], points[..., _R], s.stride, s.in_height)
        columns = _window(points[..., _X], points[..., _S], s.stride, s.in_width)
        channels = points[..., _G] * points[..., _C] * self.down
        return channels * rows * columns * self.memories.bytes

    def input_traffic(self, points: Points) -> Any:
        """Bytes of inputs that come from DRAM."""
        if self.has_inputs:
            return np.zeros(points.shape[:-1])
        return self.input_tile(points) * (self.arithmetic / points.prod(axis=-1))

    def output_passes(self, points: Points) -> Any:
        """How often a sum leaves for DRAM."""
        return turns(self.steps, SUMMED) // turns(points, SUMMED)

    def output_tile(self, points: Points) -> Any:
        """Bytes of outputs, or of sums where they are not complete."""
        each = np.where(
            self.output_passes(points) > 1, self.memories.sum_bytes, self.memories.bytes
        )
        return turns(points, _OF_OUTPUTS) * self.across * each

    def output_traffic(self, points: Points) -> tuple[Any, Any]:
        """Bytes written to DRAM, and of sums read back."""
        passes, m = self.output_passes(points), self.memories
        if self.keeps_outputs:
            return np.zeros(points.shape[:-1]), np.zeros(points.shape[:-1])
        partial = (passes - 1) * self.outputs * m.sum_bytes
        return partial + self.outputs * m.bytes, partial

    # -------------------------------------------------------------------------------- costs
    def inner_pj(self, innermost: Points) -> tuple[Any, Any, Any]:
        """Energy of elements, of the buffer's inputs and sums; bytes through the buffer last."""
        m, macs = self.memories, self.sizes.macs
        register_passes, held_filters, held_places = self._held(innermost)
        whole = turns(self.steps, SUMMED)
        spilt = whole // register_passes
        elements = (
            macs * (m.mac + m.sum_read + m.sum_write)
            + macs / held_places * m.weight_read
            + self.outputs * self.down * (2 * spilt - 1) * m.sum_read
        )
        reads = self.arithmetic / held_filters * self._grains(self.down * m.bytes)
        sums = self.arithmetic / register_passes  # a row of sums at a time
        last = sums / spilt * self._grains(self.across * m.bytes)
        partial = (sums - sums / spilt) * self._grains(self.across * m.sum_bytes)
        buffer = (reads + partial) * m.buffer_read_byte + (partial + last) * m.buffer_write_byte
        return elements, buffer, reads + 2 * partial + last

    def costs(self, at: Boundaries, first_weights: int | None = None) -> Costs:
        """Costs of mappings; the boundaries' arrays broadcast.

        first_weights: of an element, that are all used before any is used again; if not given,
                       of the nest whose loops over rows and columns run as early as they can.
        """
        m = self.memories
        elements, buffer_pj, buffer_bytes = self.inner_pj(at.innermost)
        weight_tile = turns(at.weights, OF_WEIGHTS) * self.across * self.down * m.bytes
        places = self.steps[_Y] * self.steps[_X] / (at.weights[..., _Y] * at.weights[..., _X])
        weights = self.weight_bytes * places
        input_tile, inputs = self.input_tile(at.inputs), self.input_traffic(at.inputs)
        output_tile = self.output_tile(at.outputs)
        written, back = self.output_traffic(at.outputs)
        two_tiles = 2 * input_tile * (inputs > input_tile) + input_tile * (inputs <= input_tile)
        two_tiles = two_tiles + output_tile * np.where(written + back > output_tile, 2, 1)
        one_buffer = two_tiles > m.buffer_bytes
        words = turns(at.weights, OF_WEIGHTS)
        one_weight = (2 * words > m.weight_words) & (weights > weight_tile)
        alone = np.where(one_weight, weights - weight_tile, 0) + np.where(
            one_buffer,
            np.maximum(inputs - input_tile, 0) + np.maximum(written + back - output_tile, 0),
            0,
        )
        # Sums of a tile are complete in the last turn of the outermost loop that adds to them.
        turn = self.last_turn(at)
        left = np.maximum(output_tile / m.dram_bytes_per_cycle - turn, 0)
        if self.keeps_outputs:
            left = np.zeros_like(left)
        first_inputs = np.minimum(input_tile, inputs)  # none of those in the buffer
        if first_weights is None:
            first_weights = self._first_weights(at)
        first_tile = first_weights * self.across * self.down * m.bytes
        read = weights + inputs + back
        port = m.dram_bytes_per_cycle
        return Costs(
            arithmetic=self.arithmetic,
            first=(first_tile + first_inputs) / port + left,
            alone=alone / port,
            drain=self.across + self.down - 2,
            dram_bytes=read + written,
            buffer_bytes=buffer_bytes + inputs + 2 * back + written,
            element_pj=elements + weights / m.bytes * m.weight_write,
            buffer_pj=buffer_pj
            + (inputs + back) * m.buffer_write_byte
            + (written) * m.buffer_read_byte,
            dram_pj=read * m.dram_read_byte + written * m.dram_write_byte,
            dram_cycles=(read + written) / port,
        )

    def _first_weights(self, at: Boundaries) -> Any:
        """Weights of an element inside the last boundary before any row or column is passed."""
        most: Any = 1
        for point in at:
            inside = np.where(point[..., _Y] * point[..., _X] > 1, 1, turns(point, OF_WEIGHTS))
            most = np.maximum(most, inside)
        whole = self.steps[_Y] * self.steps[_X] == 1
        return turns(at.weights, OF_WEIGHTS) if whole else most

    def _held(self, innermost: Points) -> tuple[Any, Any, Any]:
        """Turns that add up in registers, that keep an input, that keep a weight."""
        total = innermost.prod(axis=-1)
        kinds = []
        for own in (SUMMED, {_K}, {_Y, _X}):
            mine = turns(innermost, own)
            kinds.append(np.where(mine == total, mine, 1))
        return kinds[0], kinds[1], kinds[2]

    def last_turn(self, at: Boundaries) -> Any:
        """Cycles in which the outputs of a tile become complete and may leave, at most."""
        register_passes, _, _ = self._held(at.innermost)
        inside = turns(at.outputs, SUMMED)
        return at.outputs.prod(axis=-1) / np.maximum(inside / register_passes, 1)

    def _grains(self, bytes_: float) -> float:
        grain = self.memories.grain_bytes
        return float(-(-bytes_ // grain)) * grain


def turns(points: Any, dimensions: Any) -> Any:
    return np.asarray(points)[..., sorted(dimensions)].prod(axis=-1)


def _window(places: Any, kernel: Any, stride: int, whole: int) -> Any:
    """Rows of an input that ``places`` rows of outputs see through ``kernel`` rows; no padding."""
    return np.minimum(places * kernel - np.maximum(kernel - stride, 0) * (places - 1), whole)


# ------------------------------------------------------------------------------- one mapping
def nest_costs(sizes: Product, memories: Memories, nest: Nest) -> Costs:
    """What a mapping takes.

    Raises ``UsageError`` where a tile does not fit or the loops are not the layer's.
    """
    layer = NestedLayer(sizes, memories)
    runs = [(DIMENSIONS.index(dim), times) for dim, times in nest.loops]

    def inside(count: int) -> Points:
        point = np.ones(7, dtype=np.int64)
        for dim, times in runs[:count]:
            point[dim] *= times
        return point

    if not np.array_equal(inside(len(runs)), layer.steps):
        raise UsageError(f"the loops {nest} are not those of {sizes} on {memories.rows} x "
                         f"{memories.cols} elements: {layer.steps.tolist()}")  # fmt: skip

    def beyond(count: int, own: frozenset[int]) -> Points:
        """With the loops right outside that leave the tile as it is."""
        while count < len(runs) and (runs[count][0] not in own or runs[count][1] == 1):
            count += 1
        return inside(count)

    at = Boundaries(
        inside(_run(runs, nest.sums)),
        beyond(nest.weights, OF_WEIGHTS),
        beyond(nest.inputs, _OF_INPUTS),
        beyond(nest.outputs, _OF_OUTPUTS),
    )
    if turns(at.weights, OF_WEIGHTS) > memories.weight_words:
        raise UsageError(f"the weights of {nest} do not fit into an element")
    if not layer.allowed(at.inputs, at.outputs):
        raise UsageError(f"the inputs and outputs of {nest} do not fit into the buffer")
    used = 0
    while used < len(runs) and (runs[used][0] not in (_Y, _X) or runs[used][1] == 1):
        used += 1
    first = turns(inside(min(used, nest.weights)), OF_WEIGHTS)
    return layer.costs(at, int(first))


def _run(runs: Sequence[tuple[int, int]], sums: int) -> int:
    """Loops of one kind at the bottom: those of ``sums``, else what keeps an input or a weight."""
    if sums:
        return sums
    for kind in (SUMMED, {_K}, {_Y, _X}):
        count = 0
        while count < len(runs) and (runs[count][0] in kind or runs[count][1] == 1):
            count += 1
        if count and any(times > 1 for _, times in runs[:count]):
            return count
    return 0
