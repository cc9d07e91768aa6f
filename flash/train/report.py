"""What ``train`` returns: how well the trained model does, and on what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.report.base import Result

__all__ = ["SCHEMA", "TrainReport", "measured"]

SCHEMA = "flash.train/1"
#: Classes whose confusion is printed.
_MOST_SHOWN = 12


@dataclass(frozen=True, repr=False)
class TrainReport(Result):
    """A model trained.

    metrics:   of the test samples: accuracy (of classes or labels, per cent) or r2 and rmse, and of
               each class or label or value what is known of it.
    confusion: classes by classes as predicted; None for other tasks.
    loss, score: after each epoch; ``score`` is of the validation samples.
    files:     what was written.
    """

    model: str
    task: str
    names: tuple[str, ...]
    samples: Mapping[str, int]
    metrics: Mapping[str, float]
    by_name: Mapping[str, Mapping[str, float]]
    confusion: tuple[tuple[int, ...], ...] | None
    loss: tuple[float, ...]
    score: tuple[float, ...]
    best_epoch: int
    seconds: float
    notes: tuple[str, ...]
    files: tuple[Path, ...] = ()

    def document(self) -> dict[str, Any]:
        """``flash.train/1``."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "task": self.task,
            "names": list(self.names),
            "samples": dict(self.samples),
            "metrics": dict(self.metrics),
            "by_name": {name: dict(values) for name, values in self.by_name.items()},
            "confusion": None if self.confusion is None else [list(r) for r in self.confusion],
            "loss": list(self.loss),
            "score": list(self.score),
            "best_epoch": self.best_epoch,
            "seconds": self.seconds,
            "notes": list(self.notes),
        }

    def to_records(self) -> list[Mapping[str, Any]]:
        """A row an epoch."""
        pairs = zip(self.loss, self.score, strict=True)
        return [{"epoch": k, "loss": a, "score": b} for k, (a, b) in enumerate(pairs, 1)]

    def lines(self) -> list[str]:
        """The test's result, the confusion of few classes, what was left out."""
        counts = ", ".join(f"{n:,} for {part}" for part, n in self.samples.items())
        lines = [f"{self.model}: {self.task}, {counts} samples"]
        lines.append(", ".join(f"{name} {value:.4g}" for name, value in self.metrics.items()))
        lines.append(
            f"weights of epoch {self.best_epoch} of {len(self.score)}, the best on the validation "
            f"samples; {self.seconds:.0f} s"
        )
        if self.confusion is not None and len(self.names) <= _MOST_SHOWN:
            width = max(len(name) for name in self.names)
            cells = max(len(str(n)) for row in self.confusion for n in row)
            lines += ["", "rows: class, columns: as predicted"]
            for name, row in zip(self.names, self.confusion, strict=True):
                lines.append(f"{name:<{width}}  " + " ".join(f"{n:>{cells}}" for n in row))
            lines.append("")
        lines += [f"note: {note}" for note in self.notes]
        return lines


def measured(
    outputs: NDArray[np.float32], labels: NDArray[Any], task: str, names: tuple[str, ...]
) -> tuple[dict[str, float], dict[str, dict[str, float]], tuple[tuple[int, ...], ...] | None]:
    """Metrics, those of each name, and the confusion matrix of classes.

    outputs: of regression, in the labels' own units.
    """
    if task == "regression":
        residual = labels - outputs
        spread = np.maximum(((labels - labels.mean(0)) ** 2).sum(0), 1e-30)
        r2 = 1 - (residual**2).sum(0) / spread
        rmse = np.sqrt((residual**2).mean(0))
        each = {
            n: {"r2": float(a), "rmse": float(b)} for n, a, b in zip(names, r2, rmse, strict=True)
        }
        return {"r2": float(r2.mean()), "rmse": float(np.sqrt((residual**2).mean()))}, each, None
    if task == "multi-label":
        found, wanted = outputs > 0, labels > 0.5
        each = {n: _rates(found[:, k], wanted[:, k]) for k, n in enumerate(names)}
        f1 = float(np.mean([own["f1"] for own in each.values()]))
        return {"accuracy": 100 * float((found == wanted).mean()), "macro_f1": f1}, each, None
    predicted = outputs.argmax(1)
    matrix = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    each = {n: _rates(predicted == k, labels == k) for k, n in enumerate(names)}
    present = [own["f1"] for k, own in enumerate(each.values()) if (labels == k).any()]
    metrics = {
        "accuracy": 100 * float((predicted == labels).mean()),
        "macro_f1": float(np.mean(present)),
    }
    return metrics, each, tuple(tuple(int(n) for n in row) for row in matrix)


def _rates(found: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> dict[str, float]:
    both = float((found & wanted).sum())
    precision = both / max(float(found.sum()), 1.0)
    recall = both / max(float(wanted.sum()), 1.0)
    f1 = 2 * precision * recall / max(precision + recall, 1e-30)
    return {"precision": precision, "recall": recall, "f1": f1, "samples": float(wanted.sum())}
