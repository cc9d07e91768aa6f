"""Detectors against YOLOBench: one draw of what scripts/validate/detectors.py does."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

SCRIPTS = Path(__file__).parents[1] / "scripts"
sys.path.insert(0, str(SCRIPTS))
from detector_data import read_detectors, there  # noqa: E402

pytestmark = pytest.mark.skipif(not there(), reason="shared/data/yolobench is not there")


@pytest.fixture(scope="module")
def table():
    return read_detectors()


def test_every_detector_is_a_design(table):
    assert len(table.networks) == 572
    assert all(len(network.outputs) == 3 for network in table.networks)
    # More operations take longer, whatever the version: a wrong structure would stand out.
    macs = [network.macs for network in table.networks]
    assert spearmanr(macs, table["pi4_ort_ms"])[0] > 0.99


def test_latency_from_25_rows(table):
    from flash.fitting.learning import learn
    from flash.fitting.prior import unknown_prior

    y = table["pi4_ort_ms"]
    order = np.random.default_rng(0).permutation(len(y))
    some, rest = order[:25], order[25:]
    networks = [table.networks[k] for k in some]
    found = learn(
        networks, table.families[some].tolist(), y[some], None, unknown_prior(), baselines=False
    )
    predicted = found.latency_ms([table.networks[k] for k in rest])
    assert np.median(np.abs(predicted / y[rest] - 1)) < 0.06
    assert spearmanr(predicted, y[rest])[0] > 0.99


def test_map_from_25_rows(table):
    from flash.accuracy.calibration import fit_space
    from flash.spaces.families.detector import DetectorFamily
    from flash.spaces.family import InputShape
    from flash.spaces.space import SearchSpace

    family = DetectorFamily(InputShape(3, 640, 640), 20, {})
    values = np.array([[d[name] for name in family.variables] for d in table.designs])
    space = SearchSpace("table", "", family, tuple(np.unique(column) for column in values.T))
    designs, y = space.encode(values), table["voc_map50_95"]
    order = np.random.default_rng(0).permutation(len(y))
    about = {"data": "", "recipe": "", "epochs": 0, "seeds": (), "hardware": "", "date": ""}
    model = fit_space(space, designs[order[:25]], y[order[:25]], measure="mAP50-95", **about)
    assert model.index is not None, "an optimizer can search it"
    assert "mAP50-95" in model.statement
    found = model.predict(space, designs[order[25:]])
    assert spearmanr(found.value, y[order[25:]])[0] > 0.96
    inside = (found.low <= y[order[25:]]) & (y[order[25:]] <= found.high)
    assert inside.mean() > 0.7


def test_shipped_runtimes_of_the_boards_predict_the_table(table):
    from flash.targets.processor.costs import network_costs
    from flash.targets.processor.profile import load_profile

    some = np.random.default_rng(1).permutation(len(table.rows))[:60]
    for target, column in (("rpi4b:ort", "pi4_ort_ms"), ("a40", "a40_tensorrt_ms")):
        profile, y = load_profile(target), table[column][some]
        p = np.array([network_costs(table.networks[k], profile)["latency_ms"] for k in some])
        assert np.median(np.abs(p / y - 1)) < (0.05 if column == "pi4_ort_ms" else 0.13)
