"""Searches re-picked by a proxy: the shortlist, the new front, the commands."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from flash.errors import FlashError, UsageError
from flash.estimate import command as estimate_command
from flash.optimize import Limit, objective
from flash.proxies.options import ProxyOptions
from flash.report.reading import read_search
from flash.search import command as search_command
from flash.search import search
from flash.search.loading import load_problem
from flash.search.problem import Effort
from flash.search.screening import shortlisted

EFFORT = Effort("exact", 0, 1.0)


@pytest.fixture(scope="module")
def searched():
    subject = load_problem("rpi4b", None, None, "nasbench201")
    problem = subject.tables("sed")
    objectives = (objective("sed"), objective("latency_ms"))
    limits = (Limit.on("latency_ms", 15.0),)
    found = subject.optimize(problem, objectives, limits, EFFORT)
    return subject, problem, found, limits


def test_a_shortlist_is_half_front_half_neighbours_within_the_limits(searched):
    subject, problem, found, limits = searched
    chosen = shortlisted(subject, problem, found, limits, 12)
    front = {tuple(row) for row in found.indices.tolist()}
    rows = [tuple(row) for row in chosen.tolist()]
    assert len(set(rows)) == len(rows) == 12
    assert [row in front for row in rows] == [True] * 6 + [False] * 6
    for row in rows[6:]:
        assert min(np.abs(np.array(row) - np.array(other)).sum() for other in rows[:6]) == 1
    assert (problem.evaluate(chosen, "latency_ms")["latency_ms"] <= 15).all()
    latency = problem.evaluate(found.indices, "latency_ms")["latency_ms"]
    ends = {tuple(found.indices[i].tolist()) for i in (latency.argmin(), latency.argmax())}
    assert ends <= set(rows)


def test_a_shortlist_of_a_small_front_is_all_of_it(searched):
    subject, problem, found, limits = searched
    chosen = shortlisted(subject, problem, found, limits, 10_000)
    rows = {tuple(row) for row in chosen.tolist()}
    assert {tuple(row) for row in found.indices.tolist()} < rows


def test_search_finds_the_front_by_the_proxy(tmp_path):
    pytest.importorskip("torch", reason="needs the extra torch")
    options = ProxyOptions(cache=str(tmp_path / "s.sqlite"))
    report = search(
        "rpi4b", "nasbench201", metric="az_complexity", max_latency_ms=15.0, shortlist=10,
        scoring=options,
    )  # fmt: skip
    assert report.score == "az_complexity"
    assert list(report.objectives) == ["az_complexity", "latency_ms"]
    assert not report.optimizer.certified
    assert "re-picked" in report.certificate
    front = [(d.latency_ms.value, d.proxies["az_complexity"]) for d in report.front]
    assert front == sorted(front)  # more of the score for more latency, or dominated
    assert len({score for _, score in front}) == len(front)
    best = max(report.front, key=lambda d: d.proxies["az_complexity"])
    assert report.picks.most_accurate == best.id
    assert read_search(report.to_json()).to_json() == report.to_json()


def test_command_writes_the_proxys_columns_and_resumes_from_the_cache(
    tmp_path, capsys, small_cells
):
    """Networks of three cells, not fifteen: which networks are scored is tested elsewhere."""
    shallow = tmp_path / "shallow.toml"
    shallow.write_text(Path(small_cells).read_text().replace("cells = 5", "cells = 1"))
    pytest.importorskip("torch", reason="needs the extra torch")
    given = [
        "--target",
        "rpi4b",
        "--space",
        str(shallow),
        "--metric",
        "te_nas",
        "--shortlist",
        "4",
    ]
    given += ["--proxy-batch", "2", "--quiet"]
    given += ["--proxy-cache", str(tmp_path / "s.sqlite"), "--out", str(tmp_path)]
    from flash.proxies import many

    search_command.main(given)
    (row, *_) = csv.DictReader(io.StringIO((tmp_path / "front.csv").read_text()))
    assert {"te_nas", "ntk_condition", "linear_regions"} <= row.keys()
    first = json.loads((tmp_path / "front.json").read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(many, "perform", None)
        search_command.main(given)
    assert json.loads((tmp_path / "front.json").read_text())["front"] == first["front"]
    assert "te_nas" in capsys.readouterr().out


def test_a_metric_that_scores_nothing_says_why(tmp_path):
    pytest.importorskip("torch", reason="needs the extra torch")
    options = ProxyOptions(batch=64, cache=str(tmp_path / "s.sqlite"))
    with pytest.raises(FlashError, match="swap can score none of 2 networks: a pattern spans"):
        search(
            "rpi4b", "nasbench201", metric="swap", shortlist=2, scoring=options, max_latency_ms=4.0
        )


def test_what_does_not_go_together_is_told():
    with pytest.raises(UsageError, match="unknown metric 'ziko' .did you mean 'zico'"):
        search("rpi4b", "nasbench201", metric="ziko")
    with pytest.raises(UsageError, match="fix it with --hardware default"):
        search("systolic", metric="zico")
    with pytest.raises(UsageError, match="takes no --objective flash, --min-score"):
        search("rpi4b", "nasbench201", metric="zico", min_score=3.0)
    with pytest.raises(UsageError, match="2 designs or more"):
        search("rpi4b", shortlist=1)
    with pytest.raises(UsageError, match="--workers two: expected a whole number"):
        search_command.main(["--metric", "zico", "--workers", "two"])


def test_estimate_scores_designs_by_a_proxy(tmp_path, capsys):
    pytest.importorskip("torch", reason="needs the extra torch")
    cells = [
        "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|",
        "|skip_connect~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    ]
    (tmp_path / "cells.txt").write_text("\n".join(cells))
    given = ["--space", "nasbench201", "--designs", str(tmp_path / "cells.txt")]
    given += ["--metric", "synflow", "--proxy-cache", str(tmp_path / "s.sqlite"), "--json", "-"]
    estimate_command.main(given)
    out, told = capsys.readouterr()
    rows = json.loads(out)
    assert list(rows[0]) == ["design", "synflow"]
    assert rows[0]["synflow"] != rows[1]["synflow"]
    assert rows[2]["synflow"] is None
    why = "no path leads from the input to the output"
    assert told == f"note: 1 of 3 networks have no synflow score: {why}\n"
