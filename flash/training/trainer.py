"""Which recipe and which trainer there are for this machine."""

from __future__ import annotations

import importlib.util
import os
from functools import partial

from flash.errors import UsageError
from flash.extras import install_command
from flash.spaces.space import SearchSpace
from flash.training.campaign import Trainer
from flash.training.images import ImageSet
from flash.training.recipe import Recipe, recipe_named
from flash.training.workers import train_here, train_on_ray

__all__ = ["check_classifiers", "recipe_for", "trainer_for"]


def check_classifiers(space: SearchSpace) -> None:
    """Raise ``UsageError`` for a space whose networks return more than a number a class."""
    if len(space.family.output_channels) > 1:
        raise UsageError(
            f"flash trains classifiers, and networks of {space.name} are none: train them "
            "elsewhere and give a table of their accuracies to flash.calibrate --trained"
        )


def recipe_for(name: str, ray: str | None = None) -> Recipe:
    """The recipe of this name, or for "auto" the short one for the hardware here.

    Raises ``UsageError`` without PyTorch, and for "gpu" without a CUDA device; on a cluster
    (``ray``) there may well be one.
    """
    if importlib.util.find_spec("torch") is None:
        raise UsageError(f"this needs the package torch: {install_command('train')}")
    chosen = recipe_named("quick" if name == "auto" else name)
    if name != "auto" and (chosen.hardware == "cpu" or ray):
        return chosen
    import torch  # noqa: PLC0415 (an extra)

    if torch.cuda.is_available():
        return recipe_named("gpu")
    if name == "gpu":
        raise UsageError("recipe gpu needs a CUDA device, and there is none here; use recipe quick")
    return chosen


def trainer_for(
    recipe: Recipe, images: ImageSet, workers: int | None = None, ray: str | None = None
) -> Trainer:
    """Trains on the cluster at ``ray``, or here: one training a core, or one on a GPU."""
    if ray:
        return partial(train_on_ray, images=images, address=ray)
    if workers is None:
        workers = 1 if recipe.hardware == "cuda" else len(os.sched_getaffinity(0))
    return partial(train_here, workers=workers)
