"""One-stage detectors without anchor boxes: backbone, neck and a head at strides 8, 16 and 32.

The structure of backbone and neck is one of ``styles``; the head is YOLOv8's for all of them, as in
YOLOBench (Lazarevich et al. 2023, arXiv 2307.13901): two branches of two 3x3 convolutions and a
1x1, one for the distributions of a box's four sides (Li et al. 2020, arXiv 2006.04388), one for the
classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flash.errors import SpaceError
from flash.spaces.emitter import Emitter
from flash.spaces.families.detector.blocks import OWN, Blocks
from flash.spaces.families.detector.styles import STYLES, Features, Widths
from flash.spaces.family import Family, InputShape, Setting, Stage, clip
from flash.spaces.layers import Ints, Tensor

__all__ = ["DetectorFamily"]

#: Input sides are multiples of the coarsest stride.
_STRIDE = 32
_SHARED = ("side", "style", "w3")
_WIDTHS = ("w3", "w4", "w5")


class DetectorFamily(Family):
    """Detectors; a network returns three maps of ``4 bins + classes`` channels, fine to coarse.

    Variables:
    side:         of the square image, a multiple of 32.
    style:        backbone and neck, one of ``STYLES``.
    w3, w4, w5:   channels of the backbone at strides 8, 16 and 32; other widths follow from them.
    d2 ... d5:    blocks of the backbone's stages (style 7: pairs of convolutions).
    n1 ... n4:    blocks of the neck's nodes: down to strides 16 and 8, up to 16 and 32.
    h3, h4, h5:   channels of the head at each stride, per cent of YOLOv8's rule.

    Settings: ``activation`` 1 for ReLU, 2 for SiLU, 3 for each style's own; ``bins`` of the
    distribution of a box's side.
    """

    name = "detector"
    branches = ("style",)
    settings = {"activation": Setting(OWN, most=OWN), "bins": Setting(16, most=64)}

    def __init__(self, shape: InputShape, classes: int, settings: Mapping[str, Any]) -> None:
        super().__init__(shape, classes, settings)
        if shape.height != shape.width:
            raise SpaceError("[input] height and width must be equal: images are square")

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(name for stage in self.stages for name in stage.owns)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """In the order in which they run; what widths they depend on says what they read."""
        up4, up5 = (*_SHARED, "w4"), (*_SHARED, "w4", "w5")
        return (
            Stage("stem", _SHARED),
            _cell("stage2", ("d2",), _SHARED),
            _cell("stage3", ("d3",), _SHARED),
            _cell("stage4", ("w4", "d4"), _SHARED),
            _cell("stage5", ("w5", "d5"), ("side", "style", "w4")),
            Stage("pyramid", (), ("side", "style", "w5")),
            _cell("down4", ("n1",), up5),
            _cell("down3", ("n2",), up4),
            Stage("head3", ("h3",), _SHARED),
            _cell("up4", ("n3",), up4),
            Stage("head4", ("h4",), up4),
            _cell("up5", ("n4",), up5),
            Stage("head5", ("h5",), ("side", "style", "w3", "w5")),
        )

    def cells(self) -> tuple[tuple[str, ...], ...]:
        """The variables of each part of backbone and neck."""
        return tuple(stage.owns for stage in self.stages if stage.cell)

    @property
    def output_channels(self) -> tuple[int, ...]:
        """Of the maps at strides 8, 16 and 32."""
        return (4 * self.options["bins"] + self.classes,) * 3

    def input_shape(self, values: Mapping[str, int]) -> InputShape:
        """A square image of the design's side."""
        return InputShape(self.shape.channels, values["side"], values["side"])

    def emit(self, e: Emitter, values: Mapping[str, Ints]) -> tuple[Tensor, Tensor]:
        """Backbone, neck and head of each design in its own style."""
        source = e.source(self.shape.channels, values["side"], values["side"])
        maps = None
        for number in STYLES:
            for _ in e.when(_equal(values["style"], number)):
                found = self._emit(e, number, source, values)
                maps = [e.merge(a, b) for a, b in zip(found, maps or found, strict=True)]
        if maps is None:
            raise SpaceError(f"style must be one of {', '.join(map(str, STYLES))}")
        with e.stage("head5"):
            return source, e.outputs(maps)

    def _emit(
        self, e: Emitter, number: int, source: Tensor, values: Mapping[str, Ints]
    ) -> list[Tensor]:
        """The three maps of a detector of this style, which is the kind of its cells."""
        style = STYLES[number]
        given, w = self.options["activation"], Widths(*(values[name] for name in _WIDTHS))
        b = Blocks(e, style.activation if given == OWN else given)
        with e.stage("stem"):
            x = style.stem(b, source, w.w3)
        found = []
        for level, width in ((2, w.w3 // 2), (3, w.w3), (4, w.w4), (5, w.w5)):
            with e.stage(f"stage{level}"), e.cell(number):
                x = style.halve(b, x, width) if level > 2 else x
                x = style.stage(b, x, width, values[f"d{level}"], level)
            found.append(x)
        with e.stage("pyramid"):
            found[-1] = style.pyramid(b, x, w.w5)
        features = Features(*found)
        with e.stage("down4"), e.cell(number):
            handed = style.down4(b, features, w, values["n1"])
        with e.stage("down3"), e.cell(number):
            handed = style.down3(b, features, w, values["n2"], handed)
        # The head's widths follow from the finest map that necks of this style make.
        finest = handed[0].channels
        maps = [self._head(b, 3, handed[0], finest, values["h3"])]
        with e.stage("up4"), e.cell(number):
            handed = style.up4(b, w, values["n3"], handed)
        maps.append(self._head(b, 4, handed[0], finest, values["h4"]))
        with e.stage("up5"), e.cell(number):
            x = style.up5(b, w, values["n4"], handed)
        maps.append(self._head(b, 5, x, finest, values["h5"]))
        return maps

    def _head(self, b: Blocks, level: int, x: Tensor, finest: Ints, percent: Ints) -> Tensor:
        """Box distributions and classes at one stride, side by side."""
        sides = 4 * self.options["bins"]
        # Both rules are YOLOv8's; a share of them is rounded to multiples of 8.
        box = _share(clip(finest // 4, max(16, sides), 1 << 20), percent)
        own = _share(clip(finest, min(self.classes, 100), 1 << 20), percent)
        with b.e.stage(f"head{level}"):
            y = b.conv(b.conv(x, box), box)
            boxes = b.e.conv(y, sides, 1, norm=False, bias=True, act="")
            y = b.conv(b.conv(x, own), own)
            classes = b.e.conv(y, self.classes, 1, norm=False, bias=True, act="")
            return b.e.concat([boxes, classes])

    def check(self, values: Mapping[str, Sequence[int]]) -> None:
        """Ranges of every variable; widths in multiples of 8, which every style can divide."""
        self._require(values, "side", _STRIDE, self.shape.height)
        self._multiples(values, "side", _STRIDE)
        unknown = [v for v in values["style"] if v not in STYLES]
        if unknown:
            raise SpaceError(
                f"[variables.style] has {unknown[0]}; family {self.name} knows "
                f"{', '.join(map(str, STYLES))}"
            )
        for name in _WIDTHS:
            self._require(values, name, 16, 4096)
            self._multiples(values, name, 8)
        for name in self.variables:
            if name[0] in "dn":
                self._require(values, name, 1, 64)
            elif name[0] == "h":
                self._require(values, name, 10, 400)

    def _multiples(self, values: Mapping[str, Sequence[int]], name: str, of: int) -> None:
        bad = [v for v in values[name] if v % of]
        if bad:
            raise SpaceError(
                f"[variables.{name}] has {bad[0]}; family {self.name} takes multiples of {of}"
            )


def _cell(name: str, owns: tuple[str, ...], reads: tuple[str, ...]) -> Stage:
    return Stage(name, owns, reads, cell=(name,))


def _equal(value: Ints, number: int) -> Any:
    """A condition for ``Emitter.when``."""
    return value == number


def _share(channels: Ints, percent: Ints) -> Ints:
    """``percent`` of channels; the rule's own number at 100, else a multiple of 8."""
    if isinstance(percent, int) and percent == 100:
        return channels
    rounded = clip((channels * percent + 400) // 800 * 8, 8, 1 << 20)
    exact: Any = (percent == 100) * 1
    result: Ints = channels * exact + rounded * (1 - exact)
    return result
