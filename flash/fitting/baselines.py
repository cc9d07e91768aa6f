"""What the cost model must beat: simple predictors, judged on the same folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from flash.accuracy.forest import grow
from flash.fitting.fitted import quality
from flash.fitting.workload import Workload
from flash.targets.processor.profile import Coefficients

__all__ = ["BASELINES", "Baseline", "baseline_rows", "physical_features"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
#: Trees of the baseline that has some.
_TREES = 100
#: (training features, latencies, features asked for) -> latencies in ms.
Predictor = Callable[[Floats, Floats, Floats], Floats]


@dataclass(frozen=True)
class Baseline:
    """Held-out quality of one predictor; ``figures`` is None where it was not run."""

    name: str
    figures: dict[str, float] | None
    note: str = ""


def physical_features(load: Workload) -> Floats:
    """GMACs of dense and of depthwise kernels, MB of activations and weights, kernels, 1."""
    t = load.totals()
    columns = [
        (t["macs"] - t["depthwise_macs"]) / 1e9,
        t["depthwise_macs"] / 1e9,
        t["activation_bytes"] / 1e6,
        t["weight_bytes"] / 1e6,
        t["kernels"],
        np.ones(len(load.counts)),
    ]
    return np.stack(columns, axis=1)


def _macs(load: Workload) -> Floats:
    return np.stack([load.totals()["macs"] / 1e9, np.ones(len(load.counts))], axis=1)


def _launches(load: Workload) -> Floats:
    return np.hstack([load.launches(), np.ones((len(load.counts), 1))])


def _non_negative(train: Floats, latency_ms: Floats, asked: Floats) -> Floats:
    """Relative errors least squares, no coefficient below zero."""
    solution, _ = nnls(train / latency_ms[:, None], np.ones(len(train)))
    result: Floats = asked @ solution
    return result


def _unconstrained(train: Floats, latency_ms: Floats, asked: Floats) -> Floats:
    scaled = train / latency_ms[:, None]
    size = np.maximum(np.abs(scaled).max(axis=0), 1e-30)
    solution = np.linalg.lstsq(scaled / size, np.ones(len(train)), rcond=None)[0] / size
    result: Floats = asked @ solution
    return result


def _trees(train: Floats, latency_ms: Floats, asked: Floats) -> Floats:
    """Mean of the logarithms that extremely randomised trees say."""
    every = np.ones((_TREES, len(train)), dtype=np.int64)
    forest = grow(train, np.log(latency_ms), every, np.random.default_rng(0))
    return np.asarray(np.exp(forest.of(asked).mean(axis=0)))


#: Name -> features and predictor.
BASELINES: dict[str, tuple[Callable[[Workload], Floats], Predictor]] = {
    "MACs only": (_macs, _non_negative),
    "linear, L = A F (as FLASH)": (physical_features, _unconstrained),
    "non-negative, physical features": (physical_features, _non_negative),
    "non-negative, counts of operations": (_launches, _non_negative),
    "randomised trees": (physical_features, _trees),
}


def baseline_rows(
    load: Workload,
    latency_ms: Floats,
    folds: Sequence[Ints],
    data_sheet: Coefficients | None = None,
) -> list[Baseline]:
    """Every baseline on the same folds as the model.

    data_sheet: coefficients before any measurement, for the roofline without a fit; None where
                nothing is known of the device.
    """
    rows = []
    everything = np.arange(len(latency_ms))
    for name, (features, predict) in BASELINES.items():
        columns, predicted = features(load), np.zeros(len(latency_ms))
        for fold in folds:
            keep = np.setdiff1d(everything, fold)
            predicted[fold] = predict(columns[keep], latency_ms[keep], columns[fold])
        rows.append(Baseline(name, quality(latency_ms, predicted)))
    name = "roofline, data sheet, no fit"
    if data_sheet is None:
        rows.append(Baseline(name, None, "not run: give --peak-gflops and --memory-gb-s"))
    else:
        rows.append(Baseline(name, quality(latency_ms, load.latency_ms(data_sheet))))
    return rows
