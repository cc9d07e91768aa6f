"""TVM libraries: they compute what onnxruntime does, here, on a board over RPC, and cross-built."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from flash.backends.tvm.machine import Machine
from flash.command import run_command
from flash.errors import FlashError, ProfileError, UsageError
from flash.export import command as export_command
from flash.extras import install_command
from flash.profile import command as profile_command
from flash.search import search
from flash.spaces.space import load_space
from flash.targets.machine import machine_of
from flash.targets.processor.profile import load_profile


def _export(*arguments):
    return run_command(export_command.main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    path = tmp_path_factory.mktemp("search") / "front.json"
    path.write_text(search(target="rpi4b", max_latency_ms=5.0).to_json(), encoding="utf-8")
    return path


@pytest.fixture
def tvm():
    pytest.importorskip("onnx", reason="needs the extra onnx")
    return pytest.importorskip("tvm", reason="needs the extra tvm")


# ------------------------------------------------------------------- what needs no TVM


def test_boards_name_their_processor_for_the_compiler():
    assert machine_of("rpi3b") == Machine("rpi3b", "aarch64-linux-gnu", "cortex-a53", 4)
    assert machine_of("rpi4b").mcpu == "cortex-a72"
    assert machine_of("host").is_host
    assert machine_of("rpi3b").linker == "aarch64-linux-gnu-g++"


@pytest.mark.parametrize("target", ["imc", "eyeriss-like"])
def test_a_chip_tvm_does_not_compile_for_is_refused(front, target, tmp_path, capsys):
    options = ["--format", "onnx,tvm", "--target", target, "--out", tmp_path / "build"]
    assert _export(front, *options) == 2
    error = capsys.readouterr().err
    assert (
        f"target {target} is no processor that TVM compiles for: host, rpi-zero-2w, rpi3b" in error
    )
    assert error.count("\n") == 1
    assert not (tmp_path / "build").exists()


def _own_profile(tmp_path, change):
    text = (load_profile_path()).read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(change(text), encoding="utf-8")
    return path


def load_profile_path():
    from flash.files.locations import data_file

    return data_file("hw_profiles", "rpi3b")


_SECTION = '[tvm]\nmtriple = "aarch64-linux-gnu"\nmcpu = "cortex-a53"\n'


def test_a_profile_without_tvm_facts_is_refused_with_what_would_work(front, tmp_path, capsys):
    path = _own_profile(tmp_path, lambda text: text.replace(_SECTION, ""))
    options = ["--format", "tvm", "--target", path, "--out", tmp_path / "build"]
    assert _export(front, *options) == 2
    assert "profile rpi3b has no section [tvm]" in capsys.readouterr().err
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize("triple", ["/tmp/evil", "-o", "a b", "a;b"])
def test_a_triple_that_is_no_name_is_refused(triple, tmp_path):
    path = _own_profile(tmp_path, lambda t: t.replace('"aarch64-linux-gnu"', json.dumps(triple)))
    with pytest.raises(ProfileError, match=r"tvm\.mtriple is no name"):
        load_profile(str(path))


def test_without_the_cross_compiler_its_package_is_named(front, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    options = ["--format", "onnx,tvm", "--target", "rpi3b", "--out", tmp_path / "build"]
    assert _export(front, *options) == 2
    assert capsys.readouterr().err == (
        "flash: linking for rpi3b needs aarch64-linux-gnu-g++, which is not installed: "
        "apt install g++-aarch64-linux-gnu\n"
    )
    assert not (tmp_path / "build").exists()


def test_without_the_extra_it_is_named_and_nothing_is_written(front, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    code = (
        "import sys; sys.modules['tvm'] = None; import flash.export.command as e;"
        "from flash.command import run_command; sys.exit(run_command(e.main))"
    )
    command = [sys.executable, "-c", code, str(front), "--format", "onnx,tvm", "--target", "host"]
    command += ["--out", str(tmp_path / "build")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        2,
        f"flash: this needs the package tvm: {install_command('tvm')}\n",
    )
    assert not (tmp_path / "build").exists()


# ------------------------------------------------------------------------------ on the host


def _largest_error(networks):
    from flash.backends import network_model, random_weights, run_onnx, run_tvm, tvm_library

    worst = 0.0
    for seed, network in enumerate(networks):
        model = network_model(network, random_weights(network, seed)).SerializeToString()
        shape = (1, network.source.channels, network.source.height, network.source.width)
        image = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        want = run_onnx(model, {"input": image})["output"]
        got = run_tvm(tvm_library(model, machine_of("host")), image)
        assert got.shape == want.shape
        worst = max(worst, np.abs(got - want).max() / max(1.0, np.abs(want).max()))
    return worst


def _smallest(space, designs, seed=3):
    """Designs drawn from the space, the ones with the fewest MACs of many."""
    drawn = [space.network(d) for d in space.sample(40 * designs, np.random.default_rng(seed))]
    return sorted(drawn, key=lambda network: network.macs)[:designs]


@pytest.mark.parametrize("name", ["cifar10-concat", "nasbench201"])
def test_a_library_computes_what_onnxruntime_does(tvm, name):
    assert _largest_error(_smallest(load_space(name), 1)) <= 1e-3


@pytest.mark.slow
def test_twenty_libraries_compute_what_onnxruntime_does(tvm, space):
    networks = [space.network(d) for d in space.sample(20, np.random.default_rng(11))]
    assert _largest_error(networks) <= 1e-3


def test_the_exported_library_runs_by_its_own_script(tvm, front, tmp_path, capsys):
    out = tmp_path / "build"
    options = ["--design", "fastest", "--format", "onnx,tvm", "--target", "host", "--out", out]
    assert _export(front, *options, "--verify-with", sys.executable) == 0
    printed = capsys.readouterr().out
    assert "untuned: x" in printed
    assert "the latency of onnxruntime, measured here" in printed
    assert printed.count("difference ") == 2
    (entry,) = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["designs"]
    plain, build = entry["builds"]
    names = sorted([plain["file"], build["file"], "run.py", "manifest.json"])
    assert sorted(path.name for path in out.iterdir()) == names
    image = np.random.default_rng(4).standard_normal(build["input"]["shape"]).astype(np.float32)
    np.save(tmp_path / "in.npy", image)
    command = [sys.executable, "run.py", build["file"], tmp_path / "in.npy", tmp_path / "out.npy"]
    done = subprocess.run(list(map(str, command)), cwd=out, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "latency" in done.stdout
    from flash.backends import run_onnx

    want = run_onnx((out / plain["file"]).read_bytes(), {"input": image})["output"]
    assert np.abs(np.load(tmp_path / "out.npy") - want).max() <= 1e-3
    # The command in the manifest works as it stands there.
    stated = [sys.executable, *build["run"].split()[1:]]
    assert subprocess.run(stated, cwd=out, capture_output=True).returncode == 0


def test_a_library_that_computes_something_else_is_not_written(
    tvm, front, tmp_path, monkeypatch, capsys
):
    import flash.backends.tvm.build as build

    monkeypatch.setattr(build, "run_tvm", lambda library, image: np.full((1, 10), 7.0, np.float32))
    monkeypatch.setattr(build, "tvm_library", lambda *_: b"not run")
    options = ["--format", "onnx,tvm", "--target", "host", "--out", tmp_path / "build"]
    assert _export(front, *options) == 1
    assert "differs from onnxruntime by" in capsys.readouterr().err
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("no-such-program-here", 2, "no program no-such-program-here"),
        ("false", 1, "exit code 1"),
        ("'", 2, "No closing quotation"),
    ],
)
def test_a_verifying_command_that_fails_is_named(
    tvm, front, command, code, message, tmp_path, capsys
):
    options = ["--design", "fastest", "--format", "tvm", "--target", "host"]
    options += ["--verify-with", command, "--out", tmp_path / "build"]
    assert _export(front, *options) == code
    error = capsys.readouterr().err
    assert "--verify-with" in error
    assert message in error
    assert not (tmp_path / "build").exists()


def test_tuning_for_another_machine_is_refused(tvm, front, tmp_path, capsys):
    if shutil.which("aarch64-linux-gnu-g++") is None:
        pytest.skip("needs g++-aarch64-linux-gnu")
    options = ["--format", "tvm", "--target", "rpi3b", "--tune-trials", 8]
    assert _export(front, *options, "--out", tmp_path / "build") == 2
    assert "rpi3b is another" in capsys.readouterr().err
    assert not (tmp_path / "build").exists()


def test_a_library_for_a_board_is_one(tvm, front, tmp_path):
    if shutil.which("aarch64-linux-gnu-g++") is None:
        pytest.skip("needs g++-aarch64-linux-gnu")
    options = ["--design", "fastest", "--format", "tvm", "--target", "rpi3b"]
    assert _export(front, *options, "--out", tmp_path) == 0
    (entry,) = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["designs"]
    (build,) = entry["builds"]
    header = (tmp_path / build["file"]).read_bytes()[:20]
    assert header[:4] == b"\x7fELF"
    # ELF's e_machine: 183 is AArch64 (System V ABI for the Arm 64-bit architecture).
    assert int.from_bytes(header[18:20], "little") == 183
    assert build["machine"]["mcpu"] == "cortex-a53"
    assert build["measured_here"] is None


@pytest.mark.slow
def test_tuning_goes_on_from_its_log_and_stays_right(tvm, tmp_path):
    from flash.backends import Tuning, network_model, random_weights, run_onnx, tuned_library
    from flash.backends import run_tvm as run
    from flash.spaces.network import GraphEmitter

    e = GraphEmitter()
    source = e.source(8, 16, 16)
    network = e.network(source, e.conv(source, 16))
    model = network_model(network, random_weights(network)).SerializeToString()
    image = np.random.default_rng(0).standard_normal((1, 8, 16, 16)).astype(np.float32)
    want = run_onnx(model, {"input": image})["output"]
    done = []
    for trials in (4, 4, 8):
        tuning = Tuning(trials, tmp_path / "log")
        library = tuned_library(model, machine_of("host"), tuning)
        assert np.abs(run(library, image) - want).max() <= 1e-3
        done.append(tuning.done)
    assert done[0] == done[1] >= 4
    assert done[2] > done[1]
    # A run that was killed while it wrote left half a line.
    records = tmp_path / "log" / "database_tuning_record.json"
    with records.open("a", encoding="utf-8") as file:
        file.write('[0, [[["Get')
    library = tuned_library(model, machine_of("host"), Tuning(done[2], tmp_path / "log"))
    assert np.abs(run(library, image) - want).max() <= 1e-3
    assert records.read_text(encoding="utf-8").endswith("\n")


# ------------------------------------------------------------------------------ over RPC


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _until_registered(tracker, seconds=240):
    end = time.monotonic() + seconds
    while True:
        try:
            return tracker.connect()
        except UsageError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


@pytest.fixture
def tracker(tvm):
    """A tracker and a board (this machine) behind it."""
    pytest.importorskip("tornado", reason="needs the extra tvm")
    from flash.backends import Tracker

    port, board = _free_port(), _free_port()
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    start = [sys.executable, "-m"]
    where = ["--host", "127.0.0.1", "--port"]
    commands = [
        [*start, "tvm.exec.rpc_tracker", *where, str(port), "--port-end", str(port + 1)],
        [*start, "tvm.exec.rpc_server", *where, str(board), "--port-end", str(board + 1),
         "--tracker", f"127.0.0.1:{port}", "--key", "here"],
    ]  # fmt: skip
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    running = [subprocess.Popen(command, **quiet) for command in commands]
    try:
        found = Tracker("127.0.0.1", port, "here", timeout_s=30)
        _until_registered(found)
        yield found
    finally:
        for process in running:
            process.terminate()
            process.wait(10)


def test_a_board_behind_a_tracker_measures(tracker):
    from flash.backends import Tracker, measure_tvm_rpc, network_model, random_weights

    networks = _smallest(load_space("nasbench201"), 2)
    models = [
        (f"{n}.onnx", network_model(x, random_weights(x)).SerializeToString())
        for n, x in enumerate(networks)
    ]
    records = list(measure_tvm_rpc(models, tracker, machine_of("host"), runs=5))
    assert [record["network"] for record in records] == [{"onnx": "0.onnx"}, {"onnx": "1.onnx"}]
    for record in records:
        latency = record["latency_ms"]
        assert latency["runs"] == 5
        assert 0 < latency["p10"] <= latency["median"] <= latency["p90"] < 60_000
    other = Tracker(tracker.host, tracker.port, "rpi9")
    with pytest.raises(UsageError, match=r"no board with key 'rpi9' \(registered: here\)"):
        other.connect()


def _profile(*arguments):
    return run_command(profile_command.main, list(map(str, arguments)))


def test_the_command_measures_on_a_board_and_goes_on(tracker, tmp_path, capsys):
    from flash.backends import network_model, random_weights

    paths = []
    for number, network in enumerate(_smallest(load_space("nasbench201"), 2)):
        paths.append(tmp_path / f"{number}.onnx")
        weights = random_weights(network)
        paths[-1].write_bytes(network_model(network, weights).SerializeToString())
    out = tmp_path / "board.jsonl"
    where = ["--tvm-rpc", f"{tracker.host}:{tracker.port}", "--key", "here", "--target", "host"]
    assert _profile(paths[0], *where, "--out", out) == 0
    assert "1 measured on board 'here' over TVM RPC" in capsys.readouterr().out
    assert _profile(*paths, *where, "--out", out) == 0
    assert "1 there already" in capsys.readouterr().out
    head, *records = [json.loads(line) for line in out.read_text().splitlines()]
    assert head["runtime"]["name"] == "tvm, untuned"
    assert [record["network"]["onnx"] for record in records] == list(map(str, paths))
    from flash.measurements.comparison import read_comparison

    assert len(read_comparison(out).by_sha256) == 2


def test_an_unreachable_tracker_ends_in_a_line_and_no_file(tvm, tmp_path, capsys):
    model = tmp_path / "m.onnx"
    network = load_space("nasbench201").network(np.zeros(6, dtype=int))
    from flash.backends import network_model, random_weights

    model.write_bytes(network_model(network, random_weights(network)).SerializeToString())
    where = ["--tvm-rpc", f"127.0.0.1:{_free_port()}", "--key", "rpi3b"]
    assert _profile(model, *where, "--out", tmp_path / "m.jsonl") == 2
    error = capsys.readouterr().err
    assert "Connection refused; is the tracker running" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "m.jsonl").exists()


def test_where_no_tracker_is_the_line_says_so(tvm):
    pytest.importorskip("tornado", reason="needs the extra tvm")
    from flash.backends import Tracker

    with pytest.raises(UsageError, match="Connection refused; is the tracker running"):
        Tracker("127.0.0.1", _free_port(), "k").connect()
    with pytest.raises(UsageError, match="expected HOST:PORT"):
        Tracker.parse("somewhere", "k")
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        start = time.monotonic()
        with pytest.raises(UsageError, match="no answer within 5 s"):
            Tracker("127.0.0.1", mute.getsockname()[1], "k").connect()
        assert time.monotonic() - start < 20


def test_a_model_tvm_cannot_read_is_one_line(tvm):
    from flash.backends import tvm_library

    with pytest.raises(FlashError, match="TVM cannot read the model") as caught:
        tvm_library(b"", machine_of("host"))
    assert "\n" not in str(caught.value)
