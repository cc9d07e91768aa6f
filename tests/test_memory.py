"""Freed memory that is kept is not cleared anew by the kernel."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
import numpy as np
from flash.backends.torch.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
np.ones(4_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(4_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of the GNU C library")
def test_arrays_made_again_and_again_reuse_their_pages():
    faults = [
        int(
            subprocess.run(
                [sys.executable, "-c", _FAULTS, word], capture_output=True, text=True, check=True
            ).stdout
        )
        for word in ("keep", "default")
    ]
    # 32 MB are 8,192 pages of 4 kB (fewer where the kernel takes huge ones).
    assert faults[0] < 100
    assert faults[0] < faults[1]
