"""What ``shrink`` returns: the model, the variant chosen, and how the two compare."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flash.quantities import (
    count_in_words,
    format_count,
    format_latency,
    format_memory,
    format_number,
    quantity,
)
from flash.report.base import Result
from flash.report.interval import Interval

__all__ = ["SCHEMA", "Agreement", "Candidate", "ShrinkReport"]

SCHEMA = "flash.shrink/1"


@dataclass(frozen=True)
class Candidate:
    """The model or one of its variants, as the target runs it.

    label: ``original`` or what pick it is.  score: the metric that was maximised.
    """

    label: str
    id: str
    design: Mapping[str, int]
    score: float
    latency_ms: Interval
    memory_kb: float
    params: int
    macs: int

    def to_dict(self) -> dict[str, Any]:
        """As in the document."""
        return {
            "label": self.label,
            "id": self.id,
            "design": dict(self.design),
            "score": self.score,
            "latency_ms": self.latency_ms.to_dict(),
            "memory_kb": self.memory_kb,
            "params": self.params,
            "macs": self.macs,
        }


@dataclass(frozen=True)
class Agreement:
    """How far the variant, not trained yet, answers as the model does.

    source:  the inputs.  inputs: how many.
    same_first: share of them where the largest output is the same; None without several outputs.
    relative_rms: root mean square of the difference over that of the model's output; None where the
                  variant's maps are smaller.
    matched: layers whose channels were scaled to vary as in the model (0 without data).
    """

    source: str
    inputs: int
    same_first: float | None
    relative_rms: float | None
    matched: int

    def to_dict(self) -> dict[str, Any]:
        """As in the document."""
        return dict(vars(self))


@dataclass(frozen=True, repr=False)
class ShrinkReport(Result):
    """A model, its space of variants, and the variant chosen.

    candidates: the model first, then the picks of the front; ``chosen`` is the id of one.
    fixed:      what cannot vary -> why.
    measured:   milliseconds that the user measured of the model, None where they gave none.
    limits:     by quantity.  notes: what the reader should know.
    """

    model: str
    target: str
    space: str
    size: int
    metric: str
    front: int
    certificate: str
    candidates: tuple[Candidate, ...]
    chosen: str
    verified: tuple[str, ...]
    agreement: Agreement
    fixed: Mapping[str, str]
    variables: Mapping[str, str]
    limits: Mapping[str, float]
    measured: float | None = None
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = field(default=())

    @property
    def original(self) -> Candidate:
        """The model itself."""
        return self.candidates[0]

    @property
    def smaller(self) -> Candidate:
        """The variant that was written."""
        return next(c for c in self.candidates if c.id == self.chosen)

    def document(self) -> dict[str, Any]:
        """``flash.shrink/1``."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "target": self.target,
            "space": {"name": self.space, "size": self.size},
            "metric": self.metric,
            "limits": dict(self.limits),
            "front": self.front,
            "certificate": self.certificate,
            "measured_ms": self.measured,
            "candidates": [c.to_dict() for c in self.candidates],
            "chosen": self.chosen,
            "verified": list(self.verified),
            "agreement": self.agreement.to_dict(),
            "variables": dict(self.variables),
            "fixed": dict(self.fixed),
            "notes": list(self.notes),
        }

    def to_records(self) -> list[Mapping[str, Any]]:
        """A row for the model and for each pick."""
        rows: list[Mapping[str, Any]] = []
        for c in self.candidates:
            ends = (c.latency_ms.value, c.latency_ms.low, c.latency_ms.high)
            rows.append(
                {
                    "label": c.label,
                    "id": c.id,
                    "design": json.dumps(dict(c.design)),
                    self.metric: c.score,
                    **dict(zip(quantity("latency_ms").columns, ends, strict=True)),
                    "memory_kb": c.memory_kb,
                    "params": c.params,
                    "macs": c.macs,
                }
            )
        return rows

    def lines(self) -> list[str]:
        """The model, the picks, what was written and what it is worth before training."""
        words = f"{count_in_words(self.size)} variants, {self.front:,} on the front"
        lines = [f"{self.model} on {self.target}: {words}"]
        if self.limits:
            each = (f"{quantity(k).label} {quantity(k).format(v)}" for k, v in self.limits.items())
            lines.append(f"limits: {', '.join(each)}")
        lines += ["", *self._table(), ""]
        lines += [self.certificate, *_wrapped_notes(self.notes)]
        lines.append(f"chosen: {self.smaller.label}, {self.chosen}; {self._agreement()}")
        lines += [f"checked: {line}" for line in self.verified]
        return lines

    def _table(self) -> Sequence[str]:
        score = quantity(self.metric).label
        rows = [("", "latency", "interval", "memory", "MACs", "params", score)]
        for c in self.candidates:
            label = c.label + (", written" if c.id == self.chosen else "")
            label += " *" if c.latency_ms.extrapolated else ""
            interval = f"{format_latency(c.latency_ms.low)} to {format_latency(c.latency_ms.high)}"
            rows.append(
                (
                    label,
                    format_latency(c.latency_ms.value),
                    interval,
                    format_memory(c.memory_kb),
                    format_count(c.macs),
                    format_count(c.params),
                    format_number(c.score),
                )
            )
        if self.measured is not None:
            rows.append(("measured", format_latency(self.measured), "", "", "", "", ""))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            "  ".join(
                cell.ljust(w) if k == 0 else cell.rjust(w)
                for k, (cell, w) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]

    def _agreement(self) -> str:
        found = self.agreement
        same = ""
        if found.same_first is not None:
            same = f"the same first class on {100 * found.same_first:.3g} % and "
        if found.relative_rms is None:
            return f"its output is smaller than the model's ({found.inputs} inputs)"
        return (
            f"before training it agrees with the model in {same}a difference of "
            f"{100 * found.relative_rms:.3g} % ({found.inputs} inputs of {found.source})"
        )


def _wrapped_notes(notes: Sequence[str]) -> list[str]:
    return [f"note: {line}" for line in notes]
