"""What the paths of a network carry: shares of sums, capacity, depth that nothing bypasses.

Derivations are in ``SED.md``, section 4; ``score.py`` puts the terms together.
"""

from __future__ import annotations

import math

from flash.metrics.sed.graph import Trace
from flash.metrics.sed.live import Live, depthwise, positions
from flash.metrics.sed.maps import PIXEL_ENTROPY
from flash.spaces.layers import INPUT, Layer

__all__ = ["POSITIONS", "capacities", "path_shares", "thinness", "unbypassed_depth"]

#: Exponent of the positions of a map in the capacity of a layer (``SED.md``, section 4).
POSITIONS = 0.625


def path_shares(found: Trace) -> dict[int, float]:
    """Share of the variance at the next tensor all paths pass that comes by each source.

    A sum hands each of its sources that one's share of the variance; every other operation hands
    on all it has, a concat to each of its pieces, whose number of channels says how many they are.
    What works out a gate has the share of what it gates. Nothing is said of what no path hands
    on, such as the other factor of a product of two maps: it counts whole.
    """
    live, maps = found.live, found.maps
    shares: dict[int, float] = dict.fromkeys((n for n, _ in found.parts(maps[live.order[-1]])), 1.0)
    for number in reversed(live.order):
        mine = shares.get(number)
        if mine is None or number in live.gates:
            continue
        if mine > 1.0:
            mine = shares[number] = 1.0
        origin = found.origins.get(number)
        for x in [maps[p] for p in live.reads[number]] if origin is None else [origin]:
            if x.source is not None:  # the usual case, at once
                shares[x.source] = shares.get(x.source, 0.0) + mine
                continue
            for source, part in found.parts(x):
                shares[source] = shares.get(source, 0.0) + mine * part
    for number in live.gating:
        whole = found.parts(maps[number])
        gated = min(1.0, sum([shares.get(source, 0.0) for source, _ in whole]))
        shares.update(dict.fromkeys(live.gates_of(number), gated))
    return shares


def capacities(found: Trace, shares: dict[int, float]) -> dict[int, float]:
    """Capacity of each convolution, by its number."""
    live, result = found.live, dict[int, float]()
    for reading, entropy in zip(found.readings, found.entropies, strict=True):
        number = reading.number
        layer = live.layers[number]
        links = int(layer.in_channels) * int(layer.out_channels) / int(layer.groups)
        size = live.gates.get(number) or positions(layer)
        amplitude = math.sqrt(shares.get(number, 1.0))
        result[number] = math.sqrt(links * entropy / PIXEL_ENTROPY * amplitude) * size**POSITIONS
    return result


def thinness(found: Trace, shares: dict[int, float]) -> float:
    """Sum over convolutions of (path share) / (channels read): depth over width."""
    live = found.live
    return sum(
        shares.get(number, 1.0) / int(live.layers[number].in_channels)
        for reading in found.readings
        if (number := reading.number) not in live.gates
    )


def unbypassed_depth(live: Live) -> float:
    """Convolutions that every path passes, or the fewest where paths differ.

    Where a bypass reaches a share of the channels alone, or a concat lays paths side by side, the
    mean over channels. A depthwise and pointwise pair is one convolution.
    """
    depth: dict[int, float] = {INPUT: 0.0}
    #: Tensors of which a share of the channels alone is reached.
    covered: dict[int, float] = {}
    convolutions = live.convolutions
    for number in live.order:
        layer, reads = live.layers[number], live.reads[number]
        before = depth[reads[0]]
        if number in convolutions:
            depth[number] = before if depthwise(layer) else before + 1
        elif layer.op == "add":
            if covered:
                depth[number], covered[number] = _shortest(reads, depth, covered)
            else:
                depth[number] = min([depth[p] for p in reads])
        elif layer.op == "concat":
            depth[number] = _mean(live, layer, reads, depth)
        elif layer.op == "mul":
            depth[number] = min([depth[p] for p in live.passed(number) or reads])
        else:
            depth[number] = before
            if layer.op == "pad":
                share = int(layer.in_channels) / int(layer.out_channels)
                covered[number] = covered.get(reads[0], 1.0) * share
            elif reads[0] in covered and layer.op in ("slice", "act", "copy"):
                covered[number] = covered[reads[0]]
    return depth[live.order[-1]]


def _shortest(
    reads: list[int], depth: dict[int, float], covered: dict[int, float]
) -> tuple[float, float]:
    """Mean over the channels of a sum of the shortest path to each, and the channels reached."""
    total = reached = 0.0
    for p in sorted(reads, key=depth.__getitem__):
        beyond = max(0.0, covered.get(p, 1.0) - reached)
        total += beyond * depth[p]
        reached += beyond
    return (total / reached if reached else 0.0), reached


def _mean(live: Live, layer: Layer, reads: list[int], depth: dict[int, float]) -> float:
    widths = [live.channels(p) for p in reads]
    parts = [depth[p] * width for p, width in zip(reads, widths, strict=True)]
    return sum(parts) / max(sum(widths), 1)
