"""The one file that devices get is what its parts make, and behaves as they do."""

from __future__ import annotations

import ast
import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from device_programs import SCRIPT, TINY, load_parts, load_program, read_lines

from flash.device import build as builder

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_the_committed_file_is_what_the_parts_make(tmp_path):
    assert builder.FILE.read_text(encoding="utf-8") == builder.build()
    assert builder.main(["--check"]) == 0
    copy = tmp_path / "copy.py"
    assert builder.main(["--check", str(copy)]) == 1
    assert builder.main([str(copy)]) == 0
    assert copy.read_bytes() == builder.FILE.read_bytes()
    assert os.access(copy, os.X_OK)


def test_every_module_but_the_tools_is_a_part():
    places = builder.FILE.parents[1] / "flash" / "device"
    modules = {
        ".".join(["flash.device", *path.relative_to(places).with_suffix("").parts])
        for path in places.rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
    }
    assert modules - {part.name for part in builder.parts()} == {
        "flash.device.build",
        "flash.device.registry",
    }


def test_parts_are_python_3_8_and_import_no_more_than_the_standard_library():
    for part in builder.parts():
        for node in part.imports:
            names = (
                [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
            for name in names:
                assert name.partition(".")[0] in sys.stdlib_module_names, part.name
    ast.parse(builder.build(), feature_version=(3, 8))


@pytest.mark.skipif(
    subprocess.run(["sh", "-c", "command -v python3.8"], capture_output=True).returncode != 0,
    reason="there is no python3.8 here",
)
def test_python_3_8_runs_it(tmp_path):
    done = subprocess.run(["python3.8", str(SCRIPT), "--help"], capture_output=True, text=True)
    if "not found" in done.stderr:  # a version manager's stand-in
        pytest.skip("there is no python3.8 here")
    assert done.returncode == 0, done.stderr
    assert "--meter-offset" in done.stdout


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("from flash.errors import FlashError\n", "parts import parts"),
        ("import flash.device.ground.system\n", "parts import parts"),
        ("from flash.device.ground.system import read_text as read\n", "keep their names"),
        ("from flash.device.main import main\n", "import each other"),
        ("def read_text() -> None: ...\n", "is defined in"),
    ],
)
def test_parts_that_cannot_stand_in_one_file_are_refused(source, said, tmp_path, monkeypatch):
    here = tmp_path / "flash" / "device"
    for part in builder.parts():
        path = here.joinpath(*part.name.split(".")[2:]).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        original = builder.FILE.parents[1].joinpath(*part.name.split(".")).with_suffix(".py")
        path.write_text(original.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(builder, "_HERE", here)
    assert builder.build() == builder.FILE.read_text(encoding="utf-8")
    place = here / "heat.py"
    text = place.read_text(encoding="utf-8")
    end = text.index("from flash.device.ground.system")
    place.write_text(text[:end] + source + text[end:], encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        builder.build()


def _run(program, arguments, monkeypatch, capsys):
    """Run a program under a made-up clock: a run takes what its model's size says."""
    ticks = itertools.count()
    rng = random.Random(5)
    now = [0.0]

    def perf_counter():
        now[0] += 1e-6
        return now[0]

    def sleep(seconds):
        now[0] += seconds

    class Session:
        def __init__(self, path):
            self.size = Path(path).stat().st_size

        def get_inputs(self):
            return []

        def run(self, outputs, inputs, options=None):
            next(ticks)
            now[0] += 1e-6 * self.size * (1 + 0.1 * rng.random())

    import time

    with monkeypatch.context() as patch:
        patch.setattr(time, "perf_counter", perf_counter)
        patch.setattr(time, "sleep", sleep)
        patch.setattr(time, "time", lambda: 1e9 + now[0])
        import resource

        import onnxruntime

        usage = SimpleNamespace(ru_nivcsw=0, ru_maxrss=0)
        patch.setattr(resource, "getrusage", lambda who: usage)

        class Sessions(Session):
            def __init__(self, path, options, providers):
                super().__init__(path)

            def get_providers(self):
                return ["CPUExecutionProvider"]

        patch.setattr(onnxruntime, "InferenceSession", Sessions)
        code = program.main([str(word) for word in arguments])
    return code, capsys.readouterr()


def test_the_file_behaves_as_its_parts(tmp_path, monkeypatch, capsys):
    """The same suite under the same made-up clock: the same lines, passes and summary."""
    from flash.profile.suites.suite import build_suite

    suite = tmp_path / "suite.zip"
    suite.write_bytes(build_suite(TINY))
    found = []
    import signal

    handlers = {number: signal.getsignal(number) for number in (1, 2, 15)}
    try:
        for name, program in (("parts", load_parts()), ("built", load_program())):
            out = tmp_path / name
            given = (f"--suite={suite}", f"--out={out}", "--threads=1", "--budget=1h")
            code, printed = _run(program, [*given, "--passes=2"], monkeypatch, capsys)
            again, _ = _run(program, [*given, "--passes=2", "--quiet"], monkeypatch, capsys)
            assert (code, again) == (0, 0), printed.err
            lines = read_lines(out)
            for line in lines:  # facts of this machine at the moment
                for key in ("date", "resident_mb", "temperature_c", "frequency_mhz", "clock_mhz",
                            "quota_stopped_s", "throttled", "core_groups"):  # fmt: skip
                    line.pop(key, None)
            text = printed.out.replace(str(out), "FILE").partition("time: ")[0]
            found.append((lines, text))
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert json.dumps(found[0]) == json.dumps(found[1])
    records = found[0][0][1:]
    assert [record["passes"] for record in records] == [2, 2, 2]
    assert all(record["latency_ms"]["median"] > 0 for record in records)
