"""Fitting the processor model to measured latencies, under a prior (``flash.fitting.prior``).

With 10 to 50 measured networks the signs and the prior decide how well networks of another
kind are predicted, more than the form of the model does. So every coefficient is fitted as a
logarithm (hence positive) with a log-normal prior, on logarithms of latencies (relative
errors), with a robust loss (single rows of published tables are off by a factor).

Several runtimes of one device are fitted together: they share coefficients, and each has
deviations of its own, under a prior that keeps them small unless the data insist. What one
runtime was never measured on (dense 3x3 kernels, say) it so learns from the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lstsq
from scipy.optimize import least_squares

from flash.fitting.prior import (
    CLASSES,
    EXTRA,
    MEMORY,
    OUTPUTS,
    PARAMETERS,
    POSITIONS,
    RATE,
    REDUCTION,
    Prior,
    speed_direction,
    unpack,
)
from flash.fitting.workload import Workload
from flash.targets.processor.kernel_classes import CALL, KERNEL_CLASSES
from flash.targets.processor.profile import Coefficients

__all__ = ["fit_left_out", "fit_one", "fit_runtimes"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

#: Gauss-Newton steps at most for a fit without a fold, and times that one is halved.
_STEPS, _HALVINGS = 20, 6
#: A step that changes no logarithm by more than this ends them: a thousandth of a coefficient.
_SETTLED = 1e-3


def fit_runtimes(
    measured: Mapping[str, tuple[Workload, Floats]],
    prior: Prior,
    spreads: Mapping[str, float] | None = None,
) -> dict[str, Coefficients]:
    """Coefficients of each runtime, fitted together.

    measured: runtime -> its networks, or single kernels, and their latencies in ms, shape
    (networks,). spreads: runtime -> how far its coefficients may be from the shared ones, where
    that is not the prior's spread: kernels measured alone lack what a network adds to them.
    """
    own = [(spreads or {}).get(name, prior.spread) for name in measured]
    problem = _Problem(list(measured.values()), prior, own)
    x = problem.solve(problem.start())
    return {name: unpack(mix @ x) for name, mix in zip(measured, problem.mixes, strict=True)}


def fit_one(
    load: Workload, latency_ms: Floats, prior: Prior, start: Floats | None = None
) -> tuple[Coefficients, Floats]:
    """Coefficients of one runtime, and the unknowns from which a similar fit may start."""
    problem = _Problem([(load, latency_ms)], prior)
    x = problem.solve(problem.start() if start is None else start)
    return unpack(problem.mixes[0] @ x), x


def fit_left_out(
    load: Workload, latency_ms: Floats, prior: Prior, folds: Sequence[Ints]
) -> list[Floats]:
    """Latencies (ms) of each fold's networks by a fit without it.

    Leaving a few rows out moves the solution little, so a few Gauss-Newton steps from the fit to
    all reach it, several times as fast as fitting anew.
    """
    problem = _Problem([(load, latency_ms)], prior)
    x = problem.solve(problem.start())
    logarithms = (problem.mixes[0] @ problem.solve_without(x, fold) for fold in folds)
    return [
        load.subset(fold).latency_ms(unpack(found))
        for fold, found in zip(folds, logarithms, strict=True)
    ]


class _Problem:
    """Least squares in x: shared logarithms, the speed if free, each runtime's own changes.

    The logarithms of runtime n are ``mixes[n] @ x``; the prior is ``rows @ x = targets`` with
    deviations of one.
    """

    def __init__(
        self,
        measured: Sequence[tuple[Workload, Floats]],
        prior: Prior,
        spreads: Sequence[float] = (),
    ) -> None:
        self._loads = [_Sensitive(load) for load, _ in measured]
        self._logs = [np.log(latency) for _, latency in measured]
        self._prior = prior
        size, runtimes = len(prior.median), len(measured)
        self._size, faster = size, speed_direction(len(prior.median))
        free = prior.speed > 0
        own = size + 1 if runtimes > 1 else 0
        width = size + free + own * runtimes
        self.mixes = []
        for n in range(runtimes):
            mix = np.zeros((size, width))
            mix[:, :size] = np.eye(size)
            if free:
                mix[:, size] = faster
            if own:
                first = size + free + n * own
                mix[:, first : first + size] = np.eye(size)
                mix[:, first + size] = faster
            self.mixes.append(mix)
        deviations = [1.0 / prior.deviation]
        deviations += [np.array([1.0 / prior.speed])] if free else []
        if own:
            for spread in spreads or (prior.spread,) * runtimes:
                deviations.append(np.append(np.full(size, 1.0 / spread), 1.0 / prior.scale))
        ties = np.zeros((len(prior.ties), width))
        ratios = np.zeros(len(prior.ties))
        for k, (a, b, ratio, deviation) in enumerate(prior.ties):
            ties[k, (*PARAMETERS, *EXTRA).index(a)] = 1.0 / deviation
            ties[k, (*PARAMETERS, *EXTRA).index(b)] = -1.0 / deviation
            ratios[k] = np.log(ratio) / deviation
        self._rows = np.vstack([np.diag(np.concatenate(deviations)), ties])
        self._targets = np.zeros(len(self._rows))
        self._targets[:size] = np.log(prior.median) / prior.deviation
        self._targets[width:] = ratios

    def start(self) -> Floats:
        """The prior's medians, at the speed that the data show."""
        x = np.zeros(self._rows.shape[1])
        x[: self._size] = np.log(self._prior.median)
        if self._prior.speed > 0:
            slower = [
                log - np.log(load.times_ms(mix @ x))
                for load, log, mix in zip(self._loads, self._logs, self.mixes, strict=True)
            ]
            x[self._size] = -float(np.median(np.concatenate(slower)))
        return x

    def solve(self, start: Floats) -> Floats:
        """The unknowns of least squares.

        LAPACK's singular values of a harmless Jacobian do not always converge (seen with OpenBLAS
        0.3.31 on a Zen 4); steps found iteratively need none and end as low.
        """
        try:
            solution = least_squares(
                self.residuals, start, self.jacobian, xtol=1e-7, ftol=1e-7, max_nfev=300
            )
        except np.linalg.LinAlgError:
            solution = least_squares(
                self.residuals, start, self.jacobian, xtol=1e-7, ftol=1e-7, max_nfev=300,
                tr_solver="lsmr",
            )  # fmt: skip
        return np.asarray(solution.x)

    def solve_without(self, x: Floats, rows: Ints) -> Floats:
        """The unknowns of least squares without some networks of the first runtime.

        x: the unknowns with them.
        """
        kept = np.ones(len(self._targets) + len(self._logs[0]), dtype=np.bool_)
        kept[len(self._targets) + rows] = False

        def cost(residuals: Floats) -> float:
            return float(np.sum(residuals[kept] ** 2))

        residuals = self.residuals(x)
        before = cost(residuals)
        for _ in range(_STEPS):
            step = _least_squares(self.jacobian(x)[kept], residuals[kept])
            # Halved where a full step overshoots, as it may with a robust loss.
            for _ in range(_HALVINGS):
                residuals = self.residuals(x - step)
                if (after := cost(residuals)) <= before:
                    break
                step = step / 2
            x, before = x - step, after
            if np.max(np.abs(step)) < _SETTLED:
                break
        return x

    def residuals(self, x: Floats) -> Floats:
        """Of the prior, then of each runtime's measurements."""
        parts = [self._rows @ x - self._targets]
        for load, log, mix in zip(self._loads, self._logs, self.mixes, strict=True):
            predicted = load.times_ms(mix @ x)
            parts.append(_robust((np.log(predicted) - log) / self._prior.noise))
        return np.concatenate(parts)

    def jacobian(self, x: Floats) -> Floats:
        """Derivatives of ``residuals``, shape (residuals, unknowns)."""
        parts = [self._rows]
        for load, log, mix in zip(self._loads, self._logs, self.mixes, strict=True):
            predicted, slopes = load.latency_ms(mix @ x)
            z = (np.log(predicted) - log) / self._prior.noise
            weight = _robust_slope(z) / (self._prior.noise * predicted)
            parts.append(weight[:, None] * (slopes @ mix))
        return np.vstack(parts)


class _Kernels(NamedTuple):
    """What kernels take, each in ms and of shape (kernels,), and their padded sizes."""

    constants: Coefficients
    reduction: Floats
    outputs: Floats
    positions: Floats
    work: Floats
    memory: Floats
    spilt: Floats
    overhead: Floats


class _Sensitive:
    """A workload whose latencies come with their derivatives by the logarithms."""

    def __init__(self, load: Workload) -> None:
        self._load = load
        kinds = np.asarray(load.kernels.kind)
        self._kinds = kinds
        self._columns: list[tuple[int, str, NDArray[np.bool_]]] = []
        for number, name in enumerate(PARAMETERS):
            if name in KERNEL_CLASSES:
                # The elementwise class has no work, so its rate does not matter.
                own = [RATE.get(c, c) == name for c in KERNEL_CLASSES]
                self._columns.append((number, "work", np.array(own)[kinds]))
            elif name.endswith("gb_s"):
                own = [MEMORY.get(c, "memory_gb_s") == name for c in KERNEL_CLASSES]
                self._columns.append((number, "memory", np.array(own)[kinds]))
        for share, names in (
            ("reduction", REDUCTION),
            ("outputs", OUTPUTS),
            ("positions", POSITIONS),
        ):
            for name in sorted(set(names.values())):
                own = [names.get(c) == name for c in KERNEL_CLASSES]
                number = (*PARAMETERS, *EXTRA).index(name)
                self._columns.append((number, share, np.array(own)[kinds]))

    def times_ms(self, logarithms: Floats) -> Floats:
        """Latencies (networks,)."""
        return self._of_networks(self._of_kernels(logarithms))

    def _of_networks(self, k: _Kernels) -> Floats:
        times = np.maximum(k.work, k.memory + k.spilt) + k.overhead
        latencies: Floats = np.maximum(self._load.counts @ times, 1e-9)
        return latencies

    def _of_kernels(self, logarithms: Floats) -> _Kernels:
        k, c = self._load.kernels, unpack(logarithms)
        kinds = self._kinds
        reduction = k.reduction + np.array(c.reduction_half)[kinds]
        outputs = k.outputs + np.array(c.outputs_half)[kinds]
        positions = k.positions + np.array(c.positions_half)[kinds]
        work = positions * reduction * outputs * (1e-6 / np.array(c.gmac_s)[kinds])
        traffic = (k.elements + k.weights) * self._load.element_bytes
        memory = traffic * (1e-6 / np.array(c.gb_s)[kinds])
        spilt = np.maximum(traffic * 1e-6 - c.cache_mb, 0.0) / c.spill_gb_s
        overhead = k.launches * np.array(c.overhead_us)[kinds] * 1e-3
        return _Kernels(c, reduction, outputs, positions, work, memory, spilt, overhead)

    def latency_ms(self, logarithms: Floats) -> tuple[Floats, Floats]:
        """Latencies (networks,) and their derivatives (networks, parameters)."""
        found, k, kinds = self._of_kernels(logarithms), self._load.kernels, self._kinds
        c, reduction, outputs, positions, work, memory, spilt, overhead = found
        bound = work >= memory + spilt
        shares = {
            "work": -work * bound,
            "memory": -memory * ~bound,
            "reduction": work * bound * (1 - k.reduction / np.maximum(reduction, 1e-30)),
            "outputs": work * bound * (1 - k.outputs / np.maximum(outputs, 1e-30)),
            "positions": work * bound * (1 - k.positions / np.maximum(positions, 1e-30)),
        }
        slopes = np.zeros((len(logarithms), len(kinds)))
        slopes[0] = overhead
        for number, share, own in self._columns:
            if number < len(logarithms):
                slopes[number] = shares[share] * own
        slopes[0, kinds == CALL] = 0.0
        if len(logarithms) > len(PARAMETERS):
            for kind, name in enumerate(CLASSES):
                slopes[len(PARAMETERS) + kind] = overhead * (kinds == KERNEL_CLASSES.index(name))
            cache = len(PARAMETERS) + EXTRA.index("cache_mb")
            if math.isfinite(c.cache_mb):
                slopes[cache] = -c.cache_mb / c.spill_gb_s * (spilt > 0) * ~bound
            slopes[cache + 1] = -spilt * ~bound
            slopes[-1] = overhead * (kinds == CALL)
        return self._of_networks(found), self._load.counts @ slopes.T


def _least_squares(rows: Floats, targets: Floats) -> Floats:
    """The solution of linear least squares, by pivoted QR where singular values do not converge."""
    try:
        found = np.linalg.lstsq(rows, targets, rcond=None)[0]
    except np.linalg.LinAlgError:
        found = lstsq(rows, targets, lapack_driver="gelsy")[0]
    return np.asarray(found)


def _robust(z: Floats) -> Floats:
    """Residuals whose squares grow like Cauchy's loss, log(1 + z^2)."""
    result: Floats = np.sign(z) * np.sqrt(np.log1p(z * z))
    return result


def _robust_slope(z: Floats) -> Floats:
    """Derivative of ``_robust``: 1 at zero."""
    size = np.maximum(np.abs(z), 1e-8)
    result: Floats = size / ((1 + size * size) * np.sqrt(np.log1p(size * size)))
    return result
