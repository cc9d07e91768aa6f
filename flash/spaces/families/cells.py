"""CIFAR-type networks of plain cells: DenseNet-type CONCAT and ResNet-type ADD.

Both follow the space of NN-Mass and FLASH (``N_c`` cells, each a run of 3x3 convolutions of
equal width at one resolution, with a budget of skip channels); later cells begin with
stride 2. The ranges are ours: FLASH's own are not published.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from flash.spaces.emitter import Emitter
from flash.spaces.family import Family, Setting, Stage, clip
from flash.spaces.layers import Ints, Tensor

__all__ = ["AddFamily", "ConcatFamily"]


class _CellFamily(Family):
    """Stem convolution, ``cells`` cells, global average pooling, linear classifier.

    Variables of cell c (from 1): ``w{c}`` channels of every layer, a depth, and ``t{c}``,
    the largest number of skip channels a layer may take. A cell is two stages: the entry
    (its first layer, which alone sees the width of the cell before) and the body.
    """

    settings = {"cells": Setting(3, most=16), "stem": Setting(16)}
    depth_name: ClassVar[str]

    def _cell_variables(self, cell: int) -> tuple[str, str, str]:
        return f"w{cell}", f"{self.depth_name}{cell}", f"t{cell}"

    @property
    def variables(self) -> tuple[str, ...]:
        cells = range(1, self.options["cells"] + 1)
        return tuple(name for cell in cells for name in self._cell_variables(cell))

    @property
    def legend(self) -> str:
        layers = "blocks" if self.depth_name == "b" else "layers"
        return f"w channels, {self.depth_name} {layers}, t skip channels of each cell"

    @property
    def stages(self) -> tuple[Stage, ...]:
        stages = [Stage("stem", ())]
        for cell in range(1, self.options["cells"] + 1):
            width, depth, skip = self._cell_variables(cell)
            before = (f"w{cell - 1}",) if cell > 1 else ()
            stages += [
                Stage(f"entry{cell}", (width,), before),
                Stage(f"body{cell}", (depth, skip), (width,), cell=(f"entry{cell}", f"body{cell}")),
            ]
        return (*stages, Stage("head", (), (f"w{self.options['cells']}",)))

    def cells(self) -> tuple[tuple[str, ...], ...]:
        return tuple(self._cell_variables(c) for c in range(1, self.options["cells"] + 1))

    def emit(self, e: Emitter, values: Mapping[str, Ints]) -> tuple[Tensor, Tensor]:
        source = e.source(self.shape.channels, self.shape.height, self.shape.width)
        with e.stage("stem"):
            x = e.conv(source, self.options["stem"])
        for number, names in enumerate(self.cells(), start=1):
            width, depth, skip = (values[name] for name in names)
            with e.cell():
                with e.stage(f"entry{number}"):
                    x = e.conv(x, width, stride=1 if number == 1 else 2)
                with e.stage(f"body{number}"):
                    x = self._body(e, x, width, depth, skip)
        with e.stage("head"):
            x = e.linear(e.global_pool(x), self.classes)
        return source, x

    @abstractmethod
    def _body(self, e: Emitter, x: Tensor, width: Ints, depth: Ints, skip: Ints) -> Tensor:
        """Every layer of a cell but its first."""


class ConcatFamily(_CellFamily):
    """DenseNet-type: layer i >= 2 of a cell also reads earlier channels of the cell.

    Layer i reads layer i-1 whole and the first ``min(t, w (i-1))`` channels of the layers
    0 .. i-2 laid side by side. The slice always starts at channel 0, so once the budget is
    reached every later layer reads the same contiguous block: no gather, no copy per layer
    beyond the concat itself. (NN-Mass draws them at random; the degree is the same.)
    """

    name = "concat"
    depth_name = "d"

    def _body(self, e: Emitter, x: Tensor, width: Ints, depth: Ints, skip: Ints) -> Tensor:
        pieces: list[Tensor] = []
        before = x
        for i in e.repeat(depth, start=1):
            if i >= 2:
                pieces.append(e.slice(before, clip(skip - width * (i - 2), 0, width)))
            before = x
            taken = clip(skip, 0, width * (i - 1))
            fed = e.concat([x, *pieces]) if pieces else x
            x = e.merge(e.conv(fed, width, skip=taken), x)
        return x

    def check(self, values: Mapping[str, Sequence[int]]) -> None:
        for width, depth, skip in self.cells():
            self._require(values, width, 1, 4096)
            self._require(values, depth, 1, 256)
            self._require(values, skip, 0, 1 << 20)

    def canonical(self, values: Mapping[str, Ints]) -> dict[str, Ints]:
        result = dict(values)
        for width, depth, skip in self.cells():
            most = values[width] * clip(values[depth] - 2, 0, 1 << 20)
            result[skip] = clip(values[skip], 0, most)
        return result


class AddFamily(_CellFamily):
    """ResNet-type: basic blocks of two 3x3 convolutions.

    The first block of a cell has no shortcut (its shape changes); from the second on, the
    first ``min(t, w)`` channels of the block's input are added to its output.
    """

    name = "add"
    depth_name = "b"

    def _body(self, e: Emitter, x: Tensor, width: Ints, depth: Ints, skip: Ints) -> Tensor:
        x = e.conv(x, width)
        taken = clip(skip, 0, width)
        for _ in e.repeat(depth, start=1):
            y = block = e.conv(x, width)
            for _ in e.when(taken > 0):
                shortcut = e.pad(e.slice(x, taken), width)
                added = e.add([e.conv(y, width, act=""), shortcut], act="relu", skip=taken)
                block = e.merge(added, block)
            for _ in e.when(taken == 0):
                block = e.merge(e.conv(y, width), block)
            x = e.merge(block, x)
        return x

    def check(self, values: Mapping[str, Sequence[int]]) -> None:
        for width, depth, skip in self.cells():
            self._require(values, width, 1, 4096)
            self._require(values, depth, 1, 128)
            self._require(values, skip, 0, 1 << 20)

    def canonical(self, values: Mapping[str, Ints]) -> dict[str, Ints]:
        result = dict(values)
        for width, depth, skip in self.cells():
            used = clip(values[depth] - 1, 0, 1)
            result[skip] = clip(values[skip], 0, values[width] * used)
        return result
