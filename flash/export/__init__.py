"""Designs of a front -> files to ship, with a manifest: ``python -m flash.export``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.export.command import export
    from flash.export.exporter import EXPORTERS, Exporter, find_formats
    from flash.export.order import Build, Order
    from flash.export.report import ExportReport
    from flash.export.torch_file import load_torch

__all__ = [
    "EXPORTERS",
    "Build",
    "ExportReport",
    "Exporter",
    "Order",
    "export",
    "find_formats",
    "load_torch",
]

__getattr__ = lazily(
    __name__,
    {
        "EXPORTERS": ("exporter", ""),
        "Build": ("order", ""),
        "ExportReport": ("report", ""),
        "Exporter": ("exporter", ""),
        "Order": ("order", ""),
        "export": ("command", ""),
        "find_formats": ("exporter", ""),
        "load_torch": ("torch_file", ""),
    },
)
