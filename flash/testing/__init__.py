"""Conformance suites: what everything that registers with flash is held to.

Subclass the suite of your kind in a test file and give it your member; pytest does the rest::

    from flash.testing import MetricConformance

    class TestMyScore(MetricConformance):
        @pytest.fixture
        def metric(self):
            return MY_SCORE

The suites are what flash's own members pass. They need pytest (the extra ``test``) and small
inputs, seconds each.
"""

from __future__ import annotations

import pytest

# Before the suites are imported, so that a failed assertion shows its values.
pytest.register_assert_rewrite(
    *(
        f"flash.testing.{name}"
        for name in (
            "components",
            "exporters",
            "families",
            "metrics",
            "optimizers",
            "proxies",
            "samplers",
            "sensors",
            "strategies",
            "targets",
        )
    )
)

from flash.testing.components import ComponentConformance  # noqa: E402
from flash.testing.exporters import ExporterConformance  # noqa: E402
from flash.testing.families import FamilyConformance  # noqa: E402
from flash.testing.metrics import MetricConformance  # noqa: E402
from flash.testing.optimizers import OptimizerConformance  # noqa: E402
from flash.testing.proxies import ProxyConformance  # noqa: E402
from flash.testing.samplers import SamplerConformance  # noqa: E402
from flash.testing.sensors import SensorConformance  # noqa: E402
from flash.testing.small import small_space  # noqa: E402
from flash.testing.strategies import StrategyConformance  # noqa: E402
from flash.testing.targets import TargetConformance  # noqa: E402

__all__ = [
    "ComponentConformance",
    "ExporterConformance",
    "FamilyConformance",
    "MetricConformance",
    "OptimizerConformance",
    "ProxyConformance",
    "SamplerConformance",
    "SensorConformance",
    "StrategyConformance",
    "TargetConformance",
    "small_space",
]
