"""Detectors: every view of the family agrees, published counts, outputs, decoding."""

from __future__ import annotations

import numpy as np
import pytest

from flash.errors import SpaceError, UsageError
from flash.spaces.families.detector.styles import STYLES
from flash.spaces.family import InputShape
from flash.spaces.reference.detectors import detector_network, detector_values
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
#: GFLOPs, two a multiply-accumulate, rounded as the tables round them.
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
