"""What flash writes is what it wrote: golden documents under one map of renamed fields.

A field that got another name or place: state it in ``golden/renamed.json``. A result that changes
on purpose: ``python -m tests.golden.record NAME --reason TEXT``, in the commit that changes it.
"""

from __future__ import annotations

import copy
import re

import pytest
from golden.comparing import Renamed, compare, flatten, report
from golden.documents import DOCUMENTS, made, recorded, recorded_versions, renamed
from golden.record import main

_DOCUMENT = {
    "front": [
        {"id": "a", "latency_ms": {"value": 1.5, "low": 0.5}, "macs": 12, "notes": []},
        {"id": "b", "latency_ms": {"value": 3.0, "low": 2.0}, "macs": 15, "notes": []},
    ],
    "schema": "flash.search/1",
    "certified": True,
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_document_is_the_recorded_one(name, tmp_path):
    for module in DOCUMENTS[name].needs:
        pytest.importorskip(module)
    old = renamed().apply(recorded(name))
    differences = compare(old, made(name, tmp_path))
    if differences:
        versions = recorded_versions(name)
        pytest.fail(report(name, differences) + (f"\n(libraries: {versions})" if versions else ""))
    assert len(old) > 10


def test_every_entry_of_the_map_renames_something():
    assert renamed().unused(recorded(name) for name in DOCUMENTS) == []


def test_documents_name_no_folder_of_the_machine_that_wrote_them():
    for name in DOCUMENTS:
        texts = [value for value in recorded(name).values() if isinstance(value, str)]
        assert not [text for text in texts if re.search(r"(^|\s)/(tmp|home|root|work|usr)/", text)]


# ------------------------------------------------------------------------- the comparison
def _changed(**changes):
    """The differences that a change of the first design of the front makes, as texts."""
    document = copy.deepcopy(_DOCUMENT)
    document["front"][0] |= changes
    differences = compare(flatten(_DOCUMENT, ("search",)), flatten(document, ("search",)))
    return report("d", differences).splitlines()


@pytest.mark.parametrize(
    "changes, line",
    [
        ({"macs": 13}, "d: search.front[0].macs: recorded 12, now 13"),
        ({"macs": 12.1}, "d: search.front[0].macs: recorded 12, now 12.1"),
        ({"macs": True}, "d: search.front[0].macs: recorded 12, now True"),
        ({"macs": None}, "d: search.front[0].macs: recorded 12, now None"),
        ({"id": "A"}, "d: search.front[0].id: recorded 'a', now 'A'"),
        ({"notes": {}}, "d: search.front[0].notes: recorded [], now {}"),
        ({"area_mm2": 1.0}, "d: search.front[0].area_mm2: recorded (absent), now 1.0"),
        ({"notes": ["x"]}, "d: search.front[0].notes: recorded [], now (absent)"),
    ],
)
def test_a_change_is_told_with_its_document_path_and_values(changes, line):
    assert _changed(**changes)[0] == line


def test_numbers_may_differ_by_a_billionth_of_their_size():
    assert _changed(latency_ms={"value": 1.5 * (1 + 0.9e-9), "low": 0.5}) == []
    assert len(_changed(latency_ms={"value": 1.5 * (1 + 1.1e-9), "low": 0.5})) == 2
    assert _changed(macs=12.0) == []
    assert compare({("a",): 10**17}, {("a",): 10**17 + 1})  # whole numbers are exact


def test_many_differences_are_counted_by_field():
    values = {("search", "front", i, "macs"): i for i in range(1200)}
    lines = report("d", compare(values, {path: v + 1 for path, v in values.items()})).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "d: changed: search.front[].macs (1,200 values)"


def test_renamed_fields_and_words_are_compared_under_their_new_names():
    values = flatten(_DOCUMENT, ("search",))
    fields = {
        "search.front[].latency_ms": "search.front[].costs.latency_ms",
        "search.front[].latency_ms.low": "search.front[].costs.latency_low_ms",
        "macs": "mac_count",
        "search.*": "search.report.*",
    }
    found = Renamed(fields, {"search/1": "search/2"}).apply(values)
    assert found[("search", "report", "schema")] == "flash.search/2"
    assert found[("search", "front", 1, "costs", "latency_ms", "value")] == 3.0
    assert found[("search", "front", 0, "costs", "latency_low_ms")] == 0.5
    assert found[("search", "report", "front", 1, "mac_count")] == 15
    assert len(found) == len(values)


def test_two_fields_under_one_name_are_refused():
    with pytest.raises(ValueError, match=r"two fields would be called search\.front\[0\]\.macs"):
        Renamed({"id": "macs"}).apply(flatten(_DOCUMENT, ("search",)))


def test_entries_that_rename_nothing_are_named():
    values = flatten(_DOCUMENT, ("search",))
    fields = {
        "macs": "m",
        "hull": "box",
        "search.front[].id": "search.front[].name",
        "fit.a": "fit.b",
    }
    unused = Renamed(fields, {"flash.": "f.", "hull": "box"}).unused([values])
    assert unused == ["fit.a", "hull"]


@pytest.mark.parametrize("reason", [[], ["--reason", " "]])
def test_recording_demands_a_reason(reason, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["record", "fit-x86", *reason])
    monkeypatch.setattr("golden.record.record", lambda *_: pytest.fail("recorded"))
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "--reason" in capsys.readouterr().err
