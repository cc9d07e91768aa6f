"""``flash check`` and what ``flash estimate`` says of files: several targets, layers, tables."""

from __future__ import annotations

import csv
import io
import json

import pytest

from flash.command import run_command
from flash.errors import InputError, UsageError
from flash.estimate import check, estimate

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")

from onnx_models import model, node, normal  # noqa: E402

from flash.estimate import checking, command  # noqa: E402


@pytest.fixture
def files(tmp_path):
    """A small and a larger network."""
    paths = []
    for name, width in (("small", 8), ("large", 64)):
        made = [
            node("Conv", ["x", "w"], ["a"], "first", pads=[1] * 4), node("Mish", ["a"], ["b"], "m"),
            node("GlobalAveragePool", ["b"], ["c"]), node("Flatten", ["c"], ["d"]),
            node("Gemm", ["d", "v"], ["y"], "last"),
        ]  # fmt: skip
        weights = {"w": normal(width, 3, 3, 3), "v": normal(width, 10)}
        path = tmp_path / f"{name}.onnx"
        onnx.save(model(made, {"x": ["n", 3, 32, 32]}, weights, opset=18), path)
        paths.append(path)
    return paths


def _estimate(*arguments):
    return run_command(command.main, list(map(str, arguments)))


def _check(*arguments):
    return run_command(checking.main, list(map(str, arguments)))


# -------------------------------------------------------------------------------- estimate
def test_several_targets_give_a_row_each_and_the_same_numbers_as_alone(files):
    both = estimate(files, target="rpi4b,x86-avx512")
    assert [row["target"].partition(":")[0] for row in both] == ["rpi4b", "x86-avx512"] * 2
    alone = estimate(files, target="x86-avx512")
    assert [{k: v for k, v in row.items() if k != "target"} for row in both[1::2]] == list(alone)


def test_a_target_may_name_its_runtime(files):
    (row,) = estimate(files[0], target=["rpi4b:armnn"])
    (same,) = estimate(files[0], target="rpi4b", runtime="armnn")
    assert row == same


def test_a_file_that_one_target_cannot_price_is_named_and_the_others_are_done(
    files, tmp_path, capsys
):
    alone = node("ReduceL2", ["x"], ["y"], axes=[1], keepdims=1)
    path = tmp_path / "norm.onnx"
    onnx.save(model([alone], {"x": [1, 3, 32, 32]}, {}, opset=13), path)
    words = [path, files[0], "--target", "imc,rpi4b", "--csv", "-"]
    assert _estimate(*words) == 4
    told = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(told.out)))
    where = [(row["design"].rpartition("/")[2], row["target"].partition(":")[0]) for row in rows]
    assert where == [("norm.onnx", "rpi4b"), ("small.onnx", "imc"), ("small.onnx", "rpi4b")]
    assert "norm.onnx" in told.err and "imc has no cost for" in told.err
    assert _check(path, files[0], "--target", "imc,rpi4b", "--max-latency", "9s") == 4
    assert capsys.readouterr().out.count("pass") == 3
    with pytest.raises(InputError, match=r"norm\.onnx: .*imc has no cost for"):
        estimate([path, files[0]], target="imc")


def test_published_networks_are_priced_and_checked_by_name(files, tmp_path, monkeypatch, capsys):
    words = ["resnet18", "mobilenet_v2_0.75_160", files[0], "--target", "rpi4b", "--csv", "-"]
    assert _estimate(*words) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    # torchvision's count of parameters; TF-slim's of MobileNet v2 x0.75, 2.61 million there.
    assert rows[0]["design"] == "resnet18" and int(rows[0]["params"]) == 11689512
    assert int(rows[1]["params"]) == pytest.approx(2.61e6, rel=0.02)
    assert _check("resnet18", "--target", "rpi4b", "--max-latency", "1ms") == 3
    assert _estimate("resnet18", "--input-shape", "1x3x64x64") == 2
    assert _estimate("resnet18", "--target", "x86-zen4", "--optimized-by", "onnxruntime") == 2
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet18").write_bytes(files[0].read_bytes())  # a file of that name comes first
    assert _estimate("resnet18", "--csv", "-") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert int(row["params"]) == int(rows[2]["params"])


def test_layers_add_up_and_say_what_bounds_them(files, capsys):
    (row,) = estimate(files[1], target="x86-avx512", layers=True)
    layers = row["layers"]
    assert sum(layer["latency_ms"] for layer in layers) == pytest.approx(row["latency_ms"])
    assert sum(layer["share"] for layer in layers) == pytest.approx(1)
    assert sum(layer["macs"] for layer in layers if "macs" in layer) == row["macs"]
    assert {layer["bound"] for layer in layers} <= {"compute", "memory", "overhead"}
    assert [layer["rated"] for layer in layers if layer["layer"] == "m"] == [False]
    assert "without a rate of their own there (act)" in capsys.readouterr().err


def test_a_table_has_units_and_rows_in_the_order_asked_for(files, capsys):
    assert _estimate(*files[::-1], "--target", "rpi4b", "--table", "--sort", "latency") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["model", "latency"]
    assert "small.onnx" in lines[1] and "large.onnx" in lines[2]
    assert " kB" in lines[1]
    assert _estimate(*files, "--target", "rpi4b", "--table", "--layers") == 0
    assert "bound by" in capsys.readouterr().out


def test_a_table_of_some_layers_says_how_all_are_seen(files, tmp_path, capsys):
    nodes = [node("Relu", [f"x{k}" if k else "x"], [f"x{k + 1}"], f"n{k}") for k in range(29)]
    nodes.append(node("Sigmoid", ["x29"], ["y"], "n29"))
    path = tmp_path / "long.onnx"
    onnx.save(model(nodes, {"x": [1, 3, 32, 32]}, {}), path)
    assert _estimate(path, "--target", "rpi4b:armnn", "--table", "--layers") == 0
    more = [x for x in capsys.readouterr().out.splitlines() if "more layers" in x]
    assert len(more) == 1 and more[0].endswith(" of the time (--layers --csv FILE: all)")
    assert _estimate(path, "--target", "rpi4b:armnn", "--layers", "--csv", "-") == 0
    shown = 25 + int(more[0].split()[1])
    assert len(list(csv.DictReader(io.StringIO(capsys.readouterr().out)))) == shown


def test_layers_as_csv_are_a_row_each(files, capsys):
    assert _estimate(files[0], "--target", "rpi4b,x86-avx512", "--layers", "--csv", "-") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["layer"] for row in rows} >= {"first", "m", "last"}
    assert len({row["target"] for row in rows}) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "rpi4b", "--sort", "speed"], "--sort speed"),
        (["--sort", "latency"], "needs a --target"),
        (["--target", "rpi4b,"], "single commas"),
        (["--target", "rpi4b, rpi4b"], "--target: rpi4b is given twice"),
        (["--target", "rpi4b,rpi4b:tflite"], "rpi4b and rpi4b:tflite are both rpi4b:tflite"),
        (["--input", "x"], "NAME=1x3x224x224"),
        (["--input", "x=1x3x8x8", "--input", "x=1x3x8x8"], "given twice"),
        (["--csv", "-", "--table"], "one of --csv"),
    ],
)
def test_options_that_mean_nothing_are_refused(files, arguments, message, capsys):
    assert _estimate(files[0], *arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and message in printed.err


def test_a_target_given_twice_is_refused_by_every_door(files, capsys):
    words = [str(files[0]), "--target", "rpi4b,rpi3b,rpi4b", "--max-latency", "1s"]
    assert run_command(checking.main, words) == 2
    assert "--target: rpi4b is given twice" in capsys.readouterr().err
    with pytest.raises(UsageError, match="rpi4b is given twice"):
        estimate(files[0], target=["rpi4b", "rpi4b"])


def test_a_model_given_twice_is_refused_by_every_door(files, capsys):
    again = f"{files[0].parent}/./{files[0].name}"
    assert _estimate(files[0], files[1], again) == 2
    assert f"{files[0]} is given twice" in capsys.readouterr().err
    words = [str(files[0]), again, "--target", "rpi4b", "--max-latency", "1s"]
    assert run_command(checking.main, words) == 2
    with pytest.raises(UsageError, match="resnet18 is given twice"):
        estimate(models=["resnet18", "resnet18"], target="rpi4b")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet81", "(did you mean 'resnet18'?)"),
        ("mobilnet_v2_0.75_160", "(did you mean 'mobilenet_v2"),
        ("xyz", "(flash list networks)"),
    ],
)
def test_a_word_that_is_no_file_is_answered_by_the_published_network_nearest(name, hint, capsys):
    assert _estimate(name, "--target", "rpi4b") == 4
    told = capsys.readouterr().err
    assert f"no such file: {name}, and no published network {hint}" in told
    assert _estimate("mine.onnx", "--target", "rpi4b") == 4
    assert capsys.readouterr().err == "flash: no such file: mine.onnx\n"


def test_sizes_are_given_by_name_and_contradictions_are_named(files, capsys):
    assert _estimate(*files, "--input", "x=4x3x32x32", "--json", "-") == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["macs"] == 4 * (8 * 27 * 1024 + 80)
    assert _estimate(*files, "--input", "x=1x3x16x16", "--json", "-") == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("it is fixed at 32") == 2
    assert _estimate(*files, "--input", "image=1x3x32x32") == 2
    assert "no model has such an input" in capsys.readouterr().err
    # Without a name it is of the only input, as --input-shape is; not both.
    assert _estimate(*files, "--input", "4x3x32x32", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)[0]["macs"] == rows[0]["macs"]
    assert _estimate(*files, "--input", "1x3x32x32", "--input-shape", "1x3x32x32") == 2
    assert "give one" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_a_torch_module_is_priced_as_its_file(tmp_path):
    torch = pytest.importorskip("torch", reason="needs torch")
    net = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.GELU(), torch.nn.Linear(32, 5))
    net.train()
    x = torch.randn(3, 64)
    (row,) = estimate(net, x, target="x86-avx512")
    assert net.training
    assert (row["macs"], row["params"]) == (3 * (64 * 32 + 32 * 5), 64 * 32 + 32 + 32 * 5 + 5)
    path = tmp_path / "net.onnx"
    torch.onnx.export(net.eval(), (x,), path, dynamo=False, verbose=False)
    (file_row,) = estimate(path, target="x86-avx512")
    assert {k: v for k, v in row.items() if k != "design"} == {
        k: v for k, v in file_row.items() if k != "design"
    }
    with pytest.raises(UsageError, match="needs an example_input"):
        estimate(net, target="rpi4b")


# ----------------------------------------------------------------------------------- check
def test_a_model_within_its_limits_passes_and_one_beyond_exits_with_3(files, capsys):
    (row,) = estimate(files[1], target="rpi4b")
    limit = f"{row['latency_ms'] * 0.9:.6f}ms"
    assert _check(*files, "--target", "rpi4b", "--max-latency", limit, "--json", "-") == 3
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert [v["verdict"] for v in document["verdicts"]] == ["pass", "fail"]
    assert not document["passed"] and document["schema"] == "flash.check/1"
    assert "flash: fail" in printed.err and "large.onnx" in printed.err
    assert _check(files[0], "--target", "rpi4b", "--max-latency", limit) == 0


def test_confidence_holds_the_limit_at_the_far_end_of_the_interval(files):
    (row,) = estimate(files[0], target="rpi4b")
    between = (row["latency_ms"] * row["latency_high_ms"]) ** 0.5
    verdicts = [
        check(files[0], target="rpi4b", max_latency_ms=between, confidence=c)[0]
        for c in (None, 0.5, 0.9)
    ]
    assert verdicts[0].verdict == "pass" and not verdicts[0].checks[0].certain
    judged = [v.checks[0].judged for v in verdicts]
    assert judged[0] == row["latency_ms"] < judged[1] < judged[2]
    assert judged[2] == pytest.approx(row["latency_high_ms"])
    assert verdicts[2].verdict == "fail"


def test_a_limit_missed_by_less_than_is_printed_says_by_how_much(files):
    (row,) = estimate(files[0], target="rpi4b")
    for limit, said in ((0.999999, "(0.0001 % over)"), (1.000001, "(0.0001 % under)")):
        (verdict,) = check(files[0], target="rpi4b", max_latency_ms=row["latency_ms"] * limit)
        assert str(verdict).endswith(said)
    (verdict,) = check(files[0], target="rpi4b", max_latency_ms=row["latency_ms"] * 2)
    assert "under" not in str(verdict)


def test_memory_limits_are_of_activations_and_weights(files):
    (row,) = estimate(files[0])
    (fits,) = check(files[0], target="rpi4b", max_ram_kb=row["activation_kb"],
                    max_flash_kb=row["weight_kb"])  # fmt: skip
    assert fits.verdict == "pass" and all(c.certain for c in fits.checks)
    (large,) = check(files[0], target="rpi4b", max_flash_kb=row["weight_kb"] * 0.99)
    assert large.verdict == "fail"


def test_a_bad_file_comes_before_a_limit_that_is_not_kept(files, tmp_path, capsys):
    bad = tmp_path / "none.onnx"
    assert _check(files[1], bad, "--target", "rpi4b", "--max-latency", "1us", "--json", "-") == 4
    document = json.loads(capsys.readouterr().out)
    assert len(document["verdicts"]) == 1 and "none.onnx" in document["errors"][0]


def test_a_table_for_a_pull_request_has_a_row_a_verdict(files, tmp_path):
    place = tmp_path / "check.md"
    code = _check(*files, "--target", "rpi4b,x86-avx512", "--max-latency", "1s",
                  "--markdown", place)  # fmt: skip
    lines = place.read_text(encoding="utf-8").splitlines()
    assert code == 0 and sum("pass" in line for line in lines) == 4
    assert all(line.count("|") == 8 for line in lines[:6])


def test_a_table_for_a_pull_request_has_the_doubts_and_notes_of_the_terminal(
    files, tmp_path, capsys
):
    (row,) = estimate(files[0], target="rpi4b:armnn")
    limit, place = (row["latency_ms"] + row["latency_high_ms"]) / 2, tmp_path / "check.md"
    capsys.readouterr()
    words = [files[0], "--target", "rpi4b:armnn", "--max-latency", f"{limit}ms"]
    assert _check(*words) == 0
    terminal = capsys.readouterr()
    notes = [line for line in terminal.err.splitlines() if line.startswith("note: ")]
    assert "; the limit lies inside its interval" in terminal.out
    assert any("without a rate of their own" in note for note in notes)
    assert _check(*words, "--markdown", place) == 0
    lines = place.read_text(encoding="utf-8").splitlines()
    assert lines[2].endswith("; the limit lies inside its interval |")
    assert [line for line in lines if line.startswith("note: ")] == notes
    assert check(files[0], target="rpi4b:armnn", max_latency_ms=1e3).notes == tuple(
        note.removeprefix("note: ") for note in notes
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-latency", "30ms"], "give a --target"),
        (["--target", "rpi4b"], "at least one limit"),
        (["--target", "rpi4b", "--max-latency", "30"], "30"),
        (["--target", "rpi4b", "--max-ram", "1MB", "--confidence", "120%"], "from 50 to 99"),
        (["--target", "x86-avx512", "--max-energy", "1mJ"], "nobody measured the energy"),
    ],
)
def test_check_refuses_what_means_nothing(files, arguments, message, capsys):
    assert _check(files[0], *arguments) == 2
    assert message in capsys.readouterr().err


def test_check_is_a_command_of_flash(files, capsys):
    from flash.__main__ import _dispatch

    arguments = ["check", str(files[0]), "--target", "rpi4b", "--max-latency", "1s"]
    assert run_command(_dispatch, arguments) == 0
    assert capsys.readouterr().out.startswith("verdict")


@pytest.mark.parametrize("target", ["systolic", "eyeriss-like", "imc"])
def test_layers_of_a_chip_have_their_energy_by_component(files, target, capsys):
    (row,) = estimate(files[0], target=target, layers=True)
    layers = row["layers"]
    assert sum(layer["energy_mj"] for layer in layers) == pytest.approx(row["energy_mj"])
    for layer in layers:
        parts = [v for k, v in layer.items() if k.endswith("_mj") and k != "energy_mj"]
        assert sum(parts) == pytest.approx(layer["energy_mj"])
        assert 0 <= layer["utilisation"] <= 1
    if target == "imc":
        return
    assert all(0 <= layer["stall_cycles"] <= layer["cycles"] for layer in layers)
    assert _estimate(files[0], "--target", target, "--table", "--layers") == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("cycles", "stalls", "busy", "SRAM", "DRAM", "energy"))
