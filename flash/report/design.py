"""One design of a front: everything known about it, and its flat record."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flash.quantities import quantity
from flash.report.interval import Interval, finite

__all__ = ["DesignReport", "design_record"]

_encode = json.JSONEncoder().encode
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
        "picks": " ".join(label for label, identity in picks if identity == design.id),
        "design": _encode(design.design),
        "hardware": _encode(design.hardware) if design.hardware else "",
        "description": design.description,
        **_interval("accuracy", design.accuracy),
        **_plain(design, "nn_degree", "nn_mass", "sed", "rank_score"),
        **{name: design.proxies.get(name) for name in proxies},
        **_interval("latency_ms", design.latency_ms),
        **_interval("energy_mj", design.energy_mj),
        **_plain(design, "memory_kb", "weight_kb", "activation_kb"),
        **_interval("area_mm2", design.area_mm2),
        **_plain(design, "params", "macs", "extrapolated"),
    }


def _plain(design: DesignReport, *names: str) -> dict[str, Any]:
    return {name: getattr(design, name) for name in names}


def _interval(name: str, interval: Interval | None) -> Mapping[str, float | None]:
    value, low, high = _COLUMNS[name]
    if interval is None:
        return {value: None, low: None, high: None}
    return {value: interval.value, low: interval.low, high: interval.high}


def _set_finite(design: DesignReport, name: str) -> None:
    object.__setattr__(design, name, finite(name, getattr(design, name)))
