"""The examples run as they are written, in a folder of their own."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Looked for, not imported: the examples run in processes of their own.
LIBRARIES = ("onnx", "onnxruntime", "torch", "PIL", "onnxscript")
for library in LIBRARIES:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed", allow_module_level=True)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("mobilenet.py", r"one step of training: loss \d"),
        ("person.py", r"accuracy (\d+)"),
        ("tones.py", r"accuracy (\d+)"),
    ],
)
def test_an_example_of_shrinking_and_training(script, expected, tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "shrink" / script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = re.search(expected, done.stdout)
    assert found, done.stdout
    if found.groups():
        assert int(found[1]) > 70
