"""Trained samples -> the accuracy model of a space: ``python -m flash.calibrate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.calibrate.command import Calibration, calibrate
    from flash.calibrate.from_table import TableCalibration, calibrate_from_table

__all__ = ["Calibration", "TableCalibration", "calibrate", "calibrate_from_table"]

__getattr__ = lazily(
    __name__,
    {
        "Calibration": ("command", ""),
        "TableCalibration": ("from_table", ""),
        "calibrate": ("command", ""),
        "calibrate_from_table": ("from_table", ""),
    },
)
