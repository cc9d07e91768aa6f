"""The format of measurements: one reader, one rule for passes, the device program's too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash.errors import InputError
from flash.measurements.comparison import read_comparison
from flash.measurements.records import SCHEMA, network_key, read_records
from flash.profile.transports.journal import read_journal

VECTORS = json.loads(
    (Path(__file__).parent / "data" / "measurement_vectors.json").read_text(encoding="utf-8")
)["vectors"]
HEAD = {"schema": SCHEMA, "device": {}, "runtime": {}, "threads": 1, "precision": "fp32"}
by_name = pytest.mark.parametrize("vector", VECTORS, ids=[vector["says"] for vector in VECTORS])


def _file(records, head=HEAD):
    return "".join(json.dumps(line) + "\n" for line in (head, *records))


def _read(records):
    return [
        {
            "network": record.network,
            "median_ms": record.latency_ms,
            "p10_ms": record.p10_ms,
            "p90_ms": record.p90_ms,
            "energy_mj": record.energy_mj,
            "passes": record.passes,
            "kernels_ms": sum(k.ms for k in record.kernels) if record.kernels else None,
        }
        for record in read_records(Path("m.jsonl"), _file(records)).records
    ]


@by_name
def test_the_reader_keeps_the_rule_for_passes(vector):
    assert _read(vector["records"]) == vector["networks"]


@by_name
def test_the_device_program_keeps_the_rule_for_passes(vector):
    pytest.importorskip("onnxruntime")
    from device_programs import load_program

    program = load_program()
    merged = program.merged_passes(vector["records"])
    assert _read(merged) == vector["networks"]
    assert {program.network_key(r["network"]) for r in merged} == {
        network_key(r["network"]) for r in merged
    }


def test_a_repetition_that_is_no_later_pass_is_told_and_the_faster_counts():
    again = [{"network": {"workload": "n"}, "latency_ms": {"median": ms}} for ms in (3.0, 2.0)]
    found = read_records(Path("m.jsonl"), _file(again))
    assert [record.latency_ms for record in found.records] == [2.0]
    (problem,) = found.tally.problems
    assert problem == (
        "m.jsonl:2: 'n' was measured again, in line 3: the faster of the two counts, line 3"
    )
    (doubt,) = found.tally.doubts
    assert doubt.startswith("m.jsonl:3: 'n' took 1/1.5 of what it took in line 2: is it the same")
    assert found.tally.bad == 0


@pytest.mark.parametrize(
    ("latency", "says"),
    [
        ({"median": 2, "p10": 3, "p90": 4}, "p10 <= median <= p90"),
        ({"median": 2, "p90": 1}, "p10 <= median <= p90"),
        ({"median": "2"}, "write a number"),
        ({"median": True}, "write a number"),
        ({"median": 10**400}, "measure it again"),
        ({"median": 1e8}, "another unit"),
        ([2], "must hold a median"),
    ],
)
def test_latencies_that_cannot_be_are_named_with_their_line(latency, says):
    tally = read_records(
        Path("m.jsonl"), _file([{"network": {"workload": "n"}, "latency_ms": latency}])
    ).tally
    assert tally.bad == tally.total == 1
    assert tally.problems[0].startswith("m.jsonl:2: ") and says in tally.problems[0]
    with pytest.raises(InputError, match="1 of 1 rows cannot be used"):
        tally.check(kept=1)


def test_a_cut_line_is_left_out_by_whoever_goes_on_and_named_by_whoever_reads(tmp_path):
    records = [{"network": {"workload": str(k)}, "latency_ms": {"median": 1}} for k in range(9)]
    head = HEAD | {"batch": 1}
    path = tmp_path / "m.jsonl"
    path.write_text(_file(records, head)[:-5], encoding="utf-8")
    assert read_journal(path) == (head, records[:-1])
    assert "m.jsonl:10: the line is cut off" in read_comparison(path).problems[0]
    path.write_text("a table\n", encoding="utf-8")
    with pytest.raises(InputError, match="no measurements of flash.profile"):
        read_journal(path)


@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["network", "latency_ms", "median", "p10", "energy_mj", "kernels", "ms", "pass",
                     "medians", "sha256", "error", "workload"]
                ),
                inner, max_size=4,
            ),
            max_leaves=12,
        ),
        max_size=4,
    )
)  # fmt: skip
def test_whatever_a_line_holds_it_is_a_record_or_a_problem(lines):
    found = read_records(Path("m.jsonl"), _file(lines))
    assert found.tally.total == len(lines)
    for record in found.records:
        assert 0 < record.latency_ms <= 1e7
        assert record.energy_mj is None or record.energy_mj > 0


def test_of_many_networks_the_same_are_kept_in_any_order_with_all_their_passes():
    def lines(order):
        head = json.dumps({"schema": SCHEMA})
        rows = [
            {"network": {"workload": f"{k}"}, "latency_ms": {"median": 1.0 + k + p}}
            for k in range(300)
            for p in (1, 0)
        ]
        return [head, *(json.dumps(rows[k]) for k in order)]

    order = np.random.default_rng(0).permutation(600)
    first, second = (read_records(Path("m"), lines(some), most=20) for some in (range(600), order))
    kept = {r.network["workload"]: r.latency_ms for r in first.records}
    assert kept == {r.network["workload"]: r.latency_ms for r in second.records}
    assert len(kept) == 20 and all(ms == 1.0 + int(name) for name, ms in kept.items())
    assert any("more than 20 networks" in problem for problem in first.tally.problems)
    assert len(read_records(Path("m"), lines(range(600))).records) == 300
