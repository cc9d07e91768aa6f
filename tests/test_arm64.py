"""What flash ships for boards, under emulation: needs FLASH_ARM64_PYTHON, see the script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "validate" / "arm64.py"


@pytest.mark.slow
@pytest.mark.parametrize("part", ["tvm", "profile"])
def test_boards_get_what_runs_there(part):
    python = os.environ.get("FLASH_ARM64_PYTHON")
    if not python:
        pytest.skip("FLASH_ARM64_PYTHON names no aarch64 Python (scripts/validate/arm64.py)")
    if part == "tvm":
        pytest.importorskip("tvm", reason="needs the extra tvm")
    command = [sys.executable, str(SCRIPT), "--python", python, "--part", part]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{part}: ")
