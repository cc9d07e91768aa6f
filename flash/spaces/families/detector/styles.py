"""The designs of detectors: backbone and neck of YOLOv3 to v8, each after its own publication.

A ``Style`` emits the parts of a detector in the order in which they run. Widths are those of the
backbone at strides 8, 16 and 32 (``w3``, ``w4``, ``w5``), from which all others follow as in the
published networks: half of ``w3`` at stride 4, and so on. What necks hand from part to part is up
to the style.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from flash.spaces.families.detector.blocks import RELU, SILU, Blocks
from flash.spaces.layers import Ints, Tensor

__all__ = ["STYLES", "Features", "Style", "Widths"]


class Widths(NamedTuple):
    """Channels of the backbone at strides 8, 16 and 32."""

    w3: Ints
    w4: Ints
    w5: Ints


class Features(NamedTuple):
    """Maps at strides 4, 8, 16 and 32 that the backbone hands to the neck."""

    p2: Tensor
    p3: Tensor
    p4: Tensor
    p5: Tensor


#: What a part of the neck hands on.
Handed = tuple[Tensor, ...]


class Style(ABC):
    """One design. Every method emits one part and returns the maps that later parts read.

    The neck runs as ``down4`` (stride 32 to 16), ``down3`` (to 8), ``up4`` (back to 16) and
    ``up5`` (to 32), each with a depth of its own. ``down3`` returns the map of the head at stride
    8 first, ``up4`` and ``up5`` those at strides 16 and 32.

    activation: the one it was published with.
    """

    activation: int = SILU

    def stem(self, b: Blocks, x: Tensor, w3: Ints) -> Tensor:
        """The image to a map at stride 4 with half of ``w3`` channels."""
        return b.conv(b.conv(x, w3 // 4, 3, 2), w3 // 2, 3, 2)

    def halve(self, b: Blocks, x: Tensor, width: Ints) -> Tensor:
        """The way from one stage of the backbone to the next."""
        return b.conv(x, width, 3, 2)

    @abstractmethod
    def stage(self, b: Blocks, x: Tensor, width: Ints, depth: Ints, level: int) -> Tensor:
        """The body of the backbone's stage at stride ``2 ** level``."""

    def pyramid(self, b: Blocks, x: Tensor, width: Ints) -> Tensor:
        """What pools at the end of the backbone."""
        return b.pyramid(x, width // 2, width)

    @abstractmethod
    def down4(self, b: Blocks, f: Features, w: Widths, depth: Ints) -> Handed:
        """From stride 32 to 16."""

    @abstractmethod
    def down3(self, b: Blocks, f: Features, w: Widths, depth: Ints, before: Handed) -> Handed:
        """From stride 16 to 8."""

    @abstractmethod
    def up4(self, b: Blocks, w: Widths, depth: Ints, before: Handed) -> Handed:
        """From stride 8 to 16."""

    @abstractmethod
    def up5(self, b: Blocks, w: Widths, depth: Ints, before: Handed) -> Tensor:
        """From stride 16 to 32."""


class C3(Style):
    """YOLOv5 6.0: C3 blocks, a path aggregation neck with 1x1 convolutions before each step."""

    def stem(self, b: Blocks, x: Tensor, w3: Ints) -> Tensor:
        """Six by six first."""
        return b.conv(b.conv(x, w3 // 4, 6, 2), w3 // 2, 3, 2)

    def stage(self, b: Blocks, x: Tensor, width: Ints, depth: Ints, level: int) -> Tensor:
        """C3."""
        return b.c3(x, width, depth)

    def down4(self, b: Blocks, f: Features, w: Widths, depth: Ints) -> Handed:
        """1x1, upsampled, joined, C3."""
        narrow = b.conv(f.p5, w.w4, 1)
        return narrow, b.c3(b.e.concat([b.e.upsample(narrow), f.p4]), w.w4, depth, add=False)

    def down3(self, b: Blocks, f: Features, w: Widths, depth: Ints, before: Handed) -> Handed:
        """The same."""
        narrow5, x = before
        narrow = b.conv(x, w.w3, 1)
        x = b.c3(b.e.concat([b.e.upsample(narrow), f.p3]), w.w3, depth, add=False)
        return x, narrow, narrow5

    def up4(self, b: Blocks, w: Widths, depth: Ints, before: Handed) -> Handed:
        """Strided convolution, joined with what the way down left, C3."""
        x, narrow, narrow5 = before
        x = b.e.concat([b.conv(x, w.w3, 3, 2), narrow])
        return b.c3(x, w.w4, depth, add=False), narrow5

    def up5(self, b: Blocks, w: Widths, depth: Ints, before: Handed) -> Tensor:
        """The same."""
        x, narrow5 = before
        return b.c3(b.e.concat([b.conv(x, w.w4, 3, 2), narrow5]), w.w5, depth, add=False)


class C2f(Style):
    """YOLOv8: C2f blocks, a path aggregation neck without 1x1 convolutions."""

    def stage(self, b: Blocks, x: Tensor, width: Ints, depth: Ints, level: int) -> Tensor:
        """C2f."""
        return b.c2f(x, width, depth)

    def down4(self, b: Blocks, f: Features, w: Widths, depth: Ints) -> Handed:
        """Upsampled, joined, C2f."""
        x = b.c2f(b.e.concat([b.e.upsample(f.p5), f.p4]), w.w4, depth, add=False)
        return f.p5, x

    def down3(self, b: Blocks, f: Features, w: Widths, depth: Ints, before: Handed) -> Handed:
        """The same."""
        p5, x4 = before
        x = b.c2f(b.e.concat([b.e.upsample(x4), f.p3]), w.w3, depth, add=False)
        return x, x4, p5

    def up4(self, b: Blocks, w: Widths, depth: Ints, before: Handed) -> Handed:
        """Strided convolution, joined with what the way down left, C2f."""
        x, x4, p5 = before
        x = b.c2f(b.e.concat([b.conv(x, w.w3, 3, 2), x4]), w.w4, depth, add=False)
        return x, p5

    def up5(self, b: Blocks, w: Widths, depth: Ints, before: Handed) -> Tensor:
        """The same."""
        x, p5 = before
        return b.c2f(b.e.concat([b.conv(x, w.w4, 3, 2), p5]), w.w5, depth, add=False)


class Rep(Style):
    """YOLOv6 3.0 S: plain 3x3 convolutions (RepVGG as deployed), a neck that fuses three maps.

    After Li et al. 2023 (arXiv 2301.05586): CSP pyramid, bidirectional concatenation with learned
    upsampling, channels of the neck half of the backbone's.
    """

    activation = RELU

    def body(self, b: Blocks, x: Tensor, width: Ints, depth: Ints) -> Tensor:
        """What both backbone and neck repeat."""
        return b.repeat(x, width, depth)

    def stage(self, b: Blocks, x: Tensor, width: Ints, depth: Ints, level: int) -> Tensor:
        """3x3 convolutions."""
        return self.body(b, x, width, depth)

    def pyramid(self, b: Blocks, x: Tensor, width: Ints) -> Tensor:
        """SimCSPSPPF."""
        return b.csp_pyramid(x, width // 2, width, in_a_row=True)

    def _fused(self, b: Blocks, xs: Sequence[Tensor], width: Ints) -> Tensor:
        """Three maps, coarse to fine, joined at the resolution of the middle one."""
        coarse, middle, fine = xs
        raised = b.e.conv_transpose(coarse, width)
        lowered = b.conv(b.conv(fine, width, 1), width, 3, 2)
        return b.conv(b.e.concat([raised, b.conv(middle, width, 1), lowered]), width, 1)

    def down4(self, b: Blocks, f: Features, w: Widths, depth: Ints) -> Handed:
        """1x1, fused with strides 16 and 8."""
        narrow = b.conv(f.p5, w.w4 // 2, 1)
        return narrow, self.body(
            b, self._fused(b, (narrow, f.p4, f.p3), w.w4 // 2), w.w4 // 2, depth
        )

    def down3(self, b: Blocks, f: Features, w: Widths, depth: Ints, before: Handed) -> Handed:
        """1x1, fused with strides 8 and 4."""
        narrow5, x = before
        narrow = b.conv(x, w.w3 // 2, 1)
        x = self.body(b, self._fused(b, (narrow, f.p3, f.p2), w.w3 // 2), w.w3 // 2, depth)
        return x, narrow, narrow5

    def up4(self, b: Blocks, w: Widths, depth: Ints, before: Handed) -> Handed:
        """Strided convolution, joined with what the way down left."""
        x, narrow, narrow5 = before
        x = b.e.concat([b.conv(x, w.w3 // 2, 3, 2), narrow])
        return self.body(b, x, w.w4 // 2, depth), narrow5

    def up5(self, b: Blocks, w: Widths, depth: Ints, before: Handed) -> Tensor:
        """The same."""
        x, narrow5 = before
        x = b.e.concat([b.conv(x, w.w4 // 2, 3, 2), narrow5])
        return self.body(b, x, w.w5 // 2, depth)


class RepPan(Rep):
    """YOLOv6 1.0 with a plain pyramid: a path aggregation neck of 3x3 convolutions.

    As ``ultralytics`` describes its YOLOv6 (n and s of the published table).
    """

    def pyramid(self, b: Blocks, x: Tensor, width: Ints) -> Tensor:
        """SPPF."""
        return b.pyramid(x, width // 2, width)

    def _fused(self, b: Blocks, xs: Sequence[Tensor], width: Ints) -> Tensor:
        """The coarse map upsampled, beside the middle one."""
        coarse, middle, _ = xs
        return b.e.concat([b.e.conv_transpose(coarse, width), middle])


class RepCsp(Rep):
    """YOLOv6 3.0 M and L: CSPStackRep blocks in the place of 3x3 convolutions, a plain pyramid.

    share: of a block's channels that its inner convolutions have, as (part, whole).
    """

    def __init__(self, share: tuple[int, int], activation: int) -> None:
        self._share = share
        self.activation = activation

    def body(self, b: Blocks, x: Tensor, width: Ints, depth: Ints) -> Tensor:
        """CSPStackRep."""
        part, whole = self._share
        return b.rep_csp(x, width, width * part // whole, depth)

    def pyramid(self, b: Blocks, x: Tensor, width: Ints) -> Tensor:
        """SimSPPF."""
        return b.pyramid(x, width // 2, width)


class _Scaled(Style):
    """YOLOv4 and v7: lateral 1x1 convolutions, necks of half the width, 3x3 before each head."""

    @abstractmethod
    def node(self, b: Blocks, x: Tensor, width: Ints, depth: Ints) -> Tensor:
        """What the neck does with joined maps."""

    @abstractmethod
    def lower(self, b: Blocks, x: Tensor, width: Ints) -> Tensor:
        """A map at half the resolution; ``width`` channels beside those that join it."""

    def _raised(self, b: Blocks, x: Tensor, lateral: Tensor, width: Ints) -> Tensor:
        raised = b.e.upsample(b.conv(x, width, 1))
        return b.e.concat([raised, b.conv(lateral, width, 1)])

    def down4(self, b: Blocks, f: Features, w: Widths, depth: Ints) -> Handed:
        """1x1, upsampled, joined with a 1x1 of stride 16."""
        joined = self._raised(b, f.p5, f.p4, w.w4 // 2)
        return f.p5, self.node(b, joined, w.w4 // 2, depth)

    def down3(self, b: Blocks, f: Features, w: Widths, depth: Ints, before: Handed) -> Handed:
        """The same; a 3x3 convolution makes the head's map."""
        p5, x4 = before
        x = self.node(b, self._raised(b, x4, f.p3, w.w3 // 2), w.w3 // 2, depth)
        return b.conv(x, w.w3), x, x4, p5

    def up4(self, b: Blocks, w: Widths, depth: Ints, before: Handed) -> Handed:
        """Lowered, joined with what the way down left."""
        _, x, x4, p5 = before
        x = self.node(b, b.e.concat([self.lower(b, x, w.w4 // 2), x4]), w.w4 // 2, depth)
        return b.conv(x, w.w4), x, p5

    def up5(self, b: Blocks, w: Widths, depth: Ints, before: Handed) -> Tensor:
        """The same."""
        _, x, p5 = before
        x = self.node(b, b.e.concat([self.lower(b, x, w.w5 // 2), p5]), w.w5 // 2, depth)
        return b.conv(x, w.w5)


class Elan(_Scaled):
    """YOLOv7: layer aggregation, maps halved by pooling beside convolution (Wang et al. 2022)."""

    def stem(self, b: Blocks, x: Tensor, w3: Ints) -> Tensor:
        """A first convolution at full resolution."""
        x = b.conv(b.conv(x, w3 // 8), w3 // 4, 3, 2)
        return b.conv(b.conv(x, w3 // 4), w3 // 2, 3, 2)

    def halve(self, b: Blocks, x: Tensor, width: Ints) -> Tensor:
        """Pooling beside a strided convolution."""
        return b.halved(x, width)

    def stage(self, b: Blocks, x: Tensor, width: Ints, depth: Ints, level: int) -> Tensor:
        """Layer aggregation; twice the width out of it but at stride 32."""
        if level == 5:
            return b.elan(x, width, width // 4, depth)
        return b.elan(x, 2 * width, width // 2, depth)

    def pyramid(self, b: Blocks, x: Tensor, width: Ints) -> Tensor:
        """SPPCSPC."""
        return b.csp_pyramid(x, width // 2, width // 2, in_a_row=False)

    def node(self, b: Blocks, x: Tensor, width: Ints, depth: Ints) -> Tensor:
        """Layer aggregation of single convolutions."""
        return b.elan_neck(x, width, depth)

    def lower(self, b: Blocks, x: Tensor, width: Ints) -> Tensor:
        """Pooling beside a strided convolution, each as wide as what it reads."""
        return b.halved(x, 2 * x.channels)


class Csp(_Scaled):
    """YOLOv4, scaled: Darknet stages as cross-stage partial blocks (Wang et al. 2020)."""

    def stem(self, b: Blocks, x: Tensor, w3: Ints) -> Tensor:
        """Darknet's: a first convolution at full resolution, a bottleneck at half."""
        x = b.conv(b.conv(x, w3 // 8), w3 // 4, 3, 2)
        return b.conv(b.bottleneck(x, w3 // 4, w3 // 8), w3 // 2, 3, 2)

    def stage(self, b: Blocks, x: Tensor, width: Ints, depth: Ints, level: int) -> Tensor:
        """CSP."""
        return b.csp(x, width, depth)

    def pyramid(self, b: Blocks, x: Tensor, width: Ints) -> Tensor:
        """SPPCSP."""
        return b.csp_pyramid(x, width // 2, width // 2, in_a_row=False, shared_norm=True)

    def node(self, b: Blocks, x: Tensor, width: Ints, depth: Ints) -> Tensor:
        """CSP without residuals."""
        return b.csp_neck(x, width, depth)

    def lower(self, b: Blocks, x: Tensor, width: Ints) -> Tensor:
        """A strided convolution."""
        return b.conv(x, width, 3, 2)


class Darknet(Style):
    """YOLOv3 (Redmon & Farhadi 2018): Darknet-53's residual bottlenecks, a neck that goes down."""

    def stem(self, b: Blocks, x: Tensor, w3: Ints) -> Tensor:
        """A first convolution at full resolution, a bottleneck at half."""
        x = b.conv(b.conv(x, w3 // 8), w3 // 4, 3, 2)
        return b.conv(b.bottleneck(x, w3 // 4, w3 // 8), w3 // 2, 3, 2)

    def stage(self, b: Blocks, x: Tensor, width: Ints, depth: Ints, level: int) -> Tensor:
        """Bottlenecks."""
        return self._body(b, x, width, depth, add=True)

    def _body(self, b: Blocks, x: Tensor, width: Ints, depth: Ints, *, add: bool) -> Tensor:
        for _ in b.e.repeat(depth):
            x = b.e.merge(b.bottleneck(x, width, width // 2, add=add), x)
        return x

    def pyramid(self, b: Blocks, x: Tensor, width: Ints) -> Tensor:
        """No pooling: a bottleneck, then 1x1 and 3x3 in turn."""
        x = b.conv(b.bottleneck(x, width, width // 2, add=False), width // 2, 1)
        return b.conv(b.conv(x, width), width // 2, 1)

    def down4(self, b: Blocks, f: Features, w: Widths, depth: Ints) -> Handed:
        """1x1, upsampled, joined, bottlenecks."""
        x = b.e.concat([b.e.upsample(b.conv(f.p5, w.w4 // 2, 1)), f.p4])
        x = b.bottleneck(x, w.w4, w.w4 // 2, add=False)
        return b.conv(self._body(b, x, w.w4, depth, add=False), w.w4 // 2, 1), f.p5

    def down3(self, b: Blocks, f: Features, w: Widths, depth: Ints, before: Handed) -> Handed:
        """The same, without a last 1x1."""
        x4, p5 = before
        x = b.e.concat([b.e.upsample(b.conv(x4, w.w3 // 2, 1)), f.p3])
        x = b.bottleneck(x, w.w3, w.w3 // 2, add=False)
        return self._body(b, x, w.w3, depth, add=False), x4, p5

    def up4(self, b: Blocks, w: Widths, depth: Ints, before: Handed) -> Handed:
        """No way back up: a 3x3 convolution, whatever the depth."""
        _, x4, p5 = before
        return b.conv(x4, w.w4), p5

    def up5(self, b: Blocks, w: Widths, depth: Ints, before: Handed) -> Tensor:
        """The same."""
        return b.conv(before[1], w.w5)


#: Values of the variable ``style``: the YOLO version; of version 6 also 3.0 in sizes S, M and L.
STYLES: Mapping[int, Style] = {
    3: Darknet(),
    4: Csp(),
    5: C3(),
    6: RepPan(),
    7: Elan(),
    8: C2f(),
    60: Rep(),
    61: RepCsp((2, 3), RELU),
    62: RepCsp((1, 2), SILU),
}
