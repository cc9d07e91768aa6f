"""The example in CONTRIBUTING.md works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flash.metrics import METRICS
from flash.testing import MetricConformance

PAGE = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def example():
    names = {}
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "CONTRIBUTING.md", "exec"), names)
    return names["TOTAL_WIDTH"]


class TestTheMetricOnThePage(MetricConformance):
    @pytest.fixture
    def metric(self):
        return example()


def test_it_is_searched():
    from flash.search import search

    METRICS.add("total_width", example())
    try:
        report = search("rpi4b", "cifar10-concat", metric="total_width", max_latency_ms=10)
        assert report.score == "total_width"
        assert report.optimizer.certified
    finally:
        METRICS.remove("total_width")
