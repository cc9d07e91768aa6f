"""A model, or a design, trained on the user's own data: ``python -m flash.train``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.train.pipeline import train
    from flash.train.report import TrainReport

__all__ = ["TrainReport", "train"]

__getattr__ = lazily(__name__, {"train": ("pipeline", ""), "TrainReport": ("report", "")})
