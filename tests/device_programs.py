"""What the tests of measuring share: the program, tiny suites, a made-up /sys."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from flash.device import build
from flash.files.locations import script_file

SCRIPT = script_file("profile_device.py")

#: Quick to measure: microseconds each.
TINY = ("8x8x8: conv k3 8", "8x4x4: dw k3; conv k1 8", "8x4x4: dense k1 4; gap; linear 4")


def load_program():
    """The measuring program as a module, with numpy and onnxruntime imported."""
    spec = importlib.util.spec_from_file_location("profile_device", SCRIPT)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    program.import_runtime()
    return program


def load_parts():
    """The same names from the modules of flash/device, which the program is built from."""
    found = {}
    for part in build.parts():
        found.update(vars(importlib.import_module(part.name)))
    program = SimpleNamespace(**found)
    program.import_runtime()
    return program


def run_program(*arguments, **options):
    command = [sys.executable, str(SCRIPT), "--threads=1", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def read_lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def write_tree(root, files):
    """Write files of a made-up system; returns its root as a string."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return str(root)
