"""What the tests of measuring share: the program, tiny suites, a made-up /sys."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

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


def quick_program(folder):
    """A copy of the program that gives a network a tenth of a second, not ten."""
    text, limit = SCRIPT.read_text(encoding="utf-8"), "\nLONGEST_S = 10.0\n"
    assert limit in text
    place = folder / SCRIPT.name
    place.write_text(text.replace(limit, "\nLONGEST_S = 0.1\n"), encoding="utf-8")
    return place


@functools.cache
def _program_here():
    return load_program()


def run_program(*arguments, cwd=None):
    """Run the program's main in this process: its exit code and what it printed.

    A network may take a tenth of a second here, not ten: how long is not what these tests are of.
    What a start, a death, a closed pipe or a full disk do is seen with ``run_process``.
    """
    program, out, err = _program_here(), io.StringIO(), io.StringIO()
    signals = {number: signal.getsignal(number) for number in program._SIGNALS}
    words = ["--threads=1", *map(str, arguments)]
    try:
        with (
            mock.patch.object(program, "LONGEST_S", 0.1),
            mock.patch.object(program, "STARTED", time.perf_counter()),
            contextlib.chdir(cwd or "."),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = program.main(words)
    except SystemExit as error:
        code = error.code
    finally:
        for number, handler in signals.items():
            signal.signal(number, handler)
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def run_process(*arguments, **options):
    """Run the program as boards do, in a process of its own."""
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
