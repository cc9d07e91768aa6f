"""What comes before everything else: the clock starts, and interrupts end the program quietly."""

from __future__ import annotations

import signal
import time

#: ``time.perf_counter`` when the program began: budgets count from here, imports included.
STARTED = time.perf_counter()
if __name__ == "__main__":  # an interrupt while the rest is imported ends it without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)
