"""Exported designs: files that run, a manifest that holds, nothing left behind on failure."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys

import numpy as np
import pytest

from flash.command import run_command
from flash.errors import FlashError
from flash.estimate import command as estimate_command
from flash.export import command as export_command
from flash.export import export
from flash.extras import install_command
from flash.report.reading import read_search
from flash.search import command as search_command
from flash.search import search
from flash.spaces.space import load_space

REASON = "needs the extra onnx: pip install 'flash-codesign[onnx]'"
onnx = pytest.importorskip("onnx", reason=REASON)
pytest.importorskip("onnxruntime", reason=REASON)

from numpy_networks import compute, trained_looking  # noqa: E402

from flash.backends import (  # noqa: E402
    network_model,
    network_of,
    random_weights,
    run_onnx,
    verify_onnx,
)


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """front.json of a search whose designs are small."""
    path = tmp_path_factory.mktemp("search") / "front.json"
    report = search(target="rpi4b", max_latency_ms=5.0)
    path.write_text(report.to_json(), encoding="utf-8")
    return path


def _export(*arguments):
    return run_command(export_command.main, list(map(str, arguments)))


def test_the_exported_design_is_the_reports(front, tmp_path, capsys):
    out = tmp_path / "new" / "build"
    assert _export(front, "--design", "fastest", "--out", out, "--seed", 3) == 0
    assert capsys.readouterr().out.count("written: ") == 2
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    report = read_search(front.read_text(encoding="utf-8"))
    design = next(d for d in report.front if d.id == report.picks.fastest)
    (entry,) = manifest["designs"]
    (build,) = entry["builds"]
    content = (out / build["file"]).read_bytes()
    assert manifest["schema"] == "flash.manifest/1"
    assert manifest["seed"] == 3
    assert manifest["target"]["provenance"] == list(report.target["provenance"])
    assert build["sha256"] == hashlib.sha256(content).hexdigest()
    assert build["bytes"] == len(content)
    assert entry["latency_ms"] == design.latency_ms.to_dict()
    assert "fastest" in entry["picks"]
    assert sorted(p.name for p in out.iterdir()) == sorted([build["file"], "manifest.json"])

    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == build["opset"]
    read = network_of(model)
    assert (read.params, read.macs) == (entry["params"], entry["macs"])
    space = load_space(report.space.name)
    network = space.network(space.design(design.design))
    image = np.random.default_rng(1).standard_normal(build["input"]["shape"]).astype(np.float32)
    got = run_onnx(content, {build["input"]["name"]: image})[build["output"]["name"]]
    assert list(got.shape) == build["output"]["shape"]
    want = compute(network, random_weights(network, 3), image[0]).ravel()
    assert np.abs(got.ravel() - want).max() <= 1e-4


def test_the_same_inputs_give_the_same_bytes_and_another_seed_others(front, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert _export(front, "--design", "fastest", "--out", tmp_path / name, "--seed", seed) == 0
    files = [
        {p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("a", "b", "c")
    ]
    assert files[0] == files[1]
    assert all(files[0][name] != files[2][name] for name in files[0])


def test_several_designs_share_a_manifest_and_json_goes_to_stdout(front, tmp_path, capsys):
    report = read_search(front.read_text(encoding="utf-8"))
    wanted = f"balanced,{report.front[1].id},balanced,most_accurate"
    assert _export(front, "--designs", wanted, "--out", tmp_path, "--json", "-") == 0
    manifest = json.loads(capsys.readouterr().out)
    ids = [report.picks.balanced, report.front[1].id, report.picks.most_accurate]
    assert [entry["id"] for entry in manifest["designs"]] == ids
    builds = [build for entry in manifest["designs"] for build in entry["builds"]]
    assert all((tmp_path / build["file"]).is_file() for build in builds)


def test_a_report_comes_from_stdin_too(front, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(front.read_text(encoding="utf-8")))
    done = export("-", ["fastest"], tmp_path)
    assert done.manifest["report"]["file"] == "standard input"


def test_a_space_of_ones_own_is_named_by_its_file(tmp_path, capsys):
    text = 'schema = "flash.space/1"\nname = "../mine"\nfamily = "nasbench_macro"\nclasses = 10\n'
    text += "[input]\nchannels = 3\nheight = 32\nwidth = 32\n[settings]\nstem = 4\nhead = 16\n"
    text += "[variables]\n" + "".join(f"o{i} = [0, 1]\n" for i in range(8))
    path, front = tmp_path / "mine.toml", tmp_path / "front.json"
    path.write_text(text, encoding="utf-8")
    front.write_text(search(target="rpi4b", space=str(path)).to_json(), encoding="utf-8")
    assert _export(front, "--out", tmp_path / "out") == 2
    assert "space '../mine', which does not come with flash: give its file" in (
        capsys.readouterr().err
    )
    assert _export(front, "--out", tmp_path / "out", "--space", path) == 0
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    # A space's name cannot lead out of the folder.
    assert written[0] == "manifest.json"
    assert written[1].startswith("mine-")


def test_the_network_of_a_chip_search_is_exported_as_its_report_describes_it(tmp_path):
    report = search(target="systolic", max_latency_ms=0.1, certify_seconds=0.0)
    path = tmp_path / "front.json"
    path.write_text(report.to_json(), encoding="utf-8")
    done = export(path, ["fastest"], tmp_path / "out")
    (entry,) = done.manifest["designs"]
    design = next(d for d in report.front if d.id == report.picks.fastest)
    assert (entry["id"], entry["params"], entry["macs"]) == (design.id, design.params, design.macs)


def test_files_of_a_chips_design_do_not_pass_for_its_number_format(tmp_path):
    chip = "rows=32,cols=32,buffer_kib=256,dataflow=ws,frequency_mhz=800"
    for bits, told in ((4, "onnx-int8 holds 8 bits"), (8, "onnx holds floats"), (16, "8 bits")):
        report = search(target="systolic", hardware=f"{chip},bits={bits}")
        path = tmp_path / "front.json"
        path.write_text(report.to_json(), encoding="utf-8")
        done = export(path, ["fastest"], tmp_path / str(bits), format="onnx,onnx-int8")
        (entry,) = done.manifest["designs"]
        assert entry["hardware"]["bits"] == bits
        (note,) = [line for line in done.lines() if "expected to cost" in line]
        assert f"in {bits} bits; " in note and told in note
        assert ("holds 8 bits" in note) == (bits != 8)


# ------------------------------------------------------------------------- int8 and PyTorch


def _builds(out):
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    (entry,) = manifest["designs"]
    return entry, {build["format"]: build for build in entry["builds"]}


def _output(path, image):
    return run_onnx(path.read_bytes(), {"input": image})["output"]


def _image(build, seed=9):
    return np.random.default_rng(seed).standard_normal(build["input"]["shape"]).astype(np.float32)


def test_int8_is_small_close_to_fp32_and_says_what_it_was_calibrated_on(front, tmp_path, capsys):
    formats = "onnx,onnx-int8"
    for name in ("a", "b"):
        options = ["--design", "most_accurate", "--format", formats, "--out", tmp_path / name]
        assert _export(front, *options) == 0
    out = tmp_path / "a"
    printed = capsys.readouterr().out
    assert "calibrated on normal noise of seed 0, no images" in printed
    assert "measured here" in printed
    _, builds = _builds(out)
    fp32, int8 = builds["onnx"], builds["onnx-int8"]
    assert int8["file"].endswith("-int8.onnx")
    assert int8["bytes"] < 0.30 * fp32["bytes"]
    assert int8["size_ratio"] == pytest.approx(int8["bytes"] / fp32["bytes"], abs=1e-4)
    assert (out / int8["file"]).read_bytes() == (tmp_path / "b" / int8["file"]).read_bytes()
    model = onnx.load(out / int8["file"])
    kernels = [t for t in model.graph.initializer if len(t.dims) == 4]
    assert kernels
    assert {t.data_type for t in kernels} == {onnx.TensorProto.INT8}
    image = _image(int8)
    want, got = _output(out / fp32["file"], image), _output(out / int8["file"], image)
    off = np.sqrt(np.mean((got - want) ** 2) / np.mean(want**2))
    # Not nothing (it is quantized), and as far off as the manifest says, on another input.
    assert 1e-4 < off < 4 * int8["output_error"]["relative_rms"] < 0.4
    assert int8["calibration"]["calibration_images"] == 24
    assert int8["measured_here"]["fp32_ms"] > 0


def test_calibration_images_are_the_users(front, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    rng = np.random.default_rng(2)
    small = 0.01 * rng.standard_normal((5, 3, 32, 32)).astype(np.float32)
    np.save(images / "a.npy", small[:4])
    np.savez(images / "b.npz", one=small[4])
    common = [front, "--design", "fastest", "--format", "onnx-int8", "--calibration"]
    assert _export(*common, images, "--out", tmp_path / "small") == 0
    np.savez(tmp_path / "large.npz", 100 * small)
    assert _export(*common, tmp_path / "large.npz", "--out", tmp_path / "large") == 0
    said, scales = [], []
    for name in ("small", "large"):
        _, builds = _builds(tmp_path / name)
        said.append(builds["onnx-int8"]["calibration"])
        model = onnx.load(tmp_path / name / builds["onnx-int8"]["file"])
        tensors = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
        (first,) = (node for node in model.graph.node if node.input[0] == "input")
        scales.append(float(tensors[first.input[1]]))
    assert said[0]["source"] == "images of images"
    assert (said[0]["calibration_images"], said[0]["test_images"]) == (4, 1)
    assert said[0]["sha256"] != said[1]["sha256"]
    # The first four images set the scale of the input, and it covers them.
    assert scales[0] * 255 == pytest.approx(small[:4].max() - small[:4].min(), rel=0.02)
    assert scales[1] == pytest.approx(100 * scales[0], rel=0.01)


def test_a_search_delivers_its_balanced_design_at_once(tmp_path, capsys):
    def search(*arguments):
        options = ["--target", "rpi4b", "--max-latency", "5ms", "--out", tmp_path / "out"]
        main = search_command.main
        return run_command(main, list(map(str, [*options, *arguments])))

    assert search("--export", "onxx") == 2
    assert "did you mean 'onnx'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert search("--export", "onnx") == 0
    entry, builds = _builds(tmp_path / "out")
    assert "balanced" in entry["picks"]
    assert builds["onnx"]["file"] in capsys.readouterr().out
    model = onnx.load(tmp_path / "out" / builds["onnx"]["file"])
    assert network_of(model).params == entry["params"]


def test_trained_weights_go_round_through_pytorch(front, tmp_path):
    pytest.importorskip("torch", reason="needs the extra torch")
    from flash.backends import module_weights
    from flash.export import load_torch

    options = [front, "--design", "fastest", "--format"]
    assert _export(*options, "torch", "--out", tmp_path / "first", "--seed", 5) == 0
    module = load_torch(tmp_path / "first" / "manifest.json")
    weights = trained_looking(module_weights(module), 1)
    np.savez(tmp_path / "trained.npz", **weights)
    again = ["torch,onnx", "--weights", tmp_path / "trained.npz", "--out", tmp_path / "second"]
    assert _export(*options, *again) == 0
    entry, builds = _builds(tmp_path / "second")
    assert entry["weights"].startswith("trained.npz, SHA-256 ")
    loaded = load_torch(tmp_path / "second" / "manifest.json")
    assert all(np.array_equal(a, weights[name]) for name, a in module_weights(loaded).items())
    # The .pt file is a source of weights too, and gives the same model.
    state = tmp_path / "second" / builds["torch"]["file"]
    assert _export(*options, "onnx", "--weights", state, "--out", tmp_path / "third") == 0
    _, third = _builds(tmp_path / "third")
    assert third["onnx"]["sha256"] == builds["onnx"]["sha256"]


# ---------------------------------------------------------------------------- wrong inputs


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--design", "balancd"], 2, "did you mean 'balanced'"),
        (["--designs", "fastest,zzzz"], 2, "has no design 'zzzz'"),
        (["--design", "fastest", "--designs", "fastest"], 2, "not both"),
        (["--format", "onxx"], 2, "did you mean 'onnx'"),
        (["--format", "onnx,int8"], 2, "did you mean 'onnx-int8'"),
        (["--format", "nosuch"], 2, "onnx, onnx-boxes, onnx-int8, onnx-nms, torch, tvm"),
        (["--weights", "none.npz"], 4, "no such file: none.npz"),
        (["--designs", "fastest,balanced", "--weights", "none.npz"], 2, "one at a time"),
        (["--format", "onnx-int8", "--calibration", "none"], 4, "no such file or folder: none"),
        (["--seed", "-1"], 2, "--seed"),
        (["--out", "/dev/null/build"], 2, "cannot write /dev/null/build"),
        (["--space", "nasbench201"], 4, "nasbench201 has 15,625"),
        (["--space", "nope"], 2, "unknown space 'nope'"),
        (["--desing", "fastest"], 2, "did you mean '--design'"),
    ],
)
def test_wrong_arguments_get_one_line_and_leave_nothing(
    front, arguments, code, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert _export(front, *arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def _cut(text):
    return text[: len(text) // 2]


def _other_params(text):
    document = json.loads(text)
    for design in document["front"]:
        design["params"] += 1
    return json.dumps(document)


def _no_such_value(text):
    document = json.loads(text)
    for design in document["front"]:
        design["design"]["w1"] = 7
    return json.dumps(document)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_cut, "not valid JSON"),
        (lambda _: '{"schema": "flash.profile/1"}', 'expected schema = "flash.search/1"'),
        (_other_params, "does not have the id, params and MACs"),
        (_no_such_value, "w1=7 is not in space"),
    ],
)
def test_a_report_that_is_not_what_it_says_is_refused(front, change, message, tmp_path, capsys):
    wrong = tmp_path / "wrong.json"
    wrong.write_text(change(front.read_text(encoding="utf-8")), encoding="utf-8")
    assert _export(wrong, "--out", tmp_path / "build") == 4
    error = capsys.readouterr().err
    assert f"{wrong}: " in error
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "build").exists()


def test_a_list_of_estimates_is_told_from_a_front(tmp_path, capsys):
    (tmp_path / "designs.txt").write_text("w=8,16,32 d=3,3,3 t=0,0,0\n")
    place = tmp_path / "estimates.json"
    words = ["--space", "cifar10-concat", "--designs", tmp_path / "designs.txt", "--json", place]
    assert run_command(estimate_command.main, [str(word) for word in words]) == 0
    assert _export(place, "--out", tmp_path / "build") == 4
    error = capsys.readouterr().err
    assert f"{place}: is a list of estimates, as flash estimate writes it, not the front" in error
    assert "[{" not in error and error.count("\n") == 1


def test_a_missing_report_is_named(tmp_path, capsys):
    assert _export(tmp_path / "none.json", "--out", tmp_path / "build") == 4
    assert "no such file: " in capsys.readouterr().err


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_extra_nothing_is_written(front, package, tmp_path):
    code = (
        f"import sys; sys.modules[{package!r}] = None; import flash.export.command as e;"
        "from flash.command import run_command; sys.exit(run_command(e.main))"
    )
    command = [sys.executable, "-c", code, str(front), "--out", str(tmp_path / "build")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (f"flash: this needs the package {package}: {install_command('onnx')}\n")
    assert not (tmp_path / "build").exists()


def test_a_model_that_fails_its_check_is_not_written(front, tmp_path, monkeypatch, capsys):
    import flash.backends.onnx.session as session

    def sick(content, inputs):
        return {"output": np.full((1, 10), np.nan, np.float32)}

    monkeypatch.setattr(session, "run_onnx", sick)
    assert _export(front, "--design", "fastest", "--out", tmp_path / "build") == 1
    assert "not finite" in capsys.readouterr().err
    assert not (tmp_path / "build").exists()


def test_weights_that_overflow_are_found_by_running_the_model():
    network = load_space("nasbench-macro").network(np.full(8, 1))
    weights = {k: v * np.float32(1e30) for k, v in random_weights(network).items()}
    with pytest.raises(FlashError, match="not finite"):
        verify_onnx(network_model(network, weights).SerializeToString())


def _other_shape(weights):
    return weights | {"head.linear0.weight": np.zeros((2, 2), np.float32)}


def _one_missing(weights):
    return {k: v for k, v in weights.items() if k != "head.linear0.weight"}


def _one_more(weights):
    return weights | {"extra.weight": np.zeros(3, np.float32)}


def _not_a_number(weights):
    return weights | {"head.linear0.weight": weights["head.linear0.weight"] * np.float32(np.nan)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_other_shape, "head.linear0.weight has shape (2, 2)"),
        (_one_missing, "lacks head.linear0.weight"),
        (_one_more, "holds extra.weight, which this design has not"),
        (_not_a_number, "no finite number"),
    ],
)
def test_weights_of_another_network_are_refused(front, change, message, tmp_path, capsys):
    report = read_search(front.read_text(encoding="utf-8"))
    design = next(d for d in report.front if d.id == report.picks.fastest)
    space = load_space(report.space.name)
    path = tmp_path / "w.npz"
    np.savez(path, **change(random_weights(space.network(space.design(design.design)))))
    options = ["--design", "fastest", "--weights", path, "--out", tmp_path / "build"]
    assert _export(front, *options) == 4
    error = capsys.readouterr().err
    assert error.startswith(f"flash: {path}: ")
    assert message in error
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize("name", ["w.npz", "w.pt", "w.npy"])
def test_weights_that_are_no_weights_are_refused(front, name, tmp_path, capsys):
    if name == "w.pt":
        pytest.importorskip("torch", reason="needs the extra torch")
    path = tmp_path / name
    if name == "w.npy":
        np.save(path, np.zeros(3))
    else:
        path.write_bytes(b"PK\x03\x04 nothing")
    assert _export(front, "--weights", path, "--out", tmp_path / "build") == 4
    error = capsys.readouterr().err
    assert f"{path}: no " in error
    assert error.count("\n") == 1
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 16, 16), np.float32), "shape (3, 16, 16); expected images of shape"),
        (np.full((3, 32, 32), np.inf, np.float32), "expected finite numbers"),
        (np.full((3, 32, 32), "x"), "expected numbers"),
    ],
)
def test_images_that_do_not_fit_are_refused(front, array, message, tmp_path, capsys):
    np.save(tmp_path / "a.npy", array)
    options = ["--format", "onnx-int8", "--out", tmp_path / "build", "--calibration"]
    assert _export(front, *options, tmp_path / "a.npy") == 4
    assert message in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert _export(front, *options, tmp_path / "empty") == 4
    assert "no .npy or .npz in this folder" in capsys.readouterr().err
    assert not (tmp_path / "build").exists()
