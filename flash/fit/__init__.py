"""Measurements -> a hardware profile, with its held-out error: ``python -m flash.fit``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.fit.command import FitReport, fit

__all__ = ["FitReport", "fit"]

__getattr__ = lazily(__name__, {"FitReport": ("command", ""), "fit": ("command", "")})
