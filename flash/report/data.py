"""The data of a finished search, as everything that shows or stores it sees them.

One vocabulary for the table, the files, the picture and the Python interface. Objects here
cannot hold what must never be printed: a NaN, an infinity, an interval that misses its value
or a pick that is not on the front is refused when the object is made.
``flash.report.reading.read_search`` is the way back from JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flash.errors import UsageError
from flash.quantities import quantity
from flash.report.design import DesignReport
from flash.report.interval import finite

__all__ = [
    "IN_PLACE_OF",
    "OF_THE_MODEL",
    "SCHEMA",
    "AccuracyStatus",
    "OptimizerSummary",
    "Picks",
    "SearchData",
    "SpaceSummary",
]

SCHEMA = "flash.search/1"
#: How the note begins that says which score of the space a search did not take.
IN_PLACE_OF = "searched in place of "
#: How the note begins that says why the accuracies shown are worth nothing.
OF_THE_MODEL = "careful with the accuracies shown: "


@dataclass(frozen=True)
class SpaceSummary:
    """The space: its designs, and how many different networks they are.

    searched: those within what was trained, where the search stayed there; None where it took all.
    measured: of those searched, the share like what was measured on the target, estimated on random
              ones, where the search stayed there; None where it took all.
    legend:   what a design's line says, for people; None where that is plain.
    """

    name: str
    size: int
    distinct: int
    searched: int | None = None
    measured: float | None = None
    legend: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain values; those that may be None only where they are not."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class OptimizerSummary:
    """What the optimizer did and how far its result can be from the best there is.

    seconds:   of the search alone; 0 where that is not known (``front.json`` leaves it out, so that
               the same search gives the same file; ``run.json`` has it).
    gap:       0.003 for 0.3 % to the exact optimum; None where that is not known.
    certified: the gap was proven by the exact optimizer, not estimated.
    message:   the certificate in words.
    """

    name: str
    evaluations: int
    seconds: float = field(compare=False)
    gap: float | None
    certified: bool
    message: str

    def to_dict(self) -> dict[str, Any]:
        """As plain values, without the time it took."""
        return {name: value for name, value in vars(self).items() if name != "seconds"}

    def __post_init__(self) -> None:
        _set_finite(self, "seconds")
        if self.gap is not None:
            _set_finite(self, "gap")
        object.__setattr__(self, "evaluations", int(self.evaluations))
        object.__setattr__(self, "certified", bool(self.certified))


@dataclass(frozen=True)
class AccuracyStatus:
    """Whether the space has an accuracy model, and where that comes from.

    measure: what its accuracies are, for people: "accuracy" (top-1), "mAP50-95" ...
    level:   after which training, in a few words; empty without a model. Files say it in
             ``statement``.
    """

    calibrated: bool = False
    statement: str = "no accuracy model for this space; higher scores rank better"
    measure: str = "accuracy"
    level: str = field(default="", compare=False)

    def to_dict(self) -> dict[str, Any]:
        """As in JSON, where a measure is named unless it is the usual one."""
        found: dict[str, Any] = {"calibrated": self.calibrated, "statement": self.statement}
        return found if self.measure == "accuracy" else {**found, "measure": self.measure}

    def label(self, name: str) -> str:
        """What people call a quantity: accuracies by their measure."""
        return self.measure if name == "accuracy" else quantity(name).label


@dataclass(frozen=True)
class Picks:
    """Ids of three designs of the front that most people want to see."""

    fastest: str
    balanced: str
    most_accurate: str

    def items(self) -> tuple[tuple[str, str], ...]:
        """(name for people, id), in the order shown."""
        return (
            ("fastest", self.fastest),
            ("balanced", self.balanced),
            ("most accurate", self.most_accurate),
        )


@dataclass(frozen=True, repr=False)
class SearchData:
    """A finished search, as tables and pictures are made of it.

    target:     the profile's ``name`` and whatever it tells of itself; under ``provenance``
                the lines (a string or a list of them) to print whenever it is used.
    objectives: names of quantities; the first score among them is the front's score.
    limits:     name of a quantity -> the limit, in the unit of that quantity.
    front:      the designs none of which dominates another, by rising latency.
    notes:      what the reader should know, a sentence each.
    confidence: limits hold at the far end of the interval with this (0.5 to 0.99); None where they
                hold at the value.
    """

    target: Mapping[str, Any]
    space: SpaceSummary
    objectives: Sequence[str]
    limits: Mapping[str, float]
    optimizer: OptimizerSummary
    front: Sequence[DesignReport]
    picks: Picks
    notes: Sequence[str] = ()
    accuracy: AccuracyStatus = field(default_factory=AccuracyStatus)
    confidence: float | None = None
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", tuple(self.objectives))
        object.__setattr__(self, "notes", tuple(self.notes))
        object.__setattr__(self, "limits", {k: float(v) for k, v in self.limits.items()})
        by_latency = sorted(self.front, key=lambda design: design.latency_ms.value)
        object.__setattr__(self, "front", tuple(by_latency))
        self._check()

    def _check(self) -> None:
        if self.schema != SCHEMA:
            raise ValueError(f"expected schema {SCHEMA}, got {self.schema!r}")
        if not isinstance(self.target.get("name"), str):
            raise ValueError("the target has no name")
        try:
            for name in (*self.objectives, *self.limits):
                quantity(name)
        except UsageError as error:
            raise ValueError(str(error)) from None
        if not all(math.isfinite(limit) for limit in self.limits.values()):
            raise ValueError("a limit is not finite")
        ids = {design.id for design in self.front}
        if len(ids) != len(self.front) or not ids:
            raise ValueError("a front needs designs, each with an id of its own")
        for label, identity in self.picks.items():
            if identity not in ids:
                raise ValueError(f"the pick '{label}' is '{identity}', which is not on the front")
        if any((d.accuracy is not None) != self.accuracy.calibrated for d in self.front):
            raise ValueError("designs have an accuracy if and only if the space is calibrated")

    @property
    def score(self) -> str:
        """Name of the quantity that stands for accuracy on this front."""
        for name in self.objectives:
            if quantity(name).sense == "max":
                return name
        return "accuracy" if self.accuracy.calibrated else "nn_degree"

    @property
    def picked(self) -> tuple[tuple[str, DesignReport], ...]:
        """(name of the pick for people, its design), in the order shown."""
        by_id = {design.id: design for design in self.front}
        best = {} if self.score == "accuracy" else {"most accurate": "best score"}
        return tuple((best.get(name, name), by_id[key]) for name, key in self.picks.items())

    @property
    def certificate(self) -> str:
        """One line: how good the front is, and what finding it took."""
        seconds = self.optimizer.seconds
        took = f", {seconds:.3g} s)" * (seconds > 0) or ")"
        return self.certificate_without_time.removesuffix(")") + took

    @property
    def certificate_without_time(self) -> str:
        """The same for a page that says the same whenever it is made."""
        done = self.optimizer
        known = "gap to the optimum unknown" if done.gap is None else f"gap {100 * done.gap:.2g} %"
        words = done.message or f"{done.name}, {known}"
        sure = "certified" if done.certified else "not certified"
        return f"{sure}: {words} ({done.evaluations:,} evaluations)"

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        """(topic, line): where each number comes from."""
        given = self.target.get("provenance", ())
        lines = (given,) if isinstance(given, str) else tuple(str(line) for line in given)
        name = f"{self.target['name']}"
        if isinstance(self.target.get("description"), str) and self.target["description"]:
            name += f", {self.target['description']}"
        size = f"{self.space.size:,} designs, {self.space.distinct:,} different networks"
        accuracy = f"{'calibrated' if self.accuracy.calibrated else 'not calibrated'}"
        return (
            ("target", name),
            *(("", line) for line in lines),
            ("space", f"{self.space.name}: {size}"),
            ("accuracy", f"{accuracy}: {self.accuracy.statement}"),
            *self._intervals(),
        )

    def _intervals(self) -> tuple[tuple[str, str], ...]:
        lines = []
        for name in ("accuracy", "latency_ms", "energy_mj", "area_mm2"):
            found = [getattr(design, name) for design in self.front]
            how = dict.fromkeys(interval.how for interval in found if interval is not None)
            if how:
                lines.append(f"{self.accuracy.label(name)} {' or '.join(how)}")
        return (("intervals", "; ".join(lines)),)


def _set_finite(instance: Any, name: str) -> None:
    object.__setattr__(instance, name, finite(name, getattr(instance, name)))
