"""Sensors and what the device says of itself, against a made-up /sys and /proc."""

from __future__ import annotations

import ctypes
import json
import time

import pytest
from device_programs import SCRIPT, load_program, run_program, write_tree

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def program():
    return load_program()


def _found(program, root):
    return program.find_sensors(root)


def test_a_device_without_sensors_has_none_and_no_complaint(program, tmp_path):
    assert _found(program, str(tmp_path)) == ([], [])
    assert program.temperature_c(str(tmp_path)) is None
    assert program.frequency_mhz(str(tmp_path)) is None
    assert program.Throttling(str(tmp_path))() is None
    assert program.governor(str(tmp_path)) is None


# -------------------------------------------------------------------------------------- RAPL


def _rapl(tmp_path, microjoules, wrap=262143328850):
    zone = "sys/class/powercap/intel-rapl:0"
    files = {f"{zone}/name": "package-0", f"{zone}/max_energy_range_uj": wrap}
    files |= {f"{zone}/energy_uj": microjoules, f"{zone}:0/name": "core", f"{zone}:0/energy_uj": 1}
    return write_tree(tmp_path, files)


def test_rapl_counts_microjoules(program, tmp_path):
    root = _rapl(tmp_path, 1_000_000)
    (sensor,), reasons = _found(program, root)  # the package, not its parts
    assert reasons == []
    assert program.describe_sensor(sensor) == {
        "name": "rapl:package-0", "kind": "counter", "scope": "package", "period_s": 0.001,
        "resolution": "1 uJ read, about 61 uJ counted",
    }  # fmt: skip
    sensor.start()
    _rapl(tmp_path, 3_500_000)
    assert sensor.stop(1.0) == (2500.0, 2)


def test_rapl_wraps_around(program, tmp_path):
    root = _rapl(tmp_path, 65_531_000_000, wrap=65_532_000_000)
    (sensor,), _ = _found(program, root)
    sensor.start()
    _rapl(tmp_path, 500_000, wrap=65_532_000_000)
    assert sensor.stop(1.0)[0] == pytest.approx(1500.0)


def test_rapl_that_only_root_reads_says_what_helps(program, tmp_path):
    root = write_tree(tmp_path, {"sys/class/powercap/intel-rapl:0/name": "package-0"})
    sensors, (reason,) = _found(program, root)
    assert sensors == []
    assert "sudo chmod a+r" in reason


def test_a_counter_that_vanishes_gives_nothing(program, tmp_path):
    root = _rapl(tmp_path, 10)
    (sensor,), _ = _found(program, root)
    sensor.start()
    (tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj").unlink()
    assert sensor.stop(1.0) == (None, 0)


# ------------------------------------------------------------------------------- power meters


@pytest.mark.parametrize(
    ("files", "watts"),
    [
        ({"hwmon1/name": "ina226", "hwmon1/power1_input": 2_500_000}, 2.5),
        ({"hwmon0/name": "ina219", "hwmon0/in1_input": 5000, "hwmon0/curr1_input": 640}, 3.2),
    ],
)
def test_ina_over_hwmon_is_watts(program, tmp_path, files, watts):
    files = {f"sys/class/hwmon/{name}": value for name, value in files.items()}
    files["sys/class/hwmon/hwmon7/name"] = "coretemp"
    (sensor,), _ = _found(program, write_tree(tmp_path, files))
    assert sensor.kind == "power"
    sensor.start()
    time.sleep(0.15)
    energy, samples = sensor.stop(2.0)
    assert energy == pytest.approx(2000 * watts)
    assert samples >= 2


def test_hwmon_takes_the_drivers_period(program, tmp_path):
    files = {"name": "ina226", "power1_input": 1, "update_interval": 35}
    root = write_tree(tmp_path, {f"sys/class/hwmon/hwmon0/{k}": v for k, v in files.items()})
    assert _found(program, root)[0][0].period_s == pytest.approx(0.035)


def test_a_battery_counts_only_while_it_discharges(program, tmp_path):
    files = {"type": "Battery", "status": "Charging", "power_now": 8_000_000}
    folder = "sys/class/power_supply/BAT0"
    root = write_tree(tmp_path, {f"{folder}/{k}": v for k, v in files.items()})
    sensors, (reason,) = _found(program, root)
    assert sensors == []
    assert "unplug the charger" in reason
    write_tree(tmp_path, {f"{folder}/status": "Discharging"})
    assert _found(program, root)[0][0]._read() == pytest.approx(8.0)
    (tmp_path / folder / "power_now").unlink()
    write_tree(tmp_path, {f"{folder}/voltage_now": 12_000_000, f"{folder}/current_now": 500_000})
    assert _found(program, root)[0][0]._read() == pytest.approx(6.0)


class _Bus:
    """Registers of a chip; the bus gives words with the bytes exchanged."""

    def __init__(self, registers):
        self.registers = registers

    def read_word_data(self, address, register):
        if address != 0x40 or register not in self.registers:
            raise OSError("no answer")
        value = self.registers[register] & 0xFFFF
        return (value & 0xFF) << 8 | value >> 8


@pytest.mark.parametrize(
    ("registers", "name", "watts"),
    [
        # 50 mV over 0.1 ohm at 5.0 V: 0.5 A, 2.5 W; data sheet's steps.
        ({0x01: 5000, 0x02: 1250 << 3, 0xFE: 0}, "i2c:ina219", 2.5),
        ({0x01: 20_000, 0x02: 4000, 0xFE: 0x5449}, "i2c:ina226", 2.5),
        ({0x01: -5000, 0x02: 1250 << 3, 0xFE: 0}, "i2c:ina219", -2.5),
    ],
)
def test_ina_over_i2c_follows_the_data_sheet(program, registers, name, watts):
    sensor = program.i2c_sensor("1:0x40", 0.1, _Bus(registers))
    assert sensor.name == name
    assert sensor._read() == pytest.approx(watts)


def test_i2c_without_chip_or_package_is_one_line(program, monkeypatch):
    with pytest.raises(program.Refused, match="no chip answers there"):
        program.i2c_sensor("1:0x41", 0.1, _Bus({}))
    monkeypatch.setitem(__import__("sys").modules, "smbus", None)
    monkeypatch.setitem(__import__("sys").modules, "smbus2", None)
    with pytest.raises(program.Refused, match="pip install smbus2"):
        program.i2c_sensor("1:0x40", 0.1)


class _Nvml:
    """The calls of NVIDIA's library, with or without an energy counter."""

    def __init__(self, energy_mj):
        self.energy_mj = energy_mj

    def nvmlInit_v2(self):
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index, device):
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, device, value):
        if self.energy_mj is None:
            return 3
        value._obj.value = self.energy_mj
        return 0

    def nvmlDeviceGetPowerUsage(self, device, value):
        assert isinstance(value._obj, ctypes.c_uint)
        value._obj.value = 41_500
        return 0


def test_nvml_counts_energy_where_it_can_and_power_elsewhere(program):
    library = _Nvml(1000)
    (counter,) = program.nvml_sensors(lambda name: library)
    counter.start()
    library.energy_mj = 1750
    assert counter.stop(1.0) == (750.0, 2)
    (meter,) = program.nvml_sensors(lambda name: _Nvml(None))
    assert meter._read() == pytest.approx(41.5)

    def absent(name):
        raise OSError

    assert list(program.nvml_sensors(absent)) == []


# --------------------------------------------------------------------------------- the device


def test_temperature_is_the_processors(program, tmp_path):
    zones = {0: ("acpitz", 27_800), 1: ("cpu-thermal", 61_345), 2: ("gpu-thermal", 70_000)}
    files = {}
    for number, (kind, value) in zones.items():
        folder = f"sys/class/thermal/thermal_zone{number}"
        files |= {f"{folder}/type": kind, f"{folder}/temp": value}
    assert program.temperature_c(write_tree(tmp_path, files)) == 61.3


def test_frequency_is_the_fastest_cores(program, tmp_path):
    cpus = "sys/devices/system/cpu"
    files = {f"{cpus}/cpu{n}/cpufreq/scaling_cur_freq": khz for n, khz in ((0, 600000), (3, 1.5e6))}
    assert program.frequency_mhz(write_tree(tmp_path / "a", files)) == 1500.0
    root = write_tree(tmp_path / "b", {"proc/cpuinfo": "cpu MHz\t\t: 2000.5\ncpu MHz\t\t: 1000"})
    assert program.frequency_mhz(root) == 2000.5


@pytest.mark.parametrize(("word", "held"), [("0x0", False), ("0x50005", True), ("0x50000", False)])
def test_the_pi_firmware_tells_of_throttling_now(program, tmp_path, word, held):
    node = "sys/devices/platform/soc/soc:firmware/get_throttled"
    assert program.Throttling(write_tree(tmp_path, {node: word}))() is held


def test_x86_throttling_is_a_rising_counter(program, tmp_path):
    node = "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
    throttled = program.Throttling(write_tree(tmp_path, {node: 3}))
    assert throttled() is False
    write_tree(tmp_path, {node: 4})
    assert throttled() is True
    assert throttled() is False


def test_a_raspberry_pi_is_recognised(program, tmp_path):
    core = "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n"
    cpuinfo = core * 4
    files = {
        "proc/cpuinfo": cpuinfo,
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "proc/meminfo": "MemTotal:        3884232 kB",
    }
    info = program.device_info(write_tree(tmp_path, files))
    assert info["model"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert info["cpu"] == "Cortex-A72"
    assert info["ram_mb"] == 3977
    assert info["simd_bits"] == 128


@pytest.mark.parametrize(
    ("flags", "bits"), [("fpu sse2", 128), ("sse2 avx avx2", 256), ("avx avx512f", 512), ("", None)]
)
def test_the_width_of_vectors_is_read_off_the_flags(program, flags, bits):
    assert program.simd_width(f"model name\t: x\nflags\t\t: {flags}\n") == bits


# ------------------------------------------------------------------------------ external meter


def _measured(tmp_path, windows):
    out = tmp_path / "m.jsonl"
    lines = [{"schema": "flash.measurements/1"}]
    for number, window in enumerate(windows):
        record = {"network": {"workload": f"n{number}"}, "energy_mj": None, "power_w": None}
        lines.append(record | ({"window": window} if window else {}))
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return out


def test_a_meters_readings_are_merged_by_time(tmp_path):
    window = {"start": 1000.0, "seconds": 10.0, "runs": 100}
    out = _measured(tmp_path, [window, None, {"start": 1020.0, "seconds": 1.0, "runs": 1}])
    meter = tmp_path / "meter.csv"
    rows = [(t, 2.0 if t < 1005 else 4.0) for t in range(995, 1015)]  # 3 W in the middle
    meter.write_text("time,power_w\n" + "".join(f"{t},{w}\n" for t, w in rows))
    done = run_program(f"--meter={meter}", f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert "energy of 1 networks" in done.stdout
    first, second, third = (json.loads(line) for line in out.read_text().splitlines()[1:])
    # Weighted by time, from second 1001 to 1009: four seconds of 2 W, four of 4 W.
    assert first["power_w"] == pytest.approx(3.0, rel=1e-4)
    assert first["energy_mj"]["mean"] == pytest.approx(3.0 * 10 / 100 * 1000, rel=1e-4)
    assert (first["energy_mj"]["runs"], first["energy_mj"]["samples"]) == (100, 9)
    assert second["energy_mj"] is None
    assert third["energy_mj"] is None


def test_a_meter_may_speak_iso_time_and_milliwatts(program, tmp_path):
    meter = tmp_path / "meter.csv"
    meter.write_text("Timestamp,Power_mW\n1970-01-01T00:00:10Z,1500\n5,500\n")
    assert program.read_meter(str(meter)) == [(5.0, 0.5), (10.0, 1.5)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n", "expected columns time and power_w, got a, b"),
        ("time,power_w\n1,x\n", "line 2: expected a time and a number"),
        ("time,power_w\n1,2\n", "has no reading in any network's time"),
    ],
)
def test_a_meter_that_does_not_fit_is_one_line(content, said, tmp_path):
    out = _measured(tmp_path, [{"start": 1000.0, "seconds": 10.0, "runs": 1}])
    before = out.read_bytes()
    (tmp_path / "meter.csv").write_text(content)
    done = run_program(f"--meter={tmp_path / 'meter.csv'}", f"--out={out}")
    assert done.returncode == 4
    assert said in done.stderr
    assert out.read_bytes() == before


def test_energy_is_read_while_the_network_runs(program):
    """A counter of 2 mJ a run gives 2 mJ a run."""
    runs = [0]

    class Session:
        def run(self, outputs, inputs):
            runs[0] += 1
            time.sleep(0.002)

    counter = program.Counter("c", lambda: 2.0 * runs[0], 1e9, 0.001, "")
    other = program.Counter("d", lambda: None, 1e9, 0.001, "")
    found = program.Stopwatch().hold(Session(), {}, 0.1, [other, counter])
    assert found["energy_mj"]["mean"] == pytest.approx(2.0)
    assert found["energy_mj"]["sensor"] == "c"
    assert found["energy_mj"]["runs"] == found["window"]["runs"] == runs[0]
    assert 0 < found["power_w"] <= 1.0


def test_the_program_documents_its_sensors():
    text = SCRIPT.read_text(encoding="utf-8")
    for name in ("RAPL", "NVML", "INA2xx", "power_supply", "external meter"):
        assert name in text.partition('"""')[2].partition('"""')[0]
