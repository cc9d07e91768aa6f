"""Tensors that are alive while some stages of a network run, though other stages make them.

A table of some stages only has no rows for the others. Where networks have long links (a U-Net),
memory depends on what those stages have made and somebody still reads; a ``Passers`` follows it
while the layers are emitted. A span is a tensor's elements, the first row during which it is
alive, and the last, one a design.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import INPUT, Flags, Ints, Layer, Tensor, out_elements

__all__ = ["Passers", "Span"]


@dataclass(frozen=True)
class Span:
    """Elements of a tensor from outside, and the rows during which it is alive."""

    elements: Ints
    first: int
    last: NDArray[np.int64]


class Passers:
    """What is made outside the recorded rows, and until when it is read."""

    def __init__(self, designs: int) -> None:
        self._designs = designs
        self._made: list[tuple[Ints, int]] = []
        self._last: list[NDArray[np.int64]] = []

    @property
    def spans(self) -> list[Span]:
        """All tensors from outside."""
        pairs = zip(self._made, self._last, strict=True)
        return [Span(elements, first, last) for (elements, first), last in pairs]

    def source(self, x: Tensor) -> Tensor:
        """The network's input, which is there from the start."""
        return self._new(x, x.channels * x.height * x.width, 0)

    def made(self, x: Tensor, layer: Layer, active: Flags, row: int) -> Tensor:
        """A tensor that a layer outside makes, before row ``row``."""
        return self._new(x, out_elements(layer) * (1 * np.asarray(active)), row)

    def _new(self, x: Tensor, elements: Ints, row: int) -> Tensor:
        self._made.append((elements, row))
        self._last.append(np.full(self._designs, row - 1, dtype=np.int64))
        return replace(x, passer=len(self._made) - 1)

    def read(self, layer: Layer, active: Flags, last: int) -> None:
        """A layer reads its inputs: they are alive up to row ``last``."""
        for x in layer.inputs:
            reads = np.broadcast_to(np.asarray(active & x.present), (self._designs,))
            producer = np.asarray(x.producer)
            passer = np.where(producer == INPUT, np.asarray(x.passer), -1)
            for number in np.unique(passer[passer >= 0]).tolist():
                own = reads & (passer == number)
                self._last[number][own] = np.maximum(self._last[number][own], last)
