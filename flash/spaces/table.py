"""Many designs at once: one row a layer, one column a design, a mask where a layer is absent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from flash.spaces.emitter import Emitter
from flash.spaces.layers import (
    INPUT,
    Flags,
    Ints,
    Layer,
    Tensor,
    in_elements,
    layer_macs,
    layer_params,
    out_elements,
)
from flash.spaces.network import Network
from flash.spaces.passing import Passers

__all__ = ["LayerTable", "TableEmitter", "network_table"]

#: Cells that differ in nothing but width, depth and side.
_ALIKE: Mapping[int, int] = MappingProxyType({})

_COLUMNS = frozenset(
    {
        "in_channels",
        "out_channels",
        "in_height",
        "in_width",
        "out_height",
        "out_width",
        "kernel_height",
        "kernel_width",
        "stride",
        "dilation",
        "pad_height",
        "pad_width",
        "groups",
        "operands",
        "skip",
    }
)
#: What differs from tensor to tensor; the width first, which squares leave out.
_TENSOR_FIELDS = tuple(f.name for f in sorted(fields(Tensor), key=lambda f: f.name != "width"))


class LayerTable:
    """Struct of arrays over rows x designs.

    ``active[r, n]`` says whether design ``n`` has layer ``r``; values of inactive entries
    mean nothing. ``layers[r]`` is what the emitter recorded for row ``r`` (its operation, name,
    stage and cell); ``output`` is the tensor the networks return. A layer's integers are read
    as columns of shape (rows, designs): ``table["out_channels"]``. ``lone_sums`` are sums of
    fewer than two tensors with the designs that have them; they are no layers (``Emitter.add``).
    ``passers`` are what other stages made, in a table of some stages of networks with long links.
    ``has_source``: a layer reads the networks' input, as in one table of a network's stages.
    ``is_network``: it is one network, anybody's; a family's design is priced as its table is.
    ``cell_kinds``: cell -> its kind (``Emitter.cell``); 0 for cells that are not there.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        active: Sequence[Flags],
        output: Tensor,
        designs: int,
        lone_sums: Sequence[tuple[Layer, Flags]] = (),
        passers: Passers | None = None,
        has_source: bool = True,
        is_network: bool = False,
        cell_kinds: Mapping[int, int] = _ALIKE,
    ) -> None:
        self.layers = tuple(layers)
        self.has_source = has_source
        self.is_network = is_network
        self.cell_kinds = cell_kinds
        self.output = output
        self.designs = designs
        self.lone_sums = tuple(lone_sums)
        self.passers = passers
        self._active = tuple(active)
        self._cache: dict[str, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return len(self.layers)

    def _flags(self, values: Sequence[Flags]) -> NDArray[np.bool_]:
        grid = np.empty((len(values), self.designs), dtype=np.bool_)
        for row, value in enumerate(values):
            grid[row] = value
        return grid

    def _integers(self, values: Sequence[Ints]) -> NDArray[np.int64]:
        grid = np.empty((len(values), self.designs), dtype=np.int64)
        for row, value in enumerate(values):
            grid[row] = value
        return grid

    def _counts(self, count: Callable[[Layer], Ints]) -> NDArray[np.int64]:
        """(rows, designs) what ``count`` tells of a layer, 0 where it is inactive."""
        grid = np.empty((len(self), self.designs), dtype=np.int64)
        for own, layer, active in zip(grid, self.layers, self.active, strict=True):
            np.multiply(count(layer), active, out=own)
        return grid

    def __getitem__(self, column: str) -> NDArray[np.int64]:
        if column not in _COLUMNS:
            raise KeyError(column)
        if column not in self._cache:
            self._cache[column] = self._integers([getattr(x, column) for x in self.layers])
        return self._cache[column]

    @cached_property
    def active(self) -> NDArray[np.bool_]:
        """(rows, designs): the design has this layer."""
        return self._flags(self._active)

    @cached_property
    def signal(self) -> NDArray[np.bool_]:
        """(rows, designs): active and fed, at some distance, by the network's input."""
        signal: NDArray[np.bool_] = self.active & self._flags([x.signal for x in self.layers])
        return signal

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """(rows, designs): active and its result reaches the output (fed by zeros or not)."""
        return self._reaches_output(self.active)

    @cached_property
    def kept(self) -> NDArray[np.bool_]:
        """(rows, designs): used, or needed by a convolution whose result nothing reads."""
        columns = np.arange(self.designs)
        read = np.zeros((len(self) + 2, self.designs), dtype=np.bool_)
        for row, layer in enumerate(self.layers):
            for x in layer.inputs:
                made = np.broadcast_to(np.asarray(x.producer), (self.designs,))
                # Indices may repeat in no column, so this sets each at most once a layer.
                read[made, columns] |= self.active[row] & x.present
        unread = (self.ops == "conv")[:, None] & ~read[: len(self)]
        return self._reaches_output(self.active, unread)

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """(rows, designs): on a path from the input to the output."""
        return self._reaches_output(self.signal)

    def _reaches_output(
        self, candidates: NDArray[np.bool_], also: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_]:
        # One extra row takes the input (-1); the one before it the constant zeros (-2).
        reaches = np.zeros((len(self) + 2, self.designs), dtype=np.bool_)
        columns = np.arange(self.designs)
        if also is not None:
            reaches[: len(self)] = also
        reaches[np.asarray(self.output.producer), columns] = True
        for row in range(len(self) - 1, -1, -1):
            reaches[row] &= candidates[row]
            for x in self.layers[row].inputs:
                wanted = reaches[row] & x.present
                if isinstance(x.producer, int):
                    reaches[x.producer] |= wanted
                elif wanted.any():
                    reaches[np.asarray(x.producer)[wanted], columns[wanted]] = True
        return reaches[: len(self)]

    @cached_property
    def ops(self) -> NDArray[np.str_]:
        """(rows,) the operation of each row."""
        return np.array([x.op for x in self.layers])

    @cached_property
    def macs(self) -> NDArray[np.int64]:
        """(rows, designs) multiply-accumulates, 0 where inactive."""
        return self._counts(layer_macs)

    @cached_property
    def params(self) -> NDArray[np.int64]:
        """(rows, designs) trainable parameters, 0 where inactive."""
        return self._counts(layer_params)

    @cached_property
    def in_elements(self) -> NDArray[np.int64]:
        """(rows, designs) activation elements read, 0 where inactive."""
        return self._counts(in_elements)

    @cached_property
    def out_elements(self) -> NDArray[np.int64]:
        """(rows, designs) activation elements written, 0 where inactive."""
        return self._counts(out_elements)


class TableEmitter(Emitter):
    """Records ``designs`` designs side by side.

    ``only`` keeps the rows of some stages and leaves the others unrecorded: the cost of one
    stage of a separable family does not need the rest.
    """

    def __init__(self, designs: int, only: Collection[str] | None = None) -> None:
        super().__init__()
        self._designs = designs
        self._only = only
        self._mask: Flags = True
        self._layers: list[Layer] = []
        self._active: list[Flags] = []
        self._handed_on: dict[bytes, Tensor] = {}
        self._lone_sums: list[tuple[Layer, Flags]] = []
        self._passers: Passers | None = None
        self._source: Tensor | None = None
        self._reads_source = only is None

    def source(self, channels: int, height: Ints, width: Ints) -> Tensor:
        x = super().source(channels, height, width)
        self._source = x if self._passers is None else self._passers.source(x)
        return self._source

    def follow_passing(self) -> None:
        if self._only is not None:
            self._passers = Passers(self._designs)

    def table(self, output: Tensor) -> LayerTable:
        """What was emitted so far; ``output`` is what the networks return.

        With ``only``, the table's output is what the recorded stages hand on, if anything; where
        they hand on several tensors, a last row joins them and costs nothing.
        """
        handed = tuple(self._handed_on.values())
        if len(handed) > 1:
            self._only = None
            output = self.outputs(handed)
        elif handed:
            output = handed[0]
        return LayerTable(
            self._layers,
            self._active,
            output,
            self._designs,
            self._lone_sums,
            self._passers,
            self._reads_source,
            cell_kinds=self._cell_kinds,
        )

    def repeat(self, count: Ints, start: int = 0) -> Iterator[int]:
        outer = self._mask
        try:
            for i in range(start, int(np.max(count))):
                self._mask = outer & (i < count)
                yield i
        finally:
            self._mask = outer

    def merge(self, new: Tensor, old: Tensor) -> Tensor:
        return self._where(self._mask, new, old)

    def _record(
        self, layer: Layer, needed: Flags = True, otherwise: Tensor | None = None
    ) -> Tensor:
        if self._only is not None and layer.stage not in self._only:
            for x in layer.inputs:
                if isinstance(x.producer, int) and x.producer <= INPUT:
                    continue
                made = np.maximum(np.asarray(x.producer), INPUT)
                if np.any(made > INPUT):
                    self._handed_on.setdefault(made.tobytes(), x)
            result = self._result(layer, INPUT)
            if self._passers is not None:
                active = self._mask & needed
                self._passers.read(layer, active, len(self._layers) - 1)
                result = self._passers.made(result, layer, active, len(self._layers))
            return result if otherwise is None else self._where(needed, result, otherwise)
        active = self._mask & needed
        if np.any(active):
            self._reads_source |= any(x is self._source for x in layer.inputs)
            if self._passers is not None:
                self._passers.read(layer, active, len(self._layers))
            self._layers.append(layer)
            self._active.append(active)
        result = self._result(layer, len(self._layers) - 1)
        return result if otherwise is None else self._where(needed, result, otherwise)

    def _lone_sum(self, layer: Layer, needed: Flags, result: Tensor) -> Tensor:
        wanted = self._mask & needed
        if (self._only is not None and layer.stage not in self._only) or not np.any(wanted):
            return result
        self._lone_sums.append((layer, wanted))
        marked = replace(result, lone_sum=len(self._lone_sums) - 1)
        return self._where(wanted, marked, result)

    def _first_present(self, xs: Sequence[Tensor]) -> Tensor:
        # Those behind one that is always there do not matter.
        certain = next((k for k, x in enumerate(xs) if x.present is True), len(xs) - 1)
        first = xs[certain]
        for x in reversed(xs[:certain]):
            first = self._where(x.present, x, first)
        return first

    @staticmethod
    def _where(condition: Flags, new: Tensor, old: Tensor) -> Tensor:
        if isinstance(condition, bool | np.bool_):
            return new if condition else old
        # Most maps are square: one array holds both sides, before and after.
        square = new.width is new.height and old.width is old.height
        chosen = {}
        for name in _TENSOR_FIELDS[square:]:
            a, b = getattr(new, name), getattr(old, name)
            chosen[name] = a if a is b else np.where(condition, a, b)
        if square:
            chosen["width"] = chosen["height"]
        return Tensor(**chosen)


def network_table(network: Network) -> LayerTable:
    """A table of one design: the network's layers, all of them active."""
    active = [True] * len(network.layers)
    lone_sums = [(layer, True) for layer in network.lone_sums]
    of_a_family = network.designed or any(layer.cell >= 0 for layer in network.layers)
    return LayerTable(
        network.layers, active, network.output, 1, lone_sums, is_network=not of_a_family
    )
