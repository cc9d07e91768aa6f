"""A line for whoever waits while chips are settled: how far, and about how long yet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

__all__ = ["Tell", "silent", "teller"]

#: Told the share that is done, 0 to 1; it begins again for each number format.
Tell = Callable[[float], None]
#: Seconds before the first line: most searches end sooner.
_PATIENCE_S = 2.0


def silent(share: float) -> None:
    """Tell nobody."""


def teller(*, quiet: bool) -> Tell:
    """Writes a line that counts on standard error, where a person looks."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        return silent
    began = time.monotonic()
    start, last = began, 0.0

    def tell(share: float) -> None:
        nonlocal start, last
        now = time.monotonic()
        if share < last:
            start = now
        last = share
        if now - began < _PATIENCE_S:
            return
        left = (now - start) * (1 - share) / share if share > 0 else 0.0
        words = f"chips settled: {100 * share:.0f} %, about {left:.0f} s left"
        sys.stderr.write(f"\r{words:<60}" if share < 1 else f"\r{'':<60}\r")
        sys.stderr.flush()

    return tell
