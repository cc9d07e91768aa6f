"""Search reports read back from JSON, strictly: what is not as written is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flash.errors import InputError
from flash.files.reading import parse_json
from flash.files.section import Section
from flash.report.data import (
    SCHEMA,
    AccuracyStatus,
    OptimizerSummary,
    Picks,
    SpaceSummary,
)
from flash.report.design import DesignReport
from flash.report.interval import Interval
from flash.report.result import SearchReport

__all__ = ["read_search"]

_T = TypeVar("_T")
_MEGABYTES = {f"{name}_mb": f"{name}_kb" for name in ("memory", "weight", "activation")}
#: Keys of the document.
_TOP = (
    "schema",
    "target",
    "space",
    "objectives",
    "limits",
    "accuracy",
    "optimizer",
    "picks",
    "notes",
    "front",
)


def read_search(text: str, source: str = "search report") -> SearchReport:
    """The report in a document of ``SearchReport.to_json``.

    Raises ``InputError`` in one line that begins with ``source`` for anything else.
    """
    document = parse_json(text, source)
    if isinstance(document, list):
        raise InputError(f"{source}: is {_kind(document)}, not the front of a search (front.json)")
    document = _in_kilobytes(document)
    try:
        return _search(Section.of(document, InputError))
    except (InputError, ValueError) as error:
        raise InputError(f"{source}: {error}") from None


def _kind(rows: list[Any]) -> str:
    """What a list is, in words: ``flash estimate --json`` writes a row a design or file."""
    if rows and all(isinstance(row, dict) and "design" in row for row in rows):
        return "a list of estimates, as flash estimate writes it"
    return "a list"


def _in_kilobytes(document: Any) -> Any:
    """Memory as ``memory_kb``, ...; documents of before call it ``memory_mb`` and give MB."""
    if isinstance(document, dict):
        return {
            _MEGABYTES.get(name, name): value * 1000
            if name in _MEGABYTES and type(value) in (int, float)
            else _in_kilobytes(value)
            for name, value in document.items()
        }
    if isinstance(document, list):
        return [_in_kilobytes(value) for value in document]
    return _MEGABYTES.get(document, document) if isinstance(document, str) else document


def _search(top: Section) -> SearchReport:
    top.schema(SCHEMA)
    confident = top.has("confidence")
    top.exactly((*_TOP, "confidence") if confident else _TOP)
    space, status = top.section("space"), top.section("accuracy")
    narrowed, inside = space.has("searched"), space.has("measured")
    told = space.has("legend")
    space.exactly(
        (
            *("name", "size", "distinct"),
            *["searched"] * narrowed,
            *["measured"] * inside,
            *["legend"] * told,
        )
    )
    measure = ("measure",) if status.has("measure") else ()
    status.exactly(("calibrated", "statement", *measure))
    picks, labels = top.section("picks"), ("fastest", "balanced", "most_accurate")
    picks.exactly(labels)
    return SearchReport(
        target=top.table("target"),
        space=SpaceSummary(
            space.string("name"),
            space.integer("size", 0, None),
            space.integer("distinct", 0, None),
            space.integer("searched", 0, None) if narrowed else None,
            space.number("measured", 0, 1) if inside else None,
            space.string("legend") if told else None,
        ),
        objectives=top.strings("objectives"),
        limits=top.section("limits").numbers(),
        confidence=top.number("confidence", 0.5, 0.99) if confident else None,
        optimizer=_optimizer(top.section("optimizer")),
        front=[_design(design) for design in top.sections("front")],
        picks=Picks(**{label: picks.string(label) for label in labels}),
        notes=top.strings("notes"),
        accuracy=AccuracyStatus(
            status.flag("calibrated"),
            status.string("statement"),
            status.string("measure") if measure else "accuracy",
        ),
    )


def _optimizer(given: Section) -> OptimizerSummary:
    timed = ("seconds",) if given.has("seconds") else ()  # of files before flash 0.3
    given.exactly(("name", "evaluations", *timed, "gap", "certified", "message"))
    return OptimizerSummary(
        name=given.string("name"),
        evaluations=given.integer("evaluations", 0, None),
        seconds=given.finite("seconds") if timed else 0.0,
        gap=given.finite("gap") if given.has_value("gap") else None,
        certified=given.flag("certified"),
        message=given.string("message"),
    )


def _design(given: Section) -> DesignReport:
    given.exactly(DesignReport.__dataclass_fields__)

    def perhaps(name: str, read: Callable[[Section, str], _T]) -> _T | None:
        return read(given, name) if given.has_value(name) else None

    return DesignReport(
        id=given.string("id"),
        design=given.section("design").integers(),
        accuracy=perhaps("accuracy", _interval),
        nn_degree=given.finite("nn_degree"),
        nn_mass=given.finite("nn_mass"),
        sed=perhaps("sed", Section.finite),
        rank_score=perhaps("rank_score", Section.finite),
        latency_ms=_interval(given, "latency_ms"),
        energy_mj=perhaps("energy_mj", _interval),
        memory_kb=given.finite("memory_kb"),
        weight_kb=given.finite("weight_kb"),
        activation_kb=given.finite("activation_kb"),
        area_mm2=perhaps("area_mm2", _interval),
        params=given.integer("params", 0, None),
        macs=given.integer("macs", 0, None),
        extrapolated=given.flag("extrapolated"),
        description=given.string("description"),
        hardware=given.section("hardware").integers(),
        proxies=given.section("proxies").numbers(),
    )


def _interval(design: Section, name: str) -> Interval:
    given = design.section(name)
    keys = ("value", "low", "high", "how", "extrapolated")
    # Documents of before it was a field say it in words.
    old = not given.has("extrapolated")
    given.exactly(keys[:4] if old else keys)
    low, middle, high = (given.finite(key) for key in ("low", "value", "high"))
    if not low <= middle <= high:
        given.refuse("value", f"{middle} is not within its interval {low} to {high}")
    how = given.string("how")
    extrapolated = "widened outside" in how if old else given.flag("extrapolated")
    return Interval(middle, low, high, how, extrapolated)
