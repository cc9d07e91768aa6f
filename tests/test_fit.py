"""flash.fit: measurements are read strictly, fits are physical, errors are honest."""

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flash.command import run_command
from flash.errors import InputError, UsageError
from flash.estimate import estimate
from flash.fit import fit
from flash.fit.command import main
from flash.fitting import selection
from flash.fitting.baselines import Baseline
from flash.fitting.fit import _Problem, _Sensitive, fit_left_out, fit_one
from flash.fitting.fitted import interval_of, quality
from flash.fitting.learning import learn
from flash.fitting.linear_fit import LinearFit
from flash.fitting.prior import (
    EXTRA,
    PARAMETERS,
    pack,
    profile_prior,
    unknown_prior,
    unpack,
)
from flash.fitting.selection import folds_of
from flash.fitting.workload import workload
from flash.measurements.reading import read_measurements
from flash.search import search
from flash.spaces.network import GraphEmitter, Network
from flash.spaces.space import load_space
from flash.targets.processor.costs import network_costs, network_features
from flash.targets.processor.intervals import latency_interval
from flash.targets.processor.kernel_classes import CALL, KERNEL_CLASSES
from flash.targets.processor.profile import load_profile
from flash.targets.processor.profile_file import profile_text, write_profile

ROOT = Path(__file__).resolve().parents[1]
CELLS = load_space("nasbench201")
CHAIN = load_space("cifar10-add")
RNG = np.random.default_rng(20260714)
DESIGNS = CHAIN.sample(24, RNG)
NETWORKS = [CHAIN.network(d) for d in DESIGNS]
TRUTH = load_profile("rpi4b").runtime.coefficients
LATENCY_MS = workload(NETWORKS, "used").latency_ms(TRUTH) * np.exp(RNG.normal(0, 0.02, 24))


def csv_file(path: Path, lines: list[str], header: str = "design,latency_ms") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def rows(count: int = 24) -> list[str]:
    return [
        f'"{CHAIN.describe(d)}",{ms:.6g}'
        for d, ms in zip(DESIGNS[:count], LATENCY_MS[:count], strict=True)
    ]


def test_families_unlike_each_other_widen_the_interval_for_one_more() -> None:
    rng = np.random.default_rng(0)
    near = rng.normal(0, 0.02, 120)
    families = [f"family {k}" for k in range(6) for _ in range(20)]
    alike = near.copy()
    apart = near + np.repeat(rng.normal(0, 0.15, 6), 20)
    box = dict.fromkeys(("macs", "bytes", "kernels", "conv_share"), (1.0, 2.0))
    same = interval_of(box, near, alike, (), families)
    assert same == interval_of(box, near, alike)
    pooled, wider = interval_of(box, near, apart), interval_of(box, near, apart, (), families)
    assert (wider.low, wider.high) == (pooled.low, pooled.high)
    assert wider.outside_low < pooled.outside_low and wider.outside_high > pooled.outside_high
    # One or two families do not show how far a third lies: others' do.
    one, two = ["a"] * 120, ["a"] * 60 + ["b"] * 60
    ends = [interval_of(box, near, apart, (), told).outside_high for told in (one, two, ())]
    assert ends[0] > ends[1] > ends[2] == pooled.outside_high


def test_tables_name_published_networks_and_onnx_files(tmp_path: Path) -> None:
    from flash.backends import network_model, random_weights  # noqa: PLC0415

    space = load_space("cifar10-add")
    network = space.network(np.zeros(len(space.grids), dtype=np.int64))
    model = network_model(network, random_weights(network, 0), "small")
    (tmp_path / "small.onnx").write_bytes(model.SerializeToString())
    lines = ["mobilenet_v2_0.5_160,11.5", "squeezenet_1.1,30", "small.onnx,2.5"]
    file = csv_file(tmp_path / "t.csv", lines, "network,latency_ms")
    found = read_measurements(file, fewest=3)
    assert [row.name for row in found.rows] == [line.split(",")[0] for line in lines]
    assert found.rows[2].network.macs == network.macs
    with pytest.raises(UsageError, match="leave --space out"):
        read_measurements(file, "cifar10-add", fewest=3)
    both = csv_file(tmp_path / "b.csv", ["a,b,1"], "network,design,latency_ms")
    with pytest.raises(InputError, match=r"expected the columns .*latency_ms'$"):
        read_measurements(both)
    for mark in ";", "\t":
        other = csv_file(tmp_path / "o.csv", [f"a{mark}1,5"], f"network{mark}latency_ms")
        with pytest.raises(InputError, match="separate columns by commas, decimals by points"):
            read_measurements(other)
    report = fit([file], "sister", prior="rpi3b")
    assert report.profile.runtime.provenance.networks == 3


def test_columns_of_a_setting_are_used_and_others_are_named(tmp_path: Path) -> None:
    lines = [f"{row},{4},INT8,me" for row in rows(20)]
    file = csv_file(tmp_path / "m.csv", lines, "Design,Latency_ms,threads,precision,who")
    report = fit([file], "b", space="cifar10-add", baselines=False)
    runtime = report.profile.runtime
    assert (runtime.threads, runtime.precision) == (4, "int8")
    assert report.problems == (f"{file}:1: columns not read: who",)
    mixed = [f"{row},{threads}" for row, threads in zip(rows(20), [1, 4] * 10, strict=True)]
    file = csv_file(tmp_path / "t.csv", mixed, "design,latency_ms,threads")
    with pytest.raises(InputError, match="the column threads has the values 1, 4: "):
        read_measurements(file, "cifar10-add")
    twice = csv_file(tmp_path / "w.csv", ["a,1,2"], "network,latency_ms,Latency_ms")
    with pytest.raises(InputError, match="the column latency_ms is there twice"):
        read_measurements(twice)


@pytest.mark.parametrize(
    ("cell", "words", "name"),
    [
        ("onnxruntime  1.17.1", "onnxruntime 1.17.1", "ort"),
        ("ncnn", "ncnn", "ncnn"),
        ("Arm NN v22", "Arm NN 22", "arm_nn"),
        ("", "a runtime not stated", "measured"),
    ],
)
def test_a_table_may_name_its_runtime_and_nobody_reads_not_stated_twice(
    tmp_path: Path, cell: str, words: str, name: str
) -> None:
    lines = [f"{row},{cell}" for row in rows(12)]
    file = csv_file(tmp_path / "m.csv", lines, "design,latency_ms,runtime")
    report = fit([file], "b", space="cifar10-add", baselines=False)
    runtime = report.profile.runtime
    assert runtime.name == name
    assert report.profile.summary()["framework"] == words
    for line in (str(report), report.profile.provenance_line, runtime.basis):
        assert words in line and "not stated not stated" not in line


def test_a_table_of_two_runtimes_is_refused(tmp_path: Path) -> None:
    mixed = [f"{row},{of}" for row, of in zip(rows(12), ["ncnn", "tflite"] * 6, strict=True)]
    file = csv_file(tmp_path / "m.csv", mixed, "design,latency_ms,runtime")
    with pytest.raises(InputError, match="the column runtime has the values ncnn, tflite: "):
        read_measurements(file, "cifar10-add")


def test_a_number_format_that_nothing_runs_in_is_the_files_fault(tmp_path: Path) -> None:
    file = csv_file(
        tmp_path / "m.csv", [f"{row},int4" for row in rows(12)], "design,latency_ms,precision"
    )
    with pytest.raises(InputError, match="precision 'int4' is not one of fp32, "):
        fit([file], "b", space="cifar10-add")


@pytest.mark.parametrize(("prior", "kind"), [("systolic", "systolic"), ("imc", "imc")])
def test_a_prior_of_another_kind_of_hardware_is_refused(
    tmp_path: Path, prior: str, kind: str
) -> None:
    file = csv_file(tmp_path / "m.csv", rows(12))
    with pytest.raises(UsageError, match=f"of kind {kind}; expected a processor's"):
        fit([file], "b", space="cifar10-add", prior=prior)
    with pytest.raises(UsageError, match=f"of kind {kind}; expected a processor's"):
        fit([], "b", prior=prior, clock_mhz=1000.0)


def test_enormous_errors_keep_the_columns_of_the_table(tmp_path: Path) -> None:
    file = csv_file(tmp_path / "m.csv", rows(12))
    report = fit([file], "b", space="cifar10-add", baselines=False)
    (name,) = report.learned
    found = report.learned[name]
    bad = {"median_error_percent": 1.4, "mape_percent": 327711191516756.6, "spearman": 0.5}
    worse = Baseline("log MACs", bad | {"median_error_percent": 1000.1})
    table = str(
        replace(
            report,
            learned={name: replace(found, baselines=(Baseline("linear in MACs", bad), worse))},
        )
    )
    lines = [line for line in table.splitlines() if "linear in MACs" in line or "log MACs" in line]
    assert [" ".join(line.split()[3 - k :]) for k, line in enumerate(lines)] == [
        "1.4 % > 1000 % 0.500",
        "> 1000 % > 1000 % 0.500",
    ]
    (title,) = [line for line in table.splitlines() if line.endswith("Spearman")]
    assert {len(line) for line in lines} == {len(title)}


def test_an_onnx_file_of_a_table_is_priced_at_its_batch(tmp_path: Path) -> None:
    from flash.backends import network_model, random_weights  # noqa: PLC0415

    network = NETWORKS[0]
    model = network_model(network, random_weights(network, 0), "small")
    (tmp_path / "small.onnx").write_bytes(model.SerializeToString())
    lines = ["small.onnx,2.5,1", "small.onnx,18,8", "mobilenet_v2_0.5_128,3,"]
    file = csv_file(tmp_path / "t.csv", lines, "network,latency_ms,batch")
    found = read_measurements(file, fewest=3)
    assert [row.network.macs for row in found.rows[:2]] == [network.macs, 8 * network.macs]
    lines[2] = "mobilenet_v2_0.5_128,3,8"
    file = csv_file(tmp_path / "t.csv", lines, "network,latency_ms,batch")
    with pytest.raises(InputError, match="with 8 images at a time, and networks are priced for"):
        read_measurements(file, fewest=3)


def test_a_row_without_a_latency_was_not_measured(tmp_path: Path) -> None:
    empty = [f'"{CHAIN.describe(d)}",' for d in DESIGNS[12:]]
    file = csv_file(tmp_path / "m.csv", [*empty, *rows(12)])
    found = read_measurements(file, "cifar10-add")
    assert len(found.rows) == 12
    assert found.problems == (
        f"{file}:2: lines 2, 3, 4, 5, 6 and 7 more: latency_ms is empty, so not measured",
    )
    none = csv_file(tmp_path / "n.csv", [])
    with pytest.raises(InputError, match="holds no measurement below its header$"):
        read_measurements(none, "cifar10-add")
    four = csv_file(tmp_path / "f.csv", rows(4))
    with pytest.raises(InputError, match="4 networks can be used, .* or --prior NAME "):
        read_measurements(four, "cifar10-add")


def test_latencies_that_are_all_the_same_and_far_apart_for_one_network_are_doubted(
    tmp_path: Path,
) -> None:
    same = [f'"{CHAIN.describe(d)}",5' for d in DESIGNS[:12]]
    file = csv_file(tmp_path / "m.csv", [*same, same[0] + "0"])
    doubts = fit([file], "b", space="cifar10-add", baselines=False).doubts
    assert len(doubts) == 2
    assert "took 10 times as long as in line 2" in doubts[0]
    assert "all 12 latencies are 5 ms, of networks of" in doubts[1]


def test_a_constant_of_a_run_is_not_taken_for_the_last_layer() -> None:
    """Classifiers run one linear layer each: what others with many of them take is found too."""
    constant_ms = 3 * float(np.median(LATENCY_MS))
    ms = LATENCY_MS + constant_ms
    found = learn(NETWORKS, ["net"] * 24, ms, None, unknown_prior(), baselines=False)
    fitted = sum(v.weight * v.coefficients.overhead_us[CALL] for v in found.variants) / 1e3
    assert fitted == pytest.approx(constant_ms, rel=0.3)
    network = GraphEmitter()
    x = source = network.source(64, 1, 1)
    for _ in range(12):
        x = network.linear(x, 64)
    many = network.network(source, x)
    truth = workload([many], "used").latency_ms(TRUTH)[0] + constant_ms
    assert found.latency_ms([many])[0] == pytest.approx(truth, rel=0.5)


def _column(width: int, side: int, depth: int) -> Network:
    """Convolutions of one width at one side."""
    e = GraphEmitter()
    x = source = e.source(width, side, side)
    for _ in range(depth):
        x = e.conv(x, width, 3)
    return e.network(source, x)


def _starved_ms(network: Network) -> float:
    """Of a made-up GPU: 20 us a kernel, 500 GMAC/s where there are many more than 300 positions."""
    convs = [x for x in network.layers if x.op == "conv"]
    weights = np.array([9 * x.in_channels * x.out_channels for x in convs])
    positions = np.array([(x.out_height or 1) * (x.out_width or 1) for x in convs])
    return 0.02 * len(convs) + float((weights * (positions + 300) / 500e6).sum())


def test_few_positions_that_leave_a_device_idle_are_found() -> None:
    known = [
        _column(width, side, depth)
        for width in (32, 96, 256)
        for side, depth in ((4, 3), (6, 12), (8, 5), (12, 8), (16, 4), (24, 11), (32, 6), (48, 9))
    ]
    asked = [_column(w, side, 7) for w in (48, 128, 384) for side in (3, 10, 20, 40)]
    noise = np.exp(np.random.default_rng(4).normal(0, 0.02, len(known)))
    ms = np.array([_starved_ms(network) for network in known]) * noise
    found = learn(known, ["net"] * len(known), ms, None, unknown_prior(), baselines=False)
    truth = np.array([_starved_ms(network) for network in asked])
    assert quality(truth, found.latency_ms(asked))["mape_percent"] < 10


def test_a_prior_that_makes_a_fit_worse_is_doubted(tmp_path: Path) -> None:
    file = csv_file(tmp_path / "board.csv", rows())
    told = {"space": "cifar10-add", "baselines": False}
    (doubt,) = fit([file], "b", prior="x86-avx2", **told).doubts
    assert "with --prior x86-avx2 the held-out median error is" in doubt
    assert "fit without it, unless x86-avx2 has the same cores" in doubt
    assert fit([file], "b", prior="rpi4b", **told).doubts == ()


def test_where_launches_decide_each_class_of_kernel_keeps_its_own() -> None:
    """Of a made-up GPU that starts 3x3 convolutions of stride 1 more slowly than those of 2."""
    cells = [CELLS.network(d) for d in CELLS.sample(60, np.random.default_rng(7))]
    cost_us = dict.fromkeys(KERNEL_CLASSES, 9.0) | {"conv3x3": 40.0, "conv": 22.0, "pool": 15.0}
    kinds = np.array([cost_us[name] for name in KERNEL_CLASSES if name != "call"])
    ms = workload(cells, "all", 4, "eager").launches()[:, : len(kinds)] @ kinds / 1e3
    found = learn(cells[:25], ["cell"] * 25, ms[:25], None, unknown_prior(), baselines=False)
    assert quality(ms[25:], found.latency_ms(cells[25:]))["median_error_percent"] < 1


def test_work_costs_something_where_networks_lie_far_apart() -> None:
    names = {c.name for c in selection.candidates(unknown_prior(), macs=[10**6, 10**8])}
    near = {c.name for c in selection.candidates(unknown_prior(), macs=[10**6, 10**7])}
    assert near - names == {"launches", "launches, convolutions alike"}


# -------------------------------------------------------------------------- bad measurements
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{d},nan", "latency_ms is 'nan': write a number without a unit"),
        ("{d},-3", "not above zero"),
        ("{d},0", "not above zero"),
        ("{d},3ms", "write a number without a unit"),
        ("{d}", "cut off"),
        ("w=7,1.0", "cut off|w"),
        ("{first},2e4", "was measured before, in line 2"),
    ],
)
def test_a_bad_row_is_named_and_left_out(tmp_path: Path, bad: str, message: str) -> None:
    first, other = (f'"{CHAIN.describe(d)}"' for d in (DESIGNS[0], DESIGNS[23]))
    file = csv_file(tmp_path / "m.csv", [*rows(20), bad.format(d=other, first=first)])
    found = read_measurements(file, "cifar10-add")
    assert len(found.rows) == 20
    (problem,) = found.problems
    assert problem.startswith(f"{file}:22: ")
    assert pytest.importorskip("re").search(message, problem), problem


@pytest.mark.parametrize("column", ["latency_s", "latency_us", "energy_j"])
def test_wrong_units_are_refused_with_the_factor(tmp_path: Path, column: str) -> None:
    file = csv_file(tmp_path / "m.csv", rows(), f"design,{column}")
    with pytest.raises(InputError, match=r"m.csv:1: the column .*(multiply|divide) by 1000"):
        read_measurements(file, "cifar10-add")


def test_latencies_that_look_like_another_units_are_named(tmp_path: Path) -> None:
    lines = rows(20)
    name, _, ms = lines[4].rpartition(",")
    file = csv_file(tmp_path / "m.csv", [*lines[:4], f"{name},{float(ms) * 100:.6g}", *lines[5:]])
    report = fit([file], "here", space="cifar10-add", baselines=False)
    (doubt,) = report.doubts
    assert doubt.startswith(f"{file}, line 6: ") and "what the other networks let expect" in doubt
    assert f"careful: {doubt}" in str(report)
    all_of_them = [
        f"{n},{float(t) * 1000:.6g}" for n, _, t in (r.rpartition(",") for r in rows(20))
    ]
    file = csv_file(tmp_path / "u.csv", all_of_them)
    (doubt,) = fit([file], "here", prior="rpi4b", space="cifar10-add", baselines=False).doubts
    assert "are they in milliseconds?" in doubt
    fine = csv_file(tmp_path / "f.csv", rows(20))
    assert not fit([fine], "here", prior="rpi4b", space="cifar10-add", baselines=False).doubts


@pytest.mark.parametrize(("factor", "unit"), [(1000, "microseconds"), (0.001, "seconds")])
def test_few_latencies_of_another_unit_are_left_out_and_many_are_not(
    tmp_path: Path, factor: float, unit: str
) -> None:
    """The profile is that of the file without them."""

    def changed(which: Collection[int]) -> Path:
        parts = [line.rpartition(",") for line in rows(20)]
        lines = [
            f"{name},{float(ms) * (factor if k in which else 1):.9g}"
            for k, (name, _, ms) in enumerate(parts)
        ]
        return csv_file(tmp_path / "m.csv", lines)

    report = fit([changed((4, 11))], "here", space="cifar10-add", baselines=False)
    assert [p.partition(": ")[0][-2:] for p in report.problems] == [":6", "13"]
    assert all(f"is it in {unit}?" in problem for problem in report.problems)
    assert not report.doubts
    others = [line for k, line in enumerate(rows(20)) if k not in (4, 11)]
    alone = fit(
        [csv_file(tmp_path / "o.csv", others)], "here", space="cifar10-add", baselines=False
    )
    (found,), (expected,) = report.profile.runtimes.values(), alone.profile.runtimes.values()
    assert found.coefficients == expected.coefficients
    many = fit([changed(range(5))], "here", space="cifar10-add", baselines=False)
    assert not many.problems and many.doubts


def test_a_latency_four_times_too_long_is_named_also_where_it_is_quiet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = rows(20)
    name, _, ms = lines[4].rpartition(",")
    file = csv_file(tmp_path / "m.csv", [*lines[:4], f"{name},{float(ms) * 4:.6g}", *lines[5:]])
    out = str(tmp_path / "here.toml")
    words = [str(file), "--name", "here", "--space", "cifar10-add", "--out", out, "--quiet"]
    assert run_command(main, words) == 0
    told = capsys.readouterr()
    assert not told.out and told.err.startswith(f"careful: {file}, line 6: ")
    assert len(told.err.splitlines()) == 1 and " took " in told.err


def test_many_bad_rows_are_refused(tmp_path: Path) -> None:
    file = csv_file(tmp_path / "m.csv", [*rows(10), *['"w=1",nan'] * 6])
    with pytest.raises(InputError, match="6 of 16 rows cannot be used"):
        read_measurements(file, "cifar10-add")
    with pytest.raises(UsageError, match="--space"):
        read_measurements(file)


def test_json_lines_are_read_and_a_cut_line_is_named(tmp_path: Path) -> None:
    header = {"schema": "flash.measurements/1", "threads": 2, "runtime": {"name": "onnxruntime"}}
    lines = [json.dumps(header)]
    for d, ms in zip(DESIGNS[:10], LATENCY_MS, strict=False):
        network = {"space": "cifar10-add", "design": CHAIN.describe(d)}
        kernels = [{"name": "a", "op": "Conv", "ms": 0.5}]
        lines.append(
            json.dumps({"network": network, "latency_ms": {"median": ms}, "kernels": kernels})
        )
    lines.insert(3, json.dumps({"network": {}, "error": "out of memory"}))
    file = tmp_path / "m.jsonl"
    file.write_text("\n".join(lines)[:-20], encoding="utf-8")
    found = read_measurements(file)
    assert len(found.rows) == 9
    assert found.rows[0].kernels == (("a", "Conv", 0.5),)
    assert "m.jsonl:4: not measured ('out of memory')" in found.problems[0]
    assert "m.jsonl:12: the line is cut off" in found.problems[1]


def test_energy_as_the_profiler_writes_it_is_fitted(tmp_path: Path) -> None:
    """3 W while it runs, whichever pass counts; the sensor saw the first."""
    lines = [json.dumps({"schema": "flash.measurements/1", "threads": 1})]
    for d, ms in zip(DESIGNS[:20], LATENCY_MS, strict=False):
        network = {"space": "cifar10-add", "design": CHAIN.describe(d)}
        energy = {"mean": 3.0 * 1.25 * ms, "runs": 9, "samples": 30, "sensor": "INA219"}
        latency = {"median": ms, "p10": ms, "p90": ms, "runs": 9}
        record = {"network": network, "latency_ms": latency, "energy_mj": energy}
        lines.append(json.dumps(record | {"passes": 2, "medians": [1.25 * ms, ms]}))
    merged, apart = tmp_path / "merged.jsonl", tmp_path / "apart.jsonl"
    merged.write_text("\n".join(lines), encoding="utf-8")
    found = read_measurements(merged)
    assert found.energy_mj == pytest.approx(3.0 * LATENCY_MS[:20])
    report = fit([merged], "board", baselines=False)
    energy = report.profile.runtime.energy
    assert energy.how == "fitted to measured energies"
    assert energy.power_w == pytest.approx(3.0, rel=0.02)
    # The same in a file whose run was cut off before its passes became one line.
    first = [{**json.loads(line), "latency_ms": {"median": 1.25 * ms}} for line, ms in zip(
        lines[1:], LATENCY_MS, strict=False)]  # fmt: skip
    later = [{**json.loads(line), "energy_mj": None, "pass": 2} for line in lines[1:]]
    for record in (*first, *later):
        del record["medians"], record["passes"]
    apart.write_text("\n".join([lines[0], *map(json.dumps, (*first, *later))]), encoding="utf-8")
    assert read_measurements(apart).energy_mj == pytest.approx(3.0 * LATENCY_MS[:20])


def test_of_several_passes_the_fastest_counts(tmp_path: Path) -> None:
    lines = [json.dumps({"schema": "flash.measurements/1"})]
    for number, factor in ((1, 1.0), (2, 0.8), (3, 0.9)):
        for d, ms in zip(DESIGNS[:6], LATENCY_MS, strict=False):
            network = {"space": "cifar10-add", "design": CHAIN.describe(d)}
            record = {"network": network, "latency_ms": {"median": ms * factor}}
            lines.append(json.dumps(record | ({"pass": number} if number > 1 else {})))
    file = tmp_path / "m.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    found = read_measurements(file)
    assert not found.problems
    assert found.latency_ms == pytest.approx(0.8 * LATENCY_MS[:6])


def test_a_cell_without_a_live_path_says_nothing(tmp_path: Path) -> None:
    dead = "|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|"
    cells = [CELLS.describe(d) for d in CELLS.sample(8, np.random.default_rng(5))]
    lines = [f"{cell},{5 + k}" for k, cell in enumerate(cells)]
    found = read_measurements(csv_file(tmp_path / "c.csv", [*lines, f"{dead},0.01"]), "nasbench201")
    assert any("nothing leads from the input to the output" in p for p in found.problems)


# ----------------------------------------------------------------------------------- the fit
def test_derivatives_are_those_of_differences() -> None:
    load = workload(NETWORKS[:6], "used")
    problem = _Problem([(load, LATENCY_MS[:6])], unknown_prior().extended(1.0))
    x = problem.start() + 0.01
    found = problem.jacobian(x)
    for k in range(len(x)):
        step = np.zeros(len(x))
        step[k] = 1e-6
        slope = (problem.residuals(x + step) - problem.residuals(x - step)) / 2e-6
        assert np.allclose(found[:, k], slope, atol=1e-5), k


def test_the_fit_and_the_cost_model_compute_the_same() -> None:
    """The fit's own writing of the kernel time, values and slopes, against ``kernel_ms``."""
    load = workload(NETWORKS[:6], "used")
    logs = np.log(unknown_prior().extended(1.0).median) + RNG.normal(
        0, 0.3, len(PARAMETERS + EXTRA)
    )
    values, slopes = _Sensitive(load).latency_ms(logs)
    assert values == pytest.approx(load.latency_ms(unpack(logs)), rel=1e-12)
    for k in range(len(logs)):
        step = np.zeros(len(logs))
        step[k] = 1e-5
        up, down = (load.latency_ms(unpack(logs + sign * step)) for sign in (1, -1))
        assert np.allclose(slopes[:, k], (up - down) / 2e-5, atol=1e-6 * values.max()), k


def test_leaving_networks_out_by_steps_is_fitting_anew() -> None:
    load = workload(NETWORKS, "used")
    wild = LATENCY_MS * np.exp(np.random.default_rng(5).standard_t(2, 24) * 0.1)
    rows = np.arange(24)
    folds = [rows[:1], rows[1:4], rows[4:14]]
    prior = unknown_prior()
    for fold, found in zip(folds, fit_left_out(load, wild, prior, folds), strict=True):
        keep = np.setdiff1d(rows, fold)
        anew, _ = fit_one(load.subset(keep), wild[keep], prior)
        assert found == pytest.approx(load.subset(fold).latency_ms(anew), rel=0.01)


def test_a_fit_whose_singular_values_do_not_converge_ends_where_others_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load, folds = workload(NETWORKS, "used"), [np.arange(3), np.arange(3, 6)]
    usual, _ = fit_one(load, LATENCY_MS, unknown_prior())
    left_out = fit_left_out(load, LATENCY_MS, unknown_prior(), folds)

    def fails(*_: object, **__: object) -> None:
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr("scipy.optimize._lsq.trf.svd", fails)
    monkeypatch.setattr(np.linalg, "lstsq", fails)
    found, _ = fit_one(load, LATENCY_MS, unknown_prior())
    assert load.latency_ms(found) == pytest.approx(load.latency_ms(usual), rel=1e-3)
    for again, before in zip(
        fit_left_out(load, LATENCY_MS, unknown_prior(), folds), left_out, strict=True
    ):
        assert again == pytest.approx(before, rel=1e-2)


def test_a_linear_fit_without_a_fold_sees_nothing_of_it() -> None:
    load = workload(NETWORKS, "used")
    linear = LinearFit(unpack(np.log(unknown_prior().median)), 0.003)
    fold, columns = np.arange(3), linear.columns(load)
    (found,) = linear.left_out(columns, LATENCY_MS, [fold])
    changed = LATENCY_MS.copy()
    changed[fold] *= 10.0
    # Only where the reweighting starts depends on them, and it goes on until it has settled.
    (again,) = linear.left_out(columns, changed, [fold])
    assert again == pytest.approx(found, rel=0.01)


def test_coefficients_survive_packing() -> None:
    logs = np.log(unknown_prior().extended(1.0).median) + 0.1
    again = pack(unpack(logs))
    assert unpack(again).gmac_s == pytest.approx(unpack(logs).gmac_s)
    assert unpack(again).overhead_us == pytest.approx(unpack(logs).overhead_us)
    assert unpack(again).cache_mb == pytest.approx(unpack(logs).cache_mb)


def test_a_sister_board_is_learned_from_eight_runs() -> None:
    load = workload(NETWORKS, "used")
    twice = LATENCY_MS * 2.2
    some = np.arange(8)
    fitted, _ = fit_one(load.subset(some), twice[some], profile_prior(TRUTH))
    rest = np.arange(8, 24)
    error = np.abs(load.subset(rest).latency_ms(fitted) / twice[rest] - 1)
    assert np.median(error) < 0.05


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), noise=st.floats(0.0, 1.0), busy=st.booleans())
def test_any_fit_is_non_negative_and_monotone_in_width(seed: int, noise: float, busy: bool) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.permutation(24)[:10]
    load = workload([NETWORKS[i] for i in rows], "used")
    wild = LATENCY_MS[rows] * np.exp(rng.normal(0, noise, 10))
    shape = unpack(np.log(unknown_prior().median))
    linear = LinearFit(shape, 0.01, busy=busy)
    for fitted in (
        linear.coefficients(linear.solution(linear.columns(load), wild)),
        fit_one(load, wild, unknown_prior().extended(1.0))[0],
    ):
        assert min(*fitted.overhead_us, *fitted.gmac_s, *fitted.gb_s) >= 0
        widths = [workload([_plain(w)], "used").latency_ms(fitted)[0] for w in (8, 16, 24, 64)]
        assert widths[0] >= 0
        assert all(a <= b * (1 + 1e-12) for a, b in zip(widths, widths[1:], strict=False))


def _plain(width: int) -> Network:
    e = GraphEmitter()
    source = x = e.source(3, 16, 16)
    for _ in range(3):
        x = e.conv(x, width)
    return e.network(source, e.linear(e.global_pool(x), 10))


def plain_fit(file, **options):
    """A fit without the baselines, which take half its time."""
    return fit([file], "board", space="cifar10-add", baselines=False, **options)


def test_the_fit_finds_a_device_again_and_covers_what_it_should() -> None:
    found = learn(
        NETWORKS,
        ["a"] * 12 + ["b"] * 12,
        LATENCY_MS,
        LATENCY_MS * 5.0,
        unknown_prior(),
        baselines=False,
    )
    assert found.figures["median_error_percent"] < 8
    assert 0.8 <= found.coverage <= 1.0
    assert set(found.kinds) == {"a", "b"}
    assert found.energy is not None
    assert found.energy.power_w == pytest.approx(5.0, rel=0.05)


def test_folds_hold_every_row_once_and_split_no_group() -> None:
    groups = [str(k // 2) for k in range(30)]
    folds = folds_of(groups)
    assert sorted(np.concatenate(folds)) == list(range(30))
    for fold in folds:
        assert {groups[i] for i in fold}.isdisjoint(groups[i] for i in set(range(30)) - set(fold))


def test_the_profile_written_is_the_profile_read(tmp_path: Path) -> None:
    file = csv_file(tmp_path / "m.csv", rows())
    report = fit([file], "board", space="cifar10-add", power_w=4.0)
    path = tmp_path / "board.toml"
    write_profile(report.profile, path)
    assert load_profile(str(path)) == report.profile
    assert "held out" in str(report)
    assert "MACs only" in str(report)
    assert profile_text(report.profile) == report.document()["profile"]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory):
    """A fit to latencies alone, and its profile's file."""
    folder = tmp_path_factory.mktemp("board")
    report = plain_fit(csv_file(folder / "m.csv", rows()))
    write_profile(report.profile, folder / "board.toml")
    return report, folder / "board.toml"


def test_networks_outside_the_box_are_flagged_with_a_wider_interval(board) -> None:
    report, _ = board
    wide = GraphEmitter()
    source = wide.source(3, 224, 224)
    x = wide.linear(wide.global_pool(wide.conv(wide.conv(source, 512), 512)), 1000)
    ratios = []
    for network in (wide.network(source, x), NETWORKS[3]):
        latency = np.array([network_costs(network, report.profile)["latency_ms"]])
        totals = network_features(network, report.profile)
        low, high, outside = latency_interval(latency, totals, report.profile)
        ratios.append((float(high[0] / low[0]), bool(outside[0])))
    assert ratios[0][0] > 1.2 * ratios[1][0]
    assert (ratios[0][1], ratios[1][1]) == (True, False)


def test_what_the_runtime_runs_can_be_told(tmp_path: Path) -> None:
    file = csv_file(tmp_path / "m.csv", rows(12))
    found = plain_fit(file, runs="all,eager")
    assert (found.profile.runtime.executes, found.profile.runtime.fusion) == ("all", "eager")
    found = plain_fit(file, runs="kept")
    assert (found.profile.runtime.executes, found.profile.runtime.fusion) == ("kept", "conv")
    for wrong in ("some", "used,eager", ",eager", "all,eager,sum"):
        with pytest.raises(UsageError, match="--runs .*: expected one of all, used"):
            fit([file], "board", space="cifar10-add", runs=wrong)


def test_what_runs_in_floats_only_takes_in_int8_what_it_takes_there() -> None:
    files = sorted((ROOT / "hw_profiles" / "measurements").glob("x86-avx2-1-thread*.jsonl"))
    profile = fit(files, "both", baselines=False).profile
    alone = fit([files[0]], "int8", baselines=False).profile.runtime
    floats, both = (profile.runtimes[f"ort_1_thread{end}"] for end in ("", "_int8"))
    assert alone.precision == "int8" and alone.name == both.name
    for kind, name in enumerate(KERNEL_CLASSES):
        rates = [r.coefficients.gmac_s[kind] for r in (floats, both, alone)]
        if name in ("activation", "norm", "recurrent", "transposed"):
            assert name not in both.interval.classes
            assert rates[1] == rates[0] != rates[2]
            # An element of one byte here moves as fast as one of four there.
            moved = [r.coefficients.gb_s[kind] for r in (floats, both)]
            assert moved[1] == pytest.approx(moved[0] / 4, rel=1e-3)
        else:
            assert rates[1] == rates[2]
    assert any("as in floats" in source for source in both.provenance.sources)


def test_facts_that_nobody_states_are_not_made_up(tmp_path: Path) -> None:
    found = plain_fit(csv_file(tmp_path / "m.csv", rows(10)))
    device = found.profile.device
    assert (device.cores, device.clock_mhz, device.peak_gflops, device.memory_gb_s) == (0, 0, 0, 0)
    assert device.soc == device.cpu == "not stated"


def test_files_of_two_devices_make_no_profile(tmp_path: Path) -> None:
    files = []
    for cpu in ("A53", "A72"):
        header = {"schema": "flash.measurements/1", "device": {"cpu": cpu}}
        lines = [json.dumps(header)]
        for d, ms in zip(DESIGNS[:8], LATENCY_MS, strict=False):
            network = {"space": "cifar10-add", "design": CHAIN.describe(d)}
            lines.append(json.dumps({"network": network, "latency_ms": {"median": ms}}))
        files.append(tmp_path / f"{cpu}.jsonl")
        files[-1].write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UsageError, match="different devices .A53, A72.: fit a profile to each"):
        fit(files, "board")


def test_counts_of_launches_alone_rank_networks_of_equal_counts_alike() -> None:
    cells = [CELLS.network(d) for d in CELLS.sample(40, np.random.default_rng(3))]
    load = workload(cells, "all")
    counts = load.launches()
    each = {"pointwise": 0.1, "conv3x3": 0.4, "linear": 5.0, "pool": 0.1, "elementwise": 0.02}
    each["global_pool"] = each["pool"]
    measured = counts @ np.array([each.get(name, 0.0) for name in KERNEL_CLASSES])
    launches = next(c for c in selection.candidates(unknown_prior()) if c.name == "launches")
    predicted = load.latency_ms(launches.fit(load, measured))
    assert np.allclose(predicted, measured, rtol=0.01)
    kinds, group = np.unique(counts, axis=0, return_inverse=True)
    assert len(kinds) < len(cells)
    for k in range(len(kinds)):
        assert np.ptp(predicted[group == k]) < 1e-6 * predicted.mean()
    last_bits = predicted * (1 + 1e-12 * np.arange(len(cells)))
    assert quality(measured, last_bits) == quality(measured, predicted)


def test_energy_that_nobody_measured_is_left_out(board) -> None:
    report, path = board
    assert "energy     not measured on this device" in str(report)
    assert "energy" not in path.read_text(encoding="utf-8")
    found = search(str(path), "cifar10-add", optimizer="exact", extrapolate=True)
    assert all(design.energy_mj is None for design in found.front)
    assert "energy: not measured on this device" in found.to_json()
    (estimated,) = estimate(
        space="cifar10-add", designs=[CHAIN.describe(DESIGNS[0])], target=str(path)
    )
    assert "latency_ms" in estimated
    assert not any(name.startswith("energy") for name in estimated)
    with pytest.raises(UsageError, match="energy was not measured on board: it can be no goal"):
        search(str(path), "cifar10-add", objectives=("score", "energy"))
