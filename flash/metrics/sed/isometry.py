"""Isometry: the share of a network's depth that a gradient can bypass without being changed.

Gradient energy is followed backwards through the live graph (``SED.md``, section 3). Between
two tensors that every path passes, ``T`` is the share of the energy that an identity route
carries; isometry is the mean of ``T`` over the convolutions of the steps that keep their shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flash.metrics.sed.graph import Trace
from flash.metrics.sed.live import bends
from flash.spaces.layers import INPUT, Layer

__all__ = ["isometry"]

#: Of the image: what reads it always reshapes it.
_NO_SHAPE = (0, 0, 0)
_LINEAR = ("add", "avg_pool", "max_pool", "slice", "pad", "concat", "copy", "resize", "mul")
_READERS = ("act", "norm", "layer_norm", "copy")


@dataclass(slots=True)
class _Step:
    """From one tensor that all paths pass to the next.

    layers:   numbers of the layers between, the last one writes ``end``.
    convs:    on the longest path.
    reshapes: channels, height or width differ.
    """

    start: int
    end: int
    layers: Sequence[int]
    convs: int
    reshapes: bool


def isometry(found: Trace) -> float:
    """Isometry of a traced network, 0 to 1; 0 if no identity carries anything."""
    steps = _steps(found)
    total, chain, share, begun = 0.0, 1.0, 1.0, False
    for step in reversed(steps):
        if step.reshapes:
            chain, share, begun = 1.0, 1.0, False
            continue
        # What norms or rectifies a region's last map for its reader is no part of the region.
        if not begun and all(found.live.layers[n].op in _READERS for n in step.layers):
            continue
        last, begun = not begun, True
        share *= _identity(found, step, last) if share else 0.0
        if share:
            chain *= _gain(found, step, last)
            total += step.convs * share * min(1.0, 1.0 / chain)
    return total / sum([step.convs for step in steps if not step.reshapes]) if total else 0.0


def _steps(found: Trace) -> list[_Step]:
    live, layers = found.live, found.live.layers
    meeting, convolutions = set(live.articulations), live.convolutions
    depth: dict[int, int] = {INPUT: 0}
    steps = []
    start, shape, inner = INPUT, _NO_SHAPE, list[int]()
    for number in live.order:
        layer, reads = layers[number], live.reads[number]
        before = depth[reads[0]] if len(reads) == 1 else max([depth[p] for p in reads])
        depth[number] = before + (number in convolutions)
        inner.append(number)
        if number in meeting:
            convs, before_it, shape = depth[number] - depth[start], shape, _shape(layer)
            steps.append(_Step(start, number, inner, convs, shape != before_it))
            start, inner = number, []
    return steps


def _shape(layer: Layer) -> tuple[int, int, int]:
    return int(layer.out_channels), int(layer.out_height), int(layer.out_width)


def _identity(found: Trace, step: _Step, last: bool) -> float:
    """Share of the step's end that a route of nothing but additions brings from its start.

    A concat passes on its share of the channels, a ReLU after a sum the share that is linear.
    last: the step ends its region, so what it ends in is the sum, before any activation.
    """
    live = found.live
    share = {step.end: 1.0}
    for number in reversed(step.layers):
        mine = share.get(number)
        if mine is None:
            continue
        layer = live.layers[number]
        if layer.op not in ("add", "mul", "concat", "slice", "copy", "act"):
            continue
        if bends(layer) and not (last and number == step.end):
            mine *= found.rectifies(number).linear
        for p in live.passed(number) if layer.op == "mul" else live.reads[number]:
            part = mine
            if layer.op == "concat":
                part *= found.maps[p].channels / int(layer.out_channels)
            share[p] = max(share.get(p, 0.0), part)
    return share.get(step.start, 0.0)


def _gain(found: Trace, step: _Step, last: bool) -> float:
    """Gradient energy at the start of a step for one at its end.

    Linear routes from one tensor to another add up in amplitude, what arrives through
    convolutions and activations in power: each arrival is followed apart.
    """
    layers, maps, reads = found.live.layers, found.maps, found.live.reads
    # Tensor -> {where gradient arrived: amplitude of the linear routes from here to there}.
    routes: dict[int, dict[int, float]] = {step.end: {step.end: 1.0}}
    energy: dict[int, float] = {step.end: 1.0}
    for number in reversed(step.layers):
        layer = layers[number]
        arrived = routes.pop(number, None)
        if arrived is None:  # works out a gate
            continue
        passed = found.live.passed(number) if layer.op == "mul" else reads[number]
        bent = bends(layer) and not (last and number == step.end)
        if layer.op in (*_LINEAR, "act") and not bent and int(layer.stride) == 1:
            for p in passed:
                mine = routes.setdefault(p, {})
                for where, amplitude in arrived.items():
                    mine[where] = mine.get(where, 0.0) + amplitude
            continue
        total = sum(a * a * energy[where] for where, a in arrived.items())
        gain = found.rectifies(number).active if bent else 1.0
        if layer.op in ("conv", "norm", "layer_norm", "linear"):
            gain /= max(float(maps[reads[number][0]].covariance[0]), 1e-9)
        # ~number stands for what arrives through this layer.
        energy[~number] = total * gain
        for p in passed:
            routes.setdefault(p, {})[~number] = 1.0
    return sum(a * a * energy[where] for where, a in routes.get(step.start, {}).items())
