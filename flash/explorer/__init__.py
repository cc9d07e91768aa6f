"""The answer of a search as one HTML page: the front to cut, the space to narrow, no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.explorer.commands import search_words
    from flash.explorer.document import explorer_html
    from flash.explorer.facts import OwnModel, Source

__all__ = ["OwnModel", "Source", "explorer_html", "search_words"]

__getattr__ = lazily(
    __name__,
    {
        "OwnModel": ("facts", ""),
        "Source": ("facts", ""),
        "explorer_html": ("document", ""),
        "search_words": ("commands", ""),
    },
)
