"""Networks that share weights: one supernet is trained, then any of its designs is judged by it.

``WeightBank`` holds the weights, ``train_supernet`` trains them on designs that a sampler draws
(``SAMPLERS``), ``score_shared`` gives a design's accuracy with them. Needs PyTorch (extra
``train``); the samplers alone do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily
from flash.supernet.registry import SAMPLERS

if TYPE_CHECKING:
    from flash.supernet.bank import WeightBank
    from flash.supernet.sampler import Sampler, Seen, Task
    from flash.supernet.scoring import Score, score_shared
    from flash.supernet.train import RECIPE, Training, task_of, train_supernet
    from flash.supernet.warm import score_warm

__all__ = [
    "RECIPE",
    "SAMPLERS",
    "Sampler",
    "Score",
    "Seen",
    "Task",
    "Training",
    "WeightBank",
    "score_shared",
    "score_warm",
    "task_of",
    "train_supernet",
]

_HOMES = {
    "bank": (("WeightBank",), "torch"),
    "sampler": (("Sampler", "Seen", "Task"), ""),
    "scoring": (("Score", "score_shared"), "torch"),
    "warm": (("score_warm",), "torch"),
    "train": (("RECIPE", "Training", "task_of", "train_supernet"), "torch"),
}

__getattr__ = lazily(
    __name__,
    {name: (module, extra) for module, (names, extra) in _HOMES.items() for name in names},
)
