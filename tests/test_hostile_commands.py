"""Wrong inputs to every command: one line that says what is wrong, the documented exit code.

A row is a command line and the exit codes that are right for it. The folder it runs in has good
inputs, and of each kind of file one that is empty, one that is no text, a folder and a pipe.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flash.__main__ import _dispatch
from flash.command import run_command
from flash.search import search

pytest.importorskip("onnx")
FILES = Path(__file__).resolve().parents[1] / "examples" / "files"
KINDS = ("onnx", "json", "jsonl", "csv", "toml", "npz", "txt", "zip")
#: Lines on standard error that are no errors.
_CHATTER = ("note: ", "sensors: ")
#: Seconds after which a command hangs.
_SECONDS = 60


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, small_cells):
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("mine.onnx", "board.jsonl", "table.csv", "myspace.toml"):
        shutil.copy(FILES / name, folder / name)
    report = search("rpi4b", small_cells, optimizer="exact")
    (folder / "front.json").write_text(report.to_json())
    (folder / "designs.txt").write_text("w=8,16,32 d=3,3,3 t=0,0,0\n")
    for kind in KINDS:
        (folder / f"empty.{kind}").write_bytes(b"")
        (folder / f"latin.{kind}").write_bytes(b"\xff\xfe\x00caf\xe9\n" * 9)
        (folder / f"folder.{kind}").mkdir()
    (folder / "small.txt").write_text("8x8x8: conv k3 8; relu\n")
    (folder / "words.txt").write_text("not a design\n")
    (folder / "list.json").write_text("[" * 5000)
    (folder / "nan.csv").write_text("design,latency_ms\n" + '"w=8,16,32 d=3,3,3 t=0,0,0",nan\n' * 9)
    (folder / "names.csv").write_text("network,latency_ms\n=cmd|' /C calc'!A0,1\n\x1b[2Jx,2\n")
    return folder


@pytest.fixture
def place(inputs, tmp_path, monkeypatch):
    shutil.copytree(inputs, tmp_path / "here")
    for kind in KINDS:
        os.mkfifo(tmp_path / "here" / f"pipe.{kind}")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "here"


#: Of each file that a command reads: what it is read as.
READING = {
    "estimate {}": "onnx",
    "estimate --designs {}": "txt",
    "estimate --space {} --designs designs.txt": "toml",
    "estimate mine.onnx --target {}": "toml",
    "estimate mine.onnx --layers --target x86-avx512 --measured {}": "json",
    "estimate mine.onnx --metric zen --data {}": "npz",
    "check {} --max-latency 1s --target rpi4b": "onnx",
    "check mine.onnx --max-latency 1s --target {}": "toml",
    "fit {} --name b": "jsonl",
    "fit {} --name b --space cifar10-concat": "csv",
    "fit board.jsonl --name b --prior {}": "toml",
    "profile --workloads {} --out o.jsonl": "txt",
    "profile {} --out o.jsonl": "onnx",
    "export {}": "json",
    "export front.json --space {}": "toml",
    "export front.json --weights {}": "npz",
    "export front.json --calibration {}": "npz",
    "compare {} front.json": "json",
    "compare mine.onnx {}": "onnx",
    "shrink {} --target rpi4b": "onnx",
    "shrink mine.onnx --target {}": "toml",
    "shrink mine.onnx --importance taylor --data {}": "npz",
    "train {} --data empty.npz": "onnx",
    "train mine.onnx --data {}": "npz",
    "train front.json --data {}": "npz",
    "calibrate --space {} --data empty.npz": "toml",
    "calibrate --space cifar10-concat --data {}": "npz",
    "calibrate --space cifar10-concat --trained {}": "csv",
    "calibrate --space cifar10-concat --data empty.npz --anchors {}": "csv",
    "calibrate --space cifar10-concat --data empty.npz --results {}": "csv",
    "search --space {}": "toml",
    "search --target {}": "toml",
    "search --metric zen --data {}": "npz",
    "search --search random --budget 3 --evaluator {}": "csv",
}  # fmt: skip
WRONG = ("empty", "latin", "folder", "pipe", "none")

ARGUMENTS = """
estimate
estimate ''
estimate --designs ''
estimate --target '' mine.onnx
estimate mine.onnx --target rpi4b,,rpi3b
estimate mine.onnx --metric ''
estimate mine.onnx --input-shape 1x3x-4x4
estimate mine.onnx --input-shape 1x3xnanx4
estimate mine.onnx --input-shape 1x3x99999999999x9
estimate mine.onnx --input x
estimate mine.onnx --input =1x3x8x8
estimate mine.onnx --input nope=1x3x8x8
estimate mine.onnx --hardware rows=1e9 --target systolic
estimate mine.onnx --hardware rows=16 --target rpi4b
estimate mine.onnx --runtime nope --target rpi4b
estimate mine.onnx --json - --csv -
estimate mine.onnx --workers 0
estimate mine.onnx --seed nan
estimate mine.onnx --sort x
estimate mine.onnx --csv ''
estimate mine.onnx --csv folder.csv
estimate mine.onnx --csv mine.onnx/x.csv
estimate mine.onnx --csv mine.onnx
estimate mine.onnx --csv none/o.csv
estimate mine.onnx --designs designs.txt
estimate --designs words.txt
estimate mine.onnx --optimized-by ''
check
check ''
check mine.onnx
check mine.onnx --max-latency 1s
check mine.onnx --target rpi4b --max-latency nan
check mine.onnx --target rpi4b --max-latency inf
check mine.onnx --target rpi4b --max-latency -1ms
check mine.onnx --target rpi4b --max-latency 1e400ms
check mine.onnx --target rpi4b --max-latency 5
check mine.onnx --target rpi4b --max-ram 0
check mine.onnx --target rpi4b --max-ram 1_000kB
check mine.onnx --target rpi4b --max-latency ''
check mine.onnx --target rpi4b --max-latency 1s --confidence 0
check mine.onnx --target rpi4b --max-latency 1s --confidence nan
check mine.onnx --target rpi4b --max-latency 1s --markdown folder.txt
check mine.onnx --target nope --max-latency 1s
fit
fit board.jsonl
fit board.jsonl --name ''
fit board.jsonl --name ../b
fit board.jsonl --name b/c
fit board.jsonl --name b --out b.json
fit board.jsonl --name b --out board.jsonl
fit board.jsonl --name b --out none/b.toml
fit board.jsonl --name b --out folder.toml
fit board.jsonl --name b --peak-gflops nan
fit board.jsonl --name b --peak-gflops -1
fit board.jsonl --name b --power-w inf
fit board.jsonl --name b --clock 0
fit board.jsonl --name b --runs nope
fit board.jsonl --name b --prior nope
fit board.jsonl --name b --space cifar10-concat
fit nan.csv --name b --space cifar10-concat
fit names.csv --name b
fit table.csv --name b
profile --out ''
profile --out none/o.jsonl --budget 1s --workloads small.txt
profile --out mine.onnx --budget 1s --workloads small.txt
profile --out folder.jsonl --budget 1s --workloads small.txt
profile --out pipe.jsonl --budget 1s --workloads small.txt
profile --out latin.jsonl --budget 1s --workloads small.txt
profile --out o.jsonl --budget 0s
profile --out o.jsonl --budget nan
profile --out o.jsonl --budget 9
profile --out o.jsonl --count 0
profile --out o.jsonl --count 1e99
profile --out o.jsonl --threads -1
profile --out o.jsonl --ssh ''
profile --out o.jsonl --ssh -oProxyCommand=x
profile --out o.jsonl --tvm-rpc x
profile --out o.jsonl --passes 0
profile --out o.jsonl --hold -3s
profile --out o.jsonl --shunt nan
profile --out o.jsonl --i2c x --workloads small.txt
profile --out o.jsonl --precision int4
profile --out o.jsonl --batch 0
profile --out o.jsonl --sensor ''
profile --out o.jsonl --workloads words.txt
profile --write-suite mine.onnx
profile --write-suite folder.zip
export
export ''
export front.json --format ''
export front.json --format onnx,nope
export front.json --design ''
export front.json --design zzzz
export front.json --designs a,,b
export front.json --out ''
export front.json --out mine.onnx
export front.json --out mine.onnx/x
export front.json --seed -1
export front.json --verify-with ''
export front.json --tune-trials nan
export list.json
export board.jsonl
compare
compare front.json
compare front.json mine.onnx
compare front.json front.json front.json
compare '' ''
compare front.json front.json --csv none/c.csv
compare front.json front.json --json front.json
compare mine.onnx mine.onnx --target ''
shrink
shrink ''
shrink mine.onnx --target nope
shrink mine.onnx --max-latency nan
shrink mine.onnx --max-latency 0.1ns
shrink mine.onnx --max-memory -1MB
shrink mine.onnx --sides 0
shrink mine.onnx --sides 160,,192
shrink mine.onnx --sides nan
shrink mine.onnx --design zz
shrink mine.onnx --metric ''
shrink mine.onnx --importance nope
shrink mine.onnx --importance taylor
shrink mine.onnx --measured -8ms
shrink mine.onnx --out ''
shrink mine.onnx --out mine.onnx
shrink mine.onnx --json folder.json
train
train mine.onnx
train mine.onnx --data ''
train '' --data photos
train mine.onnx --data . --epochs 0
train mine.onnx --data . --epochs nan
train mine.onnx --data . --rate inf
train mine.onnx --data . --rate -1
train mine.onnx --data . --batch 1e30
train mine.onnx --data . --patience -1
train mine.onnx --data . --task nope
train mine.onnx --data . --precision fp8
train mine.onnx --data . --out mine.onnx
train front.json --data . --design zz
calibrate
calibrate --space ''
calibrate --space cifar10-concat
calibrate --space nope --data .
calibrate --space cifar10-concat --data ''
calibrate --space cifar10-concat --data . --samples 0
calibrate --space cifar10-concat --data . --samples nan
calibrate --space cifar10-concat --data . --held-out 99999999999999999999
calibrate --space cifar10-concat --data . --max-macs -1M
calibrate --space cifar10-concat --data . --recipe nope
calibrate --space cifar10-concat --data . --epochs 0
calibrate --space cifar10-concat --data . --workers 0
calibrate --space cifar10-concat --data . --results mine.onnx
calibrate --space cifar10-concat --data . --out mine.onnx
calibrate --space cifar10-concat --data . --designs words.txt
calibrate --space cifar10-concat --data . --trained table.csv
list nope
list ''
list targets spaces
list --json=x
doctor x
doctor --json x
search --target ''
search --space ''
search --metric ''
search --objectives ''
search --objectives score,score
search --objectives nope
search --max-latency ''
search --max-latency nan
search --max-latency 1e999s
search --max-latency ２0ms
search --min-score inf
search --min-accuracy 0.93
search --min-accuracy 101
search --confidence 100%
search --seed 99999999999999999999999
search --optimizer ''
search --shortlist 0 --metric zen
search --out ''
search --out mine.onnx
search --out mine.onnx/x
search --json folder.json
search --json none/x.json
search --hardware rows=0 --target systolic
search --hardware rows=16,rows=32 --target systolic
search --hardware =4 --target systolic
search --search random
search --search random --budget 0
search --search random --budget nan --evaluator true
search --search random --budget 3 --evaluator ''
search --search random --budget 3 --evaluator 'no-such-program'
search --search random --budget 3 --evaluator true --evaluator-timeout 0s
search --search nope --budget 3
nope
--nope
''
""".strip().splitlines()


def _run(words, place, capsys):
    """Exit code of a command, and its error lines that are no notes and no usage."""
    before = _files(place)

    def ring(number, frame):
        pytest.fail(f"hangs: more than {_SECONDS} s")  # no OSError, which commands tell

    old = signal.signal(signal.SIGALRM, ring)
    signal.alarm(_SECONDS)
    try:
        code = run_command(_dispatch, words)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
    printed = capsys.readouterr()
    said = [line for line in printed.err.splitlines() if not line.startswith(_CHATTER)]
    assert "Traceback" not in printed.err
    assert not re.search("[\\x00-\\x08\\x0b-\\x1f\\x7f]", printed.err)
    changed = {name for name, content in _files(place).items() if before.get(name) != content}
    assert not changed, f"wrote {changed}"
    return code, said, printed.out


def test_onnxruntime_reports_nothing_and_leaves_no_file(tmp_path):
    pytest.importorskip("onnxruntime")
    for module in (
        "flash.backends.onnx.session",
        "flash.device.libraries as l; l.import_runtime()",
    ):
        environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
        code = [sys.executable, "-c", f"import {module}"]
        subprocess.run(code, check=True, env=environment | {"TMPDIR": str(tmp_path)}, timeout=120)
        assert list(tmp_path.iterdir()) == []


def _files(place):
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("line", READING)
def test_every_file_that_is_none_of_its_kind_is_one_line(line, wrong, place, capsys):
    _refused(line, wrong, place, capsys)


@pytest.mark.parametrize("number", range(len(READING)))
def test_a_file_that_is_none_of_its_kind_is_one_line(number, place, capsys):
    _refused([*READING][number], WRONG[number % len(WRONG)], place, capsys)


def _refused(line, wrong, place, capsys):
    words = shlex.split(line.format(f"{wrong}.{READING[line]}"))
    code, said, out = _run(words, place, capsys)
    expected = {4} if wrong == "none" else {2, 4}
    assert code in expected, said
    assert len(said) == 1 and said[0].startswith("flash: ") and not out, said


@pytest.mark.parametrize("line", ARGUMENTS)
def test_arguments_that_make_no_sense_are_one_line(line, place, capsys):
    code, said, out = _run(shlex.split(line), place, capsys)
    assert code in {2, 3, 4}, said
    assert len(said) == 1 and said[0].startswith("flash: ") and not out, said
