"""What flash knows and what this machine has: ``flash list`` and ``flash doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.info.examination import Examination, examine
    from flash.info.topics import TOPICS, Entry, catalogue

__all__ = ["TOPICS", "Entry", "Examination", "catalogue", "examine"]

__getattr__ = lazily(
    __name__,
    {
        "TOPICS": ("topics", ""),
        "Entry": ("topics", ""),
        "Examination": ("examination", ""),
        "catalogue": ("topics", ""),
        "examine": ("examination", ""),
    },
)
