"""How a network is trained for calibration: one fixed recipe for each kind of hardware.

Accuracies compare only under one recipe, so a recipe has a name that every result carries, and
whatever changes the training changes the name (``quick``, ``quick/epochs=3``).

The schedule is one cycle (Smith and Topin 2019, arXiv:1708.07120, here piecewise linear) of SGD
with Nesterov momentum; labels are smoothed (Szegedy et al. 2016, arXiv:1512.00567); images are
shifted by a pixel or two and mirrored in every second epoch (alternating flips, Jordan 2024,
arXiv:2404.00498). Early epochs may see smaller images (progressive resizing, Howard 2018), which
costs a fraction; the last ones, and the test, see them at full size.

A share of the training images is set aside for validation: designs are selected, and accuracy
models fitted, by the accuracy on those. Test images are read once, when the training has ended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from flash.errors import UsageError, did_you_mean

__all__ = ["RECIPES", "Recipe", "recipe_named"]


@dataclass(frozen=True)
class Recipe:
    """What decides a training besides the network, the images and the seed.

    hardware:   "cpu" (one thread; bf16 autocast where the CPU gains by it, else fp32) or
                "cuda" (one GPU, bf16 or fp16 autocast).
    images:     images of the training set used, an equal share of each class; None for all.
    validation: share of them set aside for validation, an equal share of each class.
    stages:     (epochs, share of the full image side) in order; the last share is 1.
    batch:      images a step.
    peak_rate:  learning rate at the top of the cycle.
    warm_up:    share of the steps that lead up to it.
    shift:      images move by up to this share of their (reduced) side, mirrored at the edge.
    """

    name: str
    hardware: str
    images: int | None
    validation: float
    stages: tuple[tuple[int, float], ...]
    batch: int
    peak_rate: float
    warm_up: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    shift: float

    @property
    def sides(self) -> tuple[float, ...]:
        """The share of the full image side for each epoch."""
        return tuple(share for epochs, share in self.stages for _ in range(epochs))

    @property
    def epochs(self) -> int:
        """Passes over the training images."""
        return len(self.sides)

    def varied(self, epochs: int | None = None, images: int | None = None) -> Recipe:
        """The recipe with so many epochs or images, and a name that says so.

        Stages keep their shares of the epochs; the last keeps one at least.
        """
        changed = self
        if epochs is not None and epochs != self.epochs:
            if epochs < 1:
                raise UsageError(f"--epochs {epochs}: expected 1 or more")
            stages = _rescaled(self.stages, epochs)
            changed = replace(changed, stages=stages, name=f"{changed.name}/epochs={epochs}")
        if images is not None and images != self.images:
            if images < 1:
                raise UsageError(f"--images {images}: expected 1 or more")
            changed = replace(changed, images=images, name=f"{changed.name}/images={images}")
        return changed

    def describe(self) -> str:
        """The recipe in one line, as results and predictions quote it."""
        images = "all images" if self.images is None else f"{self.images} images"
        sides = ", ".join(f"{epochs} at {share:g}" for epochs, share in self.stages)
        return (
            f"{self.name} ({images}, {self.validation:.0%} of them for validation; epochs: {sides} "
            f"of the side; SGD one-cycle to "
            f"{self.peak_rate:g}, batch {self.batch}, label smoothing {self.label_smoothing:g})"
        )


def _rescaled(stages: tuple[tuple[int, float], ...], epochs: int) -> tuple[tuple[int, float], ...]:
    total = sum(count for count, _ in stages)
    found: list[tuple[int, float]] = []
    left = epochs - 1
    for count, share in stages[:-1]:
        kept = min(left, round(count * epochs / total))
        left -= kept
        if kept:
            found.append((kept, share))
    return (*found, (left + 1, stages[-1][1]))


_QUICK: Final = Recipe(
    name="quick",
    hardware="cpu",
    images=None,
    validation=0.1,
    stages=((6, 0.5), (2, 0.75), (2, 1.0)),
    batch=64,
    peak_rate=0.2,
    warm_up=0.25,
    momentum=0.9,
    weight_decay=5e-4,
    label_smoothing=0.1,
    shift=1 / 16,
)

#: The recipes there are. Numbers are ours, chosen by short probes before any sample was trained.
RECIPES: Final = {
    "quick": _QUICK,
    "long": replace(_QUICK, name="long", stages=((30, 0.5), (10, 0.75), (10, 1.0))),
    "gpu": replace(
        _QUICK,
        name="gpu",
        hardware="cuda",
        stages=((30, 1.0),),
        batch=256,
        peak_rate=0.4,
        warm_up=0.2,
        shift=1 / 8,
    ),
}


def recipe_named(name: str) -> Recipe:
    """The recipe of this name; raises ``UsageError`` for another."""
    if name not in RECIPES:
        raise UsageError(f"unknown recipe '{name}'{did_you_mean(name, RECIPES)}")
    return RECIPES[name]
