"""An external meter: its clock is found from the windows' edges or refused; gaps are named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from device_programs import load_parts, load_program, run_program

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module", params=["parts", "built"])
def program(request):
    return load_parts() if request.param == "parts" else load_program()


class Scene:
    """Networks at uneven times, each held for a window between two pauses, and a meter."""

    def __init__(self, count=8, seed=0, pause_s=1.0, hold_s=3.0, idle_w=1.5):
        rng = np.random.default_rng(seed)
        self.idle_w, self.windows, at = idle_w, [], 1_000_000.0
        for number in range(count):
            at += pause_s + hold_s + float(rng.uniform(1.0, 9.0))
            window = {"start": round(at, 3), "seconds": hold_s, "runs": 10 * (number + 1)}
            self.windows.append(window | ({"pause_s": pause_s} if pause_s else {}))
        self.watts = [3.0 + 4.0 * float(rng.random()) for _ in self.windows]

    def power(self, moment):
        """True power: busy except in the pauses, as a device that measures is."""
        for window, watts in zip(self.windows, self.watts, strict=True):
            end = window["start"] + window["seconds"]
            if window["start"] <= moment < end:
                return watts
            pause_s = window.get("pause_s", 1.0)
            if window["start"] - pause_s <= moment < end + pause_s:
                return self.idle_w
        return 3.5

    def records(self):
        return [
            {"network": {"workload": f"n{k}"}, "window": dict(w), "energy_mj": None}
            for k, w in enumerate(self.windows)
        ]

    def samples(self, period_s, offset_s, noise=0.02, seed=1):
        rng = np.random.default_rng(seed)
        first = self.windows[0]["start"] - 15
        last = self.windows[-1]["start"] + 15
        moments = np.arange(first + float(rng.uniform(0, period_s)), last, period_s)
        return [
            (float(t) + offset_s, self.power(float(t)) * (1 + noise * float(rng.standard_normal())))
            for t in moments
        ]


@pytest.mark.parametrize("offset_s", [0.0, 0.7, -4.0, 4.0, 61.3, -300.0])
@pytest.mark.parametrize(("period_s", "within"), [(0.1, 0.02), (0.5, 0.12)])
def test_the_clock_of_a_meter_is_found_and_the_energy_is_the_true_one(
    program, offset_s, period_s, within
):
    scene = Scene()
    records = scene.records()
    merged = program.merge_meter(records, scene.samples(period_s, offset_s))
    assert merged.networks == len(records)
    assert merged.offset.checked
    # Readings hold until the next one, so the meter lags by half its period on average.
    assert offset_s <= merged.offset.seconds + 0.05 <= offset_s + period_s + 0.1
    for record, watts in zip(records, scene.watts, strict=True):
        assert record["power_w"] == pytest.approx(watts, rel=within)
        runs, seconds = record["window"]["runs"], record["window"]["seconds"]
        energy_mj = 1e3 * watts * seconds / runs
        assert record["energy_mj"]["mean"] == pytest.approx(energy_mj, rel=within)


def test_a_meter_that_reads_once_a_second_needs_no_better_clock(program):
    scene = Scene(count=12, hold_s=5.0)
    records = scene.records()
    merged = program.merge_meter(records, scene.samples(1.0, 7.0))
    assert merged.offset.seconds == pytest.approx(7.5, abs=0.6)
    for record, watts in zip(records, scene.watts, strict=True):
        assert record["power_w"] == pytest.approx(watts, rel=0.25)
    errors = [r["power_w"] / w - 1 for r, w in zip(records, scene.watts, strict=True)]
    assert abs(float(np.mean(errors))) < 0.1


def test_a_meter_that_logs_more_often_when_the_power_falls_counts_by_time(program):
    records = [{"window": {"start": 1000.0, "seconds": 3.0, "runs": 30}}]
    slow = [(1000.3 + i, 5.0) for i in range(3)]
    fast = [(1002.6 + 0.005 * i, 1.0) for i in range(20)]
    program.merge_meter(records, slow + fast)
    # From 1000.3 to 1002.6 at 5 W, the last tenth of a second that counts at 1 W.
    power_w = (2.3 * 5 + 0.1 * 1) / 2.4
    assert records[0]["energy_mj"]["mean"] == pytest.approx(1e3 * power_w * 3 / 30, rel=1e-4)


def test_windows_at_equal_distances_take_the_nearest_offset_or_none(program):
    def scene(offset_s):
        records = [
            {
                "network": {"workload": f"{k}"},
                "window": {"start": 1e6 + 10 * k, "seconds": 3.0, "runs": 9},
            }
            for k in range(8)
        ]
        samples = [
            (1e6 + t + offset_s, 5.0 if t % 10 < 3 and 0 <= t < 80 else 1.0)
            for t in np.arange(-40.0, 120.0, 0.5)
        ]
        return records, [(float(t), w) for t, w in samples]

    records, samples = scene(4.0)
    merged = program.merge_meter(records, samples)
    assert merged.offset.seconds == pytest.approx(4.0, abs=0.51)
    assert {record["power_w"] for record in records} == {5.0}
    # Shifted by half the distance, two offsets are equally near once both ends are cut off.
    records, samples = scene(5.0)
    inner = [pair for pair in samples if pair[0] <= 1e6 + 85]
    many = [(t + 10 * k, w) for k in range(-4, 5) for t, w in inner if 1e6 <= t < 1e6 + 10]
    with pytest.raises(program.Refused, match="may be off by"):
        program.merge_meter(records, sorted(many))


def test_readings_that_follow_something_else_are_refused(program):
    scene = Scene()
    rng = np.random.default_rng(3)
    samples = [(t, float(rng.choice([1.5, 6.0]))) for t, _ in scene.samples(0.5, 0.0)]
    with pytest.raises(program.Refused, match="do not rise and fall with the networks"):
        program.merge_meter(scene.records(), samples)
    merged = program.merge_meter(scene.records(), samples, offset_s=0.0)  # somebody knows better
    assert merged.networks == 8


def test_steady_power_needs_no_clock(program):
    scene = Scene(pause_s=0.0)
    records = scene.records()
    samples = [(t, 4.0) for t, _ in scene.samples(0.5, 0.0)]
    merged = program.merge_meter(records, samples)
    assert (merged.offset.seconds, merged.offset.checked) == (0.0, False)
    assert {record["power_w"] for record in records} == {4.0}


def test_a_gap_and_an_uncovered_window_are_named_and_the_others_have_energy(program):
    scene = Scene()
    samples = scene.samples(0.1, 0.0)
    gap, missing = scene.windows[2], scene.windows[7]
    samples = [
        (t, w)
        for t, w in samples
        if not gap["start"] + 0.5 < t < gap["start"] + 2.9 and t < missing["start"] - 2
    ]
    records = scene.records()
    merged = program.merge_meter(records, samples)
    assert merged.networks == 6
    first, second = merged.problems
    assert '"n2"' in first and "no reading for 2.3" in first
    assert '"n7"' in second and "no reading in its window" in second
    assert records[2]["energy_mj"] is None


def test_a_clock_that_was_set_in_a_window_leaves_it_out(program):
    scene = Scene(count=3)
    records = scene.records()
    records[1]["window"]["clock_was_set"] = True
    assert program.merge_meter(records, scene.samples(0.1, 0.0)).networks == 2
    assert records[1]["energy_mj"] is None


def test_what_other_sensors_said_is_kept(program):
    records = [
        {
            "network": {"workload": "n"},
            "window": {"start": 1000.0, "seconds": 10.0, "runs": 10},
            "energy_mj": {"mean": 7.0, "sensor": "rapl:package-0", "runs": 10, "samples": 2},
        }
    ]
    samples = [(float(t), 2.0) for t in range(990, 1020)]
    for _ in range(2):  # merging once more changes nothing
        program.merge_meter(records, samples)
        energy = records[0]["energy_mj"]
        assert (energy["sensor"], energy["mean"]) == ("external meter", 2000.0)
        assert energy["others"] == {"rapl:package-0": 7.0}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["time,power_w", "1,2", "2,nan"], 'line 3: expected a time and a number, got "2", "nan"'),
        (["time,power_w", "1,inf"], "line 2: expected a time and a number"),
        (["time,power_w", "1e999,2"], "line 2: expected a time"),
        (["time,power_w", "1,2", "", "5,"], "line 4: expected a time and a number"),
        (["time,power_w", "1"], "line 2: expected a time and a number"),
        (["time,power_w", "1,-2", "2,-2"], "line 2: -2 W is below zero: the meter is wired"),
        (["time,power_w", "1,2", '"' + "x" * 200_000], "line 3: "),
        (["time,power_w", "9999-99-99,2"], "line 2: expected a time"),
        (["zeit,watt", "1,2"], "expected columns time and power_w, got zeit, watt"),
        ([], "expected columns time and power_w"),
    ],
)
def test_a_reading_that_cannot_be_is_named_with_its_line(program, tmp_path, lines, said):
    path = tmp_path / "meter.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(program.Refused) as caught:
        program.read_meter(str(path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.code == 4


def test_a_meters_zero_may_be_a_little_off(program, tmp_path):
    path = tmp_path / "meter.csv"
    path.write_text("time,power_w\n1,-0.01\n2,5\n")
    assert program.read_meter(str(path)) == [(1.0, -0.01), (2.0, 5.0)]


def test_a_merged_file_says_what_was_found(tmp_path):
    scene = Scene()
    out, meter = tmp_path / "m.jsonl", tmp_path / "meter.csv"
    lines = [{"schema": "flash.measurements/1"}, *scene.records()]
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = "".join(f"{t},{w}\n" for t, w in scene.samples(0.1, -90.0))
    meter.write_text("timestamp,power_w\n" + rows)
    done = run_program(f"--meter={meter}", f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert "its clock less this device's is -89.9" in done.stderr
    records = [json.loads(line) for line in out.read_text().splitlines()[1:]]
    assert all(record["energy_mj"]["clock_offset_s"] < -89 for record in records)
    # Far away, the message says from when to when who was active.
    meter.write_text("time,power_w\n" + "".join(f"{t},2\n" for t in range(5000, 5100)))
    done = run_program(f"--meter={meter}", f"--out={out}")
    assert done.returncode == 4
    assert "it read from 5000 to 5099, networks ran from 1000" in done.stderr
    assert "--meter-offset" in done.stderr
    assert [json.loads(line) for line in out.read_text().splitlines()[1:]] == records
