"""Space + target -> certified Pareto designs: ``python -m flash.search``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.search.pipeline import search

__all__ = ["search"]

__getattr__ = lazily(__name__, {"search": ("pipeline", "")})
