"""What is expected of a processor before it is measured, and the fit's parameters.

Every coefficient is fitted as a logarithm, hence positive. The prior is normal on logarithms:
medians with deviations, expected ratios between coefficients, and a common speed that may be
free (an unknown device, or a sister of a known board).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flash.targets.processor.kernel_classes import CALL, KERNEL_CLASSES
from flash.targets.processor.profile import Coefficients

__all__ = [
    "CLASSES",
    "EXTRA",
    "MEMORY",
    "OUTPUTS",
    "PARAMETERS",
    "POSITIONS",
    "RATE",
    "REDUCTION",
    "Prior",
    "data_sheet_prior",
    "pack",
    "profile_prior",
    "speed_direction",
    "unknown_prior",
    "unpack",
]

Floats = NDArray[np.float64]

#: What is fitted; ``unpack`` says how they make up the coefficients.
PARAMETERS = (
    "overhead_us",
    "pointwise",
    "conv3x3",
    "conv",
    "depthwise",
    "pool",
    "linear",
    "memory_gb_s",
    "linear_gb_s",
    "elementwise_gb_s",
    "reduction_half",
    "outputs_half",
    "window_half",
    "grouped",
    "transposed",
    "global_pool",
    "activation",
    "norm",
    "matmul",
    "recurrent",
    "move_gb_s",
    "reorder_gb_s",
    "group_half",
    "gate",
)
#: Of these, those of which only the ratio to another is expected, and a deviation that says
#: nothing: fits without a measurement of them are what they would be if they were not fitted.
_TIED = PARAMETERS[PARAMETERS.index("grouped") :]
_FREE = 1e3
#: Classes of kernels that run; the call is none.
CLASSES = tuple(c for c in KERNEL_CLASSES if c != "call")
#: Fitted as well where a prior is extended: overheads by class (ratios to the common one), the
#: cache, and what a run costs besides its kernels.
EXTRA = (
    *(f"{c}_overhead" for c in CLASSES),
    "cache_mb",
    "spill_gb_s",
    "positions_half",
    "rows_half",
    "call_us",
)
#: Class -> the half-efficiency length of its reduction, its outputs and its positions, where it has
#: one.
REDUCTION = {
    "pointwise": "reduction_half",
    "conv3x3": "reduction_half",
    "conv": "reduction_half",
    "grouped": "reduction_half",
    "transposed": "reduction_half",
    "depthwise": "window_half",
}
OUTPUTS = {
    "pointwise": "outputs_half",
    "conv3x3": "outputs_half",
    "conv": "outputs_half",
    "transposed": "outputs_half",
    "grouped": "group_half",
}
POSITIONS = {
    "pointwise": "positions_half",
    "conv3x3": "positions_half",
    "conv": "positions_half",
    "transposed": "positions_half",
    "linear": "rows_half",
    "matmul": "rows_half",
    "recurrent": "rows_half",
}
#: Class -> its bandwidth, where that is not the common one.
MEMORY = {
    "linear": "linear_gb_s",
    "matmul": "linear_gb_s",
    "recurrent": "linear_gb_s",
    "elementwise": "elementwise_gb_s",
    "activation": "elementwise_gb_s",
    "norm": "elementwise_gb_s",
    "gate": "elementwise_gb_s",
    "move": "move_gb_s",
    "reorder": "reorder_gb_s",
}
#: Class -> the rate it shares, where it has none of its own (``pointwise`` where not listed).
RATE = {"move": "activation", "reorder": "activation"}


@dataclass(frozen=True)
class Prior:
    """Log-normal prior: medians and standard deviations of logarithms, one a parameter.

    Arrays have the shape (parameters,), or (parameters + extra,) where the prior is extended.

    ties:     pairs of parameters with the expected ratio and the deviation of its logarithm.
    speed:    deviation of the logarithm of the device's overall speed; 0 where it is known.
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
    speed: float = 0.0

    @property
    def of_any(self) -> bool:
        """Whether it is of any device, not of a board whose cache and overheads are known."""
        return len(self.median) == len(PARAMETERS)

    def tightened(self, factor: float) -> Prior:
        """Deviations of the coefficients and their ratios times ``factor``."""
        ties = tuple((a, b, ratio, sd * factor) for a, b, ratio, sd in self.ties)
        return replace(self, deviation=self.deviation * factor, ties=ties)

    def extended(
        self, overheads: float, cache: float = 1.0, call: bool = False, idle: bool = False
    ) -> Prior:
        """With an overhead for each kernel class, near the common one, and a cache.

        overheads, cache: deviations. call: whether a run costs something besides its kernels, and
        few positions are computed at a lower rate. idle: whether few positions may leave a device
        idle. Unless the prior has one already, the cache is
        expected at 1 MB, inside it four times the bandwidth, and what spills at the bandwidth. What
        waits for memory is then told apart: pools are expected four times as fast, and half the
        reduction and half the outputs to suffice (all ours).
        """
        size, classes = len(PARAMETERS), len(CLASSES)
        few, free = (_NOTHING,) * 3, (_FIXED,) * 3
        if call:
            few, free = (*_HALF, _CALL_US), (1.0,) * 3
        elif idle:
            few, free = (*_HALF_OF_ANY, _NOTHING), (_HALF_DEVIATION, _HALF_DEVIATION, _FIXED)
        median = self.median
        if self.of_any:
            spill = median[PARAMETERS.index("memory_gb_s")]
            faster = np.array([_CACHED.get(p, 1.0) for p in PARAMETERS])
            ratios = np.array([_STEP if c == "recurrent" else 1.0 for c in CLASSES])
            median = np.concatenate([median * faster, ratios, [1.0, spill, *few]])
        own = np.append(np.full(classes, overheads), [cache, cache])
        own = np.append(own, free)
        own[CLASSES.index("recurrent")] = max(overheads, _STEP_DEVIATION)
        return replace(self, median=median, deviation=np.append(self.deviation[:size], own))

    def with_constant(self) -> Prior:
        """With a constant a run as one more unknown: what a call costs besides its kernels.

        It is expected at so many times what a kernel costs besides its work (``_CALLS``), or where
        a known board has it. Nothing else of what an extended prior adds is free unless it was.
        """
        size = len(PARAMETERS)
        median, deviation, ties = self.median, self.deviation, self.ties
        if self.of_any:
            nothing = [_ENDLESS, _ENDLESS, *[_NOTHING] * (len(EXTRA) - len(CLASSES) - 2)]
            median = np.concatenate([median, np.ones(len(CLASSES)), nothing])
            deviation = np.append(deviation, np.full(len(EXTRA), _FIXED))
        median, deviation = median.copy(), deviation.copy()
        at = size + EXTRA.index("call_us")
        if _known(median[at]):
            deviation[at] = 1.0
        else:
            median[at], deviation[at] = _CALLS * median[PARAMETERS.index("overhead_us")], _FREE
            ties = (*ties, ("call_us", "overhead_us", _CALLS, _CALLS_DEVIATION))
        return replace(self, median=median, deviation=deviation, ties=ties)


#: A call is expected to cost so many kernels' overheads, with this deviation of the logarithm: an
#: inference of a processor or a GPU checks and copies inputs, starts threads, waits (ours).
_CALLS, _CALLS_DEVIATION = 5.0, 1.5
#: A step of a recurrent layer is no call of a kernel: it is expected to cost this part of one, with
#: this deviation.
_STEP, _STEP_DEVIATION = 0.3, 1.0
#: What a run is expected to cost besides its kernels: a call of onnxruntime from Python takes about
#: that on a desktop processor. Where nothing is expected, and the deviation that leaves it so.
_CALL_US, _NOTHING, _FIXED = 5.0, 1e-6, 1e-3
#: A cache that nothing spills from (MB), and what spills from it (GB/s).
_ENDLESS = 1e6
#: Positions of a convolution, and rows of a product, at which half the rate is expected: a gate's
#: convolution of one position runs at a tenth of it.
_HALF = (8.0, 2.0)
#: The same of a device that may be a GPU, which a hundred positions leave idle; the deviation.
_HALF_OF_ANY, _HALF_DEVIATION = (32.0, 4.0), 2.0
#: Factors on the medians of a prior that knows a cache.
_CACHED = {
    "memory_gb_s": 4.0,
    "linear_gb_s": 4.0,
    "elementwise_gb_s": 4.0,
    "move_gb_s": 4.0,
    "reorder_gb_s": 4.0,
    "pool": 4.0,
    "global_pool": 4.0,
    "reduction_half": 0.5,
    "outputs_half": 0.5,
}


def speed_direction(size: int) -> Floats:
    """Change of each of ``size`` logarithms when a device is faster by a factor of e: rates and
    bandwidths rise, the overhead falls."""
    changes = [-1.0 if p == "overhead_us" else float(not p.endswith("_half")) for p in PARAMETERS]
    extra = [float(p == "spill_gb_s") for p in EXTRA]
    return np.array((changes + extra)[:size])


#: Standard deviation of the logarithm of each coefficient, given a data sheet (ours).
_SHEET_DEVIATIONS: Final = {
    "overhead_us": 1.5,
    "pointwise": 0.7,
    "conv3x3": 0.7,
    "conv": 0.7,
    "depthwise": 1.0,
    "pool": 1.0,
    "linear": 0.7,
    "memory_gb_s": 0.4,
    "linear_gb_s": 0.4,
    "elementwise_gb_s": 0.6,
    "reduction_half": 0.7,
    "outputs_half": 0.7,
    "window_half": 0.7,
    # What is known of these is how they compare with their base class: the ties.
    **dict.fromkeys(_TIED, _FREE),
}
#: (coefficient, the one it is tied to, their expected ratio, deviation of its logarithm; ours).
_SHEET_TIES: Final = (
    ("conv", "pointwise", 1.0, 0.3),
    ("conv3x3", "conv", 1.3, 0.4),
    ("grouped", "conv", 0.6, 0.5),
    ("transposed", "conv", 1.0, 0.3),
    ("global_pool", "pool", 1.0, 0.1),
    ("activation", "pointwise", 0.7, 0.5),
    ("norm", "activation", 1.0, 0.5),
    ("matmul", "linear", 1.0, 0.3),
    ("recurrent", "linear", 0.6, 0.5),
    ("move_gb_s", "elementwise_gb_s", 0.2, 1.0),
    ("reorder_gb_s", "move_gb_s", 1.0, 0.7),
    ("group_half", "outputs_half", 1.75, 0.7),
    ("gate", "activation", 1.0, 0.5),
)


def data_sheet_prior(peak_gmac_s: float, memory_gb_s: float, **changes: float) -> Prior:
    """What is expected of a CPU before any measurement.

    peak_gmac_s: fp32, of the threads used. memory_gb_s: measured read bandwidth.
    Convolutions reach about a third of the peak once reductions are long, depthwise ones and
    pools a twentieth (ours, after published runs on other boards); a kernel costs some
    20 us. ``changes`` replaces fields of the prior.
    """
    median = _sheet_medians(peak_gmac_s, memory_gb_s)
    return Prior(
        np.array([median[p] for p in PARAMETERS]),
        np.array([_SHEET_DEVIATIONS[p] for p in PARAMETERS]),
        _SHEET_TIES,
        **changes,
    )


def _sheet_medians(peak_gmac_s: float, memory_gb_s: float) -> dict[str, float]:
    """The expected coefficients of a processor with this peak and this memory."""
    return {
        "overhead_us": 20.0,
        "pointwise": 0.35 * peak_gmac_s,
        "conv3x3": 0.45 * peak_gmac_s,
        "conv": 0.35 * peak_gmac_s,
        "depthwise": 0.08 * peak_gmac_s,
        "pool": 0.05 * peak_gmac_s,
        "linear": 0.35 * peak_gmac_s,
        "memory_gb_s": memory_gb_s,
        "linear_gb_s": memory_gb_s,
        "elementwise_gb_s": memory_gb_s,
        "reduction_half": 32.0,
        "outputs_half": 8.0,
        "window_half": 4.0,
        "grouped": 0.2 * peak_gmac_s,
        "transposed": 0.35 * peak_gmac_s,
        "global_pool": 0.05 * peak_gmac_s,
        "activation": 0.25 * peak_gmac_s,
        "norm": 0.25 * peak_gmac_s,
        "matmul": 0.35 * peak_gmac_s,
        "recurrent": 0.2 * peak_gmac_s,
        "move_gb_s": 0.2 * memory_gb_s,
        "reorder_gb_s": 0.2 * memory_gb_s,
        "group_half": 8.0,
        "gate": 0.25 * peak_gmac_s,
    }


def unknown_prior() -> Prior:
    """A device nobody has said anything about: the proportions of a CPU, at any speed.

    Proportions of a board of 20 GMAC/s and 5 GB/s (ours); overhead and bandwidth may be far
    from them, as they are on a GPU.
    """
    prior = data_sheet_prior(20.0, 5.0, speed=5.0)
    wider = {"overhead_us": 2.5, "memory_gb_s": 1.0, "linear_gb_s": 1.0, "elementwise_gb_s": 1.0}
    deviation = [wider.get(p, float(d)) for p, d in zip(PARAMETERS, prior.deviation, strict=True)]
    ties = (
        *prior.ties,
        ("linear_gb_s", "memory_gb_s", 1.0, 0.5),
        ("elementwise_gb_s", "memory_gb_s", 1.0, 0.6),
    )
    return replace(prior, deviation=np.array(deviation), ties=ties)


def profile_prior(coefficients: Coefficients, deviation: float = 0.35) -> Prior:
    """A sister of a known device: its proportions, at any speed.

    deviation: of the logarithm of each coefficient once the speed is taken out (ours).
    """
    logs = pack(coefficients)
    spread = np.full(len(logs), deviation)
    spread[PARAMETERS.index("overhead_us")] = 1.0
    return Prior(np.exp(logs), spread, (), speed=3.0)


def unpack(logarithms: Floats) -> Coefficients:
    """Coefficients from the logarithms of ``PARAMETERS`` (and of ``EXTRA``)."""
    values = [float(x) for x in np.exp(logarithms)]
    p = dict(zip(PARAMETERS, values, strict=False))
    extra = dict(zip(EXTRA, values[len(PARAMETERS) :], strict=False))
    own = [p["overhead_us"] * extra.get(f"{c}_overhead", 1.0) for c in CLASSES]

    def half(names: dict[str, str]) -> tuple[float, ...]:
        found = [p.get(names.get(c, ""), extra.get(names.get(c, ""), 0.0)) for c in KERNEL_CLASSES]
        return tuple(_known(x) for x in found)

    return Coefficients(
        overhead_us=(*own, _known(extra.get("call_us", 0.0))),
        gmac_s=tuple(p.get(RATE.get(c, c), p["pointwise"]) for c in KERNEL_CLASSES),
        gb_s=tuple(p[MEMORY.get(c, "memory_gb_s")] for c in KERNEL_CLASSES),
        reduction_half=half(REDUCTION),
        outputs_half=half(OUTPUTS),
        positions_half=half(POSITIONS),
        cache_mb=_bounded(extra.get("cache_mb", math.inf)),
        spill_gb_s=_bounded(extra.get("spill_gb_s", math.inf)),
    )


def _known(value: float) -> float:
    """What was fixed at nothing is nothing."""
    return value if value > 2 * _NOTHING else 0.0


def _bounded(value: float) -> float:
    """What nothing spills from has no end."""
    return value if value < _ENDLESS / 2 else math.inf


def pack(c: Coefficients) -> Floats:
    """The logarithms that ``unpack`` makes ``c`` from, extended."""
    of = {name: k for k, name in enumerate(KERNEL_CLASSES)}
    by_class = [c.overhead_us[of[name]] for name in CLASSES]
    common = float(np.exp(np.log(np.maximum(by_class, 1e-6)).mean()))
    values = {
        "overhead_us": common,
        **{name: c.gmac_s[of[name]] for name in PARAMETERS if name in of},
        "memory_gb_s": c.gb_s[of["pointwise"]],
        "linear_gb_s": c.gb_s[of["linear"]],
        "elementwise_gb_s": c.gb_s[of["elementwise"]],
        "reduction_half": c.reduction_half[of["pointwise"]],
        "outputs_half": c.outputs_half[of["pointwise"]],
        "window_half": c.reduction_half[of["depthwise"]],
        "move_gb_s": c.gb_s[of["move"]],
        "reorder_gb_s": c.gb_s[of["reorder"]],
        "group_half": c.outputs_half[of["grouped"]],
    }
    own = [max(overhead, 1e-6) / common for overhead in by_class]
    # A hand-written profile may hold zeros, which have no logarithm.
    listed = [max(values[p], 1e-6) for p in PARAMETERS]
    # Without a cache, one that nothing spills from.
    cache = [min(c.cache_mb, _ENDLESS), min(c.spill_gb_s, _ENDLESS)]
    halves = [c.positions_half[of["pointwise"]], c.positions_half[of["linear"]]]
    few = [*halves, c.overhead_us[CALL]]
    once = [*cache, *(max(x, _NOTHING) for x in few)]
    result: Floats = np.log(np.array([*listed, *own, *once]))
    return result
