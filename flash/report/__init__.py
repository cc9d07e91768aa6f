"""What a search found: as objects, in the terminal, in files, as a picture."""

from flash.report.files import write_files
from flash.report.interval import Interval
from flash.report.picture import front_svg
from flash.report.reading import read_search
from flash.report.records import front_csv, front_records
from flash.report.result import (
    AccuracyStatus,
    DesignReport,
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
    "front_records",
    "front_svg",
    "print_report",
    "read_search",
    "render_plain",
    "write_files",
]
