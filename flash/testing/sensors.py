"""What a sensor of power or energy promises."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from flash.device.sensors.base import Sensor, sensors_of

__all__ = ["SensorConformance"]


class SensorConformance:
    """Subclass it and give the fixture ``factory``: what the entry point names.

    seconds: length of the windows measured; long enough for the sensor (``period_s``).
    """

    seconds: float = 0.05

    @pytest.fixture
    def factory(self) -> Callable[[], Sensor | Iterable[Sensor]]:
        """Called without arguments, gives a sensor or several."""
        raise NotImplementedError

    @pytest.fixture
    def sensors(self, factory: Callable[[], Any]) -> list[Any]:
        """The sensors it gives."""
        return sensors_of(factory())

    def test_it_describes_itself(self, sensors: list[Any]) -> None:
        """Names are different; a sensor that is there says what it measures and how well."""
        assert len({sensor.name for sensor in sensors}) == len(sensors)
        for sensor in sensors:
            assert sensor.name.isprintable() and sensor.name
            if not sensor.available():
                assert sensor.kind in ("counter", "power") and sensor.scope
                assert sensor.period_s > 0 and sensor.limit_w > 0 and sensor.resolution

    def test_absence_is_a_line_that_says_what_to_do(self, sensors: list[Any]) -> None:
        """``available`` is empty, or one line; asking does not raise."""
        for sensor in sensors:
            assert "\n" not in sensor.available()

    def test_a_window_has_an_energy_or_a_reason(self, sensors: list[Any]) -> None:
        """Never a negative, infinite or undefined energy; without one, ``problem`` says why."""
        for sensor in sensors:
            reading = self._window(sensor)
            if reading.energy_mj is None:
                assert sensor.problem and "\n" not in sensor.problem
            else:
                assert math.isfinite(reading.energy_mj) and reading.energy_mj >= 0
                assert reading.samples > 0 and not sensor.problem
                assert reading.energy_mj <= 1e3 * sensor.limit_w * 2 * self.seconds

    def test_it_can_be_used_again(self, sensors: list[Any]) -> None:
        """A second window does not remember the first."""
        for sensor in sensors:
            first, second = self._window(sensor), self._window(sensor)
            assert (first.energy_mj is None) == (second.energy_mj is None)

    def _window(self, sensor: Any) -> Any:
        began = time.perf_counter()
        sensor.start()
        time.sleep(self.seconds)
        return sensor.stop(time.perf_counter() - began)
