"""Ten made-up machines: each sensor gives the right energy, or none and the reason.

Every check runs twice, on the modules of flash/device and on the file that is built from them.
"""

from __future__ import annotations

import json

import pytest
from device_programs import load_parts, load_program, write_tree

pytest.importorskip("onnxruntime")

RAPL = "sys/class/powercap"
HWMON = "sys/class/hwmon"
SUPPLY = "sys/class/power_supply"
#: Where the counters of package and platform start again, in microjoules.
RANGE_UJ = 262_143_328_850


@pytest.fixture(scope="module", params=["parts", "built"])
def program(request):
    return load_parts() if request.param == "parts" else load_program()


def _zone(number, name, uj, range_uj=RANGE_UJ, **more):
    files = {"name": name, "energy_uj": uj, "max_energy_range_uj": range_uj, **more}
    return {f"{RAPL}/intel-rapl:{number}/{k}": v for k, v in files.items() if v is not None}


def _window(sensor, change=lambda: None, seconds=3.0):
    """The reading of a window of ``seconds`` in which ``change`` happens."""
    period_s, sensor.period_s = sensor.period_s, min(sensor.period_s, 0.002)
    sensor.start()
    if sensor.kind == "power":
        _wait_for(lambda: len(sensor._samples) >= 5 or sensor._invalid)
    change()
    if sensor.kind == "power":
        before = len(sensor._samples)
        _wait_for(lambda: len(sensor._samples) >= before + 5 or sensor._invalid)
    reading = sensor.stop(seconds)
    sensor.period_s = period_s
    return reading


def _wait_for(condition):
    import time

    end = time.perf_counter() + 20
    while not condition():
        assert time.perf_counter() < end
        time.sleep(0.002)


# ------------------------------------------------------------------------------ counters (RAPL)


def test_two_sockets_are_summed_and_memory_and_platform_are_apart(program, tmp_path):
    files = {
        **_zone(0, "package-0", 1_000_000),
        **_zone("0:0", "dram", 10_000, 65_712_999_613),
        **_zone("0:1", "core", 500_000),
        **_zone(1, "package-1", RANGE_UJ - 1_000_000),
        **_zone("1:0", "dram", 20_000, 65_712_999_613),
        **_zone(2, "psys", 7_000_000),
        f"{RAPL}/intel-rapl-mmio:0/name": "package-0",
        f"{RAPL}/intel-rapl-mmio:0/energy_uj": 1,
    }
    sensors, reasons = program.find_sensors(write_tree(tmp_path, files))
    assert reasons == []
    names = ["rapl:package-0+package-1", "rapl:dram", "rapl:psys"]
    assert [sensor.name for sensor in sensors] == names
    assert [sensor.scope for sensor in sensors] == ["package", "dram", "psys"]
    for sensor in sensors:
        sensor.start()
    write_tree(
        tmp_path,
        {
            f"{RAPL}/intel-rapl:0/energy_uj": 121_000_000,
            f"{RAPL}/intel-rapl:1/energy_uj": 89_000_000,  # went round
            f"{RAPL}/intel-rapl:0:0/energy_uj": 6_010_000,
            f"{RAPL}/intel-rapl:1:0/energy_uj": 3_020_000,
            f"{RAPL}/intel-rapl:2/energy_uj": 307_000_000,
        },
    )
    readings = [sensor.stop(3.0) for sensor in sensors]
    assert [r.energy_mj for r in readings] == pytest.approx([210_000, 9_000, 300_000])
    assert sensors[0].parts_mj == pytest.approx({"package-0": 120_000, "package-1": 90_000})


@pytest.mark.parametrize(
    "place", ["sys/class/powercap/intel-rapl", "sys/devices/virtual/powercap/intel-rapl"]
)
def test_zones_are_found_behind_the_class_too(program, tmp_path, place):
    files = {}
    for number, zone in enumerate(("intel-rapl:0", "intel-rapl:1", "intel-rapl:0/intel-rapl:0:0")):
        name = ("package-0", "package-1", "dram")[number]
        files |= {f"{place}/{zone}/name": name, f"{place}/{zone}/energy_uj": 5}
        files |= {f"{place}/{zone}/max_energy_range_uj": RANGE_UJ}
    sensors, _ = program.find_sensors(write_tree(tmp_path, files))
    assert [sensor.name for sensor in sensors] == ["rapl:package-0+package-1", "rapl:dram"]


def test_one_unreadable_socket_of_two_means_no_energy_of_the_packages(program, tmp_path):
    files = _zone(0, "package-0", 1) | _zone(1, "package-1", None)
    sensors, (reason,) = program.find_sensors(write_tree(tmp_path, files))
    assert sensors == []
    assert "RAPL package-1: not readable; run as root" in reason


def test_psys_first_is_not_taken_for_the_package(program, tmp_path):
    files = _zone(0, "psys", 1_000_000) | _zone(1, "package-0", 2_000_000)
    (package, platform), _ = program.find_sensors(write_tree(tmp_path, files))
    assert (package.name, platform.name) == ("rapl:package-0", "rapl:psys")
    change = {f"{RAPL}/intel-rapl:0/energy_uj": 91_000_000}
    change[f"{RAPL}/intel-rapl:1/energy_uj"] = 32_000_000
    reading = _window(package, lambda: write_tree(tmp_path, change))
    assert reading.energy_mj == pytest.approx(30_000)


@pytest.mark.parametrize(
    ("range_uj", "start", "end", "energy_mj", "problem"),
    [
        (None, 262_143_000_000, 5_000_000, None, "range cannot be read"),
        (0, 262_143_000_000, 5_000_000, None, "range cannot be read"),
        (None, 1_000_000, 31_000_000, 30_000, ""),  # it did not go round: the range is not needed
        (RANGE_UJ, 5_000_000_000, 1_000, None, "was reset"),
        (RANGE_UJ, RANGE_UJ - 1_000_000, 29_000_000, 30_000, ""),
        (RANGE_UJ, 5_000_000, 5_000_000, None, "stood still"),  # a counter that is suspended
        (RANGE_UJ, 0, 200_000_000_000, None, "more than the 1000 W"),
        (RANGE_UJ, RANGE_UJ + 5, 20_000_000, None, "was reset"),
    ],
)
def test_a_counter_gives_the_right_energy_or_none(
    program, tmp_path, range_uj, start, end, energy_mj, problem
):
    root = write_tree(tmp_path, _zone(0, "package-0", start, range_uj))
    (sensor,), _ = program.find_sensors(root)
    change = {f"{RAPL}/intel-rapl:0/energy_uj": end}
    reading = _window(sensor, lambda: write_tree(tmp_path, change))
    assert reading.energy_mj == (None if energy_mj is None else pytest.approx(energy_mj))
    assert problem in sensor.problem
    assert bool(problem) == bool(sensor.problem)


def test_the_rating_of_a_zone_bounds_what_it_can_count(program, tmp_path):
    files = _zone(0, "package-0", 0, constraint_0_max_power_uw=15_000_000)
    (sensor,), _ = program.find_sensors(write_tree(tmp_path, files))
    change = {f"{RAPL}/intel-rapl:0/energy_uj": 300_000_000}  # 100 W of a 15 W processor
    assert _window(sensor, lambda: write_tree(tmp_path, change)) == (None, 0)
    assert "more than the 60 W it can be" in sensor.problem


def test_a_window_in_which_the_counter_may_go_round_twice_has_no_energy(program, tmp_path):
    (sensor,), _ = program.find_sensors(write_tree(tmp_path, _zone(0, "package-0", 0)))
    change = {f"{RAPL}/intel-rapl:0/energy_uj": 30_000_000_000}
    reading = _window(sensor, lambda: write_tree(tmp_path, change), 600.0)
    assert reading.energy_mj is None
    assert "may have gone round more than once" in sensor.problem


def test_a_window_too_short_for_the_sensor_says_how_long_it_has_to_be(program):
    sensor = program.Counter("c", iter([0.0, 5.0]).__next__, 1e9, 0.1, "")
    sensor.start()
    assert sensor.stop(0.4) == (None, 0)
    assert "--hold 1s" in sensor.problem


# ------------------------------------------------------------------------------ boards with rails


def _rails(chip, folder, *rails):
    files = {f"{HWMON}/{folder}/name": chip}
    for number, (label, mv, ma) in enumerate(rails, start=1):
        of_channel = {"in{}_label": label, "in{}_input": mv, "curr{}_input": ma}
        for name, value in of_channel.items():
            if value is not None:
                files[f"{HWMON}/{folder}/{name.format(number)}"] = value
    return files


def test_a_jetsons_input_rail_is_the_module_and_the_others_are_named(program, tmp_path):
    orin_nano = (("VDD_IN", 5000, 1800), ("VDD_CPU_GPU_CV", 5000, 700), ("VDD_SOC", 5000, 300))
    root = write_tree(tmp_path, _rails("ina3221", "hwmon1", *orin_nano))
    (sensor,), reasons = program.find_sensors(root)
    assert (sensor.name, reasons) == ("hwmon:ina3221 VDD_IN", [])
    assert _window(sensor, seconds=2.0).energy_mj == pytest.approx(18_000)
    expected = {"VDD_IN": 18_000, "VDD_CPU_GPU_CV": 7_000, "VDD_SOC": 3_000}
    assert sensor.parts_mj == pytest.approx(expected)


def test_rails_of_two_chips_without_an_input_are_summed(program, tmp_path):
    files = _rails("ina3221", "hwmon2", ("GPU", 19_000, 100), ("CPU", 19_000, 200), ("SOC", 0, 0))
    files |= _rails("ina3221", "hwmon3", ("CV", 19_000, 10), ("NC", 5, 5), ("SYS5V", 5000, 400))
    files[f"{HWMON}/hwmon3/in4_input"] = 99  # a shunt's voltage, no channel
    (sensor,), _ = program.find_sensors(write_tree(tmp_path, files))
    assert sensor.name == "hwmon:ina3221 GPU+CPU+SOC+CV+SYS5V"
    assert _window(sensor, seconds=1.0).energy_mj == pytest.approx(1.9e3 + 3.8e3 + 190 + 2e3)


def test_rails_are_found_behind_the_driver_too(program, tmp_path):
    rails = _rails("ina3221", "hwmon3", ("VDD_IN", 5000, 1800), ("VDD_SOC", 5000, 300))
    place = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon"
    files = {name.replace(HWMON, place): value for name, value in rails.items()}
    (sensor,), _ = program.find_sensors(write_tree(tmp_path, files))
    assert sensor._read() == pytest.approx(9.0)


def test_rails_without_names_are_all_added(program, tmp_path):
    rails = ((None, 5000, 400), (None, 5000, 900), (None, 5000, 300))
    (sensor,), _ = program.find_sensors(write_tree(tmp_path, _rails("ina3221", "hwmon0", *rails)))
    assert sensor._read() == pytest.approx(8.0)
    assert "hwmon0/1+hwmon0/2+hwmon0/3" in sensor.name


def test_nvidias_older_driver_shows_milliwatts(program, tmp_path):
    folder = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    names = {0: ("POM_5V_IN", 3100), 1: ("POM_5V_GPU", 800), 2: ("POM_5V_CPU", 1200)}
    files = {f"{folder}/rail_name_{n}": name for n, (name, _) in names.items()}
    files |= {f"{folder}/in_power{n}_input": mw for n, (_, mw) in names.items()}
    (sensor,), _ = program.find_sensors(write_tree(tmp_path, files))
    assert sensor.name == "hwmon:ina3221 POM_5V_IN"
    assert sensor._read() == pytest.approx(3.1)


def test_a_rail_that_vanishes_leaves_no_energy(program, tmp_path):
    rails = (("VDD_A", 5000, 400), ("VDD_B", 5000, 900))
    (sensor,), _ = program.find_sensors(write_tree(tmp_path, _rails("ina3221", "hwmon0", *rails)))
    (tmp_path / HWMON / "hwmon0" / "curr2_input").unlink()
    sensor.period_s = 0.001
    sensor.start()
    assert sensor.stop(3.0) == (None, 0)
    assert "0 readings came in the window" in sensor.problem


def test_several_ina_chips_are_rails_of_one_sensor(program, tmp_path):
    files = {f"{HWMON}/hwmon0/name": "ina226", f"{HWMON}/hwmon0/power1_input": 2_000_000}
    files |= {f"{HWMON}/hwmon1/name": "ina219", f"{HWMON}/hwmon1/power1_input": 500_000}
    (sensor,), _ = program.find_sensors(write_tree(tmp_path, files))
    assert sensor.name == "hwmon:ina226+ina219 hwmon0+hwmon1"
    assert _window(sensor, seconds=1.0).energy_mj == pytest.approx(2500)


def test_a_driver_with_a_wrong_unit_is_named(program, tmp_path):
    files = _rails("ina219", "hwmon0", (None, 5000, 640))
    files[f"{HWMON}/hwmon0/power1_input"] = 3200  # milliwatts where microwatts are due
    sensors, (reason,) = program.find_sensors(write_tree(tmp_path, files))
    assert sensors == []
    assert "power1_input says 0.0032 W, in1 times curr1 3.2 W" in reason
    write_tree(tmp_path, {f"{HWMON}/hwmon0/power1_input": 3_210_000})
    assert program.find_sensors(str(tmp_path))[0][0]._read() == pytest.approx(3.21)


def test_a_server_with_its_own_meter(program, tmp_path):
    files = {"name": "power_meter", "power1_average": 210_000_000, "power1_average_interval": 1000}
    root = write_tree(tmp_path, {f"{HWMON}/hwmon4/{k}": v for k, v in files.items()})
    (sensor,), _ = program.find_sensors(root)
    assert (sensor.scope, sensor.period_s) == ("machine", 1.0)
    assert _window(sensor, seconds=10.0).energy_mj == pytest.approx(2_100_000)


# ---------------------------------------------------------------------------------- Raspberry Pi

_ADC = """     3V7_WL_SW_A current(0)=0.10000000A
     VDD_CORE_A current(7)=2.00000000A
     HDMI_A current(22)=0.00000000A
     3V7_WL_SW_V volt(8)=3.70000000V
     VDD_CORE_V volt(15)=0.80000000V
     HDMI_V volt(23)=5.00000000V
     EXT5V_V volt(24)=5.09830000V
     BATT_V volt(25)=0.00488400V
"""


def _pi(tmp_path, answer, model="Raspberry Pi 5 Model B Rev 1.0"):
    script = "#!/bin/sh\n" + (f"cat <<'END'\n{answer}END\n" if answer is not None else "exit 1\n")
    root = write_tree(
        tmp_path, {"proc/device-tree/model": model + "\0", "usr/bin/vcgencmd": script}
    )
    (tmp_path / "usr/bin/vcgencmd").chmod(0o755)
    return root


def test_a_pi_5_adds_the_rails_that_show_current_and_voltage(program, tmp_path):
    (sensor,), reasons = program.find_sensors(_pi(tmp_path, _ADC))
    assert (sensor.name, sensor.scope, reasons) == ("pmic", "board", [])
    assert sensor._read() == pytest.approx(0.37 + 1.6)
    assert _window(sensor, seconds=2.0).energy_mj == pytest.approx(2 * (370 + 1600))
    assert sensor.parts_mj == pytest.approx({"3V7_WL_SW": 740, "VDD_CORE": 3200, "HDMI": 0})


def test_the_firmwares_program_may_be_on_the_path(program, tmp_path, monkeypatch):
    root = _pi(tmp_path / "pi", _ADC)
    (tmp_path / "pi/usr/bin").rename(tmp_path / "bin")
    assert program.find_sensors(root)[0] == []
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert program.find_sensors(root)[0][0]._read() == pytest.approx(1.97)
    assert program.firmware("pmic_read_adc", str(tmp_path)) is None  # no Raspberry Pi


@pytest.mark.parametrize(
    ("answer", "model", "said"),
    [
        (_ADC.replace("2.0000", "0.0000").replace("0.1000", "0.0000"), "5", "shows 0 A"),
        (None, "5", "join the group video"),
        ('error=1 error_msg="Command not registered"\n', "4", ""),
    ],
)
def test_a_pi_that_cannot_tell_says_why(program, tmp_path, answer, model, said):
    sensors, reasons = program.find_sensors(_pi(tmp_path, answer, f"Raspberry Pi {model} Model B"))
    assert sensors == []
    assert said in "".join(reasons)
    assert bool(reasons) == bool(said)


# ------------------------------------------------------------------------------------- batteries


def _battery(name, status, **more):
    files = {"type": "Battery", "status": status, "present": 1, **more}
    return {f"{SUPPLY}/{name}/{k}": v for k, v in files.items()}


def test_a_laptop_on_battery_uses_what_its_batteries_give(program, tmp_path):
    files = _battery("BAT0", "Discharging", power_now=9_000_000)
    files |= _battery("BAT1", "Not charging", power_now=0)
    files |= _battery("mouse", "Discharging", scope="Device", power_now=1_000_000)
    files |= {f"{SUPPLY}/AC/type": "Mains", f"{SUPPLY}/AC/online": 0}
    (sensor,), _ = program.find_sensors(write_tree(tmp_path, files))
    assert (sensor.name, sensor.scope) == ("power_supply:BAT0+BAT1", "machine")
    assert _window(sensor, seconds=10.0).energy_mj == pytest.approx(90_000)


def test_the_sign_of_a_battery_is_its_drivers_choice(program, tmp_path):
    files = _battery("bat", "Discharging", voltage_now=3_800_000, current_now=-500_000)
    (sensor,), _ = program.find_sensors(write_tree(tmp_path, files))
    assert sensor._read() == pytest.approx(1.9)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (_battery("BAT0", "Charging", power_now=30_000_000), "unplug the charger"),
        (_battery("BAT0", "Full", power_now=0), "unplug the charger"),
        (
            _battery("BAT0", "Discharging", power_now=5_000_000)
            | {f"{SUPPLY}/USBC/type": "USB", f"{SUPPLY}/USBC/online": 1},
            "USBC feeds the device",
        ),
        (
            _battery("BAT0", "Discharging", power_now=5_000_000)
            | _battery("BAT1", "Charging", power_now=5_000_000),
            "unplug the charger",
        ),
        (_battery("BAT0", "Discharging"), "shows neither power_now"),
        (_battery("BAT0", "Charging", present=0), ""),
        (_battery("pen", "Discharging", scope="Device", power_now=1), ""),
    ],
)
def test_a_laptop_that_charges_has_no_energy(program, tmp_path, files, said):
    sensors, reasons = program.find_sensors(write_tree(tmp_path, files))
    assert sensors == []
    assert said in "".join(reasons)
    assert bool(reasons) == bool(said)


def test_a_charger_that_is_plugged_in_spoils_the_window(program, tmp_path):
    root = write_tree(tmp_path, _battery("BAT0", "Discharging", power_now=9_000_000))
    (sensor,), _ = program.find_sensors(root)
    plug = {f"{SUPPLY}/BAT0/status": "Charging"}
    assert _window(sensor, lambda: write_tree(tmp_path, plug), 10.0) == (None, 0)
    assert "unplug the charger" in sensor.problem


def test_a_battery_that_shows_nothing_yet_has_no_energy(program, tmp_path):
    root = write_tree(tmp_path, _battery("BAT0", "Discharging", power_now=0))
    (sensor,), _ = program.find_sensors(root)
    assert _window(sensor, seconds=10.0) == (None, 0)
    assert "stood still" in sensor.problem


# ------------------------------------------------------------------------------- power, in general


def test_power_is_weighted_by_time(program):
    meter = program.PowerMeter("m", lambda: None, 0.1, "")
    meter._samples = [(0.0, 5.0), (1.0, 5.0), (2.0, 1.0), (2.1, 1.0), (2.2, 1.0), (2.9, 1.0)]
    assert program.mean_power(meter._samples, 0.0, 4.0) == pytest.approx((2 * 5 + 2 * 1) / 4)
    assert program.mean_power([(1.0, 3.0)], 0.0, 4.0) == 3.0


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([(0.1, 2.0), (0.2, -2.5), (0.9, 2.0)], "-2.5 W is below zero"),
        ([(0.1, 2.0), (0.2, 2.5), (0.3, 2.0)], "no reading came for 0.7 s from second 0.3 on"),
        ([(0.1, 2.0), (0.9, 2.0)], "2 readings came in the window, 3 are needed"),
        ([(0.1, 2e5), (0.5, 2e5), (0.9, 2e5)], "more than the 1e+04 W"),
        ([(0.1, 2.0), (0.5, 2.0), (0.9, 2.0)], ""),
    ],
)
def test_a_meters_window_is_judged(program, monkeypatch, samples, said):
    meter = program.PowerMeter("m", lambda: None, 0.1, "")
    meter._samples, meter._begin, meter._thread = samples, 0.0, None
    import time

    monkeypatch.setattr(time, "perf_counter", lambda: 1.0)
    energy, count = meter.stop(1.0)
    assert said in meter.problem
    assert (energy, count) == ((None, 0) if said else (2000.0, 3))


def test_a_busy_device_uses_no_less_than_an_idle_one(program):
    """The sensor that shows less under load than idle does not see the device: no energy."""
    counts = iter([0.0, 3000.0, 0.0, 300.0, 0.0, 60_000.0])
    sensor = program.Counter("c", counts.__next__, 1e9, 0.0001, "", limit_w=1e6)

    class Session:
        def run(self, outputs, inputs):
            pass

    watch = program.Stopwatch()
    watch.rest([sensor], 0.02)
    asleep = watch.hold(Session(), {}, 0.02, [sensor])
    assert "energy_mj" not in asleep
    assert "is less than" in asleep["energy_problems"]["c"]
    awake = watch.hold(Session(), {}, 0.02, [sensor])
    assert awake["energy_mj"]["idle_w"] == pytest.approx(watch.idle_w["c"], rel=1e-4)
    assert "energy_problems" not in awake


def test_a_system_that_slept_has_no_window(program, monkeypatch):
    import time

    slept = iter([0.0, 30.0])
    monotonic, boot = time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME
    monkeypatch.setattr(time, "clock_gettime", lambda c: next(slept) if c == boot else 0.0)
    assert monotonic != boot

    class Session:
        def run(self, outputs, inputs):
            pass

    found = program.Stopwatch().hold(Session(), {}, 0.001, [])
    assert found == {"energy_problems": {"all": "the system slept for 30.0 s"}}


# --------------------------------------------------------------------------------- the processor

CPUS = "sys/devices/system/cpu"


@pytest.mark.parametrize(
    ("files", "quota", "cores"),
    [
        ({"sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5, 1),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, None, None),
        ({"sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5, 1),
        ({"sys/fs/cgroup/cpu.max": "400000 100000"}, 4.0, 4),
        (
            {
                "proc/self/cgroup": "0::/kubepods/pod1/c",
                "sys/fs/cgroup/kubepods/pod1/c/cpu.max": "max 100000",
                "sys/fs/cgroup/kubepods/pod1/cpu.max": "80000 100000",
                "sys/fs/cgroup/kubepods/cpu.max": "400000 100000",
            },
            0.8,
            1,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/docker/y\n",
                "sys/fs/cgroup/cpu/docker/y/cpu.cfs_quota_us": 25_000,
                "sys/fs/cgroup/cpu/docker/y/cpu.cfs_period_us": 100_000,
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": -1,
            },
            0.25,
            1,
        ),
        ({"sys/fs/cgroup/cpu.max": "broken"}, None, None),
        ({}, None, None),
    ],
)
def test_a_containers_quota_bounds_the_threads(program, tmp_path, monkeypatch, files, quota, cores):
    import os

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    root = write_tree(tmp_path, files) if files else str(tmp_path)
    assert program.cpu_quota(root) == quota
    assert program.device_info(root)["cores"] == (cores or 16)


def test_time_that_a_quota_took_is_counted(program, tmp_path):
    text = "usage_usec 5\nnr_throttled 3\nthrottled_usec 250000"
    root = write_tree(tmp_path, {"sys/fs/cgroup/cpu.stat": text})
    assert program.quota_stops(root) == pytest.approx(0.25)
    assert program.quota_stops(str(tmp_path / "elsewhere")) is None


def test_hybrid_cores_are_groups_and_the_one_used_is_noted(program, tmp_path):
    files = {"sys/devices/cpu_core/cpus": "0-3", "sys/devices/cpu_atom/cpus": "4-7"}
    for number in range(8):
        khz = 5_200_000 if number == 1 else 5_000_000 if number < 4 else 3_800_000
        files[f"{CPUS}/cpu{number}/cpufreq/cpuinfo_max_freq"] = khz
        files[f"{CPUS}/cpu{number}/cpufreq/scaling_cur_freq"] = 2_000_000
    stat = "77 (a (b) c) R " + " ".join(["0"] * 35) + " 6 0 0"
    root = write_tree(tmp_path, {**files, "proc/self/stat": stat})
    fast, small = program.core_groups(root)
    assert (fast["kind"], fast["cpus"], fast["max_mhz"]) == ("cpu_core", [0, 1, 2, 3], 5200.0)
    assert (small["kind"], small["cpus"]) == ("cpu_atom", [4, 5, 6, 7])
    watch = program.ClockWatch(root)
    watch.look()
    write_tree(tmp_path, {f"{CPUS}/cpu6/cpufreq/scaling_cur_freq": 3_500_000})
    watch.look()
    seen = watch.seen()
    assert seen == {"clock_mhz": {"low": 2000.0, "high": 3500.0}, "core_groups": [1]}
    assert program.clock_moved(seen)
    watch.reset()
    assert watch.seen()["clock_mhz"] is None


def test_big_and_little_cores_are_told_by_their_capacity(program, tmp_path):
    files = {f"{CPUS}/cpu{n}/cpu_capacity": 446 if n < 4 else 1024 for n in range(6)}
    big, little = program.core_groups(write_tree(tmp_path, files))
    assert (big["cpus"], big["capacity"]) == ([4, 5], 1024)
    assert little["cpus"] == [0, 1, 2, 3]


def test_favoured_cores_are_no_other_kind(program, tmp_path):
    clocks = {f"{CPUS}/cpu{n}/cpufreq/cpuinfo_max_freq": 5_050_000 - 60_000 * n for n in range(8)}
    (group,) = program.core_groups(write_tree(tmp_path, clocks))
    assert (group["cpus"], group["max_mhz"]) == (list(range(8)), 5050.0)


def test_alike_cores_are_one_group_and_nothing_is_noted(program, tmp_path):
    files = {f"{CPUS}/cpu{n}/cpufreq/cpuinfo_max_freq": 1_500_000 for n in range(4)}
    root = write_tree(tmp_path, files)
    assert len(program.core_groups(root)) == 1
    assert program.ClockWatch(root).seen() == {"clock_mhz": None}


def test_a_machine_without_sensors_has_none_and_no_complaint(program, tmp_path):
    root = str(tmp_path)
    assert program.find_sensors(root) == ([], [])
    assert program.core_groups(root) == []
    assert program.cpu_quota(root) is None
    assert json.dumps(program.device_info(root))


def test_garbage_in_system_files_is_no_energy_and_no_traceback(program, tmp_path):
    for number, text in enumerate(("", "nan", "-", "1e400", "x" * 5000, "\0\0", "1_000", "٣")):
        root = tmp_path / str(number)
        files = _zone(0, "package-0", text, text) | _rails("ina3221", "hwmon0", (text, text, text))
        files |= _battery("BAT0", "Discharging", power_now=text, current_now=text)
        files |= {"sys/fs/cgroup/cpu.max": text, "proc/self/cgroup": text, "proc/cpuinfo": text}
        files |= {"sys/devices/cpu_core/cpus": text, f"{CPUS}/cpu0/cpu_capacity": text}
        files |= {"proc/device-tree/model": "Raspberry Pi 5", "proc/meminfo": text}
        write_tree(root, files)
        sensors, reasons = program.find_sensors(str(root))
        assert all(isinstance(reason, str) for reason in reasons)
        for sensor in sensors:
            assert _window(sensor, seconds=0.001)[0] is None
        assert program.device_info(str(root))["cores"] >= 1
        program.core_groups(str(root))


# ------------------------------------------------------------------------------- buses, libraries


class _Bus:
    def __init__(self, registers):
        self.registers = registers

    def read_word_data(self, address, register):
        if register not in self.registers:
            raise OSError("no answer")
        value = self.registers[register] & 0xFFFF
        return (value & 0xFF) << 8 | value >> 8


@pytest.mark.parametrize(
    ("registers", "said"),
    [
        ({0xFE: 0x5449, 0xFF: 0x3220, 0x00: 0x7127}, "an INA3221 answers there: load the kernel"),
        ({0xFE: 0x5449, 0xFF: 0x2270, 0x00: 0x6127}, "an INA260 answers there"),
        ({0xFE: 0, 0xFF: 0, 0x00: 0x3998}, "not set to measure shunt and bus continuously"),
    ],
)
def test_a_chip_that_cannot_be_read_rightly_is_refused(program, registers, said):
    with pytest.raises(program.Refused, match=said):
        program.i2c_sensor("1:0x40", 0.1, _Bus(registers))


def test_a_drop_out_of_range_leaves_no_energy(program):
    bus = _Bus({0x00: 0x399F, 0x01: 5000, 0x02: 1250 << 3, 0xFE: 0, 0xFF: 0})
    sensor = program.i2c_sensor("1:0x40", 0.1, bus)
    assert _window(sensor, seconds=1.0).energy_mj == pytest.approx(2500)
    assert _window(sensor, lambda: bus.registers.update({0x01: 32_000}), 1.0) == (None, 0)
    assert "out of range: use a smaller resistor" in sensor.problem
    bus.registers[0x01] = -5000
    sensor.period_s = 0.001
    assert _window(sensor, seconds=1.0) == (None, 0)
    assert "wired the other way round" in sensor.problem


class _Nvml:
    """Several devices; each a name, a limit in mW and an energy in mJ."""

    def __init__(self, *devices):
        self.devices = devices

    def nvmlInit_v2(self):
        return 0

    def nvmlDeviceGetCount_v2(self, count):
        count._obj.value = len(self.devices)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index, device):
        device._obj.value = index + 1
        return 0 if index < len(self.devices) else 6

    def nvmlDeviceGetHandleByUUID(self, uuid, device):
        device._obj.value = int(uuid[-1:]) + 1
        return 0

    def nvmlDeviceGetName(self, device, name, length):
        name.value = self.devices[device.value - 1][0]
        return 0

    def nvmlDeviceGetEnforcedPowerLimit(self, device, value):
        value._obj.value = self.devices[device.value - 1][1]
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, device, value):
        value._obj.value = self.devices[device.value - 1][2]()
        return 0


@pytest.mark.parametrize(
    ("environment", "energy_mj"),
    [
        ({"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, 10_000),
        ({"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1,0"}, 20_000),
        ({"CUDA_VISIBLE_DEVICES": "GPU-1"}, 20_000),
        ({}, None),
        ({"CUDA_VISIBLE_DEVICES": "MIG-7"}, None),
    ],
)
def test_the_gpu_that_runs_is_the_one_that_is_read(program, environment, energy_mj):
    counts = [iter([0, 0, 10_000]), iter([0, 0, 20_000])]
    devices = [(b"small", 70_000, counts[0].__next__), (b"large", 350_000, counts[1].__next__)]
    (sensor,) = program.nvml_sensors(lambda name: _Nvml(*devices), environment)
    if energy_mj is None:
        assert sensor.available()
        assert sensor.stop(1.0) == (None, 0)
        return
    sensor.start()
    assert sensor.stop(1.0).energy_mj == energy_mj


def test_a_gpu_shows_no_more_than_its_limit_allows(program):
    count = iter([0, 0, 200_000])
    (sensor,) = program.nvml_sensors(lambda name: _Nvml((b"x", 70_000, count.__next__)), {})
    sensor.start()
    assert sensor.stop(1.0) == (None, 0)
    assert "200 W is more than the 140 W" in sensor.problem
