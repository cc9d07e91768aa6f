"""Designs or ONNX files -> metrics, and costs on targets: ``python -m flash.estimate``.

``flash check`` lives here too: the same with limits, for continuous integration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.estimate.checking import CheckReport, check
    from flash.estimate.pricing import estimate
    from flash.estimate.report import EstimateReport

__all__ = ["CheckReport", "EstimateReport", "check", "estimate"]

__getattr__ = lazily(
    __name__,
    {
        "CheckReport": ("checking", ""),
        "EstimateReport": ("report", ""),
        "check": ("checking", ""),
        "estimate": ("pricing", ""),
    },
)
