"""Accuracies with shared weights: one supernet is trained, all designs are judged by it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flash.errors import SpaceError, UsageError
from flash.extras import need
from flash.search.budgeted.candidates import Floats, Ints
from flash.search.budgeted.evaluator import Evaluator, Trial
from flash.spaces.space import SearchSpace
from flash.supernet.network import check_sharing
from flash.supernet.registry import SAMPLERS
from flash.supernet.sampler import Epoch
from flash.training.images import ImageSet

if TYPE_CHECKING:
    from flash.supernet.train import Training

__all__ = ["SupernetEvaluator", "check_same_designs"]


class SupernetEvaluator(Evaluator):
    """Trains one supernet when it is first asked, then judges every design with its weights.

    Accuracies are those on 1,000 validation images, in per cent: they rank designs, and are far
    below what a design trained alone reaches.

    space:   whose designs are judged.
    trained: the space whose networks are trained in their place, of the same variables: fewer
             cells or channels, smaller images; ``space`` itself where that is affordable.
    images:  of the size that the networks of ``trained`` read.
    sampler: of ``SAMPLERS``, what draws the designs to train.  proposes: the search asks for its
             designs (``propose``); else it only trains.
    checkpoint: file that keeps the supernet after each epoch, to go on from.
    tell:    hears of each epoch.  latency_ms: of designs, for samplers that weigh it.

    Raises ``UsageError`` for a space whose networks cannot share weights and for spaces of other
    variables, when asked for accuracies as ``train_supernet``.
    """

    def __init__(
        self,
        budget: int,
        space: SearchSpace,
        trained: SearchSpace,
        images: ImageSet,
        epochs: int | None = None,
        sampler: str = "uniform",
        *,
        proposes: bool = False,
        seed: int = 0,
        checkpoint: Path | None = None,
        tell: Callable[[Epoch], None] = lambda epoch: None,
        latency_ms: Callable[[Ints], Floats] | None = None,
    ) -> None:
        super().__init__(budget)
        check_sharing(trained)
        check_same_designs(space, trained)
        self._space, self._trained, self._images = space, trained, images
        self._epochs, self._kind, self.proposes = epochs, SAMPLERS[sampler], proposes
        self._seed, self._checkpoint, self._tell = seed, checkpoint, tell
        self._latency_ms = latency_ms
        self._done: Training | None = None

    @property
    def training(self) -> Training:
        """The trained supernet; it is trained at the first call."""
        if self._done is None:
            supernet = need("flash.supernet.train", "train", "a supernet")
            banks = need("flash.supernet.bank", "train", "a supernet")
            recipe = supernet.RECIPE.varied(epochs=self._epochs)
            task = supernet.task_of(self._trained, self._images, recipe, self._latency_ms)
            self._done = supernet.train_supernet(
                banks.WeightBank(self._trained, self._seed, binary=self._kind.binary),
                self._kind(task),
                self._images,
                recipe,
                self._seed,
                checkpoint=self._checkpoint,
                progress=self._tell,
            )
        return self._done

    def train(self, design: Ints) -> Trial:
        """Judge one design with the shared weights."""
        training = self.training
        began = time.perf_counter()
        score = need("flash.supernet.scoring", "train").score_shared
        found = score(training.bank, design, training.batches)
        return Trial(tuple(design.tolist()), found.accuracy, time.perf_counter() - began)

    def propose(self, count: int, rng: np.random.Generator) -> Ints:
        """Designs of the sampler: first the one it would choose, then draws; (count, variables).

        Where a value has no effect it is the one that stands for all (``Family.canonical``).
        """
        sampler = self.training.sampler
        designs = [sampler.result(), *(sampler.draw(rng) for _ in range(count - 1))]
        return np.stack([self._canonical(design) for design in designs])

    def _canonical(self, design: Ints) -> Ints:
        named = self._space.named(design)
        canonical = self._space.family.canonical(named)
        try:
            return self._space.design({name: int(value) for name, value in canonical.items()})
        except SpaceError:  # the value that stands for all is not in this space
            return design


def check_same_designs(space: SearchSpace, trained: SearchSpace) -> None:
    """Raise ``UsageError`` unless a design of one space is a design of the other, too."""
    same = space.variables == trained.variables and all(
        np.array_equal(a, b) for a, b in zip(space.grids, trained.grids, strict=False)
    )
    if not same:
        raise UsageError(
            f"--evaluator-space {trained.name}: its variables must have the names and values of "
            f"those of {space.name}; settings and input may differ"
        )
