"""How well a design does with the shared weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from flash.supernet.bank import WeightBank
from flash.training.batches import Batches

__all__ = ["Score", "score_shared"]

#: Images of a batch: its statistics stand for those of all, so it has to be large.
_BATCH: Final = 250


@dataclass(frozen=True)
class Score:
    """accuracy: per cent of the images classified right.  loss: their mean cross-entropy.

    The loss ranks designs sooner than the accuracy while the weights are young.
    """

    accuracy: float
    loss: float


def score_shared(
    bank: WeightBank, design: NDArray[np.int64], batches: Batches, images: int = 1000
) -> Score:
    """A design (indices) on the first ``images`` validation images, by the batch's statistics.

    A network without a path to its output says the same of every image: chance.
    """
    module = bank.module(design)
    if module is None:
        classes = bank.space.family.classes
        return Score(100.0 / classes, math.log(classes))
    part = batches.validation(1.0)
    right, loss, seen = 0, 0.0, min(images, len(part.labels))
    # Spread over the set, which may be in order of the classes, and so is every batch.
    chosen = torch.linspace(0, len(part.labels) - 1, seen).round().long()
    pieces = max(seen // _BATCH, 1)
    with torch.no_grad(), bank.without_gates():
        for piece in range(pieces):
            at = chosen[piece::pieces]
            shaped = batches.normal(part.pixels[at])
            labels = part.labels[at]
            scores = cast(
                torch.Tensor, module(shaped.contiguous(memory_format=torch.channels_last))
            )
            right += int((scores.argmax(1) == labels).sum())
            loss += float(functional.cross_entropy(scores, labels, reduction="sum"))
    return Score(100.0 * right / seen, loss / seen)
