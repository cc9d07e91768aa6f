"""One design of a front: everything known about it, and its flat record."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from flash.quantities import quantity
from flash.report.interval import Interval, finite, json_flag, json_text

__all__ = ["DesignReport", "design_record"]

_encode = json.JSONEncoder(ensure_ascii=False).encode
_ascii = lru_cache(maxsize=1024)(json.JSONEncoder().encode)
#: Columns of quantities that have an interval.
_COLUMNS = {
    name: quantity(name).columns for name in ("accuracy", "latency_ms", "energy_mj", "area_mm2")
}


@dataclass(frozen=True, repr=False)
class DesignReport:
    """One design of the front with everything known about it.

    design:        the space's variables by name.
    accuracy:      per cent; None until the space has an accuracy model.
    sed, rank_score: None where the metric was not asked for.
    latency_ms, energy_mj: on the target; energy is None where the profile has no energy model.
    memory_kb:     weight_kb + activation_kb (peak), in 10^3 bytes.
    area_mm2:      of the chip; None on chips one buys ready-made.
    macs:          multiply-accumulates of one inference.
    extrapolated:  the cost model saw nothing like it, so the interval was widened.
    description:   the design in short, for people.
    hardware:      the hardware variables of its chip; empty on chips one buys ready-made.
    proxies:       scores that have no field of their own, more is better: of proxies that ran
                   the network, and of metrics that other packages add.
    """

    id: str
    design: Mapping[str, int]
    accuracy: Interval | None
    nn_degree: float
    nn_mass: float
    sed: float | None
    latency_ms: Interval
    energy_mj: Interval | None
    memory_kb: float
    weight_kb: float
    activation_kb: float
    area_mm2: Interval | None
    params: int
    macs: int
    extrapolated: bool
    description: str = ""
    rank_score: float | None = None
    hardware: Mapping[str, int] = field(default_factory=dict)
    proxies: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("nn_degree", "nn_mass", "memory_kb", "weight_kb", "activation_kb"):
            _set_finite(self, name)
        for name in ("sed", "rank_score"):
            if getattr(self, name) is not None:
                _set_finite(self, name)
        if self.latency_ms.value <= 0:
            raise ValueError(f"design {self.id}: a latency of {self.latency_ms.value} ms")
        # Plain Python numbers and bools: JSON knows none of NumPy's.
        object.__setattr__(self, "design", {k: int(v) for k, v in self.design.items()})
        object.__setattr__(self, "hardware", {k: int(v) for k, v in self.hardware.items()})
        object.__setattr__(self, "proxies", {k: float(v) for k, v in self.proxies.items()})
        if not all(math.isfinite(value) for value in self.proxies.values()):
            raise ValueError(f"design {self.id}: a proxy's score is not finite")
        object.__setattr__(self, "params", int(self.params))
        object.__setattr__(self, "macs", int(self.macs))
        object.__setattr__(self, "extrapolated", bool(self.extrapolated))

    def quantity(self, name: str) -> float | None:
        """The value of a quantity by name; None where it is not known."""
        value = self.estimate(name)
        return value.value if isinstance(value, Interval) else value

    def estimate(self, name: str) -> Interval | float | None:
        """The same with its interval, where it has one."""
        if name in self.__dataclass_fields__:
            found: Interval | float | None = getattr(self, name)
            return found
        return self.proxies.get(name)

    def __repr__(self) -> str:
        return f"DesignReport {self.id}: {self.text()}"

    def text(self, score: str = "", label: str = "") -> str:
        """The design in a line: latency, the score of that name (as people call it), what it is."""
        parts = [quantity("latency_ms").format(self.latency_ms.value)]
        value = self.quantity(score) if score else None
        if value is not None:
            of = quantity(score)
            parts.append(f"{label or of.label} {of.format(value)}")
        return f"{', '.join(parts)}, {self.short}"

    @property
    def short(self) -> str:
        """The description, or the variables where nobody gave one."""
        return self.description or " ".join(f"{k}={v}" for k, v in self.design.items())

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON document."""
        return {
            "id": self.id,
            "design": dict(self.design),
            "hardware": dict(self.hardware),
            "description": self.description,
            "accuracy": self.accuracy.to_dict() if self.accuracy else None,
            "nn_degree": self.nn_degree,
            "nn_mass": self.nn_mass,
            "sed": self.sed,
            "rank_score": self.rank_score,
            "proxies": dict(self.proxies),
            "latency_ms": self.latency_ms.to_dict(),
            "energy_mj": self.energy_mj.to_dict() if self.energy_mj else None,
            "memory_kb": self.memory_kb,
            "weight_kb": self.weight_kb,
            "activation_kb": self.activation_kb,
            "area_mm2": self.area_mm2.to_dict() if self.area_mm2 else None,
            "params": self.params,
            "macs": self.macs,
            "extrapolated": self.extrapolated,
        }

    def to_json(self) -> str:
        """``to_dict`` as one line of JSON, several times as fast as by the encoder."""
        proxies = ", ".join([f"{json_text(k)}: {v!r}" for k, v in self.proxies.items()])
        return (
            f'{{"id": {_encode(self.id)}, "design": {_whole(self.design)}, '
            f'"hardware": {_whole(self.hardware)}, "description": {_encode(self.description)}, '
            f'"accuracy": {_json(self.accuracy)}, "nn_degree": {self.nn_degree!r}, '
            f'"nn_mass": {self.nn_mass!r}, "sed": {_json(self.sed)}, '
            f'"rank_score": {_json(self.rank_score)}, "proxies": {{{proxies}}}, '
            f'"latency_ms": {_json(self.latency_ms)}, "energy_mj": {_json(self.energy_mj)}, '
            f'"memory_kb": {self.memory_kb!r}, "weight_kb": {self.weight_kb!r}, '
            f'"activation_kb": {self.activation_kb!r}, "area_mm2": {_json(self.area_mm2)}, '
            f'"params": {self.params}, "macs": {self.macs}, '
            f'"extrapolated": {json_flag(self.extrapolated)}}}'
        )


def _json(value: Interval | float | None) -> str:
    if value is None:
        return "null"
    return value.to_json() if isinstance(value, Interval) else repr(value)


def _whole(values: Mapping[str, int], text: Callable[[str], str] = json_text) -> str:
    """Whole numbers by name as JSON, the names by ``text``."""
    return "{" + ", ".join([f"{text(name)}: {value}" for name, value in values.items()]) + "}"


def design_record(
    design: DesignReport, picks: Iterable[tuple[str, str]], proxies: Iterable[str]
) -> dict[str, Any]:
    """The design as a row of a CSV file or data frame; None where a value is unknown.

    Columns have the names and units of the fields; an interval has three, its value's and those
    of its ends (``latency_ms``, ``latency_low_ms``, ``latency_high_ms``). ``design`` is the JSON
    object that ``flash.estimate --designs`` reads, ``hardware`` one too.

    picks: (name, id) of the designs picked; proxies: scores that have no field of their own.
    """
    return {
        "id": design.id,
        "picks": " ".join([label for label, identity in picks if identity == design.id]),
        "design": _whole(design.design, _ascii),
        "hardware": _whole(design.hardware, _ascii) if design.hardware else "",
        "description": design.description,
        **_interval("accuracy", design.accuracy),
        "nn_degree": design.nn_degree,
        "nn_mass": design.nn_mass,
        "sed": design.sed,
        "rank_score": design.rank_score,
        **{name: design.proxies.get(name) for name in proxies},
        **_interval("latency_ms", design.latency_ms),
        **_interval("energy_mj", design.energy_mj),
        "memory_kb": design.memory_kb,
        "weight_kb": design.weight_kb,
        "activation_kb": design.activation_kb,
        **_interval("area_mm2", design.area_mm2),
        "params": design.params,
        "macs": design.macs,
        "extrapolated": design.extrapolated,
    }


def _interval(name: str, interval: Interval | None) -> Mapping[str, float | None]:
    value, low, high = _COLUMNS[name]
    if interval is None:
        return {value: None, low: None, high: None}
    return {value: interval.value, low: interval.low, high: interval.high}


def _set_finite(design: DesignReport, name: str) -> None:
    object.__setattr__(design, name, finite(name, getattr(design, name)))
