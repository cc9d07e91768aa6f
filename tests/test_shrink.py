"""Anyone's model as a space of its smaller variants: exact, running, cut where it matters."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from flash.__main__ import _dispatch
from flash.command import run_command
from flash.metrics import METRICS, peak_activation_elements
from flash.shrink import shrink
from flash.shrink.pipeline import space_text
from flash.spaces.layers import Layer
from flash.spaces.sizes import Size
from flash.spaces.space import load_space
from flash.spaces.stage_tables import tabulate
from flash.targets.processor.costs import call_ms, costs
from flash.targets.processor.profile import load_profile
from flash.testing import FamilyConformance

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from onnx_models import model as onnx_model  # noqa: E402
from onnx_models import node  # noqa: E402
from user_networks import SMALL, trained_looking  # noqa: E402

from flash.backends import (  # noqa: E402
    module_model,
    network_of,
    read_onnx,
    run_graph,
    run_onnx,
    torch_graph,
    variants_of,
)

_SIZES = [f.name for f in fields(Layer) if f.name not in ("inputs", "stage", "cell")]


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Each small network: its file, its variants, its space's file."""
    made = {}

    def get(name):
        if name not in made:
            torch.manual_seed(0)
            make, shape = SMALL[name]
            folder = tmp_path_factory.mktemp(name)
            model = module_model(trained_looking(make()), torch.randn(*shape))
            onnx.save(model, folder / "given.onnx")
            variants = variants_of(model, name)
            document = variants.document(name, f"{name}.onnx")
            (folder / f"{name}.graph.json").write_text(json.dumps(document))
            (folder / f"{name}.toml").write_text(space_text(name, document))
            (folder / f"{name}.onnx").write_bytes(variants.content)
            made[name] = folder / "given.onnx", variants, folder / f"{name}.toml"
        return made[name]

    return get


def noise(variants, seed=0):
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(s).astype(np.float32) for n, s in variants.frozen.inputs.items()}


@pytest.mark.parametrize("name", SMALL)
def test_the_largest_variant_is_the_model(models, name):
    path, variants, file = models(name)
    space = load_space(str(file))
    largest = space.network(space.design(variants.largest))
    given = read_onnx(path)
    assert (largest.macs, largest.params) == (given.macs, given.params)
    feeds = noise(variants)
    found = run_onnx(variants.model(variants.largest), feeds)
    for output, want in run_onnx(path.read_bytes(), feeds).items():
        np.testing.assert_allclose(found[output], want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_every_variant_is_what_reading_its_file_gives_and_runs(models, name):
    _, variants, file = models(name)
    space = load_space(str(file))
    ends = [[0] * len(space.grids), [len(g) - 1 for g in space.grids]]
    drawn = np.concatenate([space.sample(6, np.random.default_rng(1)), np.array(ends)])
    for design in drawn:
        network = space.network(design)
        model = variants.model(space.named(design))
        read = network_of(model)
        assert (network.macs, network.params) == (read.macs, read.params)
        for own, given in zip(network.layers, read.layers, strict=True):
            assert [getattr(own, f) for f in _SIZES] == [getattr(given, f) for f in _SIZES]
            assert [int(x.producer) for x in own.inputs] == [int(x.producer) for x in given.inputs]
        feeds = noise(variants)
        want = run_onnx(model, feeds)
        found = run_graph(torch_graph(model), feeds)
        for output in want:
            np.testing.assert_allclose(found[output], want[output], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_stages_add_up_memory_included(models, name):
    space, profile = load_space(str(models(name)[2])), load_profile("x86-zen4")
    # Of each variable four values at most, the least and others: sums do not depend on how many.
    space = replace(space, grids=tuple(grid[:: -(-len(grid) // 4)] for grid in space.grids))
    designs = space.sample(30, np.random.default_rng(0))
    problem = tabulate(
        space,
        lambda table: {
            "macs": table.macs.sum(axis=0).astype(float),
            "peak": peak_activation_elements(table).astype(float),
            "latency_ms": costs(table, profile)["latency_ms"],
        },
        lambda table: {},
        {"macs": "sum", "peak": "max", "latency_ms": "sum"},
    )
    # What a run costs whatever the network is counts once.
    assert call_ms(profile) > 0
    np.testing.assert_allclose(
        problem.evaluate(designs)["latency_ms"], costs(space.table(designs), profile)["latency_ms"]
    )
    found, whole = problem.evaluate(designs), space.table(designs)
    np.testing.assert_array_equal(found["macs"], whole.macs.sum(axis=0))
    np.testing.assert_array_equal(found["peak"], peak_activation_elements(whole))


def test_a_batch_is_every_input_alone(models):
    _, variants, _ = models("vit")
    module = torch_graph(variants.model(variants.largest))
    images = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        together = module(images)
        alone = torch.cat([module(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


class TestModelSpace(FamilyConformance):
    """A space of a model is one like any other."""

    @pytest.fixture
    def space(self, models):
        return load_space(str(models("resnet")[2]))

    def test_the_networks_run(self):
        """Variants are cut from the model: see above."""


def test_what_belongs_together_varies_together(models):
    kinds = {name: [c.kind for c in models(name)[1].choices] for name in SMALL}
    assert kinds["vit"].count("heads") == 1 and kinds["vit"].count("depth") == 1
    assert kinds["resnet"].count("depth") == 2  # three equal blocks, and the gated one
    depth = next(c for c in models("vit")[1].choices if c.kind == "depth")
    assert depth.values == (1, 2, 3)
    # The gate's squeezed width follows the width it gates; so every group follows a variable.
    _, variants, _ = models("resnet")
    followed = {g for c in variants.choices for g in c.units}
    assert followed == set(range(len(variants.units.groups)))
    # Whole groups of a grouped convolution stay or go.
    assert any(g.per == 8 and g.units == 4 for g in variants.units.groups)
    assert all("returns" in why for why in variants.document_fixed.values())


def test_the_most_important_filters_are_kept():
    """Two convolutions by hand: rows of the first and columns of the second, by their norms."""
    rng = np.random.default_rng(0)
    first = rng.standard_normal((8, 3, 3, 3)).astype(np.float32)
    second = rng.standard_normal((4, 8, 3, 3)).astype(np.float32)
    h = onnx.helper
    nodes = [
        h.make_node("Conv", ["x", "a"], ["y"], pads=[1, 1, 1, 1]),
        h.make_node("Relu", ["y"], ["z"]),
        h.make_node("Conv", ["z", "b"], ["out"], pads=[1, 1, 1, 1]),
    ]
    graph = h.make_graph(
        nodes,
        "g",
        [h.make_tensor_value_info("x", 1, [1, 3, 6, 6])],
        [h.make_tensor_value_info("out", 1, [1, 4, 6, 6])],
        [onnx.numpy_helper.from_array(first, "a"), onnx.numpy_helper.from_array(second, "b")],
    )
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    variants = variants_of(model)
    (choice,) = variants.choices
    smaller = variants.model({choice.name: 4})
    share = (first**2).sum((1, 2, 3)) / (first**2).sum()
    share = share + (second**2).sum((0, 2, 3)) / (second**2).sum()
    kept = np.sort(np.argsort(-share)[:4])
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in smaller.graph.initializer}
    np.testing.assert_array_equal(weights["a"], first[kept])
    np.testing.assert_array_equal(weights["b"], second[:, kept])


def test_kept_importance_is_the_share_of_norms(models):
    _, variants, file = models("dscnn")
    space = load_space(str(file))
    largest, smallest = space.design(variants.largest), np.zeros(len(space.grids), dtype=int)
    metric = METRICS["kept_importance"]
    both = np.stack([largest, smallest])
    found = metric.of_designs(space, both)["kept_importance"]
    assert found[0] == pytest.approx(1.0)
    weights = {
        t.name: onnx.numpy_helper.to_array(t) for t in variants.frozen.model.graph.initializer
    }
    small = variants.model(space.named(smallest))
    kept = {t.name: onnx.numpy_helper.to_array(t) for t in small.graph.initializer}
    shares = [
        np.linalg.norm(kept[n.input[1]]) / np.linalg.norm(weights[n.input[1]])
        for n in variants.frozen.nodes
        if n.op_type in ("Conv", "Gemm", "MatMul")
    ]
    want = np.mean([max(0.0, 1 - np.log2(1 / s) / 4) for s in shares])
    assert found[1] == pytest.approx(want, abs=1e-6)


def test_shrink_waits_for_no_lock_of_its_own(models, tmp_path, monkeypatch):
    monkeypatch.setattr("flash.files.writing.time.sleep", lambda s: pytest.fail("it waited"))
    shrink(models("resnet")[0], "rpi4b", max_latency_share=0.5, out=tmp_path / "out")


def test_shrink_writes_what_it_says(models, tmp_path, capsys):
    path, variants, _ = models("resnet")
    out = tmp_path / "out"
    report = shrink(path, "rpi4b", max_latency_share=0.5, out=out)
    assert report.smaller.latency_ms.value <= 0.5 * report.original.latency_ms.value
    assert report.original.score == pytest.approx(1.0)
    smaller = out / f"given-{report.chosen}.onnx"
    read = read_onnx(smaller)
    assert (read.params, read.macs) == (report.smaller.params, report.smaller.macs)
    assert "original" in (out / "front.svg").read_text()
    state = torch.load(out / f"given-{report.chosen}.pt", weights_only=True)
    assert sum(t.numel() for t in state.values()) >= read.params
    # The space is one like any other.
    words = ["search", "--space", str(out / "given.toml"), "--target", "rpi4b", "--optimizer"]
    assert run_command(_dispatch, [*words, "exact", "--out", str(tmp_path / "s")]) == 0
    first = json.loads((out / "front.json").read_text())["space"]["size"]
    assert first == json.loads((tmp_path / "s" / "front.json").read_text())["space"]["size"]


def test_a_model_beyond_what_was_measured_has_its_variants_there_too(tmp_path):
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, 2, 1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, 2, 1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(32, 32, 3, 1, 1),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 4),
    )
    onnx.save(module_model(module.eval(), torch.randn(1, 3, 384, 384)), tmp_path / "large.onnx")
    report = shrink(
        tmp_path / "large.onnx", "jetson-nano", max_latency_share=0.9, out=tmp_path / "out"
    )
    assert report.original.latency_ms.extrapolated
    share = report.smaller.latency_ms.value / report.original.latency_ms.value
    assert 0.7 < share <= 0.9
    assert any("unlike what was measured" in note for note in report.notes)


def test_a_design_of_the_space_is_exported_with_the_weights_it_inherits(models, tmp_path):
    path, variants, _ = models("resnet")
    out = tmp_path / "out"
    report = shrink(path, "rpi4b", max_latency_share=0.5, out=out)
    words = ["export", str(out / "front.json"), "--space", str(out / "given.toml"), "--design"]
    words += [report.chosen, "--format", "onnx,onnx-int8,torch", "--out", str(tmp_path / "b")]
    assert run_command(_dispatch, words) == 0
    image = noise(variants)
    (feed,) = image.values()
    model = onnx.load(tmp_path / "b" / f"given-{report.chosen}.onnx")
    (found,) = run_onnx(model, {"input": feed}).values()
    (want,) = run_onnx(variants.model(report.smaller.design), image).values()
    np.testing.assert_allclose(found, want, atol=1e-5)
    # Trained weights by the names of the model's tensors take the place of the inherited ones.
    state = torch.load(tmp_path / "b" / f"given-{report.chosen}.pt", weights_only=True)
    torch.save({name: tensor * 0 for name, tensor in state.items()}, tmp_path / "zero.pt")
    scaling = {"schema": "flash.preprocessing/1", "names": ["a"], "mean": [0.0]}
    (tmp_path / "preprocessing.json").write_text(json.dumps(scaling))
    words = [*words[:6], "--weights", str(tmp_path / "zero.pt"), "--out", str(tmp_path / "z")]
    assert run_command(_dispatch, words) == 0
    model = onnx.load(tmp_path / "z" / f"given-{report.chosen}.onnx")
    assert not np.any(next(iter(run_onnx(model, {"input": feed}).values())))
    assert {p.key: p.value for p in model.metadata_props}["flash.preprocessing"]
    manifest = json.loads((tmp_path / "z" / "manifest.json").read_text())
    assert manifest["designs"][0]["preprocessing"] == scaling
    # What was changed since is refused.
    (out / "given.onnx").write_bytes(path.read_bytes() + b" ")
    assert run_command(_dispatch, words) == 4


def test_designs_of_the_space_are_estimated(models, tmp_path, capsys):
    _, variants, file = models("vit")
    (tmp_path / "d.txt").write_text(json.dumps(variants.largest) + "\n")
    words = ["estimate", "--space", str(file), "--designs", str(tmp_path / "d.txt"), "--json", "-"]
    assert run_command(_dispatch, [*words, "--target", "rpi4b"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    given = read_onnx(models("vit")[0])
    assert (row["params"], row["macs"]) == (given.params, given.macs)


def test_the_same_seed_gives_the_same_files(models, tmp_path):
    path = models("dscnn")[0]
    for folder in ("a", "b"):
        shrink(path, max_latency_share=0.8, out=tmp_path / folder)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_the_written_file_keeps_the_limit_where_it_costs_more_than_its_space_says(
    models, tmp_path, monkeypatch
):
    path = models("resnet")[0]
    plain = shrink(path, max_latency_share=0.7, out=tmp_path / "plain")
    limit = plain.limits["latency_ms"]

    def dearer(variants, target, chosen):  # as changes of layout between stages make it
        return 1.1 * chosen.latency_ms.value

    monkeypatch.setattr("flash.shrink.pipeline._file_ms", dearer)
    found = shrink(path, max_latency_share=0.7, out=tmp_path / "dearer")
    assert found.limits["latency_ms"] == limit
    assert 1.1 * found.smaller.latency_ms.value <= limit < 1.1 * plain.smaller.latency_ms.value
    front = json.loads((tmp_path / "dearer" / "front.json").read_text())
    assert front["limits"]["latency_ms"] == limit


def test_data_brings_the_variant_nearer_to_the_model(models, tmp_path):
    path, _, _ = models("resnet")
    data = tmp_path / "x.npy"
    np.save(data, np.random.default_rng(0).standard_normal((64, 3, 16, 16)).astype(np.float32))
    given = shrink(path, max_latency_share=0.6, data=data, out=tmp_path / "with")
    noise_only = shrink(path, max_latency_share=0.6, out=tmp_path / "without")
    assert given.agreement.matched > 0 and noise_only.agreement.matched == 0
    assert given.agreement.relative_rms < noise_only.agreement.relative_rms


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["none.onnx"], 4, "no such file: none.onnx"),
        (["{model}", "--max-latency", "1us"], 3, "binds"),
        (["{model}", "--max-latency", "200%"], 2, "above 0 and up to 100"),
        (["{model}", "--metric", "kept_importanc"], 2, "did you mean 'kept_importance'"),
        (["{model}", "--out", "{model}"], 2, "Not a directory"),
        (["{model}", "--design", "best"], 2, "no design 'best'"),
        (["{model}", "--data", "none.npy"], 4, "no such file"),
        (["{quantized}"], 4, "quantized"),
    ],
)
def test_wrong_arguments_are_one_line(models, tmp_path, capsys, monkeypatch, words, code, message):
    monkeypatch.chdir(tmp_path)
    h = onnx.helper
    one = onnx.numpy_helper.from_array(np.array(1.0, np.float32), "s")
    graph = h.make_graph(
        [h.make_node("QuantizeLinear", ["x", "s"], ["y"])],
        "g",
        [h.make_tensor_value_info("x", 1, [1, 3])],
        [h.make_tensor_value_info("y", 2, [1, 3])],
        [one],
    )
    onnx.save(h.make_model(graph, ir_version=8, opset_imports=[h.make_opsetid("", 17)]), "q.onnx")
    places = {"model": str(models("dscnn")[0]), "quantized": "q.onnx"}
    assert run_command(_dispatch, ["shrink", *(w.format(**places) for w in words)]) == code
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "flash-shrink").exists()


def test_each_model_has_a_folder_of_its_own(models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("dscnn", "resnet"):
        file = models(name)[0].with_name(f"{name}.onnx")
        words = ["shrink", str(file), "--max-latency", "70%", "--quiet"]
        assert run_command(_dispatch, words) == 0
    for name in ("dscnn", "resnet"):
        folder = tmp_path / "flash-shrink" / name
        assert json.loads((folder / "shrink.json").read_text())["model"] == name
        here = {path.name for path in folder.iterdir()}
        assert here >= {"front.json", "front.csv", "front.svg", f"{name}.toml", f"{name}.onnx"}
    assert {path.name for path in (tmp_path / "flash-shrink").iterdir()} == {"dscnn", "resnet"}


def test_a_model_in_which_nothing_varies_says_why(tmp_path, capsys):
    """Weights that nodes compute are nobody's to choose among (the ONNX package's light models)."""
    value = onnx.helper.make_tensor("value", onnx.TensorProto.FLOAT, [1], [0.5])
    nodes = [
        node("ConstantOfShape", ["sides"], ["w"], value=value),
        node("Conv", ["x", "w"], ["y"]),
    ]
    made = onnx_model(nodes, {"x": [1, 3, 32, 32]}, {"sides": np.array([64, 3, 3, 3])})
    onnx.save(made, tmp_path / "light.onnx")
    words = ["shrink", str(tmp_path / "light.onnx"), "--target", "rpi4b"]
    assert run_command(_dispatch, [*words, "--out", str(tmp_path / "out")]) == 4
    error = capsys.readouterr().err
    assert "no width is free (" in error and error.count("\n") == 1


def test_a_damaged_graph_is_one_line(models, tmp_path):
    _, _, file = models("dscnn")
    for name in ("dscnn.toml", "dscnn.graph.json"):
        (tmp_path / name).write_text((file.parent / name).read_text())
    graph = json.loads((tmp_path / "dscnn.graph.json").read_text())
    graph["layers"][0]["out_channels"] = "many"
    (tmp_path / "dscnn.graph.json").write_text(json.dumps(graph))
    words = ["search", "--space", str(tmp_path / "dscnn.toml")]
    assert run_command(_dispatch, words) == 4


def test_sizes_are_integers_that_can_be_worked_out_again():
    rng = np.random.default_rng(0)
    for _ in range(50):
        units = {k: int(rng.integers(1, 30)) for k in range(3)}

        def built(own, plain):
            a, b, c = (
                plain[k] * 2 + k if own is None else Size.of_group(k, own[k], 2, k)
                for k in range(3)
            )
            return a * b + 3 * c - b // 2 - (-(b * 7) // 5) + (a * b * c) // a

        size = built(units, units)
        assert int(size) == built(None, units)
        other = {k: int(rng.integers(1, 30)) for k in range(3)}
        assert size.value(other) == built(None, other)
