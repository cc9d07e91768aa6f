"""Latency and energy of networks on a processor (CPU): a sum over kernels.

A kernel of class c with P positions, reduction length K, N output channels (rounded up to the
SIMD width) and B bytes of traffic takes

    t = overhead_c + max( (P + P_c) (K + K_c) (N + N_c) / rate_c ,  B / bandwidth_c )

that is, a roofline whose efficiency K / (K + K_c) * N / (N + N_c) * P / (P + P_c) rises with the
reduction length, the output channels and the positions (rows of a product). All coefficients are
positive, so a network with more layers, channels or positions is never predicted faster, but by
kernels that only move data and that it does not need (``tests/test_physics.py``): a skip that takes
whole tensors needs no slice, one as wide as the block no pad (up to 15 % of an ADD network on a
GPU, 4 % on a Raspberry Pi); a block with as many channels as it reads has a sum, a wider one none;
channels that fill a block of lanes need no layout reorder, and run faster in groups
(``flash.targets.processor.kernels``). A run costs the overhead of the class ``call`` besides, once.
Where a profile has a cache, what a kernel moves beyond it passes a second bandwidth:
B / bandwidth_c + (B - cache) / spill. Energy adds the board's power over that time to what each
multiply-accumulate and byte costs on top:

    E = P_0 t + e_mac * MACs + e_byte * B

Both are sums over kernels; the call counts with the stage that reads the input, so the costs of the
stages of a separable space add up to the cost of the network.
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
from flash.targets.processor.kernel_classes import CALL, KERNEL_CLASSES, LANES, Kernel
from flash.targets.processor.kernel_evidence import like_measured
from flash.targets.processor.kernels import is_rated, kernel_of
from flash.targets.processor.profile import (
    BYTES,
    Coefficients,
    Profile,
    Runtime,
    Variant,
)
from flash.targets.processor.runtime import STORED

__all__ = [
    "VIEWS",
    "bound_of",
    "call_ms",
    "costs",
    "executed",
    "executed_layers",
    "features",
    "has_rate",
    "kernel_ms",
    "layer_latency_ms",
    "layer_totals",
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
#: Classes that families of networks have: without one, a network is unlike those measured. The
#: others only files have, and they count as operations without a rate.
_OWN = tuple(
    KERNEL_CLASSES.index(c)
    for c in (
        "pointwise",
        "conv3x3",
        "conv",
        "depthwise",
        "linear",
        "pool",
        "elementwise",
        "grouped",
        "global_pool",
    )
)
_WITH_MACS = ("conv", "linear", "matmul", "conv_transpose", "recurrent")
_CONVOLUTIONS = tuple(KERNEL_CLASSES.index(c) for c in ("conv3x3", "conv", "grouped"))


def kernel_ms(kernel: Kernel, coefficients: Coefficients, element_bytes: int) -> Any:
    """Milliseconds of a kernel: a float, or one a design."""
    c, kind = coefficients, kernel.kind
    halves = (c.reduction_half, c.outputs_half, c.positions_half)
    by_class = (c.gmac_s, c.gb_s, c.overhead_us, *halves)
    own: list[Any] = [x[kind] if isinstance(kind, int) else np.array(x)[kind] for x in by_class]
    rate, bandwidth, overhead_us, k_half, n_half, p_half = own
    moved = _traffic(kernel)
    time = moved * (element_bytes * 1e-6 / bandwidth)
    if c.cache_mb < math.inf:
        spilt = np.maximum(moved * (element_bytes * 1e-6) - c.cache_mb, 0.0)
        time = time + spilt * (1.0 / c.spill_gb_s)
    if not _is_zero(kernel.positions):
        # Scalar factors first: most rows have only one factor that differs by design.
        work = ((kernel.positions + p_half) * (1e-6 / rate)) * (kernel.reduction + k_half)
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
    runtime = profile.runtime
    return _executed(table, runtime.executes, runtime.fusion, runtime.lanes)


def _executed(table: LayerTable, mode: str, fusion: str, lanes: int) -> list[tuple[Layer, Flags]]:
    partial = int(np.max(np.asarray(table.output.producer))) < 0
    grid: NDArray[np.bool_] = table.active
    if not partial and mode != "all":
        grid = getattr(table, VIEWS[mode])
    layers, grid = fused_table(table, grid, fusion, lanes)
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


def has_rate(layer: Layer, runtime: Runtime) -> bool:
    """Whether the runtime's rates were fitted to operations like this layer, in its format."""
    formats = {layer.format, layer.out_format} - {"", *STORED[runtime.precision]}
    return not formats and is_rated(layer, runtime.interval.classes)


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


def executed_layers(
    network: Network, executes: str, fusion: str = "conv", lanes: int = LANES[-1]
) -> list[Layer]:
    """What a runtime runs of a network, as ``executed`` says it of a table."""
    if executes != "all":
        network = getattr(network, executes)()
    return fused_network(network, fusion, lanes)


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
    ran: dict[tuple[str, str, int], list[tuple[Layer, Flags]]] = {}
    for variant, asked in _averaged(profile, wanted):
        key = variant.executes, variant.fusion, variant.lanes
        if key not in ran:
            ran[key] = _executed(table, *key)
        alike: dict[tuple[object, ...], list[tuple[str, Any]]] = {}
        for layer, runs in ran[key]:
            share = 1.0 if runs is True else np.asarray(runs, dtype=np.float64)
            for name, value in _known_totals(layer, profile, variant, asked, alike):
                totals[name] += value * share
        if "latency_ms" in asked and table.has_source:
            totals["latency_ms"] += _call_ms(variant)
    return totals


def _network_totals(network: Network, profile: Profile, wanted: Sequence[str]) -> dict[str, Floats]:
    totals = {name: np.zeros(1) for name in wanted}
    for variant, asked in _averaged(profile, wanted):
        for layer in executed_layers(network, variant.executes, variant.fusion, variant.lanes):
            for name, value in _layer_totals(layer, profile, variant, asked):
                totals[name] += value
        if "latency_ms" in asked:
            totals["latency_ms"] += _call_ms(variant)
    return totals


def call_ms(profile: Profile) -> float:
    """What a run costs whatever the network is, in milliseconds: part of ``latency_ms``."""
    return sum(_call_ms(variant) for variant in profile.runtime.variants)


def _call_ms(variant: Variant) -> float:
    return variant.weight * variant.coefficients.overhead_us[CALL] * 1e-3


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


def _known_totals(
    layer: Layer,
    profile: Profile,
    variant: Variant,
    wanted: Sequence[str],
    alike: dict[tuple[object, ...], list[tuple[str, Any]]],
) -> list[tuple[str, Any]]:
    """``_layer_totals``, looked up in ``alike`` where the same kernel was there before."""
    kernel = kernel_of(layer, variant.fusion, variant.lanes)
    if not all(type(value) is int for value in kernel):  # one a design
        return list(_layer_totals(layer, profile, variant, wanted, kernel))
    key = (*kernel, layer.op, layer.act, layer.format, layer.out_format)
    if key not in alike:
        alike[key] = list(_layer_totals(layer, profile, variant, wanted, kernel))
    return alike[key]


def _layer_totals(
    layer: Layer,
    profile: Profile,
    variant: Variant,
    wanted: Sequence[str],
    kernel: Kernel | None = None,
) -> Iterator[tuple[str, Any]]:
    runtime, weight = profile.runtime, variant.weight
    kernel = kernel or kernel_of(layer, variant.fusion, variant.lanes)
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
    classes = runtime.interval.classes
    if "unmeasured_ms" in wanted and classes:
        missing = [k for k, name in enumerate(KERNEL_CLASSES) if name not in classes and k in _OWN]
        if missing:
            if times is None:
                times = kernel_ms(kernel, variant.coefficients, element_bytes) * weight
            yield "unmeasured_ms", times * _among(kernel.kind, missing)
    if "measured_ms" in wanted and runtime.kernels is not None and is_rated(layer, classes):
        if times is None:
            times = kernel_ms(kernel, variant.coefficients, element_bytes) * weight
        yield "measured_ms", times * like_measured(kernel, runtime.kernels)
    if "unrated_ms" in wanted and not has_rate(layer, runtime):
        if times is None:
            times = kernel_ms(kernel, variant.coefficients, element_bytes) * weight
        yield "unrated_ms", times
    if "macs" in wanted and layer.op in _WITH_MACS:
        macs = kernel.weights * kernel.positions
        yield "macs", macs
        if "conv_macs" in wanted:
            yield "conv_macs", macs * _among(kernel.kind, _CONVOLUTIONS)


def _among(kind: Ints, classes: Sequence[int]) -> Flags:
    """Whether a kernel's class, or each design's, is one of these."""
    return kind in classes if isinstance(kind, int) else np.isin(kind, classes)


def _energy_mj(totals: Mapping[str, Floats], profile: Profile) -> Floats:
    energy = profile.runtime.energy
    # A watt for a millisecond is a millijoule.
    result = energy.power_w * totals["latency_ms"]
    if energy.mj_per_gmac:
        result = result + energy.mj_per_gmac * 1e-9 * totals["macs"]
    if energy.mj_per_gb:
        result = result + energy.mj_per_gb * 1e-9 * totals["bytes"]
    return result
