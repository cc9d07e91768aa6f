"""Where the latency and energy of one network on a processor go, kernel by kernel."""

from __future__ import annotations

from flash.spaces.layers import Layer
from flash.spaces.network import Network
from flash.targets.breakdown import Breakdown, LayerCost, added_up
from flash.targets.processor.costs import (
    bound_of,
    call_ms,
    executed_layers,
    has_rate,
    layer_totals,
    network_costs,
)
from flash.targets.processor.kernel_classes import KERNEL_CLASSES
from flash.targets.processor.kernels import kernel_of
from flash.targets.processor.profile import BYTES, NO_ENERGY, Profile

__all__ = ["breakdown"]


def breakdown(network: Network, profile: Profile) -> Breakdown:
    """The layers that the runtime runs, in its order; what it merges into others is left out.

    ``latency_ms`` is by kernel class; ``energy_mj`` is the power over that time, and what
    multiply-accumulates and bytes cost on top; none where nobody measured the device.
    ``details`` of a layer: ``macs``, ``bytes``, ``kernels``. Where a profile averages several
    readings of its runtime, the layers are the main one's, scaled to add up to the average. What a
    run costs whatever the network is stands last, as a layer of its own.
    """
    runtime = profile.runtime
    scale = _scale(network, profile) if runtime.alternatives else 1.0
    by_class: dict[str, float] = {}
    layers = []
    for layer in executed_layers(network, runtime.executes, runtime.fusion, runtime.lanes):
        found = _layer_cost(layer, profile, scale)
        name = KERNEL_CLASSES[int(kernel_of(layer, runtime.fusion, runtime.lanes).kind)]
        by_class[name] = by_class.get(name, 0.0) + found.latency_ms
        layers.append(found)
    if called := call_ms(profile):
        by_class["call"] = called
        layers.append(_call_cost(called, profile))
    return Breakdown(tuple(layers), {}, by_class, added_up(layers))


def _scale(network: Network, profile: Profile) -> float:
    """The latency of the network's layers over that of the main reading of its runtime."""
    runtime = profile.runtime
    layers = executed_layers(network, runtime.executes, runtime.fusion, runtime.lanes)
    main = sum(layer_totals(layer, profile)["latency_ms"] for layer in layers)
    average = network_costs(network, profile)["latency_ms"] - call_ms(profile)
    return average / main if main > 0 else 1.0


def _call_cost(latency_ms: float, profile: Profile) -> LayerCost:
    power = 0.0 if profile.energy == NO_ENERGY else profile.energy.power_w * latency_ms
    parts = {"power over time": power} if power else {}
    none = dict.fromkeys(("macs", "bytes", "kernels"), 0.0)
    return LayerCost("call", "call", latency_ms, parts, details=none, bound="overhead")


def _layer_cost(layer: Layer, profile: Profile, scale: float) -> LayerCost:
    totals, energy = layer_totals(layer, profile), profile.energy
    latency_ms = scale * totals.pop("latency_ms")
    runtime = profile.runtime
    kernel = kernel_of(layer, runtime.fusion, runtime.lanes)
    bound = bound_of(kernel, runtime.coefficients, BYTES[runtime.precision])
    rated = has_rate(layer, runtime)
    if energy == NO_ENERGY:
        return LayerCost(
            layer.name, layer.op, latency_ms, {}, details=totals, bound=bound, rated=rated
        )
    # A watt for a millisecond is a millijoule.
    parts = {
        "power over time": energy.power_w * latency_ms,
        "MACs": energy.mj_per_gmac * 1e-9 * totals["macs"],
        "memory traffic": energy.mj_per_gb * 1e-9 * totals["bytes"],
    }
    return LayerCost(
        layer.name, layer.op, latency_ms, parts, details=totals, bound=bound, rated=rated
    )
