"""Trained samples -> the accuracy model of a space: ``python -m flash.calibrate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.calibrate.command import Calibration, calibrate

__all__ = ["Calibration", "calibrate"]

__getattr__ = lazily(__name__, {"Calibration": ("command", ""), "calibrate": ("command", "")})
