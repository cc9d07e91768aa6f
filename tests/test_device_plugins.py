"""Sensors of other packages: found by their entry points and read where flash.profile runs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from device_programs import TINY, read_lines

pytest.importorskip("onnxruntime")

from flash.device.find import sort_out  # noqa: E402
from flash.device.registry import SENSORS, sensors_of  # noqa: E402
from flash.device.sensors.base import AbsentSensor  # noqa: E402
from flash.device.timing import Stopwatch  # noqa: E402

_MODULE = """
from flash.device.sensors.base import AbsentSensor
from flash.device.sensors.counter import Counter
import time

def bench_supply():
    yield Counter("supply", lambda: 1e3 * 4.0 * time.perf_counter(), 1e12, 0.001, "made up")
    yield AbsentSensor("second", "supply 2: switched off")

def broken():
    raise OSError("the cable is loose")
"""


@pytest.fixture
def package(tmp_path):
    """A folder for PYTHONPATH with an installed package that adds sensors."""
    place = tmp_path / "site"
    info = place / "bench_supply-1.0.dist-info"
    info.mkdir(parents=True)
    (place / "bench_supply.py").write_text(textwrap.dedent(_MODULE))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-supply\nVersion: 1.0\n")
    points = info / "entry_points.txt"
    points.write_text("[flash.sensors]\nsupply = bench_supply:bench_supply\n")
    return place, points


def _profile(place, tmp_path):
    workloads = tmp_path / "w.txt"
    workloads.write_text(TINY[0] + "\n")
    out = tmp_path / "m.jsonl"
    command = [sys.executable, "-m", "flash.profile", "--out", str(out), "--threads", "1"]
    command += ["--workloads", str(workloads), "--budget", "5s"]
    path = os.pathsep.join([str(place), *filter(None, sys.path)])
    environment = os.environ | {"PYTHONPATH": path}
    return out, subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_packages_sensor_is_read_here(package, tmp_path):
    place, _ = package
    out, done = _profile(place, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "sensor: supply 2: switched off" in done.stderr
    assert "sensors: supply" in done.stderr
    header, record = read_lines(out)
    assert header["sensors"][0]["name"] == "supply"
    assert record["power_w"] == pytest.approx(4.0, rel=0.1)
    assert record["energy_mj"]["idle_w"] == pytest.approx(4.0, rel=0.1)


def test_a_packages_sensor_that_breaks_is_one_line(package, tmp_path):
    place, points = package
    points.write_text("[flash.sensors]\nsupply = bench_supply:broken\n")
    _, done = _profile(place, tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == "flash: sensor bench_supply:broken: OSError: the cable is loose"
    points.write_text("[flash.sensors]\nsupply = bench_supply:time\n")
    assert "TypeError" in _profile(place, tmp_path)[1].stderr


def test_a_sensor_that_breaks_while_it_is_read_costs_no_measurement():
    class Loose(AbsentSensor):
        kind = "power"
        limit_w = 1e3

        def available(self):
            return ""

        def start(self):
            if self.name == "start":
                raise OSError("the cable is loose")

        def stop(self, seconds):
            self.problem = ""
            answers = {
                "stop": ZeroDivisionError("0 V"),
                "text": ("much", 3),
                "nan": (float("nan"), 3),
            }
            answer = answers.get(self.name, (500.0 * seconds, 1))
            if isinstance(answer, Exception):
                raise answer
            return answer

    class Session:
        def run(self, outputs, inputs):
            pass

    sensors = [Loose(name, "") for name in ("start", "stop", "text", "nan", "good")]
    watch = Stopwatch()
    watch.rest(sensors, 0.01)
    found = watch.hold(Session(), {}, 0.01, sensors)
    assert found["energy_mj"]["sensor"] == "good"
    problems = found["energy_problems"]
    assert problems["start"] == "OSError: the cable is loose"
    assert problems["stop"] == "ZeroDivisionError: 0 V"
    assert "ValueError" in problems["text"]
    assert problems["nan"] == "it shows no finite number"


def test_the_registry_knows_the_built_in_sensors():
    assert list(SENSORS)[:5] == ["hwmon", "pmic", "battery", "rapl", "nvml"]
    for name in ("hwmon", "pmic", "battery", "rapl", "nvml"):
        usable, reasons = sort_out(sensors_of(SENSORS[name]()))
        assert all(sensor.period_s > 0 for sensor in usable)
        assert all(isinstance(reason, str) for reason in reasons)


def test_an_absent_sensor_is_an_ordinary_value():
    sensor = AbsentSensor("none", "not here")
    sensor.start()
    assert sensor.stop(1.0) == (None, 0)
    assert (sensor.available(), sensor.problem, sensor.parts_mj) == ("not here", "not here", {})
    assert sensors_of(sensor) == [sensor]
