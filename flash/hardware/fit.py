"""Fitting the processor model to measured latencies, under a prior from the data sheet.

With 10 to 50 measured networks the signs and the prior decide how well networks of another
kind are predicted, more than the form of the model does. So every coefficient is fitted as a
logarithm (hence positive) with a log-normal prior, on logarithms of latencies (relative
errors), with a robust loss (single rows of published tables are off by a factor).

Several runtimes of one device are fitted together: they share coefficients, and each has
deviations of its own, under a prior that keeps them small unless the data insist. What one
runtime was never measured on (dense 3x3 kernels, say) it so learns from the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from flash.hardware.kernels import KERNEL_CLASSES, Kernel, kernel_of
from flash.hardware.processor import executed_layers, kernel_ms
from flash.hardware.profile import Coefficients
from flash.spaces.network import Network

__all__ = [
    "PARAMETERS", "Prior", "Workload", "conformal_factors", "data_sheet_prior", "fit_runtimes",
    "unpack", "workload",
]  # fmt: skip

Floats = NDArray[np.float64]

#: What is fitted; ``unpack`` says how they make up the coefficients.
PARAMETERS = (
    "overhead_us", "pointwise", "conv3x3", "conv", "depthwise", "pool", "linear",
    "memory_gb_s", "linear_gb_s", "elementwise_gb_s",
    "reduction_half", "outputs_half", "window_half",
)  # fmt: skip


@dataclass(frozen=True)
class Prior:
    """Log-normal prior: medians and standard deviations of logarithms, one a parameter.

    ties:     pairs of parameters with the expected ratio and the deviation of its logarithm.
    spread:   deviation of a runtime's own coefficients from the shared ones.
    scale:    deviation of a runtime's overall speed from the shared one.
    noise:    expected relative error of a measurement and of the model together.
    """

    median: Floats
    deviation: Floats
    ties: tuple[tuple[str, str, float, float], ...]
    spread: float = 0.3
    scale: float = 0.5
    noise: float = 0.1


@dataclass(frozen=True)
class Workload:
    """Networks as counts of distinct kernels.

    kernels: fields of shape (kernels,). counts: (networks, kernels).
    """

    kernels: Kernel
    counts: Floats
    element_bytes: int

    def latency_ms(self, coefficients: Coefficients) -> Floats:
        """Predicted latency of each network, shape (networks,)."""
        times = kernel_ms(self.kernels, coefficients, self.element_bytes)
        result: Floats = self.counts @ times
        return result

    def subset(self, rows: NDArray[np.intp]) -> Workload:
        """The networks with these numbers."""
        return Workload(self.kernels, self.counts[rows], self.element_bytes)


def workload(networks: Sequence[Network], executes: str, element_bytes: int = 4) -> Workload:
    """The kernels that a runtime with this ``executes`` runs for each network."""
    numbers: dict[tuple[int, ...], int] = {}
    entries: list[tuple[int, int]] = []
    for row, network in enumerate(networks):
        for layer in executed_layers(network, executes):
            kernel = tuple(int(field) for field in kernel_of(layer))
            entries.append((row, numbers.setdefault(kernel, len(numbers))))
    counts = np.zeros((len(networks), len(numbers)))
    np.add.at(counts, tuple(np.array(entries).T), 1.0)
    fields = np.array(list(numbers), dtype=np.int64).T
    return Workload(Kernel(*fields), counts, element_bytes)


def data_sheet_prior(peak_gmac_s: float, memory_gb_s: float, **changes: float) -> Prior:
    """What is expected of a CPU before any measurement.

    peak_gmac_s: fp32, of the threads used. memory_gb_s: measured read bandwidth.
    Convolutions reach about a third of the peak once reductions are long, depthwise ones and
    pools a twentieth (ours, after published runs on other boards); a kernel costs some
    20 us. ``changes`` replaces fields of the prior.
    """
    median = {
        "overhead_us": 20.0, "pointwise": 0.35 * peak_gmac_s, "conv3x3": 0.45 * peak_gmac_s,
        "conv": 0.35 * peak_gmac_s, "depthwise": 0.08 * peak_gmac_s, "pool": 0.05 * peak_gmac_s,
        "linear": 0.35 * peak_gmac_s, "memory_gb_s": memory_gb_s, "linear_gb_s": memory_gb_s,
        "elementwise_gb_s": memory_gb_s, "reduction_half": 32.0, "outputs_half": 8.0,
        "window_half": 4.0,
    }  # fmt: skip
    deviation = {
        "overhead_us": 1.5, "pointwise": 0.7, "conv3x3": 0.7, "conv": 0.7, "depthwise": 1.0,
        "pool": 1.0, "linear": 0.7, "memory_gb_s": 0.4, "linear_gb_s": 0.4,
        "elementwise_gb_s": 0.6, "reduction_half": 0.7, "outputs_half": 0.7, "window_half": 0.7,
    }  # fmt: skip
    ties = (("conv", "pointwise", 1.0, 0.3), ("conv3x3", "conv", 1.3, 0.4))
    return Prior(
        np.array([median[p] for p in PARAMETERS]),
        np.array([deviation[p] for p in PARAMETERS]),
        ties,
        **changes,
    )


def unpack(logarithms: Floats) -> Coefficients:
    """Coefficients from the logarithms of ``PARAMETERS``."""
    p = dict(zip(PARAMETERS, (float(x) for x in np.exp(logarithms)), strict=True))
    memory = {"linear": p["linear_gb_s"], "elementwise": p["elementwise_gb_s"]}
    dense = ("pointwise", "conv3x3", "conv")
    return Coefficients(
        overhead_us=p["overhead_us"],
        gmac_s=tuple(p.get(c, p["pointwise"]) for c in KERNEL_CLASSES),
        gb_s=tuple(memory.get(c, p["memory_gb_s"]) for c in KERNEL_CLASSES),
        reduction_half=tuple(
            p["reduction_half"] if c in dense else p["window_half"] if c == "depthwise" else 0.0
            for c in KERNEL_CLASSES
        ),
        outputs_half=tuple(p["outputs_half"] if c in dense else 0.0 for c in KERNEL_CLASSES),
    )


def fit_runtimes(
    measured: Mapping[str, tuple[Workload, Floats]], prior: Prior
) -> dict[str, Coefficients]:
    """Coefficients of each runtime, fitted together.

    measured: runtime -> its networks and their latencies in ms, shape (networks,).
    """
    names = list(measured)
    size = len(PARAMETERS)
    own = size + 1 if len(names) > 1 else 0
    medians = np.log(prior.median)
    ties = [
        (PARAMETERS.index(a), PARAMETERS.index(b), np.log(ratio), deviation)
        for a, b, ratio, deviation in prior.ties
    ]
    logs = {name: np.log(latency) for name, (_, latency) in measured.items()}

    def of_runtime(x: Floats, number: int) -> Floats:
        if not own:
            return x
        changes: Floats = x[size + number * own : size + (number + 1) * own]
        logarithms: Floats = x[:size] + changes[:size] + _SPEED * changes[size]
        return logarithms

    def residuals(x: Floats) -> Floats:
        parts = [(x[:size] - medians) / prior.deviation]
        parts += [np.array([(x[a] - x[b] - ratio) / sd]) for a, b, ratio, sd in ties]
        for number, name in enumerate(names):
            predicted = measured[name][0].latency_ms(unpack(of_runtime(x, number)))
            z = (np.log(predicted) - logs[name]) / prior.noise
            parts.append(_robust(z))
        if own:
            changes = x[size:].reshape(-1, own)
            parts += [(changes[:, :size] / prior.spread).ravel(), changes[:, size] / prior.scale]
        return np.concatenate(parts)

    start = np.concatenate([medians, np.zeros(own * len(names))])
    solution = least_squares(residuals, start, xtol=1e-7, ftol=1e-7, max_nfev=300)
    return {name: unpack(of_runtime(solution.x, n)) for n, name in enumerate(names)}


#: What an overall speed changes: rates and bandwidths rise, the overhead falls.
_SPEED = np.array([
    -1.0 if p == "overhead_us" else 0.0 if p.endswith("_half") else 1.0 for p in PARAMETERS
])  # fmt: skip


def _robust(z: Floats) -> Floats:
    """Residuals whose squares grow like Cauchy's loss, log(1 + z^2)."""
    result: Floats = np.sign(z) * np.sqrt(np.log1p(z * z))
    return result


def conformal_factors(log_residuals: Floats, coverage: float = 0.9) -> tuple[float, float]:
    """Factors (low, high) that a measurement over its held-out prediction lies between.

    log_residuals: log(measured / predicted) of networks left out of their fit (jackknife).
    Symmetric in the logarithm below 40 residuals, where single tails cannot be told.
    """
    r = np.sort(np.asarray(log_residuals, dtype=np.float64))
    n = len(r)
    if n < 40:
        half = np.sort(np.abs(r))[min(int(np.ceil(coverage * (n + 1))), n) - 1]
        return float(np.exp(-half)), float(np.exp(half))
    tail = int(np.floor((1 - coverage) / 2 * (n + 1)))
    low, high = r[max(tail - 1, 0)], r[min(n - tail, n - 1)]
    return float(np.exp(min(low, 0.0))), float(np.exp(max(high, 0.0)))
