"""Search reports read back from JSON, strictly: what is not as written is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flash.errors import InputError, did_you_mean
from flash.files.reading import parse_json
from flash.report.interval import Interval
from flash.report.result import (
    SCHEMA,
    AccuracyStatus,
    DesignReport,
    OptimizerSummary,
    Picks,
    SearchReport,
    SpaceSummary,
)

__all__ = ["read_search"]

_T = TypeVar("_T")
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


class _Wrong(Exception):
    """What is wrong with the document and where; turned into ``InputError`` at the door."""


def read_search(text: str, source: str = "search report") -> SearchReport:
    """The report in a document of ``SearchReport.to_json``.

    Raises ``InputError`` in one line that begins with ``source`` for anything else.
    """
    document = parse_json(text, source)
    try:
        return _search(document)
    except (_Wrong, ValueError) as error:
        raise InputError(f"{source}: {error}") from None


def _search(document: Any) -> SearchReport:
    if isinstance(document, dict) and document.get("schema") != SCHEMA:
        raise _Wrong(f"expected schema '{SCHEMA}', got {document.get('schema')!r}")
    top = _object(document, "the document", _TOP)
    space = _object(top["space"], "space", ("name", "size", "distinct"))
    picks = _object(top["picks"], "picks", ("fastest", "balanced", "most_accurate"))
    status = _object(top["accuracy"], "accuracy", ("calibrated", "statement"))
    limits = _mapping(top["limits"], "limits")
    target = _mapping(top["target"], "target")
    return SearchReport(
        target=target,
        space=SpaceSummary(
            _text(space["name"], "space.name"),
            _integer(space["size"], "space.size"),
            _integer(space["distinct"], "space.distinct"),
        ),
        objectives=_list(top["objectives"], "objectives", _text),
        limits={name: _number(value, f"limits.{name}") for name, value in limits.items()},
        optimizer=_optimizer(top["optimizer"]),
        front=_list(top["front"], "front", _design),
        picks=Picks(**{name: _text(value, f"picks.{name}") for name, value in picks.items()}),
        notes=_list(top["notes"], "notes", _text),
        accuracy=AccuracyStatus(
            _flag(status["calibrated"], "accuracy.calibrated"),
            _text(status["statement"], "accuracy.statement"),
        ),
    )


def _optimizer(value: Any) -> OptimizerSummary:
    keys = ("name", "evaluations", "seconds", "gap", "certified", "message")
    given = _object(value, "optimizer", keys)
    return OptimizerSummary(
        name=_text(given["name"], "optimizer.name"),
        evaluations=_integer(given["evaluations"], "optimizer.evaluations"),
        seconds=_number(given["seconds"], "optimizer.seconds"),
        gap=_optional(given["gap"], "optimizer.gap", _number),
        certified=_flag(given["certified"], "optimizer.certified"),
        message=_text(given["message"], "optimizer.message"),
    )


def _design(value: Any, where: str) -> DesignReport:
    given = _object(value, where, tuple(DesignReport.__dataclass_fields__))
    design = _mapping(given["design"], f"{where}.design")
    hardware = _mapping(given["hardware"], f"{where}.hardware")
    proxies = _mapping(given["proxies"], f"{where}.proxies")

    def take(name: str, read: Callable[[Any, str], _T]) -> _T:
        return read(given[name], f"{where}.{name}")

    def perhaps(name: str, read: Callable[[Any, str], _T]) -> _T | None:
        return _optional(given[name], f"{where}.{name}", read)

    return DesignReport(
        id=take("id", _text),
        design={name: _integer(v, f"{where}.design.{name}") for name, v in design.items()},
        accuracy=perhaps("accuracy", _interval),
        nn_degree=take("nn_degree", _number),
        nn_mass=take("nn_mass", _number),
        sed=perhaps("sed", _number),
        rank_score=perhaps("rank_score", _number),
        latency_ms=take("latency_ms", _interval),
        energy_mj=perhaps("energy_mj", _interval),
        memory_mb=take("memory_mb", _number),
        weight_mb=take("weight_mb", _number),
        activation_mb=take("activation_mb", _number),
        area_mm2=perhaps("area_mm2", _interval),
        params=take("params", _integer),
        macs=take("macs", _integer),
        extrapolated=take("extrapolated", _flag),
        description=take("description", _text),
        hardware={name: _integer(v, f"{where}.hardware.{name}") for name, v in hardware.items()},
        proxies={name: _number(v, f"{where}.proxies.{name}") for name, v in proxies.items()},
    )


def _interval(value: Any, where: str) -> Interval:
    keys = ("value", "low", "high", "how", "extrapolated")
    # Documents of before it was a field say it in words.
    old = isinstance(value, dict) and "extrapolated" not in value
    given = _object(value, where, keys[:4] if old else keys)
    low, middle, high = (_number(given[k], f"{where}.{k}") for k in ("low", "value", "high"))
    if not low <= middle <= high:
        raise _Wrong(f"{where}: {middle} is not within its interval {low} to {high}")
    how = _text(given["how"], f"{where}.how")
    if old:
        return Interval(middle, low, high, how, "widened outside" in how)
    return Interval(middle, low, high, how, _flag(given["extrapolated"], f"{where}.extrapolated"))


# ------------------------------------------------------------------------------ JSON's types
def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"{where} must be an object, got {_kind(value)}")
    return value


def _object(value: Any, where: str, keys: Sequence[str]) -> dict[str, Any]:
    found = _mapping(value, where)
    missing = [key for key in keys if key not in found]
    if missing:
        raise _Wrong(f"{where} lacks {', '.join(missing)}")
    for key in found:
        if key not in keys:
            raise _Wrong(f"{where} has an unknown key '{key}'{did_you_mean(key, keys)}")
    return found


def _list(value: Any, where: str, read: Callable[[Any, str], _T]) -> list[_T]:
    if not isinstance(value, list):
        raise _Wrong(f"{where} must be a list, got {_kind(value)}")
    return [read(item, f"{where}[{k}]") for k, item in enumerate(value)]


def _optional(value: Any, where: str, read: Callable[[Any, str], _T]) -> _T | None:
    return None if value is None else read(value, where)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Wrong(f"{where} must be a number, got {_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Wrong(f"{where} must be finite")
    return number


def _integer(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Wrong(f"{where} must be an integer, got {_kind(value)}")
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(f"{where} must be true or false, got {_kind(value)}")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"{where} must be a string, got {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), f"{value}")
