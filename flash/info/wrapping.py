"""Lines of a list for people: a name, and words beside it that go on below each other."""

from __future__ import annotations

import textwrap

__all__ = ["hanging"]

_WIDTH = 100


def hanging(first: str, words: str) -> list[str]:
    """``words`` after ``first``, in lines of at most 100 characters indented alike."""
    return textwrap.wrap(
        words,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]
