"""SED of one network: one pass over its live layers, in execution order.

Every tensor is a sum over *sources* (maps that a convolution, an activation, a concat ... made
anew), each arriving over linear routes. Branches with a common source so add up in amplitude,
others in power; equal routes count once. Sources are numbered by what made them, so that the
same operation applied twice to the same tensor is one source.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from flash.metrics.sed.maps import (
    IMAGE,
    PIXEL_ENTROPY,
    SIZE,
    Floats,
    Route,
    correlation,
    relu,
    relu_of_correlation,
    resample,
    route_operator,
    window_entropy,
)
from flash.spaces.layers import INPUT, Layer
from flash.spaces.network import Network

__all__ = ["Live", "Map", "Trace", "trace"]

#: Source number -> {route: share of the channels it reaches}. Never changed once in a ``Map``.
Sources = dict[int, dict[Route, float]]

_DIRECT: Route = ()
_WHOLE = {_DIRECT: 1.0}
_WHOLE_ROUTES = frozenset(_WHOLE)


@dataclass(slots=True)
class Map:
    """A tensor at initialisation.

    covariance: (SIZE,) mean over its channels.
    rank:       channels that carry independent entropy (at most ``channels``).
    sources:    source number -> {route: share of the channels it reaches}.
    factor:     written by a depthwise convolution, the inside of a factorised one.
    number:     of the one source that it is, where that is known at once.
    """

    covariance: Floats
    channels: int
    rank: float
    sources: Sources
    factor: bool = False
    number: int | None = None
    _key: Hashable = None

    @property
    def key(self) -> Hashable:
        """Equal for tensors that are the same function of the same sources."""
        if self.number is not None:
            return self.number
        if self._key is None:
            self._key = self._named()
        return self._key

    def _named(self) -> Hashable:
        if len(self.sources) == 1:
            ((number, routes),) = self.sources.items()
            if routes == _WHOLE:
                return number
        return frozenset([(n, frozenset(r.items())) for n, r in self.sources.items()])


class Live:
    """The live layers of a network: numbers, what each reads, and where all paths meet."""

    def __init__(self, network: Network) -> None:
        self.layers = layers = network.layers
        fed = [bool(layer.signal) for layer in layers]
        output = int(network.output.producer)
        fed.append(True)  # the input, number -1
        needed = {output} if output >= 0 and fed[output] else set()
        self.reads: dict[int, list[int]] = {}
        for number in range(output, -1, -1):
            if number in needed:
                producers = [int(x.producer) for x in layers[number].inputs if x.present]
                reads = [p for p in producers if p >= INPUT and fed[p]]
                self.reads[number] = reads
                needed.update(reads)
        self.order = list(reversed(self.reads))

    @cached_property
    def articulations(self) -> tuple[int, ...]:
        """Tensors (by producer) that every path from the input to the output passes, in order."""
        last: dict[int, int] = {}
        for number in self.order:
            for p in self.reads[number]:
                last[p] = number
        found, open_until = [INPUT], last.get(INPUT, INPUT)
        for number in self.order:
            if open_until <= number:
                found.append(number)
            open_until = max(open_until, last.get(number, number))
        return tuple(found)


@dataclass
class Trace:
    """All maps of a network, and the windows its convolutions read and write."""

    live: Live
    maps: dict[int, Map] = field(default_factory=dict)
    restarts: frozenset[int] = frozenset()
    #: Kernel -> (correlations read, weight of each).
    windows: dict[tuple[int, int], tuple[list[Floats], list[float]]] = field(default_factory=dict)
    written: float = 0.0

    @property
    def sed(self) -> float:
        """Entropy read and written by the live convolutions (see ``SED.md``)."""
        total = self.written * PIXEL_ENTROPY
        for (height, width), (read, weights) in self.windows.items():
            found = window_entropy(_stacked(read), height, width)
            total += float(found @ np.array(weights))
        return total


def trace(network: Network) -> Trace:
    """Propagate the statistics of an image through the live part of ``network``."""
    live = Live(network)
    meeting = set(live.articulations)
    restarts = frozenset(n for n in live.order if n in meeting and int(live.layers[n].stride) > 1)
    found = Trace(live, restarts=restarts)
    channels = int(network.source.channels)
    found.maps[INPUT] = Map(IMAGE, channels, channels, {INPUT: _WHOLE}, number=INPUT)
    walk = _Walk(found)
    for number in live.order:
        y = walk.step(number, live.layers[number])
        found.maps[number] = walk.whole(number, y) if number in meeting else y
    return found


class _Walk:
    """One forward pass; knows what each source is and its covariance."""

    def __init__(self, found: Trace) -> None:
        self.found = found
        self.known: dict[Hashable, int] = {}
        self.covariances: dict[int, Floats] = {INPUT: IMAGE}
        self.channels: dict[int, int] = {INPUT: found.maps[INPUT].channels}
        self.routed: dict[tuple[int, frozenset[Route]], Floats] = {}

    def step(self, number: int, layer: Layer) -> Map:
        maps, reads = self.found.maps, self.found.live.reads[number]
        x, op = maps[reads[0]], layer.op
        if op == "conv":
            return self._conv(number, layer, x)
        if op in ("avg_pool", "max_pool"):
            return self._pool(number, layer, x)
        if op == "add":
            y = self._sum([maps[p] for p in reads])
            return self._act(y) if layer.act else y
        if op == "concat":
            return self._concat([maps[p] for p in reads])
        if op == "act":
            return self._act(x) if layer.act else x
        if op == "norm":
            unit = self._source(("norm", x.key), correlation(x.covariance), x)
            return self._act(unit) if layer.act else unit
        if op in ("slice", "pad"):
            return self._recut(x, op, int(layer.out_channels))
        # Global pooling and linear layers end the maps; what follows is judged as an image.
        return self._source((op, number), IMAGE, x, int(layer.out_channels))

    def whole(self, number: int, x: Map) -> Map:
        """The same map as one source: where all paths meet, what follows sees nothing else."""
        if isinstance(x.key, int):
            return x
        return self._source(("meeting", number), x.covariance, x, factor=x.factor)

    # ---------------------------------------------------------------------------- operations
    def _conv(self, number: int, layer: Layer, x: Map) -> Map:
        kernel = int(layer.kernel_height), int(layer.kernel_width)
        positions = int(layer.out_height) * int(layer.out_width)
        out, stride = int(layer.out_channels), int(layer.stride)
        depthwise = int(layer.groups) == int(layer.in_channels) > 1
        restart = stride > 1 and number in self.found.restarts
        r = IMAGE if restart else correlation(x.covariance)
        whole = kernel != (1, 1) or x.factor
        rank = out if whole else min(out, x.rank)
        weight = math.sqrt(x.rank * positions)
        if kernel == (1, 1):
            self.found.written += weight
        else:
            read, weights = self.found.windows.setdefault(kernel, ([], []))
            read.append(r)
            weights.append(weight)
        self.found.written += math.sqrt(rank * positions)
        if stride > 1 and not restart:
            r = resample(r, stride)
        if layer.act:
            r = relu_of_correlation(r)
        return self._source(("conv", number), r, x, out, rank, depthwise)

    def _pool(self, number: int, layer: Layer, x: Map) -> Map:
        kernel = int(layer.kernel_height), int(layer.kernel_width)
        if number in self.found.restarts:
            return self._source(("pool", number), IMAGE, x)
        sources = {
            n: {tuple(sorted((*route, kernel))): share for route, share in routes.items()}
            for n, routes in x.sources.items()
        }
        y = Map(self._covariance(sources), x.channels, x.rank, sources)
        stride = int(layer.stride)
        if stride == 1:
            return y
        return self._source(("stride", stride, y.key), resample(y.covariance, stride), y)

    def _sum(self, inputs: list[Map]) -> Map:
        channels = inputs[0].channels
        rank = min(channels, sum([x.rank for x in inputs]))
        sources: Sources = {}
        for x in inputs:
            sources |= x.sources
        if len(sources) == sum([len(x.sources) for x in inputs]):
            covariance = inputs[0].covariance
            for x in inputs[1:]:
                covariance = covariance + x.covariance
            return Map(covariance, channels, rank, sources)
        sources = {n: {} for n in sources}
        for x in inputs:
            for n, routes in x.sources.items():
                mine = sources[n]
                for route, share in routes.items():
                    if share > mine.get(route, 0.0):
                        mine[route] = share
        return Map(self._covariance(sources), channels, rank, sources)

    def _concat(self, inputs: list[Map]) -> Map:
        widths = [x.channels for x in inputs]
        channels = sum(widths)
        shares = np.array(widths, dtype=np.float64) / channels
        mean = shares @ _stacked([x.covariance for x in inputs])
        numbers: list[Hashable] = [x.number for x in inputs]
        mixed = None in numbers
        keys = [x.key for x in inputs] if mixed else numbers
        rank = min(channels, self._independent(inputs, keys, mixed))
        made = ("concat", tuple(keys), tuple(widths))
        return self._source(made, mean, inputs[0], channels, rank)

    def _independent(self, inputs: list[Map], keys: list[Hashable], mixed: bool) -> float:
        """Channels of ``inputs`` with entropy of their own.

        Those that arrive twice, or that are sums of others, have none. ``mixed``: some input
        is no single source (else the sources have no fewer channels than the inputs).
        """
        if not mixed and len(set(keys)) == len(keys):
            return sum([x.rank for x in inputs])
        direct: dict[Hashable, float] = {}
        for key, x in zip(keys, inputs, strict=True):
            if x.rank > direct.get(key, 0.0):
                direct[key] = x.rank
        total = sum(direct.values())
        if not mixed:
            return total
        origins = {(n, r) for x in inputs for n, routes in x.sources.items() for r in routes}
        return min(total, sum([self.channels[n] for n, _ in origins]))

    def _act(self, x: Map) -> Map:
        key = ("relu", x.key)
        number = self.known.get(key)
        covariance = relu(x.covariance) if number is None else self.covariances[number]
        return self._source(key, covariance, x, factor=x.factor)

    @staticmethod
    def _recut(x: Map, op: str, channels: int) -> Map:
        """The first channels of ``x``, or ``x`` followed by channels of zeros."""
        share = 1.0 if op == "slice" else x.channels / channels
        sources = {
            n: {route: share * s for route, s in routes.items()} for n, routes in x.sources.items()
        }
        rank = min(x.rank, channels)
        return Map(share * x.covariance, channels, rank, sources)

    # ------------------------------------------------------------------------------- helpers
    def _source(
        self, key: Hashable, covariance: Floats, like: Map,
        channels: int | None = None, rank: float | None = None, factor: bool = False,
    ) -> Map:  # fmt: skip
        """A map made anew, or the one that ``key`` made before."""
        number = self.known.setdefault(key, len(self.known))
        width = like.channels if channels is None else channels
        self.covariances[number] = covariance
        self.channels[number] = width
        if rank is None:
            rank = like.rank if channels is None else width
        return Map(covariance, width, rank, {number: _WHOLE}, factor, number)

    def _covariance(self, sources: dict[int, dict[Route, float]]) -> Floats:
        """Mean over the channels of a sum of sources; shares are taken from channel 0 on."""
        total: Floats | None = None
        for n, routes in sources.items():
            levels = sorted({0.0, *routes.values()}, reverse=True)
            for share, beyond in pairwise(levels):
                part = self._routed(n, frozenset([r for r, s in routes.items() if s >= share]))
                if share - beyond != 1.0:
                    part = (share - beyond) * part
                total = part if total is None else total + part
        return np.zeros_like(IMAGE) if total is None else total

    def _routed(self, number: int, routes: frozenset[Route]) -> Floats:
        """Covariance of a source after parallel linear routes."""
        if routes == _WHOLE_ROUTES:
            return self.covariances[number]
        found = self.routed.get((number, routes))
        if found is None:
            found = self.covariances[number] @ route_operator(routes)
            self.routed[number, routes] = found
        return found


def _stacked(covariances: list[Floats]) -> Floats:
    """Shape (len(covariances), SIZE); many times faster than ``np.stack`` for few numbers."""
    return np.concatenate(covariances).reshape(-1, SIZE)
