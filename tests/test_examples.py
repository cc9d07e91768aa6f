"""The examples run as they are written, in a folder of their own."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
for library in ("onnx", "onnxruntime", "torch", "PIL", "onnxscript"):
    pytest.importorskip(library)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("mobilenet.py", r"one step of training: loss \d"),
        ("person.py", r"accuracy (\d+)"),
        ("tones.py", r"accuracy (\d+)"),
    ],
)
def test_an_example_of_shrinking_and_training(script, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / "shrink" / script), run_name="__main__")
    printed = capsys.readouterr().out
    found = re.search(expected, printed)
    assert found, printed
    if found.groups():
        assert int(found[1]) > 70
