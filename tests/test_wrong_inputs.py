"""Wrong inputs of every kind: one line that names them, the right exit code, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from flash.__main__ import _dispatch
from flash.command import run_command
from flash.errors import FlashError, InputError, UsageError, shown
from flash.files.locations import data_file
from flash.files.writing import write_text
from flash.report.files import write_files
from flash.spaces.space import load_space
from flash.targets.processor.profile import load_profile

_FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110


# ------------------------------------------------------------------------ paths that are read


@pytest.mark.parametrize("load", [load_space, load_profile])
@pytest.mark.parametrize(
    "name", ["x" * 300 + ".toml", "none.toml", "a\0b.toml", "file.toml/mine.toml"]
)
def test_a_path_that_does_not_exist_is_no_such_file(load, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.toml").write_text("")
    with pytest.raises(InputError, match="^no such file: ") as caught:
        load(name)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("load", [load_space, load_profile])
def test_a_folder_and_a_pipe_are_not_read(load, tmp_path):
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    for name, why in (("folder", "it is a directory"), ("pipe", "it is a pipe")):
        with pytest.raises(InputError, match=f"{name}.toml: cannot be read: {why}, no regular"):
            load(str(tmp_path / f"{name}.toml"))


def test_a_word_that_is_no_path_is_no_file():
    assert data_file("models", "x" * 300) is None
    assert data_file("models", "x\0") is None


# --------------------------------------------------------------------- paths that are written


@pytest.mark.parametrize("name", ["x" * 300, ".", "", "..", "a/../.", "a\0b", "none/x.json"])
def test_a_file_that_cannot_be_is_a_usage_error(name, tmp_path, monkeypatch):
    (tmp_path / "here" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UsageError, match="^cannot write ") as caught:
        write_text(name, "{}")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["here", "a"]


def test_the_longest_name_a_file_may_have_is_written(tmp_path):
    path = tmp_path / ("x" * os.pathconf(tmp_path, "PC_NAME_MAX"))
    write_text(path, "{}")
    assert path.read_text() == "{}"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_with_a_null_in_its_name_is_a_usage_error(tmp_path):
    report = pytest.importorskip("test_report").make_report(2)
    with pytest.raises(UsageError, match="^cannot write "):
        write_files(report, f"{tmp_path}/a\0b")


# ------------------------------------------------------------------------- the run as a whole

_ESTIMATE = 'echo "w=8,16,32 d=3,3,3 t=0,0,0" | "$0" -m flash.estimate --designs - '


def _shell(command):
    return subprocess.run(
        ["sh", "-c", command, sys.executable], capture_output=True, text=True, timeout=60
    )


@_FULL
@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (_ESTIMATE + ">/dev/full", 1, "flash: cannot write the result: No space left on device\n"),
        (_ESTIMATE + ">&-", 1, "flash: cannot write the result: standard output is closed\n"),
        ('"$0" -m flash --help >/dev/full', 1, "flash: cannot write the result: No space left"),
        ('"$0" -m flash.search --version >/dev/full', 1, "flash: cannot write the result: No sp"),
        ('"$0" -m flash.search --target nope 2>&-', 2, ""),
        ('"$0" -m flash.search --target nope 2>/dev/full', 2, ""),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_fails_is_told_in_one_line(command, code, says, unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    done = _shell(command)
    assert done.returncode == code
    assert done.stderr.startswith(says)
    assert done.stderr.count("\n") == (1 if says else 0)
    assert done.stdout == ""


def test_help_and_version_leave_with_0():
    done = _shell('"$0" -m flash.search --version && "$0" -m flash.estimate --help')
    assert done.returncode == 0
    assert done.stdout.startswith("flash 0.")
    assert "--designs" in done.stdout


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (MemoryError(), 1, "flash: not enough memory\n"),
        (OSError(28, "No space left on device"), 1, "the result: No space left on device\n"),
        (FlashError("two\nlines \x1b[31m"), 1, "flash: two lines  [31m\n"),
        (UsageError("wrong"), 2, "flash: wrong\n"),
    ],
)
def test_every_error_is_one_line(error, code, says, capsys):
    def failing(_):
        raise error

    assert run_command(failing, []) == code
    printed = capsys.readouterr()
    assert printed.err.endswith(says)
    assert printed.err.count("\n") == 1


_IMPORTING = """
import sys, time
from flash.interrupts import quiet_interrupts
quiet_interrupts()
from flash.command import run_command
from flash.interrupts import quiet_imports
def late():
    with quiet_imports():
        pass
def heavy():
    # A library that a KeyboardInterrupt must not reach.
    with quiet_imports():
        print("running", flush=True)
        try:
            time.sleep(30)
        except KeyboardInterrupt:
            sys.exit("reached")
def late_import():
    # What C code makes of a KeyboardInterrupt while it is imported.
    print("running", flush=True)
    import half_imported
print("importing", flush=True)
{}
"""
_HALF = """
import time
try:
    time.sleep(30)
except KeyboardInterrupt:
    raise ImportError("initialization failed")
"""


@pytest.mark.parametrize(
    "then",
    [
        "time.sleep(30)",
        "run_command(lambda _: (print('running', flush=True), time.sleep(30)))",
        "run_command(lambda _: (print('running', flush=True), late(), time.sleep(30)))",
        "run_command(lambda _: heavy())",
        "run_command(lambda _: late_import())",
    ],
)
def test_an_interrupt_while_importing_or_running_is_one_line(then, tmp_path):
    (tmp_path / "half_imported.py").write_text(_HALF)
    code = _IMPORTING.format(f"sys.exit({then})")
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        # A background job inherits SIGINT ignored, and would ignore it for good.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        for _ in range(1 + ("run_command" in then)):
            process.stdout.readline()
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert error == "flash: interrupted\n"
    assert process.returncode == 130


def test_a_message_shows_any_value_in_one_short_line():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    for value in ("a\nb" * 1000, 16**6000, nested, list(range(10_000))):
        assert len(shown(value)) <= 100
        assert "\n" not in shown(value)
    assert shown([1, "x"]) == "[1, 'x']"


# --------------------------------------------------------------- options that would do nothing


@pytest.mark.parametrize(
    "words, says",
    [
        (["search", "--shortlist", "5"], "--shortlist needs a --metric that runs the network"),
        (["search", "--data", "x.npz"], "--data is for a --metric that runs the network"),
        (["search", "--metric", "sed", "--workers", "2"], "--workers is for a --metric that runs"),
        (["search", "--certify-seconds", "5"], "--certify-seconds is for searches of hardware"),
        (["search", "--target", "systolic", "--hardware", "default", "--certify-seconds", "5"],
         "--certify-seconds is for searches of hardware"),
        (["search", "--search", "robot", "--optimizer", "exact"], "--optimizer is for a search of"),
        (["search", "--search", "robot", "--objectives", "score,energy"], "--objectives is for"),
        (["search", "--search", "robot", "--metric", "zico"], "zico runs the network"),
        (["estimate", "x.onnx", "--device", "cuda"], "--device is for a --metric that runs"),
        (["search", "--max-latency", "-5ms"], "--max-latency -5ms: the latency must be above zero"),
        (["search", "--max-memory", "-.5MB"], "--max-memory -.5MB: the memory must be above zero"),
        (["check", "x.onnx", "--target", "rpi4b", "--max-ram", "-1kB"], "--max-ram -1kB: the mem"),
        (["search", "--seed", "-1"], "--seed -1: expected a whole number"),
    ],
)  # fmt: skip
def test_an_option_that_would_do_nothing_or_less_is_refused(words, says, capsys):
    assert run_command(_dispatch, words) == 2
    printed = capsys.readouterr()
    assert says in printed.err and printed.err.count("\n") == 1 and not printed.out
