"""What a search found: as objects, in the terminal, in files, as a picture."""

from flash.report.base import Result, html_table
from flash.report.data import (
    AccuracyStatus,
    OptimizerSummary,
    Picks,
    SearchData,
    SpaceSummary,
)
from flash.report.design import DesignReport
from flash.report.files import write_files
from flash.report.interval import Interval
from flash.report.picture import front_svg
from flash.report.reading import read_search
from flash.report.result import SearchReport
from flash.report.table import print_report, render_plain

__all__ = [
    "AccuracyStatus",
    "DesignReport",
    "Interval",
    "OptimizerSummary",
    "Picks",
    "Result",
    "SearchData",
    "SearchReport",
    "SpaceSummary",
    "front_svg",
    "html_table",
    "print_report",
    "read_search",
    "render_plain",
    "write_files",
]
