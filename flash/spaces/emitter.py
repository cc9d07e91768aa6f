"""The emitter: a family says once what its layers are, each view records it its own way.

A family calls ``conv``, ``concat`` ... on an emitter. Shapes are worked out here, with
arithmetic that is the same for one design (integers) and for many (integer arrays); a
subclass only says how a layer is recorded and what a condition on the design means:

* ``network.GraphEmitter``  one design, a graph (loops simply run the design's own count);
* ``table.TableEmitter``    many designs, rows with a mask (loops run the largest count).

Two habits make family code valid for both views: loop with ``for i in e.repeat(count)``
and carry tensors out of the loop with ``x = e.merge(new, x)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from flash.spaces.layers import INPUT, ZEROS, Flags, Ints, Layer, Tensor

__all__ = ["Emitter"]


class Emitter(ABC):
    """Shape inference and naming shared by all views of a network."""

    def __init__(self) -> None:
        self._stage = ""
        self._cell = -1
        self._cells = 0
        self._cell_kinds: dict[int, int] = {}
        self._names: dict[str, int] = {}

    # ---------------------------------------------------------------- what a view decides
    @abstractmethod
    def repeat(self, count: Ints, start: int = 0) -> Iterator[int]:
        """Run the loop body for ``start <= i < count``, for each design its own count."""

    @abstractmethod
    def merge(self, new: Tensor, old: Tensor) -> Tensor:
        """``new`` for the designs for which this code runs, ``old`` for the others."""

    @abstractmethod
    def _record(
        self, layer: Layer, needed: Flags = True, otherwise: Tensor | None = None
    ) -> Tensor:
        """Record ``layer`` where it is ``needed``; elsewhere its result is ``otherwise``."""

    @abstractmethod
    def _lone_sum(self, layer: Layer, needed: Flags, result: Tensor) -> Tensor:
        """Remember where a sum of fewer than two tensors is ``needed``; its ``result``, marked."""

    @abstractmethod
    def _first_present(self, xs: Sequence[Tensor]) -> Tensor:
        """The first of ``xs`` that is present, for each design its own."""

    def follow_passing(self) -> None:  # noqa: B027 (only tables of some stages need it)
        """Say before the first layer that the network has long links.

        Tables of some stages are then told of the tensors that pass them
        (``flash.spaces.passing``).
        """

    def chosen(self, x: Tensor, variable: str) -> Tensor:
        """Say that ``x`` is what the value of ``variable``, an operation, makes; returns ``x``.

        Only networks that share weights look (``flash.supernet``): they put a gate behind it.
        """
        return x

    # ---------------------------------------------------------------------- where we are
    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Layers emitted inside belong to the stage ``name``."""
        outer, self._stage = self._stage, name
        try:
            yield
        finally:
            self._stage = outer

    @contextmanager
    def cell(self, kind: int = 0) -> Iterator[None]:
        """Layers emitted inside form one cell (a run of layers at one resolution).

        kind: how it is built, where cells of a family differ in more than width, depth and side.
        """
        self._cell, self._cells = self._cells, self._cells + 1
        self._cell_kinds[self._cell] = kind
        try:
            yield
        finally:
            self._cell = -1

    def when(self, condition: Any) -> Iterator[int]:
        """``for _ in e.when(condition)``: run the body for the designs that meet it."""
        return self.repeat(condition * 1)

    def _name(self, base: str) -> str:
        name = f"{self._stage}.{base}" if self._stage else base
        number = self._names.get(name, 0)
        self._names[name] = number + 1
        return f"{name}{number}"

    # ------------------------------------------------------------------------ operations
    def source(self, channels: int, height: Ints, width: Ints) -> Tensor:
        """The network's input."""
        return Tensor(channels, height, width, INPUT)

    def conv(
        self,
        x: Tensor,
        channels: Ints,
        kernel: Ints | tuple[Ints, Ints] = 3,
        stride: Ints = 1,
        groups: Ints = 1,
        *,
        dilation: Ints = 1,
        pad: Ints | tuple[Ints, Ints] | None = None,
        norm: bool = True,
        bias: bool = False,
        act: str = "relu",
        skip: Ints = 0,
    ) -> Tensor:
        """Convolution, batch norm (``norm``) and activation (``act``, "" for none).

        ``pad=None`` pads by half of what the kernel spans, ``dilation * (kernel - 1) // 2``, on
        each side ("same" at stride 1).
        ``skip`` says how many of the channels read come over long-range links.
        """
        return self._windowed(
            "conv",
            x,
            channels,
            kernel,
            stride,
            pad,
            dilation,
            groups=groups,
            norm=norm,
            bias=bias,
            act=act,
            skip=skip,
        )

    def max_pool(self, x: Tensor, kernel: Ints, stride: Ints, pad: Ints | None = None) -> Tensor:
        """Max pooling; ``pad=None`` as in ``conv``."""
        return self._windowed("max_pool", x, x.channels, kernel, stride, pad)

    def avg_pool(self, x: Tensor, kernel: Ints, stride: Ints, pad: Ints | None = None) -> Tensor:
        """Average pooling that does not count the padding; ``pad=None`` as in ``conv``."""
        return self._windowed("avg_pool", x, x.channels, kernel, stride, pad)

    def _windowed(
        self,
        op: str,
        x: Tensor,
        channels: Ints,
        kernel: Ints | tuple[Ints, Ints],
        stride: Ints,
        pad: Ints | tuple[Ints, Ints] | None,
        dilation: Ints = 1,
        **attributes: Any,
    ) -> Tensor:
        kernel_height, kernel_width = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        square = x.width is x.height and kernel_width is kernel_height
        reach: Ints = dilation * (kernel_height - 1)
        across: Ints = reach if square else dilation * (kernel_width - 1)
        if pad is None:
            half = reach // 2
            pad = (half, half if square else across // 2)
        pad_height, pad_width = pad if isinstance(pad, tuple) else (pad, pad)
        square = square and pad_width is pad_height
        out_height = _positions(x.height, reach, pad_height, stride)
        out_width = out_height if square else _positions(x.width, across, pad_width, stride)
        layer = Layer(
            op=op,
            name=self._name(op),
            stage=self._stage,
            cell=self._cell,
            inputs=(x,),
            in_channels=x.channels,
            out_channels=channels,
            in_height=x.height,
            in_width=x.width,
            out_height=out_height,
            out_width=out_width,
            kernel_height=kernel_height,
            kernel_width=kernel_width,
            stride=stride,
            dilation=dilation,
            pad_height=pad_height,
            pad_width=pad_width,
            signal=x.signal,
            **attributes,
        )
        return self._record(layer)

    def global_pool(self, x: Tensor) -> Tensor:
        """Average over all positions: a 1 x 1 map of the same channels."""
        layer = self._pointwise("global_pool", (x,), x.channels, x.channels)
        return self._record(replace(layer, out_height=1, out_width=1))

    def linear(self, x: Tensor, features: int, *, bias: bool = True, act: str = "") -> Tensor:
        """Fully connected layer on the flattened input."""
        flat = x.channels * x.height * x.width
        layer = Layer(
            op="linear",
            name=self._name("linear"),
            stage=self._stage,
            cell=self._cell,
            inputs=(x,),
            in_channels=flat,
            out_channels=features,
            in_height=1,
            in_width=1,
            out_height=1,
            out_width=1,
            bias=bias,
            act=act,
            signal=x.signal,
        )
        return self._record(layer)

    def activation(self, x: Tensor, act: str = "relu") -> Tensor:
        """An activation that cannot be fused into the layer before it."""
        return self._record(self._pointwise("act", (x,), x.channels, x.channels, act=act))

    def norm(self, x: Tensor, act: str = "relu") -> Tensor:
        """A batch norm (and activation) that cannot be folded into a convolution before it."""
        return self._record(
            self._pointwise("norm", (x,), x.channels, x.channels, norm=True, act=act)
        )

    def slice(self, x: Tensor, channels: Ints) -> Tensor:
        """The first ``channels`` channels; all of them cost nothing, none is "no tensor"."""
        view = replace(x, channels=channels, present=(channels > 0) & x.present)
        layer = self._pointwise("slice", (x,), channels, channels)
        return self._record(layer, (channels > 0) & (channels < x.channels), view)

    def pad(self, x: Tensor, channels: Ints) -> Tensor:
        """Zero channels appended up to ``channels``; absent tensors stay absent."""
        same = replace(x, channels=channels)
        layer = self._pointwise("pad", (x,), x.channels, channels)
        return self._record(layer, (x.channels < channels) & x.present, same)

    def add(
        self, xs: Sequence[Tensor], act: str = "", *, skip: Ints = 0, from_zero: bool = False
    ) -> Tensor:
        """Sum of equally shaped tensors; absent ones are left out, one alone is itself.

        from_zero: the reference code starts its sums from zero, so those of one tensor, or of
        none, run there too. They change nothing, hence are no layers, but some runtimes take
        time for them: views remember them as *lone sums* (``flash.targets.processor.fusion``).
        """
        operands = sum((x.present * 1 for x in xs), 0)
        layer = self._pointwise(
            "add", xs, xs[0].channels, xs[0].channels, act=act, skip=skip, operands=operands
        )
        alone = self._first_present(xs)
        if from_zero:
            alone = self._lone_sum(layer, operands < 2, alone)
        return self._record(layer, operands > 1, alone)

    def concat(self, xs: Sequence[Tensor]) -> Tensor:
        """Channels of all tensors side by side; absent ones are left out."""
        operands = sum((x.present * 1 for x in xs), 0)
        channels = sum((x.channels for x in xs), 0)
        layer = self._pointwise("concat", xs, channels, channels, operands=operands)
        return self._record(layer, operands > 1, self._first_present(xs))

    def layer(self, layer: Layer) -> Tensor:
        """A layer whose sizes, name and stage the family has worked out itself."""
        return self._record(layer)

    def zeros(self, x: Tensor) -> Tensor:
        """Zeros shaped like ``x``, which nothing has to compute."""
        return Tensor(x.channels, x.height, x.width, ZEROS, present=False, signal=False)

    def nothing(self, x: Tensor) -> Tensor:
        """No tensor, at the resolution of ``x``: sums and concats leave it out."""
        return replace(self.zeros(x), channels=0)

    def upsample(self, x: Tensor, factor: int = 2) -> Tensor:
        """Every position ``factor`` times in each direction (nearest neighbour)."""
        layer = self._pointwise("resize", (x,), x.channels, x.channels)
        return self._record(
            replace(layer, out_height=x.height * factor, out_width=x.width * factor)
        )

    def conv_transpose(self, x: Tensor, channels: Ints, factor: int = 2) -> Tensor:
        """Transposed convolution with bias whose windows of ``factor`` lie side by side."""
        layer = self._pointwise("conv_transpose", (x,), x.channels, channels, bias=True)
        return self._record(
            replace(
                layer,
                out_height=x.height * factor,
                out_width=x.width * factor,
                kernel_height=factor,
                kernel_width=factor,
                stride=factor,
            )
        )

    def outputs(self, xs: Sequence[Tensor]) -> Tensor:
        """Several outputs of the network: what it returns is this tensor, which costs nothing."""
        layer = self._pointwise("output", xs, 0, 0, operands=len(xs))
        return self._record(replace(layer, in_height=1, in_width=1, out_height=1, out_width=1))

    # --------------------------------------------------------------------------- helpers
    def _pointwise(
        self,
        op: str,
        xs: Sequence[Tensor],
        in_channels: Ints,
        out_channels: Ints,
        **attributes: Any,
    ) -> Layer:
        x = xs[0]
        signal: Flags = False
        for operand in xs:
            signal = signal | operand.signal
        return Layer(
            op=op,
            name=self._name(op),
            stage=self._stage,
            cell=self._cell,
            inputs=tuple(xs),
            in_channels=in_channels,
            out_channels=out_channels,
            in_height=x.height,
            in_width=x.width,
            out_height=x.height,
            out_width=x.width,
            signal=signal,
            **attributes,
        )

    @staticmethod
    def _result(layer: Layer, producer: Ints) -> Tensor:
        return Tensor(
            layer.out_channels, layer.out_height, layer.out_width, producer, signal=layer.signal
        )


def _positions(size: Ints, reach: Ints, pad: Ints, stride: Ints) -> Ints:
    """Positions along one side of a window that reaches so far beyond its first element.

    The side itself, no new array, where it stays as it is.
    """
    spare: Any = 2 * pad - reach
    if isinstance(stride, int) and stride == 1 and isinstance(spare, int):
        return size + spare if spare else size
    positions: Ints = (size - 1 + spare) // stride + 1
    return positions
