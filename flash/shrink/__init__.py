"""A model of anyone's -> its smaller variants that fit a target: ``python -m flash.shrink``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.shrink.pipeline import shrink
    from flash.shrink.report import ShrinkReport

__all__ = ["ShrinkReport", "shrink"]

__getattr__ = lazily(__name__, {"shrink": ("pipeline", ""), "ShrinkReport": ("report", "")})
