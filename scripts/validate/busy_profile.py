"""The measuring program where others use the machine: processor time in place of elapsed time.

    python scripts/validate/busy_profile.py --suite FILE --out FILE.jsonl [--passes 3]

Options are those of ``python -m flash.device``; one thread. A thread that is stopped does not age,
so what a run takes of it is what it takes on an idle machine, but for caches that others share.
``python -m flash.profile --write-suite FILE`` writes the suite.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from flash.device.main import main
from flash.device.timing import Stopwatch


def _run(watch: Stopwatch, session: Any, inputs: dict[str, Any]) -> float:
    """Seconds of the calling thread, which is onnxruntime's only one."""
    start = time.thread_time()
    session.run(None, inputs)
    seconds = time.thread_time() - start
    watch.inference_s += seconds
    return seconds


if __name__ == "__main__":
    setattr(Stopwatch, "run", _run)  # noqa: B010 (the one thing that is otherwise)
    sys.exit(main([*sys.argv[1:], "--threads", "1"]))
