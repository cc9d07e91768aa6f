"""Errors that fall as a power of size: what networks of one kind do over decades of size.

    100 % - accuracy = exp(c) size^-b,   b >= 0

Trained fully and by one recipe, networks of a family lie within a few per cent of such a law from
a few million multiply-accumulates to a few hundred (``docs/validation/accuracy.md``). It has two
parameters, so that five networks fit it, and goes on beyond them without surprises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from flash.accuracy.features import CELL_SIZE_FEATURES, cell_sums, features_of
from flash.accuracy.regression import Regression, Samples
from flash.metrics import METRICS
from flash.spaces.stage_tables import Floats
from flash.spaces.table import LayerTable

__all__ = ["PowerLaw"]

#: Exponents stay above this, so that of two sizes the larger never ties.
_LEAST_EXPONENT = 1e-4
#: Errors are counted from this many per cent: no network is perfect, and the logarithm is finite.
_LEAST_ERROR = 0.01


class PowerLaw(Regression):
    """A power law of the error in one size or several (``features``: logarithms of sizes).

    Fitted by least squares on the logarithm of the error, exponents not negative.
    """

    kind: ClassVar[str] = "power"

    def __init__(self, samples: Samples, features: Sequence[str]) -> None:
        self.features = tuple(features)
        self._bounds = samples.bounds
        self._x = samples.columns(self.features)
        error = np.maximum(samples.bounds[1] - samples.accuracy, _LEAST_ERROR)
        self._log_error = np.log(error)
        keep = np.ones(len(samples), dtype=np.bool_)
        self._all = [self._fit(keep)]
        for i in range(len(samples)):
            keep[i] = False
            self._all.append(self._fit(keep))
            keep[i] = True

    @property
    def quantity(self) -> str:
        """The sum over cells it falls with, which an optimizer can search; "" if it is none."""
        if len(self.features) > 1 or self.features[0] not in CELL_SIZE_FEATURES:
            return ""
        return self.features[0].removeprefix("log_")

    @property
    def searchable(self) -> bool:
        """Only where it reads one score, or one size that is a sum over cells."""
        return bool(self.metric)

    @property
    def metric(self) -> str:
        """Its index, where it has one; else the score it reads."""
        if self.quantity or len(self.features) > 1:
            return "accuracy" if self.quantity else ""
        name = self.features[0].removeprefix("log_")
        return name if name in METRICS else ""

    @property
    def index(self) -> Callable[[LayerTable], Floats] | None:
        """``quantity`` of the cells in a table."""
        name = self.quantity
        return (lambda table: cell_sums(table)[name]) if name else None

    def from_metric(self, values: Floats) -> Floats:
        """Predicted accuracy of designs whose ``metric`` is ``values``; it never falls."""
        return self.from_quantity(values) if self.quantity else super().from_metric(values)

    def from_quantity(self, values: Floats) -> Floats:
        """Predicted accuracy of designs whose ``quantity`` is ``values``; it never falls."""
        return self.predict(features_of({self.quantity: values}, self.features))

    @property
    def exponents(self) -> Floats:
        """The power of each size, shape (features,)."""
        return np.array(self._all[0][1:], dtype=np.float64)

    def predict(self, x: Floats) -> Floats:
        """Predicted accuracy, shape (designs,)."""
        return self._of(x, self._all[0])

    def without(self, x: Floats) -> Floats:
        """Predictions without each sample, shape (samples, designs)."""
        return np.stack([self._of(x, row) for row in self._all[1:]])

    def left_out(self) -> Floats:
        """Prediction of each sample by the law without it, shape (samples,)."""
        rows = zip(self._x, self._all[1:], strict=True)
        return np.array([self._of(x[None], row)[0] for x, row in rows])

    def parameters(self) -> dict[str, float | list[float] | list[list[float]]]:
        """None: the samples decide."""
        return {}

    def _of(self, x: Floats, row: Floats) -> Floats:
        log_error = np.clip(row[0] - x @ row[1:], -50.0, 50.0)
        found: Floats = np.clip(self._bounds[1] - np.exp(log_error), *self._bounds)
        return found

    def _fit(self, keep: NDArray[np.bool_]) -> Floats:
        """Constant and exponents."""
        from scipy.optimize import nnls  # noqa: PLC0415 (slow to import; searches never fit)

        x, y = self._x[keep], self._log_error[keep]
        centre, middle = x.mean(axis=0), float(y.mean())
        # exponents = least + what non-negative least squares adds to it
        rest = -(y - middle) - (x - centre) @ np.full(x.shape[1], _LEAST_EXPONENT)
        exponents = nnls(x - centre, rest)[0] + _LEAST_EXPONENT
        return np.concatenate([[middle + centre @ exponents], exponents])
