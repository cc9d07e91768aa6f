"""What detectors are made of: convolutions with their activation, and the blocks of six designs.

Structure after the papers and model descriptions named at each block; the code is our own. Blocks
are written for one design and for many (``flash.spaces.emitter``): widths and depths may be arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

from flash.spaces.emitter import Emitter
from flash.spaces.layers import Ints, Tensor

__all__ = ["OWN", "RELU", "SILU", "Blocks"]

#: Values of the setting ``activation``; with the last each style has its own.
RELU, SILU, OWN = 1, 2, 3


class Blocks:
    """Blocks of convolution, batch norm and activation, emitted to ``e``.

    activation: ``RELU``, which runtimes fuse into the convolution, or ``SILU``, an operation of
    its own to most of them (TensorRT fuses it: a profile with ``fusion = "graph"``).
    """

    def __init__(self, e: Emitter, activation: int) -> None:
        self.e = e
        self._activation = activation

    # ------------------------------------------------------------------------- single layers
    def conv(self, x: Tensor, channels: Ints, kernel: int = 3, stride: int = 1) -> Tensor:
        """Convolution, batch norm, activation."""
        # Six by six with padding 2 is YOLOv5's first layer; odd windows are centred.
        pad = kernel // 2 if kernel % 2 else kernel // 2 - 1
        if self._activation == RELU:
            return self.e.conv(x, channels, kernel, stride, pad=pad, act="relu")
        plain = self.e.conv(x, channels, kernel, stride, pad=pad, act="")
        return self.e.activation(plain, "silu")

    def norm(self, x: Tensor) -> Tensor:
        """Batch norm and activation of a concatenation, where no convolution takes them up."""
        if self._activation == RELU:
            return self.e.norm(x, act="relu")
        return self.e.activation(self.e.norm(x, act=""), "silu")

    def plain(self, x: Tensor, channels: Ints) -> Tensor:
        """A 1x1 convolution and nothing else."""
        return self.e.conv(x, channels, 1, norm=False, act="")

    def repeat(self, x: Tensor, channels: Ints, count: Ints, start: int = 0) -> Tensor:
        """3x3 convolutions of equal width, one after the other."""
        for _ in self.e.repeat(count, start=start):
            x = self.e.merge(self.conv(x, channels), x)
        return x

    # ------------------------------------------------------------------------------- blocks
    def bottleneck(self, x: Tensor, channels: Ints, hidden: Ints, *, add: bool = True) -> Tensor:
        """1x1 to ``hidden``, 3x3 to ``channels``, plus its input (Redmon & Farhadi 2018)."""
        y = self.conv(self.conv(x, hidden, 1), channels)
        return self.e.add([x, y]) if add else y

    def bottlenecks(self, x: Tensor, channels: Ints, count: Ints, *, add: bool = True) -> Tensor:
        """Bottlenecks as wide inside as outside, as cross-stage partial blocks hold them."""
        for _ in self.e.repeat(count):
            x = self.e.merge(self.bottleneck(x, channels, channels, add=add), x)
        return x

    def c3(self, x: Tensor, channels: Ints, count: Ints, *, add: bool = True) -> Tensor:
        """YOLOv5's cross-stage partial block with three 1x1 convolutions."""
        half = channels // 2
        deep = self.bottlenecks(self.conv(x, half, 1), half, count, add=add)
        return self.conv(self.e.concat([deep, self.conv(x, half, 1)]), channels, 1)

    def c2f(self, x: Tensor, channels: Ints, count: Ints, *, add: bool = True) -> Tensor:
        """YOLOv8's block: half of a 1x1's channels go through 3x3 pairs, all results are joined.

        Ours passes the first half on, the published network the second: the same network with its
        channels in another order.
        """
        e, half = self.e, channels // 2
        whole = self.conv(x, 2 * half, 1)
        results, y = [whole], e.slice(whole, half)
        for _ in e.repeat(count):
            z = self.conv(self.conv(y, half), half)
            z = e.add([y, z]) if add else z
            results.append(e.merge(z, e.nothing(z)))
            y = e.merge(z, y)
        return self.conv(e.concat(results), channels, 1)

    def csp(self, x: Tensor, channels: Ints, count: Ints) -> Tensor:
        """CSPNet's block as YOLOv4 has it: joined before one batch norm (Wang et al. 2020)."""
        half = channels // 2
        deep = self.bottlenecks(self.conv(x, half, 1), half, count)
        both = self.e.concat([self.plain(deep, half), self.plain(x, half)])
        return self.conv(self.norm(both), channels, 1)

    def csp_neck(self, x: Tensor, channels: Ints, count: Ints) -> Tensor:
        """The same for necks: at full width, without residuals."""
        x = self.conv(x, channels, 1)
        deep = self.bottlenecks(x, channels, count, add=False)
        return self.conv(self.norm(self.e.concat([deep, self.plain(x, channels)])), channels, 1)

    def rep_csp(self, x: Tensor, channels: Ints, hidden: Ints, count: Ints) -> Tensor:
        """CSPStackRep of YOLOv6 M and L: pairs of 3x3 with residuals (Li et al. 2023), as deployed:
        branches merged, the learned factor of each residual one."""
        y = self.conv(x, hidden, 1)
        for _ in self.e.repeat(count):
            pair = self.conv(self.conv(y, hidden), hidden)
            y = self.e.merge(self.e.add([pair, y]), y)
        return self.conv(self.e.concat([y, self.conv(x, hidden, 1)]), channels, 1)

    def elan(self, x: Tensor, channels: Ints, hidden: Ints, pairs: Ints) -> Tensor:
        """YOLOv7's layer aggregation: a chain of 3x3 pairs, each pair's result joined."""
        beside, y = self.conv(x, hidden, 1), self.conv(x, hidden, 1)
        results = [beside, y]
        for _ in self.e.repeat(pairs):
            z = self.conv(self.conv(y, hidden), hidden)
            results.append(self.e.merge(z, self.e.nothing(z)))
            y = self.e.merge(z, y)
        return self.conv(self.e.concat(results), channels, 1)

    def elan_neck(self, x: Tensor, channels: Ints, convs: Ints) -> Tensor:
        """The same for necks: single 3x3 convolutions at half the width, every result joined."""
        half = channels // 2
        beside, y = self.conv(x, channels, 1), self.conv(x, channels, 1)
        results = [beside, y]
        for _ in self.e.repeat(convs):
            z = self.conv(y, half)
            results.append(self.e.merge(z, self.e.nothing(z)))
            y = self.e.merge(z, y)
        return self.conv(self.e.concat(results), channels, 1)

    def halved(self, x: Tensor, channels: Ints) -> Tensor:
        """YOLOv7's way to halve a map: max pooling beside a strided convolution."""
        half = channels // 2
        pooled = self.conv(self.e.max_pool(x, 2, 2, 0), half, 1)
        return self.e.concat([pooled, self.conv(self.conv(x, half, 1), half, 3, 2)])

    # ------------------------------------------------------------------------ spatial pyramids
    def pyramid(self, x: Tensor, hidden: Ints, channels: Ints) -> Tensor:
        """SPPF: three 5x5 poolings in a row, joined with what they read (He et al. 2014)."""
        return self.conv(self.e.concat(self._pooled(self.conv(x, hidden, 1))), channels, 1)

    def csp_pyramid(
        self, x: Tensor, hidden: Ints, channels: Ints, *, in_a_row: bool, shared_norm: bool = False
    ) -> Tensor:
        """The same between convolutions, beside a 1x1 branch: YOLOv4, v6 S and v7.

        in_a_row: three 5x5 poolings in a row, not 5x5, 9x9 and 13x13 side by side.
        shared_norm: one batch norm over both branches.
        """
        y = self.conv(self.conv(self.conv(x, hidden, 1), hidden), hidden, 1)
        pools = self._pooled(y) if in_a_row else [y, *(self._pool(y, k) for k in (5, 9, 13))]
        y = self.conv(self.conv(self.e.concat(pools), hidden, 1), hidden)
        if shared_norm:
            return self.conv(self.norm(self.e.concat([y, self.plain(x, hidden)])), channels, 1)
        return self.conv(self.e.concat([y, self.conv(x, hidden, 1)]), channels, 1)

    def _pooled(self, x: Tensor) -> Sequence[Tensor]:
        pools = [x]
        for _ in range(3):
            pools.append(self._pool(pools[-1], 5))
        return pools

    def _pool(self, x: Tensor, side: int) -> Tensor:
        return self.e.max_pool(x, side, 1)
