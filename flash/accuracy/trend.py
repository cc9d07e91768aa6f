"""What an accuracy model says of depth and of width, to be held against full training.

A short training on few images punishes depth, and a model fitted to it says that depth hurts.
Trained to the end it does not: plain CNNs of width 32 (32, 64, 128 channels, no skips) with 1, 2,
3, 4, 5 layers a stage reach 82.4, 89.8, 91.2, 91.5, 91.6 % on CIFAR-10 after 50 epochs, and those
of 2 layers with 8, 16, 32, 64, 128 channels 78.6, 86.1, 89.8, 91.6, 92.6 %
(joshuaj3383/Honors-Project-Code, MIT). A model that falls with either contradicts that.

Deep networks without shortcuts do fall in full training (CIFAR-10, plain networks of 56 layers
against 20: He et al., CVPR 2016, Fig. 1), so blocks that may have one are compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flash.accuracy.calibration import AccuracyModel
from flash.spaces.space import SearchSpace

__all__ = ["Trend", "depth_and_width_trend"]

#: Variables of depth and of width by their name without its number.
_DEPTHS, _WIDTHS = ("d", "b", "depth"), ("w", "width")
#: Variables that say whether a block has a shortcut.
_SHORTCUTS = ("skip",)
#: Designs compared lie at these shares of the values that were trained.
_LOW, _HIGH = 0.25, 0.75
#: Points by which an accuracy may fall before that counts as falling.
_TOLERANCE = 0.5


@dataclass(frozen=True)
class Trend:
    """Change of predicted accuracy, in points, from a shallow to a deep and a narrow to a wide net.

    None where a space has no such variables, or was trained at one value of each.
    """

    depth: float | None
    width: float | None

    @property
    def contradiction(self) -> str:
        """In what the model contradicts full training, for people; empty if in nothing."""
        found = []
        if self.depth is not None and self.depth < -_TOLERANCE:
            found.append(f"accuracy falls with depth ({self.depth:+.1f} points)")
        if self.width is not None and self.width < -_TOLERANCE:
            found.append(f"accuracy falls with width ({self.width:+.1f} points)")
        if not found:
            return ""
        return (
            f"{' and '.join(found)} in this model, but plain CNNs trained to the end gain by both: "
            "the training was too short"
        )

    def lines(self) -> list[str]:
        """The trend and what is wrong with it, as ``flash.calibrate`` prints them."""
        lines = [f"trend     {self} over the middle half of what was trained"]
        return lines + ([f"careful   {self.contradiction}"] if self.contradiction else [])

    def __str__(self) -> str:
        parts = [
            f"{name} {change:+.1f} points"
            for name, change in (("depth", self.depth), ("width", self.width))
            if change is not None
        ]
        return ", ".join(parts) or "neither depth nor width varies"


def depth_and_width_trend(space: SearchSpace, model: AccuracyModel) -> Trend:
    """The trend of a model about the middle of what was trained."""
    grids = [np.arange(len(grid)) for grid in space.grids]
    kept = grids if model.box is None else list(model.box.inside(space))
    return Trend(_change(space, model, kept, _DEPTHS), _change(space, model, kept, _WIDTHS))


def _change(
    space: SearchSpace,
    model: AccuracyModel,
    kept: list[np.typing.NDArray[np.int64]],
    roles: tuple[str, ...],
) -> float | None:
    names = [name.rstrip("0123456789") for name in space.variables]
    moved = [name in roles and len(own) > 1 for name, own in zip(names, kept, strict=True)]
    if not any(moved):
        return None
    still = [1.0 if name in _SHORTCUTS else 0.5 for name in names]
    designs = []
    for share in (_LOW, _HIGH):
        shares = [share if moves else at for moves, at in zip(moved, still, strict=True)]
        designs.append(
            [int(own[round(at * (len(own) - 1))]) for own, at in zip(kept, shares, strict=True)]
        )
    low, high = model.predict(space, np.array(designs)).value
    return float(high - low)
