"""What flash knows and what this machine has, and how runs differ: list, doctor, compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.info.comparison import Comparison, compare, compare_models
    from flash.info.examination import Examination, doctor
    from flash.info.topics import TOPICS, Catalogue, Entry, catalogue

__all__ = [
    "TOPICS",
    "Catalogue",
    "Comparison",
    "Entry",
    "Examination",
    "catalogue",
    "compare",
    "compare_models",
    "doctor",
]

__getattr__ = lazily(
    __name__,
    {
        "Comparison": ("comparison", ""),
        "TOPICS": ("topics", ""),
        "Catalogue": ("topics", ""),
        "Entry": ("topics", ""),
        "Examination": ("examination", ""),
        "catalogue": ("topics", ""),
        "compare": ("comparison", ""),
        "compare_models": ("comparison", ""),
        "doctor": ("examination", ""),
    },
)
