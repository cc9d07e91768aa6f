"""flash's own members of every registry pass the suites that contributors subclass."""

from __future__ import annotations

import pytest

from flash.device.registry import SENSORS
from flash.errors import UsageError
from flash.export import EXPORTERS
from flash.metrics import METRICS, NetworkMetric
from flash.optimize import OPTIMIZERS
from flash.proxies.registry import PROXIES
from flash.quantities import Quantity
from flash.search.budgeted import STRATEGIES
from flash.spaces.family import FAMILIES
from flash.spaces.space import load_space
from flash.spaces.stage_tables import tabulate
from flash.supernet import SAMPLERS
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
from flash.testing.small import SMALL

BOARDS = ("rpi3b", "rpi4b", "x86-avx512", "systolic", "eyeriss-like", "edge-tpu-like", "imc")

#: Member -> the library it needs.
LIBRARIES = {
    "eznas": "deap",
    "hnas": "sklearn",
    "hnas-published": "sklearn",
    "robot": "sklearn",
    "torch": "torch",
    "tvm": "tvm",
    "weak": "sklearn",
    "weak-mlp": "sklearn",
}


def members(registry, names=None):
    """Parameters of a fixture: every member of ours, skipped where its library is missing."""
    return [
        pytest.param(name, marks=pytest.mark.skipif(not there(name), reason=f"{name}: no library"))
        for name in names or registry.builtin
    ]


def there(name):
    import importlib.util

    return name not in LIBRARIES or importlib.util.find_spec(LIBRARIES[name]) is not None


class TestMetrics(MetricConformance):
    # kept_importance needs a model's weights: tests/test_shrink.py.
    @pytest.fixture(params=members(METRICS, sorted(set(METRICS.builtin) - {"kept_importance"})))
    def metric(self, request):
        return METRICS[request.param]


class TestAMetricOfWholeNetworks(MetricConformance):
    """Nothing adds up: it is tabulated where one stage holds every variable, refused elsewhere."""

    @pytest.fixture
    def metric(self):
        return NetworkMetric(
            quantity=Quantity("widest", "widest layer"),
            source="a test",
            network=lambda network: max(int(layer.out_channels) for layer in network.layers),
        )

    def test_only_spaces_of_one_stage_have_a_table(self, metric, spaces):
        for space in spaces:
            problem = tabulate(space, lambda t: {}, lambda t: {}, {})
            if len(problem.stages) == 1:
                assert "widest" in metric.tabulated(problem, space).combine
            else:
                with pytest.raises(UsageError, match="is no sum over the stages of space small-"):
                    metric.tabulated(problem, space)


class TestFamilies(FamilyConformance):
    @pytest.fixture(
        params=[*SMALL, "cifar10-mobilenet-v2", "keywords-ds-cnn", "keywords-tc-resnet"]
    )
    def space(self, request):
        return small_space(request.param) if request.param in SMALL else load_space(request.param)


class TestProxies(ProxyConformance):
    silent = frozenset({"epsinas"})  # its equal weights make equal outputs there

    @pytest.fixture(params=members(PROXIES))
    def proxy(self, request):
        return request.param


class TestOptimizers(OptimizerConformance):
    @pytest.fixture(params=["shgo", "exact"])
    def optimizer(self, request):
        return OPTIMIZERS[request.param]


@pytest.mark.slow  # pymoo looks long for children that are new in a space of a few designs
class TestNsga2(OptimizerConformance):
    seeds = (0,)

    @pytest.fixture
    def optimizer(self):
        pytest.importorskip("pymoo")
        return OPTIMIZERS["nsga2"]


class TestStrategies(StrategyConformance):
    @pytest.fixture(autouse=True)
    def narrow(self, monkeypatch):
        """The published perceptron takes seconds a fit."""
        monkeypatch.setattr("flash.search.budgeted.weak._LAYERS", (32, 32))

    @pytest.fixture(params=members(STRATEGIES))
    def strategy(self, request):
        return STRATEGIES[request.param]


class TestSamplers(SamplerConformance):
    @pytest.fixture(params=SAMPLERS.builtin)
    def sampler(self, request):
        return SAMPLERS[request.param]


class TestExporters(ExporterConformance):
    @pytest.fixture(params=members(EXPORTERS, ["onnx", "onnx-int8", "torch"]))
    def exporter(self, request):
        return EXPORTERS[request.param]


class TestTargets(TargetConformance):
    @pytest.fixture(params=BOARDS)
    def hardware(self, request):
        return load_hardware(request.param)


class TestSensors(SensorConformance):
    @pytest.fixture(params=SENSORS.builtin)
    def factory(self, request):
        return SENSORS[request.param]


def test_every_member_of_ours_is_tried():
    assert set(OPTIMIZERS.builtin) == {"shgo", "exact", "nsga2"}
    tried = {*SMALL, load_space("cifar10-mobilenet-v2").family.name, "detector"}
    tried |= {"model"}  # tests/test_shrink.py
    tried |= {load_space(f"keywords-{name}").family.name for name in ("ds-cnn", "tc-resnet")}
    assert tried == set(FAMILIES.builtin)
