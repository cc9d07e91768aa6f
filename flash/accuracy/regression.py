"""What every accuracy model is: a curve through trained samples, and the curves without each.

Accuracies of one space crowd below a ceiling and trail off below (a network that fails to train
is tens of per cent off, two good ones tenths). ``Saturation`` straightens that out; smooth models
are fitted on its scale, and the intervals of all models are made on it.
"""

from __future__ import annotations

import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from flash.accuracy.features import features_of
from flash.spaces.stage_tables import Floats
from flash.spaces.table import LayerTable

__all__ = ["Regression", "Samples", "Saturation"]


@dataclass(frozen=True)
class Samples:
    """Trained networks: ``rows`` (samples, features) by ``names``, ``accuracy`` (samples,).

    bounds: the least and the largest accuracy there can be; no prediction leaves them.
    """

    names: tuple[str, ...]
    rows: Floats
    accuracy: Floats
    bounds: tuple[float, float] = (0.0, 100.0)

    def __len__(self) -> int:
        return len(self.accuracy)

    def without(self, sample: int) -> Samples:
        """All but one."""
        rows, accuracy = np.delete(self.rows, sample, axis=0), np.delete(self.accuracy, sample)
        return replace(self, rows=rows, accuracy=accuracy)

    def columns(self, names: tuple[str, ...]) -> Floats:
        """The features ``names`` of every sample, shape (samples, names)."""
        return self.rows[:, [self.names.index(name) for name in names]]


@dataclass(frozen=True)
class Saturation:
    """``u = -log(ceiling - accuracy)``: strictly rising; the ceiling is never reached.

    The ceiling lies as far above the best sample as that lies above the median one (ours).
    """

    ceiling: float
    bounds: tuple[float, float]

    @staticmethod
    def of(samples: Samples) -> Saturation:
        """The scale of these samples, of which more than half may be equal."""
        accuracy = samples.accuracy
        best, middle = float(np.max(accuracy)), statistics.median(accuracy.tolist())
        above = best - middle if best > middle else max(float(np.ptp(accuracy)), 1.0)
        return Saturation(best + above, samples.bounds)

    def apply(self, accuracy: Floats) -> Floats:
        """Accuracy -> scale; what is at the ceiling or above counts as just below it."""
        return -np.log(np.maximum(self.ceiling - accuracy, 1e-9))

    def undo(self, scaled: Floats) -> Floats:
        """Scale -> accuracy, within the bounds."""
        return np.clip(self.ceiling - np.exp(-np.maximum(scaled, -600.0)), *self.bounds)


class Regression(ABC):
    """A model fitted to samples; accuracies in the samples' own unit.

    kind:     its name in files and tables.
    features: names of what it reads, the columns of ``x``, shape (designs, features).
    """

    kind: ClassVar[str]
    features: tuple[str, ...]

    @property
    def searchable(self) -> bool:
        """Whether an optimizer can search it: it rises with ``metric``."""
        return True

    @property
    def metric(self) -> str:
        """The quantity its prediction rises with: a score, "accuracy" for ``index``, "" if none."""
        return ""

    @property
    def index(self) -> Callable[[LayerTable], Floats] | None:
        """What its prediction rises with where that is a sum over cells, for those in a table."""
        return None

    def from_metric(self, values: Floats) -> Floats:
        """Predicted accuracy of designs whose ``metric`` is ``values``; it never falls."""
        return self.predict(features_of({self.metric: values}, self.features))

    def settings(self) -> dict[str, tuple[str, ...]]:
        """The names that a file must hold to make the same model again."""
        return {"features": self.features}

    @abstractmethod
    def predict(self, x: Floats) -> Floats:
        """Predicted accuracy, shape (designs,)."""

    @abstractmethod
    def without(self, x: Floats) -> Floats:
        """Row i: predictions of the model fitted without sample i; shape (samples, designs)."""

    @abstractmethod
    def left_out(self) -> Floats:
        """Prediction of each sample by the model fitted without it, shape (samples,)."""

    def left_out_anew(self) -> Floats:
        """The same, with all that samples chose chosen anew without each: how models are compared.

        ``left_out`` may keep what hardly depends on one sample; the fewer there are, the more does.
        """
        return self.left_out()

    @abstractmethod
    def parameters(self) -> dict[str, float | list[float] | list[list[float]]]:
        """What a file must hold, beside the samples, to make the same model again."""
