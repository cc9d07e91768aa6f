"""Isometric depth: how many convolutions a gradient can bypass without being changed.

Gradient energy is followed backwards through the live graph (``SED.md``, section 4). Between
two tensors that every path passes, ``T`` is the share of the energy that an identity route
carries; the isometric depth is the mean over these steps of (convolutions in it) x ``T``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from flash.metrics.sed.graph import Trace
from flash.spaces.layers import Layer

__all__ = ["isometric_depth"]


@dataclass(frozen=True)
class _Step:
    """From one tensor that all paths pass to the next.

    identity: a route without any operation but additions joins the two.
    gain:     gradient energy at the start for one at the end.
    convs:    on the longest path.
    reshapes: channels, height or width differ.
    bare:     holds an activation or a batch norm and nothing else.
    inside:   ends inside a factorised convolution (expansion, depthwise, projection), so it
              is no step of its own.
    """

    identity: bool
    gain: float
    convs: int
    reshapes: bool
    bare: bool
    inside: bool


def isometric_depth(found: Trace) -> float:
    """Isometric depth of a traced network; 0 if no identity carries anything."""
    steps = _steps(found)
    total, chain, identity, begun = 0.0, 1.0, True, False
    for step in reversed(steps):
        if step.reshapes:
            chain, identity, begun = 1.0, True, False
            continue
        # What rectifies a region's last map for its reader is no part of the region.
        if step.bare and not begun:
            continue
        begun = True
        chain *= step.gain
        identity = identity and step.identity
        if identity:
            total += step.convs * min(1.0, 1.0 / chain)
    counted = sum(step.convs > 0 and not step.inside for step in steps)
    return total / counted if counted else 0.0


def _steps(found: Trace) -> list[_Step]:
    live, layers = found.live, found.live.layers
    depth: dict[int, int] = {-1: 0}
    for number in live.order:
        before = max(depth[p] for p in live.reads[number])
        depth[number] = before + (layers[number].op == "conv")
    steps = []
    points = live.articulations
    place = {number: i for i, number in enumerate(live.order)} | {points[0]: -1}
    for start, end in pairwise(points):
        inner = live.order[place[start] + 1 : place[end] + 1]
        identity, gain = _backward(found, start, end, inner)
        reshapes = start < 0 or _shape(layers[start]) != _shape(layers[end])
        bare = all(layers[n].op in ("act", "norm") for n in inner)
        following = live.order[place[end] + 1 : place[end] + 2]
        inside = _inside(layers[end], layers[following[0]] if following else None)
        convs = depth[end] - depth[start]
        steps.append(_Step(identity, gain, convs, reshapes, bare, inside))
    return steps


def _inside(layer: Layer, reader: Layer | None) -> bool:
    """Does ``layer`` write a map inside a factorised convolution (``reader`` reads it)?"""
    if reader is None:
        return False
    widens = layer.op == "conv" and int(layer.out_channels) > int(layer.in_channels)
    pointwise = int(layer.kernel_height) == int(layer.kernel_width) == 1
    return _depthwise(layer) or (widens and pointwise and _depthwise(reader))


def _depthwise(layer: Layer) -> bool:
    return layer.op == "conv" and int(layer.groups) == int(layer.in_channels) > 1


def _shape(layer: Layer) -> tuple[int, int, int]:
    return int(layer.out_channels), int(layer.out_height), int(layer.out_width)


def _backward(found: Trace, start: int, end: int, inner: Sequence[int]) -> tuple[bool, float]:
    """Is there a pure identity from ``start`` to ``end``, and the gain of gradient energy.

    Linear routes from one tensor to another add up in amplitude, what arrives through
    convolutions and activations in power: each arrival is followed apart.
    """
    layers, maps, reads = found.live.layers, found.maps, found.live.reads
    # Tensor -> {where gradient arrived: amplitude of the linear routes from here to there}.
    routes: dict[int, dict[int, float]] = {end: {end: 1.0}}
    energy: dict[int, float] = {end: 1.0}
    pure = {end}
    for number in reversed(inner):
        layer = layers[number]
        arrived = routes.pop(number)
        linear = layer.op in ("add", "avg_pool", "max_pool", "slice", "pad", "concat")
        linear = linear and not layer.act and int(layer.stride) == 1
        if linear:
            for p in reads[number]:
                mine = routes.setdefault(p, {})
                for where, amplitude in arrived.items():
                    mine[where] = mine.get(where, 0.0) + amplitude
            if number in pure and layer.op == "add":
                pure.update(reads[number])
            continue
        total = sum(a * a * energy[where] for where, a in arrived.items())
        variance = max(float(maps[reads[number][0]].covariance[0]), 1e-9)
        gain = 0.5 if layer.act else 1.0
        if layer.op in ("conv", "norm"):
            gain /= variance
        # ~number stands for what arrives through this layer.
        energy[~number] = total * gain
        for p in reads[number]:
            routes.setdefault(p, {})[~number] = 1.0
    at_start = routes.get(start, {})
    return start in pure, sum(a * a * energy[where] for where, a in at_start.items())
