"""Detectors: every view of the family agrees, published counts, outputs, decoding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flash.errors import SpaceError, UsageError
from flash.evaluation import evaluate, evaluate_network, separable
from flash.metrics import peak_activation_elements
from flash.spaces.families.detector.styles import STYLES
from flash.spaces.family import InputShape
from flash.spaces.reference.detectors import detector_network, detector_values
from flash.spaces.space import load_space
from flash.spaces.stage_tables import tabulate
from flash.spaces.table import network_table
from flash.targets import load_target
from flash.testing import FamilyConformance, small_space

#: A design or two of every part of every style, for 64 x 64 images.
SMALL = {
    "side": (32, 64),
    "style": tuple(sorted(STYLES)),
    "w3": (16, 32),
    "d2": (1,),
    "d3": (1, 2),
    "w4": (32, 48),
    "d4": (1,),
    "w5": (64,),
    "d5": (1, 3),
    "n1": (1, 2),
    "n2": (1,),
    "h3": (50, 100),
    "n3": (1,),
    "h4": (100,),
    "n4": (1, 2),
    "h5": (100, 130),
}


def detectors(activation=2, **changes):
    return small_space(
        "detector", SMALL | changes, {"activation": activation, "bins": 4}, InputShape(3, 64, 64), 3
    )


class TestDetectors(FamilyConformance):
    @pytest.fixture(params=[1, 2], ids=["relu", "silu"])
    def space(self, request):
        return detectors(request.param)


#: Parameters as published with YOLOv8's head (the 16 of its fixed last convolution left out), and
#: GFLOPs, two a multiply-accumulate, rounded as the tables round them; YOLOv6's were counted on
#: the networks that ultralytics 8.4.190 builds.
PUBLISHED = {
    "yolo5n": (2_654_800, 7.7),
    "yolo5s": (9_153_136, 24.0),
    "yolo5m": (25_111_440, 64.2),
    "yolo6un": (4_500_064, 13.0),
    "yolo6us": (16_452_176, 44.4),
    "yolo8n": (3_157_184, 8.7),
    "yolo8s": (11_166_544, 28.6),
    "yolo8m": (25_902_624, 78.9),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name):
    network = detector_network(name)
    params, gflops = PUBLISHED[name]
    assert network.params == params
    assert 2e-9 * network.macs == pytest.approx(gflops, rel=0.01)


def test_three_maps_of_boxes_and_classes():
    network = detector_network("yolo8n_160", classes=20)
    assert [(int(x.channels), int(x.height)) for x in network.outputs] == [
        (84, 20),
        (84, 10),
        (84, 5),
    ]


def _of_three_styles():
    """The least two values of each variable, and three styles."""
    space = load_space("detector-voc")
    space = space.narrowed([np.arange(min(len(grid), 2)) for grid in space.grids])
    return replace(space, grids=(space.grids[0], np.array([5, 7, 61]), *space.grids[2:]))


def test_tables_of_stages_know_one_style_at_a_time():
    # Two styles in one table keep each other's maps alive: memory that no detector takes.
    space = _of_three_styles()
    designs = space.sample(60, np.random.default_rng(3))
    tables = tabulate(
        space,
        lambda table: {
            "macs": table.macs.sum(axis=0).astype(float),
            "peak": peak_activation_elements(table).astype(float),
        },
        None,
        {"macs": "sum", "peak": "max"},
    )
    found = tables.evaluate(designs)
    alone = [network_table(space.network(design)) for design in designs]
    assert found["macs"].tolist() == [float(table.macs.sum()) for table in alone]
    peaks = np.array([peak_activation_elements(table)[0] for table in alone])
    assert (found["peak"] <= peaks).all()
    assert (found["peak"] == peaks).mean() > 0.6  # the others hold maps for later stages


def test_a_peak_that_was_not_tabulated_is_that_of_the_network():
    space, target = _of_three_styles(), load_target("rpi4b")
    designs = space.sample(20, np.random.default_rng(3))
    tables = separable(space, target, "nn_degree", peaks=False)
    found = evaluate(space, target, designs, tables).activation_kb
    alone = [evaluate_network(space.network(design), target) for design in designs]
    assert found.tolist() == [network.activation_kb[0] for network in alone]


def test_names():
    values = detector_values("yolo6m-d33w25_160")
    assert (values["side"], values["style"], values["w5"]) == (160, 61, 256)
    assert detector_values("yolo8m")["w5"] == 576  # 768 channels at most, times 0.75
    for wrong in ("yolo9n", "resnet18", "yolo8d40w25", "yolo6n"):
        with pytest.raises(UsageError, match="is no detector"):
            detector_values(wrong)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side": (48,)}, "takes 32 to 64|multiples of 32"),
        ({"side": (96,)}, "takes 32 to 64"),
        ({"style": (9,)}, "family detector knows 3, 4, 5"),
        ({"w3": (20,)}, "multiples of 8"),
        ({"h4": (0,)}, "takes 10 to 400"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, message):
    with pytest.raises(SpaceError, match=message):
        detectors(**changes)


def test_the_module_computes_what_the_file_computes():
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    from flash.backends import network_model, random_weights, run_onnx, torch_network

    for name in ("yolo6s-d33w25_64", "yolo7n_64", "yolo8n_64"):
        network = detector_network(name, classes=3)
        weights = random_weights(network, 1)
        image = np.random.default_rng(0).standard_normal((1, 3, 64, 64), dtype=np.float32)
        by_file = run_onnx(network_model(network, weights), {"input": image})
        module = torch_network(network, weights).eval()
        with torch.no_grad():
            by_module = module(torch.from_numpy(image))
        assert list(by_file) == ["output0", "output1", "output2"]
        for a, b in zip(by_file.values(), by_module, strict=True):
            assert np.allclose(a, b.numpy(), atol=1e-4 * np.abs(a).max())


def ordered(network):
    from flash.backends import random_weights
    from flash.export.order import Order

    return Order(network, "detector", random_weights(network, 2), "random", seed=3)


def test_boxes_by_hand():
    """One position whose distributions are certain: the box follows from its centre."""
    from flash.export.detection import decode_boxes

    bins, side = 8, 32
    raw = np.zeros((1, 4 * bins + 2, 2, 2), dtype=np.float32)  # stride 16
    for border, distance in enumerate((1, 0, 2, 3)):  # left, top, right, bottom
        raw[0, border * bins + distance, 1, 0] = 100.0
    raw[0, 4 * bins :, 1, 0] = 0.0, 100.0
    boxes, scores = decode_boxes([raw], side, bins)
    # The centre of row 1, column 0 is (8, 24).
    assert np.allclose(boxes[2], [8 - 16, 24, 8 + 32, 24 + 48], atol=1e-3)
    assert np.allclose(scores[2], [0.5, 1.0])
    # Elsewhere every distance is as likely: the mean of 0 ... 7.
    assert np.allclose(boxes[0], [8 - 56, 8 - 56, 8 + 56, 8 + 56])


def test_boxes_are_decoded_in_the_file():
    pytest.importorskip("onnxruntime")
    from flash.export.exporter import EXPORTERS

    order = ordered(detector_network("yolo8n_64", classes=3))
    build = EXPORTERS["onnx-boxes"].build(order)  # compares with numpy
    assert list(build.files) == ["detector-boxes.onnx"]
    shapes = {x["name"]: x["shape"] for x in build.entry["outputs"]}
    assert shapes == {"boxes": [1, 84, 4], "scores": [1, 3, 84]}


def test_the_best_boxes_are_chosen_in_the_file():
    pytest.importorskip("onnxruntime")
    from flash.backends import IOU_THRESHOLD, SCORE_THRESHOLD, run_onnx
    from flash.export.exporter import EXPORTERS

    order = ordered(detector_network("yolo8n_64", classes=3))
    (whole,) = EXPORTERS["onnx-boxes"].build(order).files.values()
    (content,) = EXPORTERS["onnx-nms"].build(order).files.values()
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 64), dtype=np.float32)
    found = run_onnx(content, {"input": image})["detections"]
    every = run_onnx(whole, {"input": image})
    kept = suppressed(every["boxes"][0], every["scores"][0], SCORE_THRESHOLD, IOU_THRESHOLD)
    assert 0 < len(kept) < int((every["scores"] > SCORE_THRESHOLD).sum())
    expected = np.array([[*every["boxes"][0][k], every["scores"][0][c, k], c] for c, k in kept])
    # Both in the order of class, then of score.
    assert np.allclose(found, expected, atol=1e-3)


def suppressed(boxes, scores, least, overlap):
    """Non-maximum suppression class by class, written anew: (class, position) that are left."""
    left = []
    for number, own in enumerate(scores):
        kept = []
        for k in np.argsort(-own, kind="stable"):
            if own[k] > least and all(iou(boxes[k], boxes[j]) <= overlap for j in kept):
                kept.append(k)
        left += [(number, k) for k in kept]
    return left


def iou(a, b):
    width, height = (max(0.0, min(a[2 + i], b[2 + i]) - max(a[i], b[i])) for i in (0, 1))
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return width * height / (sum(areas) - width * height)


def test_a_classifier_has_no_boxes():
    pytest.importorskip("onnxruntime")
    from flash.export.exporter import EXPORTERS
    from flash.testing.small import small_network

    for name in ("onnx-boxes", "onnx-nms"):
        with pytest.raises(UsageError, match="boxes are decoded of detectors"):
            EXPORTERS[name].build(ordered(small_network()))


def test_every_form_of_a_detector_is_delivered():
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    from flash.export.exporter import EXPORTERS

    order = ordered(detector_network("yolo5n_64", classes=3))
    builds = {name: EXPORTERS[name].build(order) for name in ("onnx", "onnx-int8", "torch")}
    assert [x["shape"] for x in builds["onnx"].entry["outputs"]] == [
        [1, 67, 8, 8],
        [1, 67, 4, 4],
        [1, 67, 2, 2],
    ]
    assert builds["onnx-int8"].entry["output_error"]["relative_rms"] < 0.3


@pytest.fixture(scope="module")
def found():
    from flash.search import search

    return search("rpi4b", "detector-voc", max_latency_ms=60)


def test_a_search_finds_certified_detectors_by_map(found):
    assert found.optimizer.certified and found.accuracy.measure == "mAP50-95"
    assert found.target["runtime"] == "ort"  # what the profile has for detectors
    assert all(d.latency_ms.value <= 60 and d.accuracy is not None for d in found.front)
    best = max(found.front, key=lambda d: d.accuracy.value)
    assert 40 < best.accuracy.low < best.accuracy.value < best.accuracy.high < 75
    assert "mAP50-95" in str(found) and "mAP50-95" in repr(found)


def test_a_runtime_that_is_named_is_the_one_in_use():
    from flash.search.loading import load_problem
    from flash.targets import load_target

    assert load_target("rpi4b", family="detector").summary()["runtime"] == "ort"
    assert load_target("rpi4b").summary()["runtime"] == "tflite"
    named = load_problem("rpi4b:tflite", None, None, "detector-voc")
    assert named.target.summary()["runtime"] == "tflite"


def test_what_was_searched_within_the_trained_is_delivered(found, tmp_path):
    pytest.importorskip("onnxruntime")
    from flash.export import export

    report = tmp_path / "front.json"
    report.write_text(found.to_json())
    done = export(report, ["fastest"], tmp_path / "build")
    assert not any("note:" in line for line in done.lines())  # both are onnxruntime's
    other = found.to_json().replace('"framework": "onnxruntime', '"framework": "TFLite')
    report.write_text(other)
    assert (
        export(report, ["fastest"], tmp_path / "other")
        .lines()[-1]
        .startswith("note: the latency expected is in TFLite")
    )


def test_what_is_made_for_classifiers_says_so(tmp_path):
    pytest.importorskip("torch")
    from flash.calibrate import calibrate
    from flash.proxies.scoring import score_network

    with pytest.raises(UsageError, match="flash trains classifiers"):
        calibrate("detector-voc", tmp_path)
    found = score_network(detector_network("yolo5n_64", classes=3), ["naswot"])
    assert np.isnan(found["naswot"])
    assert "it returns 3 tensors" in found.failures["naswot"]
