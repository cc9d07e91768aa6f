"""The Jetson Nano's profile on classifiers that it was not fitted to."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from flash.evaluation.designs import evaluate_network
from flash.spaces.reference import reference_network
from flash.targets import load_target

DATA = Path(__file__).resolve().parents[2] / "shared/data/timm_boards/jetson_nano_ort.csv.gz"
#: Of timm -> ours. None of them is among the 150 of scripts/fit_jetson.py.
OTHERS = {
    "mobilenetv2_100.ra_in1k": "mobilenet_v2",
    "efficientnet_lite0.ra_in1k": "efficientnet_lite0",
    "vgg19": "vgg19",
    "resnet50": "resnet50",
}


@pytest.mark.skipif(not DATA.exists(), reason=f"third-party data is not here: {DATA}")
@pytest.mark.parametrize(
    ("runtime", "column", "within"),
    [("ort-cpu", "jetson_nano_cpu_ort_ms", 0.2), ("ort-cuda", "jetson_nano_gpu_ort_ms", 0.3)],
)
def test_classifiers_that_were_not_fitted_are_predicted(runtime, column, within):
    target = load_target(f"jetson-nano:{runtime}")
    with gzip.open(DATA, "rt", encoding="utf-8") as file:
        rows = {r["model"]: float(r[column]) for r in csv.DictReader(file) if r["model"] in OTHERS}
    assert len(rows) == len(OTHERS)
    inside = 0
    for name, own in OTHERS.items():
        value, low, high = evaluate_network(reference_network(own), target).latency_ms
        assert value[0] == pytest.approx(rows[name], rel=within)
        inside += int(low[0] <= rows[name] <= high[0])
    # Of four 90 % intervals one may miss (one in twenty times two do).
    assert inside >= len(OTHERS) - 1
