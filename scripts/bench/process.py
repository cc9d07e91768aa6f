"""The whole process: CPU time and peak memory of a search, beside importing what it stands on.

    python scripts/bench/process.py [options of flash.search ...]

The baseline is ``import numpy, scipy.optimize``; runs alternate, the ratio is of the medians.
Flash is compiled to bytecode beforehand, as installing it does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

_ROUNDS = 5
_BASE = ["-c", "import numpy, scipy.optimize"]


def _run(arguments: list[str]) -> tuple[float, float]:
    """CPU seconds and peak resident memory (MiB) of one Python process."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, env=environment
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _, options = parser.parse_known_args()
    options = options or ["--target", "rpi3b"]
    with tempfile.TemporaryDirectory() as folder:
        search = ["-m", "flash.search", *options, "--out", folder]
        _run(_BASE), _run(search)
        pairs = [(_run(_BASE), _run(search)) for _ in range(_ROUNDS)]
    base, found = (statistics.median(pair[k][0] for pair in pairs) for k in (0, 1))
    peak = max(pair[1][1] for pair in pairs)
    print(f"import numpy, scipy.optimize   {base:.2f} s of CPU (median of {_ROUNDS})")
    print(f"flash.search {' '.join(options)}   {found:.2f} s, peak {peak:.0f} MiB")
    print(f"ratio {found / base:.2f}")


if __name__ == "__main__":
    main()
