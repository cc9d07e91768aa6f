"""How far a predicted latency or energy may be off: prediction intervals of a profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from flash.targets.base import SumLimit
from flash.targets.processor.kernel_evidence import ENOUGH
from flash.targets.processor.profile import BOX_FEATURES, Interval, Profile

__all__ = [
    "box_distance",
    "energy_interval",
    "latency_interval",
    "measured_limits",
    "measured_share",
]

Floats = NDArray[np.float64]


def box_distance(totals: Mapping[str, Floats], interval: Interval) -> Floats:
    """How far networks lie outside the fitted ones, shape (designs,); 0 inside.

    The largest of: log-distance of MACs, bytes and kernels to the fitted range (0.69 is a
    factor of two), and distance of the share of MACs in windows larger than 1 x 1. A kernel of a
    class that was never measured puts a network as far outside as a factor of two.
    """
    macs = np.maximum(totals["macs"], 1.0)
    position = {
        "macs": macs,
        "bytes": np.maximum(totals["bytes"], 1.0),
        "kernels": np.maximum(totals["kernels"], 1.0),
        "conv_share": totals["conv_macs"] / macs,
    }
    distance = np.zeros(np.shape(macs))
    for name in BOX_FEATURES:
        low, high = interval.bounding_box[name]
        value = position[name]
        if name == "conv_share":
            outside = np.maximum(low - value, value - high)
        else:
            outside = np.maximum(np.log(max(low, 1e-9) / value), np.log(value / max(high, 1e-9)))
        distance = np.maximum(distance, outside)
    result: Floats = np.maximum(distance, np.log(2) * (totals["unmeasured_ms"] > 0))
    return result


def latency_interval(
    latency_ms: Floats, totals: Mapping[str, Floats], profile: Profile
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """90 % prediction interval of predicted latencies: low and high in ms, and whether the
    design lies clearly outside the fitted networks; each of shape (designs,). ``totals`` is
    what ``features`` returns.

    Inside the fitted networks' range it has the width of their held-out errors. Outside it
    widens with every step (the rule is ours): towards the width of the errors for a family
    left out, reached at a factor of two, and by that width again for each factor of ten. What
    kernels of classes never measured, and operations and number formats without a rate of their
    own, are predicted to take may be off by ``_UNMEASURED`` more; beyond ``_MOST_UNRATED`` of
    the latency in the latter, the design counts as outside.
    Where kernels were measured alone, a network most of whose time (``ENOUGH``) is in kernels like
    them is inside, whatever its size; below that its distance counts in proportion.
    """
    interval = profile.runtime.interval
    distance = box_distance(totals, interval)
    if profile.runtime.kernels is not None:
        lacking = 1.0 - measured_share(latency_ms, totals) / ENOUGH
        distance = distance * np.clip(lacking, 0.0, 1.0)
    near = np.minimum(distance / np.log(2), 1.0)
    far = distance / np.log(10)
    bounds = []
    inside_outside = (interval.low, interval.outside_low), (interval.high, interval.outside_high)
    for inside, outside in inside_outside:
        exponent = np.log(inside) * (1 - near) + np.log(outside) * (near + far)
        bounds.append(latency_ms * np.exp(exponent))
    unrated = _over(totals["unrated_ms"], latency_ms, 0.0)
    guessed = np.minimum(_over(totals["unmeasured_ms"], latency_ms, 0.0) + unrated, 1.0)
    low = bounds[0] * (1 - guessed * (1 - 1 / _UNMEASURED))
    high = bounds[1] * (1 + guessed * (_UNMEASURED - 1))
    return low, high, (distance > _CLEARLY_OUTSIDE) | (unrated > _MOST_UNRATED)


def measured_share(latency_ms: Floats, totals: Mapping[str, Floats]) -> Floats:
    """Share of the latency in kernels like those measured alone, shape (designs,)."""
    return np.minimum(_over(totals["measured_ms"], latency_ms, 0.0), 1.0)


def measured_limits(profile: Profile) -> Sequence[Sequence[SumLimit]]:
    """Conditions on ``features`` under which ``latency_interval`` calls no network extrapolated.

    Most of the time in kernels like those measured alone, where any were; or the whole network in
    the range of the fitted ones. Whole limits a hair inside, so that rounding crosses none.
    """
    rated = SumLimit("unrated", {"unrated_ms": 1.0, "latency_ms": -_MOST_UNRATED})
    sets = []
    if profile.runtime.kernels is not None:
        weights = {"latency_ms": ENOUGH, "measured_ms": -1.0}
        sets.append((SumLimit("measured_share", weights), rated))
    inside = [rated, SumLimit("unmeasured", {"unmeasured_ms": 1.0})]
    beyond = np.exp(_CLEARLY_OUTSIDE) * (1 - 1e-9)
    for name in ("macs", "bytes", "kernels"):
        low, high = profile.runtime.interval.bounding_box[name]
        inside.append(SumLimit(f"most {name}", {name: 1.0}, high * beyond))
        inside.append(SumLimit(f"least {name}", {name: -1.0}, -low / beyond))
    low, high = profile.runtime.interval.bounding_box["conv_share"]
    off = _CLEARLY_OUTSIDE * (1 - 1e-9)
    inside.append(SumLimit("most conv_share", {"conv_macs": 1.0, "macs": -(high + off)}))
    inside.append(SumLimit("least conv_share", {"conv_macs": -1.0, "macs": low - off}))
    return (*sets, tuple(inside))


def energy_interval(
    energy_mj: Floats, latency: tuple[Floats, Floats, Floats], profile: Profile
) -> tuple[Floats, Floats]:
    """90 % interval (low, high) of predicted energies, in mJ, shape (designs,).

    latency: with the low and high end of its interval. The uncertainty of the power multiplies
    the interval's factors.
    """
    value, low, high = latency
    energy = profile.energy
    return (
        energy_mj * _over(low, value, 1.0) * energy.low,
        energy_mj * _over(high, value, 1.0) * energy.high,
    )


def _over(part: Floats, whole: Floats, otherwise: float) -> Floats:
    """Their ratio; ``otherwise`` for networks of which nothing runs, which take no time."""
    result: Floats = np.divide(
        part, whole, out=np.full(np.shape(whole), otherwise), where=whole > 0
    )
    return result


#: Distance, as a logarithm, up to which a network is not called extrapolated: a tenth beyond the
#: fitted range (its interval is wider already).
_CLEARLY_OUTSIDE = float(np.log(1.1))
#: Factor either way within which 90 % of the possible times lie of a kernel class that was never
#: measured: 1.645 standard deviations of 1 in the logarithm of its speed. The prior of an unknown
#: device has that deviation for depthwise convolutions and pools, and less for other classes,
#: whose intervals are therefore wider than needed.
_UNMEASURED = float(np.exp(1.645))
#: Share of a latency in what has no rate that is still called measured.
_MOST_UNRATED = 0.2
