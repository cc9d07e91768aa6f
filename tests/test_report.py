"""Reports: what is shown and stored is true, whole and readable."""

from __future__ import annotations

import csv
import dataclasses
import errno
import io
import json
import os
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flash.errors import FlashError, InputError, UsageError
from flash.files.writing import write_text
from flash.report import (
    AccuracyStatus,
    DesignReport,
    Interval,
    OptimizerSummary,
    Picks,
    SearchReport,
    SpaceSummary,
    front_svg,
    print_report,
    read_search,
    render_plain,
    write_files,
)
from flash.report.axes import Box
from flash.report.picture import _Picture

SVG = "{http://www.w3.org/2000/svg}"


def make_design(k: int, share: float, *, calibrated: bool = False, **changes: Any) -> DesignReport:
    """Design ``k`` at ``share`` of the way from the fastest to the best of a made-up front."""
    latency = 2.1 * 60**share
    widths = [8 + int(60 * share), 16 + int(120 * share), 32 + int(240 * share)]
    depths = [3 + int(15 * share)] * 3
    links = [int(150 * share), int(300 * share), int(600 * share)]
    accuracy = Interval(
        70 + 24 * share**0.5, 69 + 24 * share**0.5, 71 + 24 * share**0.5, "95 % CV+"
    )
    fields: dict[str, Any] = {
        "id": f"d{k}",
        "design": {f"w{c + 1}": widths[c] for c in range(3)},
        "accuracy": accuracy if calibrated else None,
        "nn_degree": 60 + 420 * share**0.8,
        "nn_mass": 500 * share,
        "sed": None,
        "latency_ms": Interval(latency, latency / 1.17, latency * 1.2, "90 % jackknife+"),
        "energy_mj": Interval(latency * 3.6, latency * 3, latency * 4.5, "90 % jackknife+"),
        "memory_kb": 300 + 9000 * share**1.5,
        "weight_kb": 200 + 8000 * share**1.5,
        "activation_kb": 100 + 1000 * share**1.5,
        "area_mm2": None,
        "params": int(50_000 + 2_000_000 * share**1.5),
        "macs": int(8e6 + 6e8 * share),
        "extrapolated": False,
        "description": " ".join(
            f"{name}={'/'.join(map(str, values))}"
            for name, values in (("w", widths), ("d", depths), ("t", links))
        ),
    }
    return DesignReport(**(fields | changes))


def make_report(designs: int = 40, *, calibrated: bool = False, **changes: Any) -> SearchReport:
    """A made-up search on a Raspberry Pi 3B."""
    shares = [k / max(designs - 1, 1) for k in range(designs)]
    front = [make_design(k, share, calibrated=calibrated) for k, share in enumerate(shares)]
    source = "fitted to 120 published measurements, median held-out error 14 %"
    fields: dict[str, Any] = {
        "target": {
            "name": "rpi3b",
            "description": "Raspberry Pi 3B, 4 x Cortex-A53 at 1.2 GHz",
            "provenance": [f"latency {source}", "energy from latency and 3.6 W under load"],
        },
        "space": SpaceSummary("cifar10-concat", 63_700_992_000, 21_233_664_000),
        "objectives": ["accuracy" if calibrated else "nn_degree", "latency_ms"],
        "limits": {},
        "optimizer": OptimizerSummary(
            "shgo", 12_345, 0.1789, 0.0031, True, "SHGO within 0.31 % of the exact hypervolume"
        ),
        "front": front,
        "picks": Picks("d0", f"d{designs // 2}", f"d{designs - 1}"),
        "notes": ["energy is nearly a copy of latency on this board and no objective of its own"],
        "accuracy": AccuracyStatus(True, "25 trained designs, held-out error 0.6 points")
        if calibrated
        else AccuracyStatus(),
    }
    return SearchReport(**(fields | changes))


# ------------------------------------------------------------------------------------- result
@pytest.mark.parametrize("calibrated", [False, True])
def test_a_report_survives_json(calibrated):
    report = make_report(calibrated=calibrated, limits={"latency_ms": 20, "memory_kb": 8000})
    assert read_search(report.to_json()) == report


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_line_a_design_is_what_the_encoder_writes(calibrated):
    report = make_report(calibrated=calibrated)
    awkward = make_design(
        7, 0.3, description='a "b" \\ \n \u2028 ü }, {"id": ', proxies={"p\"q": -1e-300}, sed=1e22,
        hardware={"rows": 16}, energy_mj=None,
    )  # fmt: skip
    for design in (*report.front, awkward):
        assert design.to_json() == json.dumps(design.to_dict(), ensure_ascii=False)
    lines = report.to_json().splitlines()
    assert [json.loads(line.rstrip(",")) for line in lines if line.startswith("    {")] == [
        design.to_dict() for design in report.front
    ]


def test_the_document_is_the_one_the_contract_promises():
    document = json.loads(make_report(3).to_json())
    assert document["schema"] == "flash.search/1"
    assert set(document["space"]) == {"name", "size", "distinct"}
    assert set(document["picks"]) == {"fastest", "balanced", "most_accurate"}
    assert document["accuracy"]["calibrated"] is False
    optimizer = {"name", "evaluations", "gap", "certified", "message"}
    assert set(document["optimizer"]) == optimizer
    first = document["front"][0]
    assert first["accuracy"] is None
    assert {"value", "low", "high"} <= set(first["latency_ms"])
    promised = {"id", "design", "nn_degree", "sed", "energy_mj", "memory_kb", "area_mm2"}
    assert promised | {"params", "macs"} <= set(first)


def test_numpy_numbers_are_stored_as_plain_numbers():
    design = make_design(
        0,
        0.5,
        design={"w1": np.int64(8)},
        nn_degree=np.float64(3.5),
        params=np.int64(7),
        macs=np.int64(9),
        extrapolated=np.bool_(True),
        latency_ms=Interval(np.float64(2), np.float64(1), np.float64(3), "exact"),
    )
    report = make_report(1, front=[design])
    assert read_search(report.to_json()) == report


def test_documents_that_give_memory_in_megabytes_are_read():
    report = make_report(
        5, limits={"memory_kb": 8000.0}, objectives=["nn_degree", "latency_ms", "memory_kb"]
    )
    document = json.loads(report.to_json().replace('_kb"', '_mb"'))
    for row in (document["limits"], *document["front"]):
        for name in row:
            if name.endswith("_mb"):
                row[name] /= 1000
    again = read_search(json.dumps(document))
    assert again.limits == report.limits and again.objectives == report.objectives
    for mine, theirs in zip(report.front, again.front, strict=True):
        assert theirs.memory_kb == pytest.approx(mine.memory_kb, rel=1e-12)


def test_the_front_is_kept_by_rising_latency():
    front = [make_design(k, share) for k, share in enumerate((0.5, 0.1, 0.9))]
    report = make_report(front=front, picks=Picks("d1", "d0", "d2"))
    assert [design.id for design in report.front] == ["d1", "d0", "d2"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_cannot_get_into_a_report(value):
    with pytest.raises(ValueError, match="nn_degree is"):
        make_design(0, 0.5, nn_degree=value)
    with pytest.raises(ValueError, match="value is"):
        Interval(value, 0, 1, "")
    with pytest.raises(ValueError, match="JSON"):
        make_report(target={"name": "x", "error": value}).to_json()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"picks": Picks("d0", "d1", "d99")}, "'d99', which is not on the front"),
        ({"objectives": ["speed"]}, "unknown quantity 'speed'"),
        ({"limits": {"latency": 3}}, "unknown quantity 'latency' (did you mean 'latency_ms'?)"),
        ({"front": []}, "a front needs designs"),
        ({"accuracy": AccuracyStatus(True, "")}, "if and only if"),
        ({"target": {}}, "the target has no name"),
    ],
)
def test_a_report_that_contradicts_itself_is_refused(changes, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        make_report(3, **changes)


def edited(**changes: Any) -> str:
    return json.dumps(json.loads(make_report(3).to_json()) | changes)


def with_design(**changes: Any) -> str:
    document = json.loads(make_report(3).to_json())
    document["front"][1] |= changes
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not valid JSON at line 1, column 1"),
        (make_report(3).to_json()[:-200], "not valid JSON at line"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "is a list, not the front of a search"),
        ("5", "the document must be an object, got 5"),
        (
            '{"schema": "flash.search/9"}',
            "expected schema = \"flash.search/1\", got 'flash.search/9'",
        ),
        (edited(extra=1), "unknown key 'extra'"),
        (edited(frontier=[]), "unknown key 'frontier' (did you mean 'front'?)"),
        ('{"schema": "flash.search/1"}', "the document lacks target, space"),
        (edited(notes="hello"), "notes must be a list, got 'hello'"),
        (edited(notes=[None]), "notes[0] must be a string, got None"),
        (
            edited(limits={"latency_ms": True}),
            "limits.latency_ms must be a finite number, got True",
        ),
        (edited(picks={"fastest": "d0"}), "picks lacks balanced, most_accurate"),
        (with_design(nn_degree="9"), "front[1].nn_degree must be a finite number, got '9'"),
        (with_design(params=1.5), "front[1].params must be a whole number"),
        (with_design(id="d0"), "each with an id of its own"),
        (
            with_design(latency_ms={"value": 1, "low": 2, "high": 3, "how": ""}),
            "front[1].latency_ms.value 1.0 is not within its interval 2.0 to 3.0",
        ),
        (with_design(memory_kb=float("nan")), "NaN is no number"),
        (with_design(memory_kb=10**400), "front[1].memory_kb must be a finite number"),
        (edited().replace("0.0031", "1e999"), "optimizer.gap must be a finite number, got inf"),
    ],
)
def test_a_document_that_is_no_search_report_is_refused_in_one_line(text, says):
    with pytest.raises(InputError) as caught:
        read_search(text, "old.json")
    assert says in str(caught.value)
    assert str(caught.value).startswith("old.json: ")
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.exit_code == 4


# -------------------------------------------------------------------------------------- files
def test_the_three_files_are_written_and_hold_the_whole_front(tmp_path):
    report = make_report(12)
    paths = write_files(report, tmp_path / "a" / "b")
    assert [path.name for path in paths] == ["front.json", "front.csv", "front.svg"]
    assert read_search(paths[0].read_text(encoding="utf-8")) == report
    assert len(paths[1].read_text(encoding="utf-8").splitlines()) == 13
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == sorted(
        path.name for path in paths
    )


def test_the_csv_has_units_in_its_names_and_full_precision():
    report = make_report(3, calibrated=True)
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert float(rows[2]["latency_high_ms"]) == report.front[2].latency_ms.high
    assert float(rows[1]["accuracy"]) == report.front[1].quantity("accuracy")
    assert json.loads(rows[1]["design"]) == report.front[1].design
    assert [row["picks"] for row in rows] == ["fastest", "balanced", "most_accurate"]
    assert rows[0]["area_mm2"] == rows[0]["area_low_mm2"] == ""


def test_writing_again_replaces_the_files(tmp_path):
    write_files(make_report(5), tmp_path)
    write_files(make_report(9), tmp_path)
    assert len((tmp_path / "front.csv").read_text().splitlines()) == 10


def test_a_folder_that_cannot_be_is_a_usage_error_in_one_line(tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "sub", tmp_path / ("x" * 300)):
        with pytest.raises(UsageError, match="^cannot write .*: [A-Z].*$") as caught:
            write_files(make_report(2), folder)
        assert len(str(caught.value).splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_name_taken_by_a_folder_leaves_nothing_new(tmp_path):
    (tmp_path / "front.csv").mkdir()
    with pytest.raises(UsageError, match=r"front\.csv: Is a directory"):
        write_files(make_report(2), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["front.csv"]


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, FlashError), (errno.EROFS, UsageError)]
)
def test_a_failing_disk_leaves_the_old_files_and_no_new_ones(tmp_path, monkeypatch, number, kind):
    write_files(make_report(5), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    calls = []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(FlashError, match="^cannot write .*front.svg: ") as caught:
        write_files(make_report(9), tmp_path)
    assert type(caught.value) is kind
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    calls.clear()
    with pytest.raises(FlashError):
        write_files(make_report(9), tmp_path / "new" / "deep")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_is_written_to_and_not_replaced(tmp_path):
    write_text("/dev/null", "gone")
    assert not Path("/dev/null").is_file()
    with pytest.raises(FlashError, match="^cannot write /dev/full: No space left on device$"):
        write_text("/dev/full", "x")
    write_text(tmp_path / "one.json", "{}")
    assert (tmp_path / "one.json").read_text() == "{}"


# -------------------------------------------------------------------------------------- table
@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
@pytest.mark.parametrize("calibrated", [False, True])
def test_the_plain_table_fits_its_width_and_is_plain(width, calibrated):
    text = render_plain(make_report(calibrated=calibrated), width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert text.isascii()
    assert "\x1b" not in text
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_the_table_says_what_everything_rests_on():
    report = make_report()
    text = render_plain(report, width=120, files=["out/front.json"])
    flat = " ".join(text.split())
    assert "63,700,992,000 designs, 21,233,664,000 different networks" in flat
    assert "not calibrated" in flat
    assert "fitted to 120 published measurements" in flat
    assert "energy from latency and 3.6 W under load" in flat
    assert "certified: SHGO within 0.31 % of the exact hypervolume (12,345 evaluations" in flat
    assert "energy is nearly a copy of latency" in flat
    assert "out/front.json" in flat
    lines = text.splitlines()
    order = [
        next(k for k, line in enumerate(lines) if line.startswith(word))
        for word in ("fastest", "balanced", "best score", "certified")
    ]
    assert order == sorted(order)
    assert "2.10 (1.79-2.52)" in lines[order[0]]
    assert "w=8/16/32" in lines[order[0]]


def test_narrow_tables_drop_the_least_important_columns_first():
    wide, middle, narrow = (render_plain(make_report(), width=w) for w in (140, 100, 76))
    assert "MACs" in wide
    assert "params" in wide
    assert "MACs" not in middle
    assert "energy" in middle
    for text in (middle, narrow):
        assert "NN-Degree" in text
        assert "2.10 (1.79-2.52)" in text


def test_unknown_energy_takes_no_column_and_area_takes_one_where_known():
    front = [
        make_design(k, k / 4, energy_mj=None, area_mm2=Interval(12.5 + k, 12.0, 20.0, "of models"))
        for k in range(5)
    ]
    text = render_plain(make_report(5, front=front), width=140)
    assert "energy" not in text.replace("energy is nearly", "").replace("energy from", "")
    assert "area" in text
    assert "16.5" in text


def test_designs_outside_the_model_are_marked():
    front = [make_design(k, k / 4, extrapolated=k == 4) for k in range(5)]
    text = render_plain(make_report(5, front=front), width=120)
    row = next(line for line in text.splitlines() if line.startswith("best score"))
    assert "126 (108-151)*" in row
    assert "* unlike anything" in text
    assert "*" not in render_plain(make_report(5), width=120)


def test_the_front_is_shown_by_about_ten_designs_spread_over_it():
    report = make_report(500)
    rows = [
        line for line in render_plain(report, width=120).splitlines() if re.match(r"d\d+ ", line)
    ]
    numbers = [int(line.split()[0][1:]) for line in rows]
    assert 8 <= len(rows) <= 10
    assert numbers == sorted(numbers)
    assert max(b - a for a, b in zip(numbers, numbers[1:], strict=False)) < 80


def test_quiet_leaves_the_picks_the_sources_and_the_certificate():
    text = render_plain(make_report(), width=100, quiet=True, files=["out/front.json"])
    assert "fastest" in text
    assert "certified" in text
    assert "fitted to 120" in text
    assert "nearly a copy" not in text
    assert not re.search(r"^d\d+ ", text, re.MULTILINE)


def test_one_design_is_a_front_too(tmp_path):
    report = make_report(1)
    text = render_plain(report, width=100)
    assert "fastest, balanced, best score" in " ".join(text.split())
    write_files(report, tmp_path)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_that_want_it(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    rich, pipe = Terminal(), io.StringIO()
    print_report(make_report(), stream=rich, verbose=True)
    print_report(make_report(), stream=pipe, verbose=True)
    assert "\x1b[" in rich.getvalue()
    assert "\x1b" not in pipe.getvalue()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", rich.getvalue())
    assert max(len(line) for line in plain.splitlines()) <= 100
    for words in ("fastest", "not calibrated", "certified", "2.10 (1.79–2.52)"):
        assert words in plain
    for switch in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        with monkeypatch.context() as patch:
            for name, value in switch.items():
                patch.setenv(name, value)
            quiet = Terminal()
            print_report(make_report(), stream=quiet, verbose=True)
            assert "\x1b" not in quiet.getvalue()


def test_words_in_square_brackets_are_no_markup(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    print_report(make_report(notes=["see [red]this[/nothing]"]), stream=stream, verbose=True)
    assert "[red]this[/nothing]" in stream.getvalue()


def test_a_stream_that_knows_only_ascii_gets_all_it_can_show():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_report(make_report(notes=["mesuré à Paris"]), stream=stream, verbose=True)
    stream.flush()
    assert b"mesur\\xe9" in raw.getvalue()


def test_rich_is_loaded_for_terminals_only():
    code = (
        "import sys, io, flash.report; flash.report.print_report; "
        "sys.exit(any(m.split('.')[0] == 'rich' for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ------------------------------------------------------------------------------------ picture
def picture_of(report):
    return _Picture(report, ())


def drawn(report: SearchReport, background: Any = ()) -> ElementTree.Element:
    return ElementTree.fromstring(front_svg(report, background))


def marks(root: ElementTree.Element, css: str) -> list[ElementTree.Element]:
    return [item for item in root.iter() if item.get("class") == css]


def texts(root: ElementTree.Element) -> list[str]:
    return [item.text or "" for item in root.iter(f"{SVG}text")]


def test_an_interval_that_goes_on_beyond_the_picture_ends_in_an_arrow():
    wide = Interval(126.0, 100.0, 126.0 * 50, "a range")
    report = make_report(3)
    last = dataclasses.replace(report.front[-1], latency_ms=wide)
    report = dataclasses.replace(report, front=[*report.front[:-1], last])
    paths = [item.get("d") for item in marks(drawn(report), "bar")]
    arrows = [re.search(r"M([\d.]+) [\d.]+L([\d.]+) [\d.]+L([\d.]+)", path) for path in paths]
    back = [float(found[2]) - float(found[1]) for found in arrows]
    assert sorted(back) == [0.0, 0.0, 5.0]  # two straight caps, and one arrow


def test_the_line_below_the_title_is_whole_clauses():
    words = "; ".join(["one clause of forty characters, no less"] * 5)
    report = make_report(3)
    report = dataclasses.replace(
        report, optimizer=dataclasses.replace(report.optimizer, certified=True, message=words)
    )
    (line,) = [item.text for item in marks(drawn(report), "sub")][:1]
    assert len(line) <= 120 and line.endswith("no less")


@pytest.mark.parametrize("designs", [1, 2, 40, 700])
def test_the_picture_has_a_marker_a_design_and_names_the_picks(designs):
    root = drawn(make_report(designs))
    assert root[0].tag == f"{SVG}title"
    circles = marks(root, "design")
    assert len(circles) == designs + 1  # and one in the key
    labels = [item.text for item in marks(root, "pick halo")]
    assert ", ".join(map(str, labels)) == "fastest, balanced, best score" or designs == 2
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for item in circles:
        assert 0 < float(item.get("cx", -1)) < width
        assert 0 < float(item.get("cy", -1)) < height


def test_markers_stand_where_their_numbers_say():
    report = make_report(30)
    root = drawn(report)
    circles = [item for item in marks(root, "design") if len(item)]
    across = [float(item.get("cx", 0)) for item in circles]
    up = [-float(item.get("cy", 0)) for item in circles]
    latency = np.log([design.latency_ms.value for design in report.front])
    degree = [design.nn_degree for design in report.front]
    assert np.corrcoef(across, latency)[0, 1] > 0.99999
    assert np.corrcoef(up, degree)[0, 1] > 0.99999


def test_the_picture_has_units_ticks_and_sources():
    root = drawn(make_report())
    words = texts(root)
    assert "Latency on rpi3b (ms, logarithmic)" in words
    assert "NN-Degree (score, not calibrated to accuracy)" in words
    assert {"2", "5", "10", "20", "50", "100"} <= set(words)
    assert "fitted to 120 published measurements" in root.find("{*}desc").text
    assert "Predicted accuracy (%)" in texts(drawn(make_report(calibrated=True)))


def test_a_line_leads_to_a_label_that_stands_apart():
    report = make_report(3)
    picture = picture_of(report)
    box = Box(300.0, 100.0, 360.0, 134.0)
    picture._leader(305.0, 145.0, box)
    assert not picture.parts  # right beside it
    picture._leader(200.0, 300.0, box)
    (line,) = picture.parts
    ends = [float(number) for number in re.findall(r"[\d.]+", line.partition("M")[2])]
    assert ends[2:] == [300.0, 136.0]
    assert np.hypot(ends[0] - 200, ends[1] - 300) == pytest.approx(8, abs=0.1)


def test_a_third_objective_becomes_colour():
    report = make_report(objectives=["nn_degree", "latency_ms", "memory_kb"])
    root = drawn(report)
    colours = {item.get("style") for item in marks(root, "design") if len(item)}
    assert len(colours) > 20
    assert "memory (kB)" in texts(root)
    flat = make_report(
        4,
        front=[make_design(k, k / 3, memory_kb=1.0) for k in range(4)],
        objectives=["nn_degree", "latency_ms", "memory_kb"],
    )
    assert len(marks(drawn(flat), "design")) == 5


def test_random_designs_and_limits_are_drawn_where_they_belong():
    rng = random.Random(7)
    background = [(rng.uniform(3, 100), rng.uniform(70, 200)) for _ in range(200)]
    root = drawn(make_report(limits={"latency_ms": 150.0}), [*background, (1e9, 100.0)])
    assert len(marks(root, "random")) == 201  # and one in the key
    assert "limit 150 ms" in texts(root)
    assert not marks(drawn(make_report()), "random")
    assert len(marks(drawn(make_report(), np.array(background)), "random")) == 201


def test_labels_of_picks_stay_inside_and_apart():
    for designs in (3, 8, 40):
        root = drawn(make_report(designs))
        spots = [(float(i.get("x", 0)), float(i.get("y", 0))) for i in marks(root, "pick halo")]
        assert len({(round(x / 40), round(y / 30)) for x, y in spots}) == len(spots)
        assert all(60 < x < 860 and 90 < y < 420 for x, y in spots)


def test_a_very_large_front_is_drawn_once_a_pixel():
    front = [make_design(k, k / 5999) for k in range(6000)]
    report = make_report(front=front, picks=Picks("d0", "d3000", "d5999"))
    count = len(marks(drawn(report), "design"))
    assert 700 < count < 3000  # the curve is some 800 pixels long


def test_any_text_gives_well_formed_xml():
    target = {"name": 'a<b>&"c"', "provenance": "line\x00 with \x1b control ]]> \ufffe"}
    root = drawn(make_report(3, target=target))
    assert any('a<b>&"c"' in text for text in texts(root))


def test_the_picture_can_be_read_in_the_dark():
    assert "@media (prefers-color-scheme:dark)" in front_svg(make_report(3))


def test_reports_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_report(1).schema = "x"  # type: ignore[misc]
