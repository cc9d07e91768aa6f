"""The result of a search with a training budget, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flash.quantities import format_latency
from flash.report.base import Result
from flash.report.design import DesignReport
from flash.search.budgeted.evaluator import Trial
from flash.search.budgeted.outcome import Outcome
from flash.spaces.space import SearchSpace

__all__ = ["BudgetReport"]

#: Trainings that the table on the terminal shows.
_SHOWN = 10


@dataclass(frozen=True, repr=False)
class BudgetReport(Result):
    """What a search with a training budget found, as files and the terminal show it.

    source:    where accuracies come from.
    whole:     the candidates are all designs within the limits, no sample of them.
    best:      the best design trained with its costs; None where every training failed.
    """

    space: SearchSpace
    target: Mapping[str, Any]
    limits: Mapping[str, float]
    source: str
    candidates: int
    whole: bool
    metrics: tuple[str, ...]
    outcome: Outcome
    best: DesignReport | None

    def to_records(self) -> list[Mapping[str, Any]]:
        """A row a trained design, with the fields of the JSON document."""
        rows = (self._trial(trial) for trial in self.outcome.trials)
        return [row | {"design": json.dumps(row["design"])} for row in rows]

    def document(self) -> dict[str, Any]:
        """As plain values, schema ``flash.budgeted/1``."""
        found = self.outcome
        return {
            "schema": "flash.budgeted/1",
            "strategy": found.strategy,
            "seed": found.seed,
            "budget": {
                "limit": found.budget,
                "spent": found.spent,
                "used": round(found.used, 6),
                "reused": sum(trial.reused for trial in found.trials),
                "failed": found.failed,
            },
            "accuracy_from": self.source,
            "target": dict(self.target),
            "space": {"name": self.space.name, "size": self.space.size},
            "limits": dict(self.limits),
            "candidates": {"count": self.candidates, "all": self.whole},
            "metrics": list(self.metrics),
            "details": dict(found.details),
            "best": None
            if self.best is None or found.best is None
            else {
                **self.best.to_dict(),
                "trained_accuracy": found.best.accuracy,
            },
            "evaluations": [self._trial(trial) for trial in found.trials],
        }

    def _trial(self, trial: Trial) -> dict[str, Any]:
        indices = np.array(trial.design, dtype=np.int64)
        return {
            "id": self.space.identify(indices),
            "design": self.space.named(indices),
            "description": self.space.describe(indices),
            "accuracy": None if trial.failed else trial.accuracy,
            "seconds": round(trial.seconds, 3),
            "reused": trial.reused,
            "share": round(trial.share, 6),
            "failure": trial.failure,
        }

    def lines(self) -> list[str]:
        """The result for people."""
        found = self.outcome
        reused = sum(trial.reused for trial in found.trials)
        kind = "all that can be trained" if self.whole else "drawn at random"
        kind += " within the limits" if self.limits else ""
        lines = [
            f"search     {found.strategy} (seed {found.seed}) on {self.candidates:,} candidates of "
            f"{self.space.name}, {kind}",
            f"metrics    {', '.join(self.metrics)}: analytical, from the description alone",
            f"accuracy   from {self.source}",
            f"budget     {_used(found)}: {reused} known from before, {found.failed} failed",
        ]
        lines += [f"{name:<10} {value}" for name, value in _details(found.details)]
        if self.best is not None and found.best is not None:
            latency = self.best.latency_ms
            lines.append(f"best       {found.best.accuracy:g}  {self.best.short}")
            lines.append(
                f"           latency {format_latency(latency.value)} "
                f"({format_latency(latency.low)} to {format_latency(latency.high)}: {latency.how})"
                f" on {self.target['name']}"
            )
        done = sorted(
            (t for t in found.trials if not t.failed), key=lambda t: (-t.share, -t.accuracy)
        )
        others = [trial for trial in done if trial is not found.best]
        for trial in others[: _SHOWN - 1]:
            shown = self.space.describe(np.array(trial.design, dtype=np.int64))
            part = "" if trial.share == 1 else f"  (trained {trial.share:.0%})"
            lines.append(f"           {trial.accuracy:g}  {shown}{part}")
        lines += [f"failed     {t.failure}" for t in found.trials if t.failed][:_SHOWN]
        return lines


def _used(found: Outcome) -> str:
    """The budget used, in designs where every training is whole."""
    if all(trial.share == 1 for trial in found.trials):
        return f"{found.spent} of {found.budget} designs"
    return f"{found.used:.3g} of {found.budget} whole trainings on {found.spent} designs"


def _details(details: Mapping[str, Any]) -> list[tuple[str, str]]:
    shown = []
    for name in ("weights", "formula", "archive", "score"):
        value = details.get(name)
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {weight:+.2f}" for key, weight in value.items())
        elif isinstance(value, float):
            value = f"{value:.4g}"
        if value is not None:
            shown.append((name, f"{value}" + (" designs" if name == "archive" else "")))
    return shown
