"""Boards with the cores of a known one: what few runs, or the clock alone, say of them.

Boards with the same core differ in clock, memory and the runtime's version, and little in the
proportions of their kernels. So a known board's coefficients are the prior, at any speed and with
small deviations: one run then moves the speed only, three the overhead as well, and more runs move
whatever they contradict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flash.fitting.fit import fit_one
from flash.fitting.fitted import bounding_box_of, classes_of, quality, rounded, significant
from flash.fitting.learning import Learned
from flash.fitting.prior import PARAMETERS, Prior, pack
from flash.fitting.workload import Workload, workload
from flash.spaces.network import Network
from flash.targets.processor.kernel_classes import KERNEL_CLASSES
from flash.targets.processor.profile import Coefficients, Interval, Runtime, Variant

__all__ = [
    "FEW_RUNS",
    "at_clock",
    "contradiction",
    "expected_figures",
    "half_width",
    "learn_sister",
    "sister_interval",
    "sister_prior",
]

Floats = NDArray[np.float64]

#: From so many runs on, a sister is fitted as any board is, its relative only the prior.
FEW_RUNS = 10
#: With fewer runs nothing says that a board is no sister of the known one.
_FEWEST_JUDGED = 3
#: Deviation of the logarithm of a coefficient, and of the overhead, once the speed is taken out. Of
#: (0.05, 0.3), (0.1, 0.5), (0.2, 0.7) and (0.35, 1) the errors of few runs differ by 1 % point.
_DEVIATION, _OVERHEAD = 0.1, 0.5
#: Deviation of the logarithm of the speed: any board from a tenth to ten times the known one's.
_SPEED = 3.0
#: Runs -> factor that 90 % of a sister's other networks lay within, each way, over boards with
#: Cortex-A53, A57, A72 and A76 (``scripts/validate/sisters.py``).
_WITHIN = {0: 1.75, 1: 1.75, 2: 1.7, 3: 1.6, 5: 1.55}
#: Runs -> held-out median error and MAPE (%), Spearman: means of the same boards and draws; of the
#: median error the median.
_FIGURES = {
    0: (10.0, 19.7, 0.964),
    1: (12.4, 23.5, 0.952),
    2: (11.0, 20.5, 0.950),
    3: (10.3, 18.8, 0.942),
    5: (9.5, 16.8, 0.876),
}


def sister_prior(known: Coefficients) -> Prior:
    """The prior of a board with the same cores."""
    logs = pack(known)
    deviation = np.full(len(logs), _DEVIATION)
    deviation[PARAMETERS.index("overhead_us")] = _OVERHEAD
    return Prior(np.exp(logs), deviation, (), speed=_SPEED)


def half_width(runs: int) -> float:
    """Half of the 90 % interval, as a logarithm, of predictions from so many runs of a sister."""
    return math.log(_WITHIN[max(count for count in _WITHIN if count <= runs)])


def expected_figures(runs: int) -> dict[str, float]:
    """Quality of predictions from so many runs of a sister, as it was on other boards."""
    names = ("median_error_percent", "mape_percent", "spearman")
    figures = _FIGURES[max(count for count in _FIGURES if count <= runs)]
    return dict(zip(names, figures, strict=True))


def sister_interval(known: Interval, runs: int, half: float | None = None) -> Interval:
    """The interval of a sister: as wide as such boards erred, or as the known board's own.

    half: half of it, as a logarithm, where the runs say that it is wider.
    """
    half = half_width(runs) if half is None else half
    low, high = min(math.exp(-half), known.low), max(math.exp(half), known.high)
    outside = (
        min(low / math.exp(half), known.outside_low),
        max(high * math.exp(half), known.outside_high),
    )
    return replace(
        known,
        low=significant(low),
        high=significant(high),
        outside_low=significant(outside[0]),
        outside_high=significant(outside[1]),
    )


def _with_own(known: Interval, load: Workload) -> Interval:
    """The interval of a sister, inside which its own networks lie besides the known board's.

    load: the networks that were measured on it.
    """
    own, classes = bounding_box_of(load), {*known.classes, *classes_of(load)}
    box = {
        name: (min(low, own[name][0]), max(high, own[name][1]))
        for name, (low, high) in known.bounding_box.items()
    }
    measured = tuple(name for name in KERNEL_CLASSES if name in classes) if known.classes else ()
    return replace(known, bounding_box=box, classes=measured)


def learn_sister(
    networks: Sequence[Network], latency_ms: Floats, known: Runtime, element_bytes: int = 4
) -> Learned:
    """A board from fewer than ``FEW_RUNS`` runs, and a board with the same cores.

    It is taken to run and merge what the known board's runtime does. Too few runs to judge by:
    errors and interval are those of other boards from as many runs. Where most of three runs and
    more lie outside it, each predicted from the others, they contradict the known board, and the
    interval is widened until it holds all.
    """
    load = workload(networks, known.executes, element_bytes, known.fusion, known.lanes)
    fitted, _ = fit_one(load, latency_ms, sister_prior(known.coefficients))
    variant = Variant(1.0, known.executes, known.fusion, known.lanes, rounded(fitted))
    runs = len(latency_ms)
    half, contradicted, predicted = contradiction(load, latency_ms, known.coefficients)
    return Learned(
        (variant,),
        {"sister board": 1.0},
        {},
        quality(latency_ms, predicted) if contradicted else expected_figures(runs),
        {},
        _with_own(sister_interval(known.interval, runs, half), load),
        None,
        None,
        {},
        (),
        None,
        None,
        contradicted,
    )


def contradiction(
    load: Workload, latency_ms: Floats, known: Coefficients
) -> tuple[float, int, Floats]:
    """Half of the interval, as a logarithm; how many runs contradict the known board; what it and
    the other runs let expect of each (ms).

    That is none where not most of at least ``_FEWEST_JUDGED`` runs lie outside the interval; else
    the interval holds all of them.
    """
    runs = np.arange(len(latency_ms))
    if len(runs) < _FEWEST_JUDGED:
        return half_width(len(runs)), 0, latency_ms
    prior, predicted = sister_prior(known), np.zeros(len(runs))
    for run in runs:
        others = runs[runs != run]
        fitted, _ = fit_one(load.subset(others), latency_ms[others], prior)
        predicted[run] = load.subset(runs[[run]]).latency_ms(fitted)[0]
    errors = np.abs(np.log(latency_ms / predicted))
    outside = int((errors > half_width(len(others))).sum())
    if 2 * outside <= len(runs):
        return half_width(len(runs)), 0, predicted
    return float(errors.max()), outside, predicted


def at_clock(known: Coefficients, factor: float) -> Coefficients:
    """The same board at ``factor`` times the clock.

    Cores compute and launch faster; memory does not change.
    """
    return replace(
        known,
        gmac_s=tuple(x * factor for x in known.gmac_s),
        overhead_us=tuple(x / factor for x in known.overhead_us),
    )
