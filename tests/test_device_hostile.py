"""Hostile suites, cut files, closed pipes, foreign files: a result, or one line and its code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest
from device_programs import SCRIPT, TINY, load_program, read_lines, run_program
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from flash.errors import NothingDoneError  # noqa: E402
from flash.profile.suites.suite import build_suite  # noqa: E402
from flash.profile.transports.process import run_program as run_any  # noqa: E402

PROGRAM = load_program()
SUITE = build_suite(TINY[:2])
FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
few = settings(max_examples=100, deadline=None, suppress_health_check=FIXTURES)
many = settings(max_examples=2000, deadline=None, suppress_health_check=FIXTURES)


def _only_refused(action, *arguments):
    """Run; everything but ``Refused`` with a line and a documented code is a failure."""
    try:
        return action(*arguments)
    except PROGRAM.Refused as error:
        assert error.code in (1, 2, 4)
        assert "\n" not in str(error)
        return None


@st.composite
def damaged(draw, content):
    """Bytes of a file with a few places changed, cut or repeated."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(("set", "cut", "insert", "drop")))
        if how == "set" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif how == "cut":
            del data[at:]
        elif how == "insert":
            data[at:at] = draw(st.binary(max_size=8))
        elif how == "drop":
            del data[at : at + draw(st.integers(1, 40))]
    return bytes(data)


_WRONG = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from([10**30, 10**400, -1e308]),
    st.floats(), st.text(max_size=4), st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


def _paths(value, at=()):
    """Places of a JSON document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*at, key))
    elif isinstance(value, list):
        for key, inner in enumerate(value):
            yield from _paths(inner, (*at, key))
    if at:
        yield at


@st.composite
def wrong_document(draw, document):
    """A JSON document with a value replaced or removed."""
    copy = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 2))):
        paths = list(_paths(copy))
        if not paths:
            break
        *way, last = draw(st.sampled_from(paths))
        place = copy
        for key in way:
            place = place[key]
        if draw(st.booleans()):
            place[last] = draw(_WRONG)
        else:
            del place[last]
    return copy


def _suite_head():
    import io

    with zipfile.ZipFile(io.BytesIO(SUITE)) as archive:
        return json.loads(archive.read("suite.json"))


HEAD = _suite_head()


def _read_damaged_suite(tmp_path, content):
    path = tmp_path / "s.zip"
    path.write_bytes(content)
    suite = _only_refused(PROGRAM.read_suite, str(path))
    assert suite is None or suite.tasks is not None


def _read_wrong_suite(tmp_path, head):
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("suite.json", json.dumps(head))
        for number in range(2):
            archive.writestr(f"models/{number:03d}.onnx", b"x")
    suite = _only_refused(PROGRAM.read_suite, str(path))
    if suite is not None and suite.weights is not None:
        regions = suite.weights["regions"]
        assert all(0 <= r["offset"] <= 2**31 and 0 <= r["elements"] <= 2**31 for r in regions)
        assert os.sep not in suite.weights["file"]


@few
@given(content=damaged(SUITE))
def test_a_damaged_suite_is_one_line(tmp_path, content):
    _read_damaged_suite(tmp_path, content)


@few
@given(head=wrong_document(HEAD))
def test_a_suite_that_says_impossible_things_is_one_line(tmp_path, head):
    _read_wrong_suite(tmp_path, head)


@pytest.mark.slow
@many
@given(content=damaged(SUITE), head=wrong_document(HEAD))
def test_many_damaged_suites_are_one_line(tmp_path, content, head):
    _read_damaged_suite(tmp_path, content)
    _read_wrong_suite(tmp_path, head)


def test_a_suite_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("suite.json", json.dumps(HEAD))
        for number in range(3):
            with archive.open(f"models/{number:03d}.onnx", "w", force_zip64=True) as stream:
                for _ in range(250):
                    stream.write(bytes(1 << 20))
    started = time.process_time()
    with pytest.raises(PROGRAM.Refused, match="unpacks to more than 640 MiB"):
        PROGRAM.read_suite(str(path))
    assert time.process_time() - started < 5


RECORD = {
    "network": {"workload": TINY[0]},
    "latency_ms": {"median": 2.0, "p10": 1.0, "p90": 3.0, "runs": 9},
    "energy_mj": {"mean": 3.0, "sensor": "c", "runs": 3, "samples": 2, "others": {"d": 1.0}},
    "energy_problems": {"e": "stood still"},
    "window": {"start": 1e9, "seconds": 3.0, "runs": 30},
    "clock_mhz": {"low": 600.0, "high": 1500.0},
    "kernels": [{"name": "a", "op": "Conv", "ms": 1.0}],
    "passes": 2,
    "medians": [2.0, 3.0],
}  # fmt: skip
JOURNAL_HEAD = {
    "schema": "flash.measurements/1", "suite": {}, "threads": 1, "precision": "fp32", "batch": 1,
    "runtime": {}, "device": {},
}  # fmt: skip
JOURNAL = "".join(json.dumps(line) + "\n" for line in (JOURNAL_HEAD, RECORD, RECORD)).encode()


def _open_journal(tmp_path, content):
    """A file is refused and unchanged, or what is whole in it is used to the end."""
    path = tmp_path / "m.jsonl"
    path.write_bytes(content)
    for header in (JOURNAL_HEAD, None):
        before = path.read_bytes()
        journal = _only_refused(PROGRAM.Journal, str(path), header)
        if journal is None:
            assert path.read_bytes() == before
            continue
        try:
            records = [dict(record) for record in journal.records]
            samples = [(1e9 + 0.1 * k, 2.0) for k in range(-20, 60)]
            _only_refused(PROGRAM.merge_meter, records, samples)
            if header is not None:
                merged = PROGRAM.merged_passes(journal.records)
                PROGRAM.summary(str(path), merged, [], 1.0, 2.0)
                journal.append({"network": {}, "error": "x"})
                journal.replace(merged)
                assert path.read_bytes().count(b"\n") == len(merged) + 1
        finally:
            journal.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.jsonl"]


@few
@given(content=damaged(JOURNAL))
def test_a_damaged_result_file_is_refused_unchanged_or_used(tmp_path, content):
    _open_journal(tmp_path, content)


@few
@given(record=wrong_document(RECORD))
def test_a_record_that_says_impossible_things_is_refused_or_used(tmp_path, record):
    lines = (JOURNAL_HEAD, RECORD, record)
    _open_journal(tmp_path, "".join(json.dumps(line) + "\n" for line in lines).encode())


@pytest.mark.slow
@many
@given(content=damaged(JOURNAL), record=wrong_document(RECORD))
def test_many_damaged_result_files(tmp_path, content, record):
    _open_journal(tmp_path, content)
    lines = (JOURNAL_HEAD, RECORD, record)
    _open_journal(tmp_path, "".join(json.dumps(line) + "\n" for line in lines).encode())


METER = b"time,power_w\n" + b"".join(b"%d.5,%d\n" % (t, t % 7) for t in range(40))


def _read_meter(tmp_path, content):
    path = tmp_path / "meter.csv"
    path.write_bytes(content)
    samples = _only_refused(PROGRAM.read_meter, str(path))
    if samples is not None:
        records = [
            {"network": {}, "window": {"start": 3.0 + 9 * k, "seconds": 3.0, "runs": 2}}
            for k in range(4)
        ]
        _only_refused(PROGRAM.merge_meter, records, samples)
        for record in records:
            energy = record.get("energy_mj")
            assert energy is None or energy["mean"] > 0


@few
@given(content=damaged(METER))
def test_a_damaged_meters_file_is_one_line(tmp_path, content):
    _read_meter(tmp_path, content)


@pytest.mark.slow
@many
@given(content=damaged(METER))
def test_many_damaged_meters_files(tmp_path, content):
    _read_meter(tmp_path, content)


# --------------------------------------------------------------------------------- foreign files


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "suite.zip"
    path.write_bytes(SUITE)
    return path


@pytest.mark.parametrize(
    ("content", "switch"),
    [
        (b"my notes", ()),
        (b"my notes\nwithout an end", ()),
        (b"my notes\nwithout an end", ("--no-resume",)),
        (b"{}\n", ("--no-resume",)),
        (b"[1]\n\n", ()),
    ],
)
def test_a_file_of_something_else_is_never_changed(suite, tmp_path, content, switch):
    out = tmp_path / "notes.txt"
    out.write_bytes(content)
    done = run_program(f"--suite={suite}", f"--out={out}", *switch)
    assert done.returncode == 4
    assert "line 1: damaged, or no measurements" in done.stderr
    assert out.read_bytes() == content
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["notes.txt", "suite.zip"]


def test_pipes_folders_and_devices_are_no_result_files(suite, tmp_path):
    pipe, folder = tmp_path / "pipe", tmp_path / "folder"
    os.mkfifo(pipe)
    folder.mkdir()
    for out in (pipe, folder, "/dev/null"):
        done = run_program(f"--suite={suite}", f"--out={out}")
        assert done.returncode == 2
        assert "is no regular file" in done.stderr
    for given_suite in (pipe, folder):
        done = run_program(f"--suite={given_suite}", f"--out={tmp_path / 'm.jsonl'}")
        assert done.returncode == 4
        assert f"{given_suite}: is " in done.stderr


def test_a_result_file_in_no_folder_is_one_line(suite, tmp_path):
    done = run_program(f"--suite={suite}", f"--out={tmp_path / 'none' / 'm.jsonl'}")
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_death_left_is_removed_and_what_others_own_is_not(suite, tmp_path):
    out = tmp_path / "m.jsonl"
    left = [tmp_path / ".m.jsonl.abcd_123.work", tmp_path / ".m.jsonl.zzzzzzzz.new"]
    left[0].mkdir()
    (left[0] / "weights.bin").write_bytes(b"x")
    left[1].write_bytes(b"x")
    others = [
        tmp_path / "m.jsonl.work",
        tmp_path / ".m.jsonl.notes",
        tmp_path / ".n.jsonl.aaaaaaaa.new",
    ]
    others[0].mkdir()
    (others[0] / "thesis.tex").write_text("mine")
    for other in others[1:]:
        other.write_text("mine")
    assert run_program(f"--suite={suite}", f"--out={out}", "--budget=5s").returncode == 0
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)
    assert (others[0] / "thesis.tex").read_text() == "mine"


def test_a_result_file_that_is_a_link_stays_one(suite, tmp_path):
    real, out = tmp_path / "real.jsonl", tmp_path / "m.jsonl"
    out.symlink_to(real)
    assert run_program(f"--suite={suite}", f"--out={out}", "--budget=5s").returncode == 0
    assert out.is_symlink()
    assert len(read_lines(real)) > 1  # a busy machine may leave one out for the budget


# ------------------------------------------------------------------------------ pipes and signals


def _start(suite, out, *arguments, **options):
    command = [sys.executable, str(SCRIPT), f"--suite={suite}", f"--out={out}", "--threads=1"]
    return subprocess.Popen([*command, *arguments], text=True, **options)


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both", "none at all"])
def test_a_closed_pipe_loses_nothing_and_shows_no_traceback(suite, tmp_path, closed):
    out = tmp_path / "m.jsonl"
    read, write = os.pipe()
    os.close(read)
    where = {
        "stdout": {"stdout": write, "stderr": subprocess.PIPE},
        "stderr": {"stdout": subprocess.PIPE, "stderr": write},
        "both": {"stdout": write, "stderr": write},
    }
    if closed in where:
        process = _start(suite, out, "--budget=3s", **where[closed])
    else:
        words = [sys.executable, str(SCRIPT), f"--suite={suite}", f"--out={out}", "--threads=1"]
        words.append("--budget=3s")
        process = subprocess.Popen(["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *words])
    os.close(write)
    said = "".join(part or "" for part in process.communicate(timeout=60))
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    # Whoever watches the progress and goes away ends the run, as a cut connection does.
    assert process.returncode == (130 if closed in ("stderr", "both") else 0)
    if process.returncode == 0:
        assert len(read_lines(out)) > 1  # a busy machine may leave one out for the budget
    assert run_program(f"--suite={suite}", f"--out={out}", "--threads=1").returncode == 0
    assert len(read_lines(out)) == 3


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_in_order_with_its_code(tmp_path, number, code):
    suite = tmp_path / "suite.zip"
    suite.write_bytes(build_suite([f"8x8x8: conv k3 {n}" for n in range(8, 48)]))
    process = _start(suite, tmp_path / "m.jsonl", "--budget=15s", stderr=subprocess.PIPE)
    for line in process.stderr:
        if line.startswith("[  1/40]"):
            break
    process.send_signal(number)
    rest = process.communicate(timeout=30)[1]
    assert process.returncode == code
    assert "what was measured is kept" in rest
    assert "Traceback" not in rest
    assert len(read_lines(tmp_path / "m.jsonl")) >= 2
    assert not list(tmp_path.glob(".m.jsonl.*"))


def test_a_child_that_keeps_the_pipe_open_holds_nobody_up(capfd):
    script = "sleep 60 & echo result; echo words >&2; exit 5"
    started = time.perf_counter()
    outcome = run_any(["sh", "-c", script], quiet=True)
    assert time.perf_counter() - started < 20
    assert (outcome.code, outcome.output, outcome.last_words) == (5, "result\n", "words")
    with pytest.raises(NothingDoneError, match="measuring failed: words"):
        outcome.check("measuring")


def test_a_program_that_talks_without_end_fills_no_memory():
    script = "import sys\nfor _ in range(300): sys.stderr.write('x' * 1_000_000)\nsys.exit(1)"
    outcome = run_any([sys.executable, "-c", script], quiet=True)
    assert outcome.code == 1
    assert len(outcome.last_words) <= 10_000


def test_nothing_measured_is_exit_code_5_and_is_tried_again(tmp_path):
    from flash.backends import network_model, random_weights
    from flash.measurements.workloads import workload_network

    network = workload_network(TINY[0])
    model = network_model(network, random_weights(network))
    model.graph.node[0].op_type = "Conw"
    place, out = tmp_path / "m.onnx", tmp_path / "m.jsonl"
    place.write_bytes(model.SerializeToString())
    done = run_program(place, f"--out={out}", "--budget=5s")
    assert done.returncode == 5
    assert "0 networks measured, 1 refused" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("profile_device: nothing was measured: ")
    model.graph.node[0].op_type = "Conv"
    place.write_bytes(model.SerializeToString())
    assert run_program(place, f"--out={out}", "--budget=5s").returncode == 0
    assert len(read_lines(out)) == 2


def test_free_sizes_are_named_and_taken_from_the_command_line(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    def value(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, "h", "w"])

    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "g", [value("x")], [value("y")]
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    place, out = tmp_path / "m.onnx", tmp_path / "m.jsonl"
    onnx.save(model, place)
    done = run_program(place, f"--out={out}", "--budget=5s")
    assert done.returncode == 5
    assert "say its free sizes, --input x=1x3x64x64" in done.stderr
    for wrong, said in (
        ("y=1x3x4x4", "has no input 'y': its inputs are x"),
        ("x=1x5x4x4", "input 'x' is nx3xhxw, not 1x5x4x4"),
    ):
        done = run_program(place, f"--out={out}", "--budget=5s", f"--input={wrong}")
        assert done.returncode == 5
        assert said in done.stderr
    done = run_program(place, f"--out={out}", "--budget=5s", "--batch=2", "--input=x=8x3x4x4")
    assert "its first size is the batch, which is 2: --batch 8" in done.stderr
    for shape in ("x=8x3x4x4", "x=1x3x4x4", "1x3x4x4"):
        done = run_program(place, f"--out={out}", "--budget=5s", "--no-resume", f"--input={shape}")
        assert done.returncode == 0, done.stderr
    assert read_lines(out)[1]["network"]["input_shapes"] == {"": [1, 3, 4, 4]}
    for wrong in ("x", "x=1x0", "x=axb", "x=99999999999", "x=1x99999x99999x9999"):
        done = run_program(place, f"--out={out}", f"--input={wrong}", "--quiet")
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1


def test_inputs_without_axes_are_measured_with_the_value_given(tmp_path):
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    kinds = {"x": TensorProto.FLOAT, "low": TensorProto.FLOAT, "rate": TensorProto.INT64}
    values = [
        helper.make_tensor_value_info(name, kind, ["n"] if name == "x" else [])
        for name, kind in kinds.items()
    ]
    made = [
        helper.make_node("Cast", ["rate"], ["r"], to=TensorProto.FLOAT),
        helper.make_node("Sum", ["x", "low", "r"], ["y"]),
    ]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph(made, "g", values, [result])
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    place, out = tmp_path / "m.onnx", tmp_path / "m.jsonl"
    onnx.save(model, place)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for low, rate in (("50", 0), ("50.5", -3), ("1e2", 7), ("-.5", 16000)):
        told = [f"low={low}", f"rate={rate}", "x=4"]
        found = PROGRAM.make_inputs(session, 1, PROGRAM.parse_shapes(told))
        assert (float(found["low"]), int(found["rate"])) == (float(low), rate)
        assert found["x"].shape == (4,)
    for wrong, why in (
        ("rate=1.5", "is a tensor(int64), not 1.5"),
        ("x=0", "sizes are 1 and more"),
    ):
        done = run_program(place, f"--out={out}", "--budget=5s", f"--input={wrong}")
        assert done.returncode == 5
        assert why in done.stderr


def test_a_network_that_never_ends_is_ended(monkeypatch):
    """A loop without end, as one node: the first run is ended, the model is refused."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    def tensor(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"]),
            helper.make_node("MatMul", ["v_in", "v_in"], ["v_out"]),
        ],
        "body",
        [
            tensor("i", TensorProto.INT64, []),
            tensor("go_in", TensorProto.BOOL, []),
            tensor("v_in", TensorProto.FLOAT, [64, 64]),
        ],
        [tensor("go_out", TensorProto.BOOL, []), tensor("v_out", TensorProto.FLOAT, [64, 64])],
    )
    go = helper.make_tensor("go", TensorProto.BOOL, [], [True])
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "go", "x"], ["y"], body=body)],
        "g",
        [tensor("x", TensorProto.FLOAT, [64, 64])],
        [tensor("y", TensorProto.FLOAT, [64, 64])],
        [go],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    monkeypatch.setattr(PROGRAM, "LONGEST_RUN_S", 0.5)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    inputs = PROGRAM.make_inputs(session, 1)
    started = time.perf_counter()
    with pytest.raises(RuntimeError, match="one run takes more than 0.5 s"):
        PROGRAM.Stopwatch().warm_up(session, inputs, 1.0, onnxruntime.RunOptions())
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize("blocks", [0, 2, 4])
def test_a_full_disk_is_one_line_and_loses_nothing(suite, tmp_path, blocks):
    """Files may grow to ``blocks`` times 512 bytes, as on a disk that fills at that moment."""
    out = tmp_path / "m.jsonl"
    words = [sys.executable, str(SCRIPT), f"--suite={suite}", f"--out={out}", "--threads=1"]
    words.append("--budget=3s")
    limit = f'ulimit -f {blocks}; exec "$@"'
    done = subprocess.run(["sh", "-c", limit, "sh", *words], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1)
    if done.returncode:
        assert done.stderr.splitlines()[-1].startswith("profile_device: cannot write ")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["m.jsonl", "suite.zip"]
    kept = out.read_bytes()
    kept = kept[: kept.rfind(b"\n") + 1]
    assert run_program(f"--suite={suite}", f"--out={out}").returncode == 0
    assert out.read_bytes().startswith(kept)
    assert len(read_lines(out)) == 3


@pytest.mark.parametrize("option", ["--suite", "--out", "--meter", "--hold", "--sensor", "--i2c"])
def test_an_empty_value_is_refused(suite, option):
    given = [] if option == "--suite" else [f"--suite={suite}"]
    done = run_program(*given, f"{option}=")
    assert (done.returncode, done.stderr) == (2, f"profile_device: {option}: is empty\n")
