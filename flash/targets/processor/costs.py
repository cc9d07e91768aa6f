"""Latency and energy of networks on a processor (CPU): a sum over kernels.

A kernel of class c with P positions, reduction length K, N output channels (rounded up to the
SIMD width) and B bytes of traffic takes

    t = overhead_c + max( P (K + K_c) (N + N_c) / rate_c ,  B / bandwidth_c )

that is, a roofline whose efficiency K / (K + K_c) * N / (N + N_c) rises with the reduction
length and with the output channels. All coefficients are positive, so a network with more
layers, channels or positions is never predicted faster, with one exception: channels that do not
fill a block of lanes cost a layout reorder (``flash.targets.processor.kernels``), and more channels
that do fill it save that.
Where a profile has a cache, what a kernel moves beyond it passes a second bandwidth:
B / bandwidth_c + (B - cache) / spill. Energy adds the board's power over that time to what each
multiply-accumulate and byte costs on top:

    E = P_0 t + e_mac * MACs + e_byte * B

Both are sums over kernels without a constant of the network, so the costs of the stages of a
separable space add up to the cost of the network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import Flags, Ints, Layer
from flash.spaces.network import Network
from flash.spaces.table import LayerTable
from flash.targets.processor.fusion import fused_network, fused_table
from flash.targets.processor.kernel_evidence import ENOUGH, like_measured
from flash.targets.processor.kernels import KERNEL_CLASSES, Kernel, is_rated, kernel_of
from flash.targets.processor.profile import (
    BOX_FEATURES,
    BYTES,
    Coefficients,
    Interval,
    Profile,
    Variant,
)

__all__ = [
    "VIEWS",
    "bound_of",
    "box_distance",
    "costs",
    "energy_interval",
    "executed",
    "executed_layers",
    "features",
    "has_rate",
    "kernel_ms",
    "latency_interval",
    "layer_latency_ms",
    "layer_totals",
    "measured_share",
    "network_costs",
    "network_features",
]

Floats = NDArray[np.float64]

#: Execution mode -> the view of a table that holds what runs.
VIEWS: Mapping[str, str] = {
    "all": "active",
    "used": "used",
    "kept": "kept",
    "live": "live",
    "fed": "signal",
}
_WITH_MACS = ("conv", "linear", "matmul", "conv_transpose", "recurrent")
_CONVOLUTIONS = tuple(KERNEL_CLASSES.index(c) for c in ("conv3x3", "conv"))


def kernel_ms(kernel: Kernel, coefficients: Coefficients, element_bytes: int) -> Any:
    """Milliseconds of a kernel: a float, or one a design."""
    c, kind = coefficients, kernel.kind
    by_class = (c.gmac_s, c.gb_s, c.reduction_half, c.outputs_half, c.overhead_us)
    own: list[Any] = [x[kind] if isinstance(kind, int) else np.array(x)[kind] for x in by_class]
    rate, bandwidth, k_half, n_half, overhead_us = own
    moved = _traffic(kernel)
    time = moved * (element_bytes * 1e-6 / bandwidth)
    if c.cache_mb < math.inf:
        spilt = np.maximum(moved * (element_bytes * 1e-6) - c.cache_mb, 0.0)
        time = time + spilt * (1.0 / c.spill_gb_s)
    if not _is_zero(kernel.positions):
        # Scalar factors first: most rows have only one factor that differs by design.
        work = (kernel.positions * (1e-6 / rate)) * (kernel.reduction + k_half)
        work = work * (kernel.outputs + n_half)
        if isinstance(work, np.ndarray) or isinstance(time, np.ndarray):
            time = np.maximum(work, time)
        else:
            time = max(work, time)
    return time + kernel.launches * (overhead_us * 1e-3)


def _traffic(kernel: Kernel) -> Ints:
    """Elements a kernel reads and writes, weights included."""
    return kernel.elements if _is_zero(kernel.weights) else kernel.elements + kernel.weights


def _is_zero(value: Ints) -> bool:
    return isinstance(value, int) and value == 0


def executed(table: LayerTable, profile: Profile) -> list[tuple[Layer, Flags]]:
    """What the profile's runtime runs, merged as it does (``flash.targets.processor.fusion``),
    and for which designs.

    A table of some stages only, whose rows never reach the output, cannot say what is used;
    there every active row counts.
    """
    return _executed(table, profile.runtime.executes, profile.runtime.fusion)


def _executed(table: LayerTable, mode: str, fusion: str) -> list[tuple[Layer, Flags]]:
    partial = int(np.max(np.asarray(table.output.producer))) < 0
    grid: NDArray[np.bool_] = table.active
    if not partial and mode != "all":
        grid = getattr(table, VIEWS[mode])
    layers, grid = fused_table(table, grid, fusion)
    flags: list[Flags] = [True if row.all() else row for row in grid]
    return list(zip(layers, flags, strict=True))


def bound_of(kernel: Kernel, coefficients: Coefficients, element_bytes: int) -> str:
    """What most of the time of a kernel is spent on: ``compute``, ``memory`` or ``overhead``."""
    overhead_ms = int(kernel.launches) * coefficients.overhead_us[int(kernel.kind)] * 1e-3
    total_ms = float(kernel_ms(kernel, coefficients, element_bytes))
    if overhead_ms >= total_ms - overhead_ms:
        return "overhead"
    moving_ms = float(kernel_ms(kernel._replace(positions=0), coefficients, element_bytes))
    return "compute" if total_ms > moving_ms else "memory"


def has_rate(layer: Layer, precision: str) -> bool:
    """Whether the runtime's rates were fitted to operations like this layer, in its format."""
    formats = {layer.format, layer.out_format} - {"", precision}
    return not formats and is_rated(layer)


def costs(table: LayerTable, profile: Profile) -> dict[str, Floats]:
    """``latency_ms`` and ``energy_mj`` of every design, each of shape (designs,).

    Additive over rows: the costs of the stages of a network add up to the network's.
    """
    energy = profile.runtime.energy
    wanted = ["latency_ms"]
    wanted += ["macs"] if energy.mj_per_gmac else []
    wanted += ["bytes"] if energy.mj_per_gb else []
    totals = _totals(table, profile, wanted)
    return {"latency_ms": totals["latency_ms"], "energy_mj": _energy_mj(totals, profile)}


def features(table: LayerTable, profile: Profile) -> dict[str, Floats]:
    """The costs and what ``latency_interval`` needs of every design: totals of shape (designs,).

    Besides ``latency_ms`` and ``energy_mj``: ``macs``, ``bytes``, ``kernels``, ``conv_macs`` (those
    of windows larger than 1 x 1, depthwise ones left out), ``unmeasured_ms``, the part of the
    latency in kernels of classes that were never measured, ``unrated_ms``, the part in operations
    and number formats that no rate was fitted to, and ``measured_ms``, the part in kernels like
    those measured alone. Additive over rows, as the costs are.
    """
    totals = _totals(table, profile, ("latency_ms", *_FEATURES))
    return {**totals, "energy_mj": _energy_mj(totals, profile)}


def layer_latency_ms(layer: Layer, profile: Profile) -> Any:
    """Milliseconds of one layer that runs, as the runtime's main variant has it: a float, or one a
    design."""
    runtime = profile.runtime
    kernel = kernel_of(layer, runtime.fusion, runtime.lanes)
    return kernel_ms(kernel, runtime.coefficients, BYTES[runtime.precision])


def layer_totals(layer: Layer, profile: Profile) -> dict[str, float]:
    """``latency_ms``, ``macs``, ``bytes`` and ``kernels`` of one layer of one network that runs, as
    the runtime's main variant has it."""
    wanted = ("latency_ms", "macs", "bytes", "kernels")
    main = replace(profile.runtime.variants[0], weight=1.0)
    return dict.fromkeys(wanted, 0.0) | {
        name: float(value) for name, value in _layer_totals(layer, profile, main, wanted)
    }


def network_costs(network: Network, profile: Profile) -> dict[str, float]:
    """``latency_ms`` and ``energy_mj`` of one network."""
    totals = _network_totals(network, profile, ("latency_ms", "macs", "bytes"))
    energy_mj = float(_energy_mj(totals, profile)[0])
    return {"latency_ms": float(totals["latency_ms"][0]), "energy_mj": energy_mj}


def network_features(network: Network, profile: Profile) -> dict[str, Floats]:
    """What ``latency_interval`` needs of one network, each of shape (1,)."""
    return _network_totals(network, profile, _FEATURES)


def executed_layers(network: Network, executes: str, fusion: str = "conv") -> list[Layer]:
    """What a runtime runs of a network, as ``executed`` says it of a table."""
    if executes != "all":
        network = getattr(network, executes)()
    return fused_network(network, fusion)


# ------------------------------------------------------------------------------- intervals
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

# ---------------------------------------------------------------------------------- totals
_FEATURES = (
    "macs",
    "bytes",
    "kernels",
    "conv_macs",
    "unmeasured_ms",
    "unrated_ms",
    "measured_ms",
)


def _totals(table: LayerTable, profile: Profile, wanted: Sequence[str]) -> dict[str, Floats]:
    totals = {name: np.zeros(table.designs) for name in wanted}
    ran: dict[tuple[str, str], list[tuple[Layer, Flags]]] = {}
    for variant, asked in _averaged(profile, wanted):
        key = variant.executes, variant.fusion
        if key not in ran:
            ran[key] = _executed(table, *key)
        for layer, runs in ran[key]:
            for name, value in _layer_totals(layer, profile, variant, asked):
                totals[name] += value if runs is True else value * runs
    return totals


def _network_totals(network: Network, profile: Profile, wanted: Sequence[str]) -> dict[str, Floats]:
    totals = {name: np.zeros(1) for name in wanted}
    for variant, asked in _averaged(profile, wanted):
        for layer in executed_layers(network, variant.executes, variant.fusion):
            for name, value in _layer_totals(layer, profile, variant, asked):
                totals[name] += value
    return totals


def _averaged(profile: Profile, wanted: Sequence[str]) -> Iterator[tuple[Variant, Sequence[str]]]:
    """The variants of the runtime, and which totals each adds to.

    Milliseconds are averaged over variants; counts (of MACs, bytes, kernels) are the main one's, to
    which the range of the fitted networks belongs.
    """
    main, *others = profile.runtime.variants
    yield main, wanted
    averaged = [name for name in wanted if name.endswith("_ms")]
    for variant in others:
        yield variant, averaged


def _layer_totals(
    layer: Layer, profile: Profile, variant: Variant, wanted: Sequence[str]
) -> Iterator[tuple[str, Any]]:
    runtime, weight = profile.runtime, variant.weight
    kernel = kernel_of(layer, variant.fusion, variant.lanes)
    element_bytes = BYTES[runtime.precision]
    times: Any = None
    if "latency_ms" in wanted:
        times = kernel_ms(kernel, variant.coefficients, element_bytes)
        times = times if weight == 1.0 else times * weight
        yield "latency_ms", times
    if "bytes" in wanted:
        yield "bytes", _traffic(kernel) * element_bytes
    if "kernels" in wanted:
        yield "kernels", kernel.launches
    if "unmeasured_ms" in wanted and (classes := runtime.interval.classes):
        missing = [k for k, name in enumerate(KERNEL_CLASSES) if name not in classes]
        if missing:
            if times is None:
                times = kernel_ms(kernel, variant.coefficients, element_bytes) * weight
            yield "unmeasured_ms", times * np.isin(kernel.kind, missing)
    if "measured_ms" in wanted and runtime.kernels is not None and is_rated(layer):
        if times is None:
            times = kernel_ms(kernel, variant.coefficients, element_bytes) * weight
        yield "measured_ms", times * like_measured(kernel, runtime.kernels)
    if "unrated_ms" in wanted and not has_rate(layer, runtime.precision):
        if times is None:
            times = kernel_ms(kernel, variant.coefficients, element_bytes) * weight
        yield "unrated_ms", times
    if "macs" in wanted and layer.op in _WITH_MACS:
        macs = kernel.weights * kernel.positions
        yield "macs", macs
        if "conv_macs" in wanted:
            yield "conv_macs", macs * np.isin(kernel.kind, _CONVOLUTIONS)


def _energy_mj(totals: Mapping[str, Floats], profile: Profile) -> Floats:
    energy = profile.runtime.energy
    # A watt for a millisecond is a millijoule.
    result = energy.power_w * totals["latency_ms"]
    if energy.mj_per_gmac:
        result = result + energy.mj_per_gmac * 1e-9 * totals["macs"]
    if energy.mj_per_gb:
        result = result + energy.mj_per_gb * 1e-9 * totals["bytes"]
    return result
