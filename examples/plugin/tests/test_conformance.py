"""The members of this package pass the suites of ``flash.testing``."""

from __future__ import annotations

from pathlib import Path

import flash_example
import onnx
import pytest

from flash.estimate import estimate
from flash.export import EXPORTERS
from flash.metrics import METRICS
from flash.optimize import OPTIMIZERS
from flash.plugins import registry
from flash.search.budgeted import STRATEGIES
from flash.spaces.space import load_space
from flash.targets import load_hardware
from flash.testing import (
    ExporterConformance,
    FamilyConformance,
    MetricConformance,
    OptimizerConformance,
    ProxyConformance,
    SamplerConformance,
    SensorConformance,
    StrategyConformance,
    TargetConformance,
    small_space,
)

HERE = Path(flash_example.__file__).parent


class TestMetric(MetricConformance):
    @pytest.fixture
    def metric(self):
        return METRICS["log_widths"]


class TestProxy(ProxyConformance):
    @pytest.fixture
    def proxy(self):
        return "output_spread"


class TestFamily(FamilyConformance):
    @pytest.fixture
    def space(self):
        return small_space("plain", {"w1": (4, 8), "d1": (1, 3), "w2": (8, 16), "d2": (1, 2)})


class TestShippedSpace(FamilyConformance):
    @pytest.fixture
    def space(self):
        return load_space(str(HERE / "plain.toml"))


class TestTarget(TargetConformance):
    @pytest.fixture
    def hardware(self):
        return load_hardware(str(HERE / "lanes.toml"))


class TestOptimizer(OptimizerConformance):
    gap_percent = 0.0  # the suite's problems are small enough to be listed whole

    @pytest.fixture
    def optimizer(self):
        return OPTIMIZERS["sampling"]


class TestStrategy(StrategyConformance):
    @pytest.fixture
    def strategy(self):
        return STRATEGIES["climb"]


class TestSampler(SamplerConformance):
    @pytest.fixture
    def sampler(self):
        return registry("flash.samplers")["low_loss"]


def test_the_operator_is_priced_as_what_it_is(tmp_path):
    made, n, tensor = onnx.helper, onnx.helper.make_node, onnx.helper.make_tensor_value_info
    times = {}
    for name, nodes in {
        "gate": [n("Gate", ["x"], ["y"], "gate", domain="com.example")],
        "silu": [n("Sigmoid", ["x"], ["s"]), n("Mul", ["x", "s"], ["y"])],
    }.items():
        graph = made.make_graph(
            [*nodes, n("GlobalAveragePool", ["y"], ["z"])],
            name,
            [tensor("x", onnx.TensorProto.FLOAT, [1, 8, 32, 32])],
            [tensor("z", onnx.TensorProto.FLOAT, [1, 8, 1, 1])],
        )
        opsets = [made.make_opsetid("", 17), made.make_opsetid("com.example", 1)]
        onnx.save(made.make_model(graph, opset_imports=opsets), tmp_path / f"{name}.onnx")
        (row,) = estimate(tmp_path / f"{name}.onnx", target="rpi4b").rows
        times[name] = row["latency_ms"]
    assert times["gate"] == times["silu"] > 0


class TestExporter(ExporterConformance):
    @pytest.fixture
    def exporter(self):
        return EXPORTERS["npz"]


class TestAbsentSensor(SensorConformance):
    @pytest.fixture
    def factory(self, monkeypatch):
        monkeypatch.delenv("EXAMPLE_POWER_FILE", raising=False)
        return registry("flash.sensors")["power_file"]


class TestSensor(SensorConformance):
    seconds = 0.3

    @pytest.fixture
    def factory(self, tmp_path, monkeypatch):
        (tmp_path / "power").write_text("4.5")
        monkeypatch.setenv("EXAMPLE_POWER_FILE", str(tmp_path / "power"))
        return registry("flash.sensors")["power_file"]

    def test_it_reads_the_power_in_the_file(self, sensors):
        (sensor,) = sensors
        assert self._window(sensor).energy_mj == pytest.approx(4500 * self.seconds, rel=0.2)
