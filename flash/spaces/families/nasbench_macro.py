"""The NAS-Bench-Macro space (Su et al., CVPR 2021): 8 layers, 3 choices each, 6,561 networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

from flash.errors import SpaceError, shown
from flash.spaces.emitter import Emitter
from flash.spaces.family import Family, Setting, Stage
from flash.spaces.layers import Ints, Tensor

__all__ = ["NasBenchMacroFamily"]

#: (expansion, kernel) of the two inverted residuals; choice 0 is the identity.
_BLOCKS = ((3, 3), (6, 5))


class NasBenchMacroFamily(Family):
    """Stem, groups of layers that halve the map and double the channels, 1x1 head.

    Variables ``o0`` ... ``o7``: 0 identity, 1 inverted residual (expansion 3, kernel 3),
    2 inverted residual (expansion 6, kernel 5). Where the shape changes, the identity is a
    1x1 convolution with stride.
    """

    name = "nasbench_macro"
    settings = {
        "stem": Setting(32),
        "layers": Setting((2, 3, 3), most=16, entries=8),
        "head": Setting(1280),
    }

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(f"o{i}" for i in range(sum(self.options["layers"])))

    def _groups(self) -> list[tuple[str, ...]]:
        ends = list(accumulate(self.options["layers"], initial=0))
        return [self.variables[a:b] for a, b in zip(ends, ends[1:], strict=False)]

    @property
    def stages(self) -> tuple[Stage, ...]:
        groups = [
            Stage(f"group{i}", owns, cell=(f"group{i}",))
            for i, owns in enumerate(self._groups(), start=1)
        ]
        return (Stage("stem", ()), *groups, Stage("head", ()))

    def check(self, values: Mapping[str, Sequence[int]]) -> None:
        for name in self.variables:
            self._require(values, name, 0, len(_BLOCKS))

    def emit(self, e: Emitter, values: Mapping[str, Ints]) -> tuple[Tensor, Tensor]:
        source = e.source(self.shape.channels, self.shape.height, self.shape.width)
        channels = self.options["stem"]
        with e.stage("stem"):
            x = e.conv(source, channels)
        for number, names in enumerate(self._groups(), start=1):
            channels *= 2
            with e.cell(), e.stage(f"group{number}"):
                for i, name in enumerate(names):
                    x = self._layer(e, x, values[name], channels, 2 if i == 0 else 1)
                    x = e.chosen(x, name)
        with e.stage("head"):
            x = e.conv(x, self.options["head"], kernel=1)
            return source, e.linear(e.global_pool(x), self.classes)

    def _layer(self, e: Emitter, x: Tensor, choice: Ints, channels: int, stride: int) -> Tensor:
        result = x
        if stride != 1:
            for _ in e.when(choice == 0):
                result = e.merge(e.conv(x, channels, 1, stride, act=""), result)
        for number, (expand, kernel) in enumerate(_BLOCKS, start=1):
            for _ in e.when(choice == number):
                hidden = x.channels * expand
                y = e.conv(e.conv(x, hidden, 1), hidden, kernel, stride, groups=hidden)
                y = e.conv(y, channels, 1, act="")
                if stride == 1:
                    y = e.add([y, x], skip=channels)
                result = e.merge(y, result)
        return result

    def parse(self, text: str) -> dict[str, int]:
        """The design a benchmark string such as ``00120021`` names."""
        if len(text) != len(self.variables) or not set(text) <= set("012"):
            raise SpaceError(
                f"{shown(text)} is no design: expected {len(self.variables)} digits 0 to 2"
            )
        return {name: int(digit) for name, digit in zip(self.variables, text, strict=True)}

    def describe(self, values: Mapping[str, int]) -> str:
        """The benchmark's string, a digit a layer."""
        return "".join(str(values[name]) for name in self.variables)
