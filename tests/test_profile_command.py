"""``flash.profile`` here and over a made-up ssh."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest
from device_programs import TINY, read_lines

from flash.measurements.reading import read_measurements
from flash.profile import command as profile_command
from flash.profile import measuring, profile

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from flash.command import run_command  # noqa: E402
from flash.errors import FlashError, NothingDoneError, UsageError  # noqa: E402
from flash.profile.transports import SshDevice  # noqa: E402

pytestmark = pytest.mark.usefixtures("measured_quickly")

#: ssh and scp that take the folder HOME_THERE for the other machine, and note their arguments.
_SSH = """#!{python}
import json, os, subprocess, sys
with open({log!r}, "a") as stream:
    print(json.dumps(sys.argv), file=stream)
target, command = sys.argv[sys.argv.index("--") + 1:]
if target == "nobody":
    sys.exit("Host key verification failed.")
sys.exit(subprocess.run(["sh", "-c", command], cwd={home!r}).returncode)
"""
_SCP = """#!{python}
import json, shutil, sys
with open({log!r}, "a") as stream:
    print(json.dumps(sys.argv), file=stream)
def place(name):
    host, colon, path = name.partition(":")
    return {home!r} + "/" + path if colon else name
source, target = map(place, sys.argv[sys.argv.index("--") + 1:])
try:
    shutil.copyfile(source, target)
except OSError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The home folder of the other machine, and the log of calls."""
    home, log, programs = tmp_path / "there", tmp_path / "log", tmp_path / "bin"
    home.mkdir(), programs.mkdir()
    for name, text in (("ssh", _SSH), ("scp", _SCP)):
        file = programs / name
        file.write_text(text.format(python=sys.executable, log=str(log), home=str(home)))
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return home, lambda: [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture
def workloads(tmp_path):
    path = tmp_path / "workloads.txt"
    path.write_text("# tiny ones\n" + "\n".join(TINY[:2]) + "\n")
    return path


def _run(*arguments):
    return run_command(profile_command.main, list(map(str, arguments)))


def _ssh_options(out, workloads):
    return ("--ssh", "pi@board:2222", "--remote-python", sys.executable, "--out", out,
            "--workloads", workloads, "--budget", "10s")  # fmt: skip


def test_workloads_are_measured_here(tmp_path, workloads, capsys):
    out = tmp_path / "m.jsonl"
    options = ("--out", out, "--workloads", workloads, "--threads", "1", "--budget", "10s")
    assert _run(*options) == 0
    printed = capsys.readouterr()
    assert "2 networks measured" in printed.out
    assert "[  2/2]" in printed.err
    header, *records = read_lines(out)
    assert header["suite"]["name"] == "own-2"
    assert [r["network"]["workload"] for r in records] == list(TINY[:2])
    assert _run(*options, "--quiet") == 0
    assert capsys.readouterr().err == ""
    assert _run(*options[:-2], "--threads", "2") == 2  # the program's own words and exit code
    error = capsys.readouterr().err
    assert error.endswith("--no-resume\n")
    assert "flash: " in error
    assert "threads 1; now it is 2" in error


def test_from_python_own_models_are_measured(tmp_path):
    from flash.backends import network_model, random_weights
    from flash.measurements.workloads import workload_network

    network = workload_network(TINY[0])
    model, out = tmp_path / "mine.onnx", tmp_path / "m.jsonl"
    model.write_bytes(network_model(network, random_weights(network)).SerializeToString())
    result = profile([model], out=out, budget_s=5, threads=1)
    assert "1 networks measured" in result.summary
    assert repr(result).count("\n") == 2
    assert f"{model}"[:60] in repr(result)
    assert "<table>" in result._repr_html_()
    record = read_lines(out)[1]
    assert record["network"]["onnx"] == str(model)
    assert record["latency_ms"]["runs"] >= 7


def test_a_model_with_weights_elsewhere_is_named(tmp_path, capsys):
    from flash.profile.suites.suite import build_suite

    suite = tmp_path / "suite.zip"
    suite.write_bytes(build_suite(TINY[:1]))
    with zipfile.ZipFile(suite) as archive:
        (tmp_path / "m.onnx").write_bytes(archive.read("models/000.onnx"))
    assert _run(tmp_path / "m.onnx", "--out", tmp_path / "m.jsonl") == 4
    assert "its weights are in other files" in capsys.readouterr().err
    # With the file beside it, it is measured.
    (tmp_path / "weights.bin").write_bytes(bytes(1 << 20))
    assert _run(tmp_path / "m.onnx", "--out", tmp_path / "m.jsonl", "--budget", "5s") == 0
    assert "1 networks measured" in capsys.readouterr().out
    (tmp_path / "t.onnx").write_text("text")
    assert _run(tmp_path / "t.onnx", "--out", tmp_path / "m.jsonl") == 4
    assert "not an ONNX model" in capsys.readouterr().err


def test_a_suite_is_written_to_be_copied(tmp_path, workloads, capsys):
    suites = []
    for name in ("a.zip", "b.zip"):
        assert _run("--write-suite", tmp_path / name, "--workloads", workloads) == 0
        suites.append((tmp_path / name).read_bytes())
    assert suites[0] == suites[1]
    assert len(suites[0]) < 5000
    assert capsys.readouterr().out.splitlines()[0] == f"written: {tmp_path / 'a.zip'}"
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        head = json.loads(archive.read("suite.json"))
    assert [w["workload"] for w in head["workloads"]] == list(TINY[:2])
    assert sum(w["share"] for w in head["workloads"]) == pytest.approx(1, rel=1e-3)


def test_the_budget_counts_from_the_beginning(tmp_path, monkeypatch):
    seen = []

    class Board:
        """Takes note of what it is left."""

        def profile(self, job):
            seen.append(job.options.budget_s)
            raise NothingDoneError("nothing")

    build = measuring.build_suite

    def slow(*arguments, **options):
        time.sleep(0.3)
        return build(*arguments, **options)

    monkeypatch.setattr(measuring, "build_suite", slow)
    for budget_s in (60.0, 0.2):
        with pytest.raises(NothingDoneError):
            profile(workloads=TINY[:1], out=tmp_path / "m.jsonl", device=Board(), budget_s=budget_s)
    assert seen[0] < 59.7 and seen[1] == 1.0


def test_a_number_that_decides_is_given_and_all_free_sizes_are_named_at_once(tmp_path, capsys):
    import onnx
    from onnx import TensorProto, helper

    def value(name, sizes, kind=TensorProto.FLOAT):
        return helper.make_tensor_value_info(name, kind, sizes)

    branches = {
        f"{side}_branch": helper.make_graph(
            [helper.make_node(op, ["x", "s"], [op])], side, [], [value(op, None)]
        )
        for side, op in (("then", "MatMul"), ("else", "Add"))
    }
    made = [
        helper.make_node("Equal", ["rate", "wide"], ["is_wide"]),
        helper.make_node("If", ["is_wide"], ["y"], **branches),
    ]
    given = [value("x", ["n", "l", 8]), value("s", ["n", "m", 8]), value("rate", [], 7)]
    wide = helper.make_tensor("wide", 7, [], [16000])
    graph = helper.make_graph(made, "g", given, [value("y", None)], [wide])
    path, out = tmp_path / "vad.onnx", tmp_path / "m.jsonl"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    options = (path, "--out", out, "--threads", 1, "--budget", "5s", "--quiet", "--no-resume")
    assert _run(*options) == 5
    assert "--input x=1x64x8 --input s=1x64x8" in capsys.readouterr().err
    sizes = ("--input", "x=2x8x8", "--input", "s=2x8x8")
    for rate in (16000, 8000):
        assert _run(*options, *sizes, "--input", f"rate={rate}") == 0
        found = read_measurements(out, "", 1).rows[0].network
        assert found.macs == (2 * 8**3 if rate == 16000 else 0)


@pytest.fixture
def free_sizes(tmp_path):
    """A model that leaves batch, height and width free."""
    import onnx
    from onnx import TensorProto, helper

    sizes = ["n", 3, "h", "w"]
    given, made = (helper.make_tensor_value_info(k, TensorProto.FLOAT, sizes) for k in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [given], [made])
    opset = [helper.make_opsetid("", 17)]
    path = tmp_path / "free.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def test_free_sizes_are_said_by_input_and_nothing_measured_is_exit_code_5(
    free_sizes, tmp_path, capsys
):
    out = tmp_path / "m.jsonl"
    options = (free_sizes, "--out", out, "--threads", 1, "--budget", "5s", "--quiet")
    assert _run(*options) == 5
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "say its free sizes, --input x=1x3x64x64" in error
    assert _run(*options, "--input", "x=1x3x8x8") == 0
    assert read_lines(out)[1]["network"]["input_shapes"] == {"x": [1, 3, 8, 8]}
    assert _run(*options, "--batch", 2, "--no-resume", "--input", "x=2x3x8x8") == 0
    assert _run(*options, "--no-resume", "--input", "x=2x3x8x8") == 0
    assert _run(*options, "--batch", 3, "--no-resume", "--input", "x=2x3x8x8") == 5
    assert "its first size is the batch, which is 3: --batch 2" in capsys.readouterr().err
    for same in (("--input", "1x3x8x8"), ("--input-shape", "1x3x8x8")):
        assert _run(*options, "--no-resume", *same) == 0
        assert read_lines(out)[1]["network"]["input_shapes"] == {"": [1, 3, 8, 8]}
    assert _run(*options, "--no-resume", "--input", "xx=1x3x8x8") == 2
    assert "no model has such an input (did you mean 'x'?)" in capsys.readouterr().err
    assert _run("--input", "x=1x3x8x8") == 2
    result = profile([free_sizes], out=out, input_shapes={"x": (1, 3, 4, 4)}, resume=False)
    assert len(result.records) == 1
    assert "free.onnx x=1x3x4x4" in f"{result!r}"[-2000:] or len(str(free_sizes)) > 50
    with pytest.raises(NothingDoneError, match="nothing was measured"):
        profile([free_sizes], out=tmp_path / "n.jsonl")


def test_an_option_that_a_device_does_not_have_is_refused(free_sizes, tmp_path):
    from types import SimpleNamespace

    from flash.profile.transports import RayDevice, TvmRpcDevice

    out = tmp_path / "m.jsonl"
    board = TvmRpcDevice(SimpleNamespace(key="k"), SimpleNamespace(mcpu="c", cores=1))
    for device, options in (
        (board, {"threads": 2}),
        (board, {"hold_s": 1.0}),
        (RayDevice("local"), {"meter": "m.csv"}),
        (SshDevice("pi@board"), {"meter": "m.csv"}),
    ):
        with pytest.raises(UsageError):
            profile([free_sizes], out=out, device=device, **options)
    assert not out.exists()


def test_a_signal_ends_the_program_too_and_keeps_what_it_measured(tmp_path):
    out, texts = tmp_path / "m.jsonl", tmp_path / "w.txt"
    texts.write_text("\n".join(f"8x6x6: conv k3 {n}" for n in range(4, 44)))
    command = [sys.executable, "-m", "flash.profile", "--out", str(out), "--threads", "1"]
    command += ["--workloads", str(texts), "--budget", "15s"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("[  1/40]"):
            break
    process.terminate()
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 143
    assert rest.endswith("flash: ended by SIGTERM\n")
    assert "Traceback" not in rest
    kept = out.read_bytes()
    time.sleep(1.5)
    assert out.read_bytes() == kept, "nobody goes on measuring"
    assert 2 <= len(kept.splitlines()) < 41


@pytest.mark.parametrize("device", [(), ("--ssh", "pi@board"), ("--ray", "local")])
@pytest.mark.parametrize("switch", [(), ("--no-resume",)])
def test_a_file_of_something_else_is_never_changed(device, switch, tmp_path, workloads, capsys):
    notes = tmp_path / "notes.txt"
    notes.write_text("my notes\nwithout an end")
    assert _run("--out", notes, "--workloads", workloads, *device, *switch, "--quiet") == 4
    assert "no measurements" in capsys.readouterr().err
    assert notes.read_text() == "my notes\nwithout an end"
    assert _run("--write-suite", notes, "--workloads", workloads) == 4
    assert notes.read_text() == "my notes\nwithout an end"


# ------------------------------------------------------------------------------------- over ssh


def test_over_ssh_the_program_is_copied_run_and_its_results_fetched(
    elsewhere, tmp_path, workloads, capsys
):
    home, calls = elsewhere
    out = tmp_path / "m.jsonl"
    assert _run(*_ssh_options(out, workloads)) == 0
    printed = capsys.readouterr()
    assert str(out) in printed.out
    assert "[  2/2]" in printed.err
    steps = ("connecting to pi@board", "copying the suite", "starting ", "[  1/2]")
    places = [printed.err.index(step) for step in steps]
    assert places == sorted(places)
    assert len(read_lines(out)) == 3
    assert not list(tmp_path.glob("*.part"))
    for call in calls():
        before = call[: call.index("--")]
        assert "-oBatchMode=yes" in before
        assert "-oStrictHostKeyChecking=yes" in before
        assert ("-p" if call[0].endswith("ssh") else "-P") in before
        assert "2222" in before
        assert sum("pi@board" in word for word in call) == 1
    # A second run finds everything done.
    content = out.read_bytes()
    assert _run(*_ssh_options(out, workloads)) == 0
    assert out.read_bytes() == content


def test_over_ssh_a_run_that_breaks_off_keeps_what_it_measured(elsewhere, tmp_path, workloads):
    home, _ = elsewhere
    out = tmp_path / "m.jsonl"
    workloads.write_text("\n".join(f"8x6x6: conv k3 {n}" for n in range(4, 10)))
    options = [*map(str, _ssh_options(out, workloads)), "--budget", "20s"]
    command = [sys.executable, "-m", "flash.profile", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("[  2/6]"):
            break
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert rest.endswith("flash: interrupted\n")
    kept = out.read_bytes()
    assert len(kept.splitlines()) >= 3
    # The other machine forgot everything: what is here is sent back, and the run goes on.
    for file in home.rglob("*.jsonl"):
        file.unlink()
    assert _run(*options, "--quiet") == 0
    assert out.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    assert len(read_lines(out)) == 7


def test_an_unknown_host_is_one_line(elsewhere, tmp_path, workloads, capsys):
    assert _run("--ssh", "nobody", "--out", tmp_path / "m.jsonl", "--workloads", workloads) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "try 'ssh nobody' once" in error
    assert "Host key verification failed" in error


def test_a_remote_without_python_is_named(elsewhere, tmp_path, workloads, capsys):
    arguments = ("--out", tmp_path / "m.jsonl", "--workloads", workloads)
    assert _run("--ssh", "board", "--remote-python", "python9", *arguments) == 1
    assert "measuring on board failed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "host",
    ["-oProxyCommand=x", "a b", "pi@", "@board", "pi@board;ls", "pi@-x", "a@b@c", "x:0", "x:99999",
     "", "$(x)", "x\n"],
)  # fmt: skip
def test_what_is_no_host_never_reaches_ssh(host):
    with pytest.raises(UsageError, match="expected user@host"):
        SshDevice(host)


@pytest.mark.parametrize("python", ["-c", "python; ls", "a b", "$(x)", ""])
def test_what_is_no_program_is_refused(python):
    with pytest.raises(UsageError, match="--remote-python"):
        SshDevice("board", python)


def test_without_ssh_installed_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    from flash.profile.transports.ssh import _program

    with pytest.raises(FlashError, match="install the OpenSSH client"):
        _program("ssh")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--remote-python", "p"), "--remote-python needs --ssh"),
        (("--workloads", "w.txt", "--threads", "999"), "--threads 999: this device has "),
        (("--precision", "int4"), "unknown precision 'int4'"),
        (("--ssh", ""), "--ssh: is empty"),
        (("--out", ""), "--out: is empty"),
        (("--threads", "\uff11"), "--threads"),
        (("--budget", "5"), "--budget 5: "),
        (("--meter-offset", "4"), "--meter-offset 4"),
        (("--input", "x=1x3x8x8"), "--input is for ONNX files"),
        (("m.onnx", "--input", "x=1x3", "--input", "x=1x3"), "--input x: given twice"),
        (("m.onnx", "--input", "x=1xa"), "--input x 1xa: expected sizes"),
        (("--count", "x"), "--count x: expected a whole number"),
        (("--count", "0"), "at least one workload"),
        (("--workloads", "none.txt"), "none.txt"),
        (("m.onnx", "--workloads", "w.txt"), "not both"),
        (("none.onnx",), "no such file: none.onnx"),
        (("--provider", "tpu", "--workloads", "w.txt"), "invalid choice: 'tpu'"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.txt").write_text(TINY[0])
    assert _run(*arguments, "--quiet") in (2, 4)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
