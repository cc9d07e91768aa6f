"""A family: a chain of plain convolutions in two halves, each with a width and a depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flash.spaces.emitter import Emitter
from flash.spaces.family import Family, Setting, Stage
from flash.spaces.layers import Ints, Tensor

__all__ = ["PlainFamily"]


class PlainFamily(Family):
    """Two cells of 3x3 convolutions; the second begins with stride 2.

    Variables: ``w1``, ``w2`` channels, ``d1``, ``d2`` convolutions.
    """

    name = "plain"
    settings = {"stem": Setting(8)}

    @property
    def variables(self) -> tuple[str, ...]:
        """Width and depth of both cells."""
        return "w1", "d1", "w2", "d2"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Each cell depends on its own variables and on the width before it."""
        return (
            Stage("stem", ()),
            Stage("first", ("w1", "d1"), cell=("first",)),
            Stage("second", ("w2", "d2"), ("w1",), cell=("second",)),
            Stage("head", (), ("w2",)),
        )

    def emit(self, e: Emitter, values: Mapping[str, Ints]) -> tuple[Tensor, Tensor]:
        """Stem, both cells, pooling and a classifier."""
        source = e.source(self.shape.channels, self.shape.height, self.shape.width)
        with e.stage("stem"):
            x = e.conv(source, self.options["stem"])
        for stage, width, depth, stride in (("first", "w1", "d1", 1), ("second", "w2", "d2", 2)):
            with e.cell(), e.stage(stage):
                x = e.conv(x, values[width], stride=stride)
                for _ in e.repeat(values[depth], start=1):
                    x = e.merge(e.conv(x, values[width]), x)
        with e.stage("head"):
            x = e.linear(e.global_pool(x), self.classes)
        return source, x

    def check(self, values: Mapping[str, Sequence[int]]) -> None:
        """Widths up to 4,096, depths up to 64."""
        for name in self.variables:
            self._require(values, name, 1, 4096 if name.startswith("w") else 64)
