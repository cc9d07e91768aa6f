"""The same cost model fitted by non-negative least squares.

Given the prior's shape (half lengths, and which of work and traffic bounds a kernel), a latency
is linear in what is unknown: what a run costs besides its kernels, the overhead of each kernel
class, and how much slower than the prior each class is busy,

    t = constant + sum over classes c of  launches_c overhead_c + busy_c slowness_c ,   none < 0.

Where launches decide (a GPU at batch 1, cells of one width) this reaches what the log-normal
prior is too narrow for, exactly and at once. Errors are relative, and rows that the others
contradict count less (Cauchy's loss, by reweighting); a ridge pulls each class towards the
common overhead and the common slowness. Nothing pulls the constant. What every network runs once,
as classifiers do their last linear layer, cannot be told from it: that kernel then costs what
others do, and the constant is the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from flash.fitting.workload import Workload
from flash.targets.processor.costs import kernel_ms
from flash.targets.processor.kernel_classes import BASE_CLASS, CALL, KERNEL_CLASSES
from flash.targets.processor.profile import Coefficients

__all__ = ["LinearFit"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

#: Few runs tell few classes apart: what has a base class is fitted with it.
_FITTED = tuple(c for c in KERNEL_CLASSES if c not in BASE_CLASS and c != "call")
_CLASSES = len(_FITTED)
#: Class -> the position of the one it is fitted with.
_WITH = [_FITTED.index(BASE_CLASS.get(c, c)) for c in KERNEL_CLASSES if c != "call"]
#: Often the last layer of a network, once in each.
_LINEAR = _FITTED.index("linear")
#: The position of the constant, behind overheads and slownesses.
_CONSTANT = 2 * _CLASSES
#: Where a class is never busy, its rates become the largest that a profile can hold.
_LEAST = 1e-30
#: Convolutions of all kinds.
_CONVS = [_FITTED.index(c) for c in ("pointwise", "conv3x3", "conv", "depthwise")]
#: The common slowness pulls this much more than the common overhead.
_BUSY_RIDGE = 3.0
#: What a profile can hold.
_LARGEST_RATE = 1e9
# Iteratively reweighted least squares with Cauchy weights 1 / (1 + (error / (c sigma))^2).
#: c: a row counts half where its log error is this many robust standard deviations.
_DOUBTED = 2.0
#: sigma is never taken below this log error: 2 % is as well as networks repeat.
_LEAST_DEVIATION = 0.02
#: Rounds of reweighting; twice as many change median errors by less than 0.1 %.
_ROUNDS = 8
#: The same for a fit without a fold, which starts from the weights of all rows: with 3 its errors
#: are 2 % too small, with 8 right and a third slower.
_ROUNDS_LEFT_OUT = 5
#: Median absolute deviation to standard deviation, of a normal distribution.
_MAD = 1.4826


@dataclass(frozen=True)
class LinearFit:
    """Settings of the fit.

    shape: the prior's coefficients. ridge: pull to the common values, in relative errors.
    busy:  whether classes are busy at all; without, only launches count.
    alike: whether all convolutions have one overhead.
    """

    shape: Coefficients
    ridge: float
    busy: bool = True
    alike: bool = True

    def columns(self, load: Workload) -> Floats:
        """(networks, 2 classes + 1): launches, then busy ms under the prior's rates, by class, and
        runs: one."""
        at_once = replace(self.shape, overhead_us=(0.0,) * len(KERNEL_CLASSES))
        times = kernel_ms(load.kernels, at_once, load.element_bytes)
        kinds = np.append(_WITH, -1)[np.asarray(load.kernels.kind)]
        launches = np.asarray(load.kernels.launches)
        own = [kinds == c for c in range(_CLASSES)]
        columns = [*(c * launches for c in own), *(c * times for c in own)]
        sums = load.counts @ np.stack(columns, axis=1)
        return np.hstack([sums, np.ones((len(sums), 1))])

    def fit(self, columns: Floats, latency_ms: Floats) -> Floats:
        """Overheads (ms) and slownesses by class, then the constant (ms); none is negative.

        Shape (2 classes + 1,).
        """
        return self._reweighted(columns, latency_ms, np.ones(len(latency_ms)), _ROUNDS)[0]

    def left_out(self, columns: Floats, latency_ms: Floats, folds: Sequence[Ints]) -> list[Floats]:
        """Latencies (ms) of each fold's networks by a fit without it.

        Nothing of the fold is seen: how much each other row counts and the common values are
        found anew. Taken over from the fit to all rows, held-out errors were a tenth too small.
        """
        predicted, rows = [], np.arange(len(latency_ms))
        _, trust = self._reweighted(columns, latency_ms, np.ones(len(latency_ms)), _ROUNDS)
        for fold in folds:
            keep = np.setdiff1d(rows, fold)
            # The trust of all rows is only where the reweighting starts.
            solution, _ = self._reweighted(
                columns[keep], latency_ms[keep], trust[keep], _ROUNDS_LEFT_OUT
            )
            predicted.append(np.maximum(columns[fold] @ solution, 1e-9))
        return predicted

    def _reweighted(
        self, columns: Floats, latency_ms: Floats, trust: Floats, rounds: int
    ) -> tuple[Floats, Floats]:
        """A solution, and how much each row counted: one, less where the others disagree."""
        common = self._common(columns, latency_ms)
        for _ in range(rounds):
            solution = self._solve(columns, latency_ms, trust, common)
            predicted = np.maximum(columns @ solution, 1e-9)
            error = np.abs(np.log(predicted / latency_ms))
            deviation = max(_MAD * float(np.median(error)), _LEAST_DEVIATION)
            trust = 1.0 / (1.0 + (error / (_DOUBTED * deviation)) ** 2)
        return self._solve(columns, latency_ms, trust, common), trust

    def _solve(self, columns: Floats, latency_ms: Floats, trust: Floats, common: Floats) -> Floats:
        """``fit`` with given trust in each row, pulled to given common values."""
        pull = self.ridge * np.sqrt(len(latency_ms)) / common
        pull[_CLASSES:] *= _BUSY_RIDGE
        pull[_CONSTANT] = 0.0
        if np.ptp(columns[:, _LINEAR]) == 0:
            # A linear layer's own speed cannot be told from the constant.
            pull[_CLASSES + _LINEAR] = np.sqrt(len(latency_ms)) / common[_CLASSES + _LINEAR]
        root = np.sqrt(trust)
        rows = np.vstack([columns * (root / latency_ms)[:, None], np.diag(pull)])
        targets = np.concatenate([root, pull * common])
        if not self.busy:
            rows[:, _CLASSES:_CONSTANT] = 0.0
        if self.alike:
            rows[:, _CONVS[0]] = rows[:, _CONVS].sum(axis=1)
            rows[:, _CONVS[1:]] = 0.0
        solution, _ = nnls(rows, targets)
        if self.alike:
            solution[_CONVS] = solution[_CONVS[0]]
        absent = ~columns.any(axis=0)
        result: Floats = np.where(absent, common, solution)
        return result

    def _common(self, columns: Floats, latency_ms: Floats) -> Floats:
        """One overhead and one slowness for all classes, repeated, neither near zero; and the
        constant, which nothing is pulled to."""
        launches, busy = columns[:, :_CLASSES], columns[:, _CLASSES:_CONSTANT]
        totals = np.stack([launches.sum(axis=1), busy.sum(axis=1)], axis=1)
        totals = np.maximum(totals, 1e-30)
        rows = np.column_stack([totals, np.ones(len(totals))]) / latency_ms[:, None]
        if not self.busy:
            rows[:, 1] = 0.0
        solution, _ = nnls(rows, np.ones(len(totals)))
        least = 0.1 * np.median(latency_ms[:, None] / totals, axis=0)
        return np.append(np.repeat(np.maximum(solution[:2], least), _CLASSES), 1.0)

    def solution(self, columns: Floats, latency_ms: Floats) -> Floats:
        """What may be averaged with other linear fits of the same shape, shape (2 classes + 1,).

        That of ``fit``, and no slowness where only launches count.
        """
        found = self.fit(columns, latency_ms)
        if not self.busy:
            found[_CLASSES:_CONSTANT] = 0.0
        return found

    def coefficients(self, solution: Floats) -> Coefficients:
        """The profile's coefficients of a ``solution``, or of an average of some."""
        slow = np.maximum(solution[_CLASSES:_CONSTANT], _LEAST)[_WITH]

        def faster(rates: tuple[float, ...]) -> tuple[float, ...]:
            by_class = np.minimum(np.array(rates)[:CALL] / slow, _LARGEST_RATE)
            return (*(float(x) for x in by_class), rates[CALL])

        overhead_us = solution[:_CLASSES][_WITH] * 1e3
        return replace(
            self.shape,
            overhead_us=(*(float(x) for x in overhead_us), float(solution[_CONSTANT]) * 1e3),
            gmac_s=faster(self.shape.gmac_s),
            gb_s=faster(self.shape.gb_s),
        )
