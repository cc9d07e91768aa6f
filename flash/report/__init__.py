"""What a search found: as objects, in the terminal, in files, as a picture."""

from flash.report.files import front_csv, write_files
from flash.report.picture import front_svg
from flash.report.result import (
    AccuracyStatus,
    DesignReport,
    Interval,
    OptimizerSummary,
    Picks,
    SearchReport,
    SpaceSummary,
)
from flash.report.table import print_report, render_plain

__all__ = [
    "AccuracyStatus",
    "DesignReport",
    "Interval",
    "OptimizerSummary",
    "Picks",
    "SearchReport",
    "SpaceSummary",
    "front_csv",
    "front_svg",
    "print_report",
    "render_plain",
    "write_files",
]
