"""SED of one network: one pass over its live layers, in execution order.

Every tensor is a sum over *sources* (maps that a convolution, an activation, a concat ... made
anew), each arriving over linear routes. Branches with a common source so add up in amplitude,
others in power; equal routes count once. A source is named by the number of the first layer
that makes it: the same operation applied twice to the same tensor is one source.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise

from flash.metrics.sed.live import Live, bends, depthwise, positions
from flash.metrics.sed.maps import (
    CENTRED,
    IMAGE,
    PIXEL_ENTROPY,
    Floats,
    Rectified,
    Route,
)
from flash.metrics.sed.statistics import Statistics
from flash.spaces.layers import INPUT, Layer
from flash.spaces.network import Network

__all__ = ["Map", "Reading", "Trace", "trace"]

#: Source -> {route: share of the channels it reaches}. Never changed once in a ``Map``.
Sources = dict[int, dict[Route, float]]

_DIRECT: Route = ()
_WHOLE = {_DIRECT: 1.0}


@dataclass(slots=True)
class Map:
    """A tensor at initialisation.

    covariance: (SIZE,) mean over its channels.
    mean:       of its numbers; ReLU alone makes one, batch norm takes it away.
    rank:       channels that carry independent entropy (at most ``channels``).
    sources:    source -> {route: share of the channels it reaches}.
    factor:     written by a depthwise convolution, the inside of a factorised one.
    source:     the one that it is, where that is known at once.
    """

    covariance: Floats
    channels: int
    rank: float
    sources: Sources
    factor: bool = False
    source: int | None = None
    mean: float = 0.0
    _key: Hashable = None

    @property
    def key(self) -> Hashable:
        """Equal for tensors that are the same function of the same sources."""
        if self.source is not None:
            return self.source
        if self._key is None:
            self._key = self._named()
        return self._key

    def _named(self) -> Hashable:
        if len(self.sources) == 1:
            ((source, routes),) = self.sources.items()
            if routes == _WHOLE:
                return source
        return frozenset([(n, frozenset(r.items())) for n, r in self.sources.items()])


@dataclass(slots=True)
class Reading:
    """What one convolution reads and writes.

    number:      of the layer.
    correlation: (SIZE,) of the map it reads.
    read, written: weights of the entropies read and written, (rank x positions)^1/2.
    """

    number: int
    kernel: tuple[int, int]
    correlation: Floats
    read: float
    written: float


@dataclass
class Trace:
    """All maps of a network, and the windows its convolutions read and write."""

    live: Live
    maps: dict[int, Map] = field(default_factory=dict)
    restarts: frozenset[int] = frozenset()
    #: Live convolutions: what each reads and writes.
    readings: list[Reading] = field(default_factory=list)
    #: Source -> the map it was made of, where that is not what its layer reads.
    origins: dict[int, Map] = field(default_factory=dict)
    #: Source -> the map that it is.
    sources: dict[int, Map] = field(default_factory=dict)
    statistics: Statistics = field(default_factory=Statistics.shared)
    #: Layers that rectify a map with a mean: what is left of it (``CENTRED`` for all others).
    rectified: dict[int, Rectified] = field(default_factory=dict)

    def rectifies(self, number: int) -> Rectified:
        """What the activation of layer ``number`` leaves of the map before it."""
        return self.rectified.get(number, CENTRED)

    def covariance(self, sources: Sources) -> Floats:
        """Mean over the channels of a sum of sources; shares are taken from channel 0 on."""
        statistics, total = self.statistics, None
        for n, routes in sources.items():
            levels = sorted({0.0, *routes.values()}, reverse=True)
            for share, beyond in pairwise(levels):
                through = frozenset([r for r, s in routes.items() if s >= share])
                part = statistics.routed(self.sources[n].covariance, through)
                part = statistics.scaled(part, share - beyond)
                total = part if total is None else statistics.plus(total, part)
        return statistics.scaled(IMAGE, 0.0) if total is None else total

    def parts(self, x: Map) -> list[tuple[int, float]]:
        """The sources of a map, with the share of its variance that each brings."""
        if x.source is not None:
            return [(x.source, 1.0)]
        variances = [
            (self.sources[n].covariance if r == _WHOLE else self.covariance({n: r})).item(0)
            for n, r in x.sources.items()
        ]
        total = sum(variances) or 1.0
        return [(n, v / total) for n, v in zip(x.sources, variances, strict=True)]

    @cached_property
    def entropies(self) -> list[float]:
        """Of the window that each of ``readings`` reads, nats a channel."""
        found = [PIXEL_ENTROPY] * len(self.readings)
        groups: dict[tuple[int, int], list[int]] = {}
        for k, reading in enumerate(self.readings):
            if reading.kernel != (1, 1):
                groups.setdefault(reading.kernel, []).append(k)
        for kernel, members in groups.items():
            read = [self.readings[k].correlation for k in members]
            for k, entropy in zip(members, self.statistics.entropies(kernel, read), strict=True):
                found[k] = entropy
        return found

    @property
    def sed(self) -> float:
        """Entropy read and written by the live convolutions (see ``SED.md``)."""
        return sum(
            x.read * h + x.written * PIXEL_ENTROPY
            for x, h in zip(self.readings, self.entropies, strict=True)
        )


def trace(network: Network) -> Trace:
    """Propagate the statistics of an image through the live part of ``network``."""
    live = Live(network)
    meeting = set(live.articulations)
    strided = [n for n in live.articulations if n >= 0 and int(live.layers[n].stride) > 1]
    found = Trace(live, restarts=frozenset(strided))
    channels = int(network.source.channels)
    found.maps[INPUT] = Map(IMAGE, channels, channels, {INPUT: _WHOLE}, source=INPUT)
    walk, maps, layers, reads = _Walk(found), found.maps, live.layers, live.reads
    for number in live.order:
        y = walk.step(number, layers[number], [maps[p] for p in reads[number]])
        # What follows a tensor where all paths meet sees nothing else.
        if y.source is None and number in meeting:
            found.origins[number] = y
            y = walk.made(number, y.covariance, y.channels, y.rank, y.factor, y.mean)
        maps[number] = y
    return found


class _Walk:
    """One forward pass; knows what each source is and its covariance."""

    def __init__(self, found: Trace) -> None:
        self.found = found
        self.sources, self.statistics = found.sources, found.statistics
        self.sources[INPUT] = found.maps[INPUT]
        self.known: dict[Hashable, int] = {}

    def step(self, number: int, layer: Layer, inputs: list[Map]) -> Map:
        """What ``layer`` makes of its inputs."""
        x, op = inputs[0], layer.op
        if op in ("conv", "conv_transpose"):
            return self._conv(number, layer, x)
        if op == "act":
            return self._act(number, x) if bends(layer) else x
        if op == "add":
            y = self._sum(inputs)
            return self._act(number, y) if bends(layer) else y
        if op == "avg_pool" or op == "max_pool":
            return self._pool(number, layer, x)
        if op == "concat":
            return self._concat(number, inputs)
        if op in ("norm", "layer_norm"):
            unit = self.statistics.unit(x.covariance)
            y = self._same(("norm", x.key), number, unit, x.channels, x.rank)
            return self._act(number, y) if bends(layer) else y
        if op in ("slice", "pad"):
            return self._recut(x, op, int(layer.out_channels))
        if op == "mul":
            return self._product(number, inputs)
        if op in ("copy", "resize") and int(layer.out_channels) == x.channels:
            if len(inputs) == 1:
                return x
            # Maps laid side by side, such as octaves of a spectrum: alike, and each counts.
            return self.made(number, x.covariance, x.channels, max([y.rank for y in inputs]))
        if op == "linear" and self.found.live.mixes(number):
            return self._conv(number, layer, x)
        # Global pooling and linear layers end the maps; what follows is judged as an image.
        channels = int(layer.out_channels)
        return self.made(number, IMAGE, channels, channels)

    # ---------------------------------------------------------------------------- operations
    def _conv(self, number: int, layer: Layer, x: Map) -> Map:
        kernel = int(layer.kernel_height), int(layer.kernel_width)
        number_of = positions(layer)
        out, stride = int(layer.out_channels), int(layer.stride)
        restart = stride > 1 and number in self.found.restarts
        r = IMAGE if restart else self.statistics.unit(x.covariance)
        whole = kernel != (1, 1) or x.factor
        rank = out if whole else min(out, x.rank)
        read, written = math.sqrt(x.rank * number_of), math.sqrt(rank * number_of)
        self.found.readings.append(Reading(number, kernel, r, read, written))
        if stride > 1 and not restart:
            r = self.statistics.resampled(r, stride)
        y = self.made(number, r, out, rank, depthwise(layer))
        return self._act(number, y) if bends(layer) else y

    def _pool(self, number: int, layer: Layer, x: Map) -> Map:
        if number in self.found.restarts:
            return self.made(number, IMAGE, x.channels, x.rank)
        kernel, stride = (int(layer.kernel_height), int(layer.kernel_width)), int(layer.stride)
        sources: Sources
        if x.source is not None:  # the usual case, at once
            sources = {x.source: {(kernel,): 1.0}}
            covariance = self.statistics.routed(x.covariance, _alone(kernel))
        else:
            sources = {
                n: {tuple(sorted((*route, kernel))): share for route, share in routes.items()}
                for n, routes in x.sources.items()
            }
            covariance = self.found.covariance(sources)
        y = Map(covariance, x.channels, x.rank, sources, mean=x.mean)
        if stride == 1:
            return y
        covariance = self.statistics.resampled(covariance, stride)
        key = ("stride", stride, y.key)
        return self._same(key, number, covariance, x.channels, x.rank, mean=x.mean)

    def _sum(self, inputs: list[Map]) -> Map:
        channels = inputs[0].channels
        rank = min(channels, sum([x.rank for x in inputs]))
        mean = sum([x.mean for x in inputs])
        sources: Sources = {}
        for x in inputs:
            sources |= x.sources
        if len(sources) == sum([len(x.sources) for x in inputs]):
            covariance = inputs[0].covariance
            for x in inputs[1:]:
                covariance = self.statistics.plus(covariance, x.covariance)
            return Map(covariance, channels, rank, sources, mean=mean)
        sources = {n: {} for n in sources}
        for x in inputs:
            for n, routes in x.sources.items():
                mine = sources[n]
                for route, share in routes.items():
                    if share > mine.get(route, 0.0):
                        mine[route] = share
        return Map(self.found.covariance(sources), channels, rank, sources, mean=mean)

    def _concat(self, number: int, inputs: list[Map]) -> Map:
        widths = [x.channels for x in inputs]
        channels = sum(widths)
        shares = [width / channels for width in widths]
        covariance = self.statistics.mean(shares, [x.covariance for x in inputs])
        mean = sum([share * x.mean for share, x in zip(shares, inputs, strict=True)])
        keys: list[Hashable] = [x.source for x in inputs]
        mixed = None in keys
        if mixed:
            keys = [x.key for x in inputs]
        rank = min(channels, self._independent(inputs, keys, mixed))
        key = ("concat", *keys, *widths)
        return self._same(key, number, covariance, channels, rank, mean=mean)

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
        return min(total, sum([self.sources[n].channels for n, _ in origins]))

    def _act(self, number: int, x: Map) -> Map:
        covariance, left = self.statistics.rectified(x.covariance, x.mean)
        if x.mean:
            self.found.rectified[number] = left
        if x.source != number:
            self.found.origins[number] = x
        key = ("relu", x.key)
        return self._same(key, number, covariance, x.channels, x.rank, x.factor, left.mean)

    def _product(self, number: int, inputs: list[Map]) -> Map:
        """A gated map is the map; a map times what was made of it, an activation of it."""
        live, maps = self.found.live, self.found.maps
        if len(whole := live.passed(number)) == 1:
            return maps[whole[0]]
        roots = [maps[p] for p in live.roots(number)]
        if len({x.key for x in roots}) == 1:
            return self._act(number, roots[0])
        covariance = self.statistics.unit(inputs[0].covariance)
        for x in inputs[1:]:
            covariance = covariance * self.statistics.unit(x.covariance)
        return self.made(number, covariance, inputs[0].channels, max([x.rank for x in inputs]))

    def _recut(self, x: Map, op: str, channels: int) -> Map:
        """The first channels of ``x``, or ``x`` followed by channels of zeros."""
        share = 1.0 if op == "slice" else x.channels / channels
        sources = {
            n: {route: share * s for route, s in routes.items()} for n, routes in x.sources.items()
        }
        rank = min(x.rank, channels)
        covariance = self.statistics.scaled(x.covariance, share)
        return Map(covariance, channels, rank, sources, mean=share * x.mean)

    # ------------------------------------------------------------------------------- helpers
    def _same(
        self,
        key: Hashable,
        number: int,
        covariance: Floats,
        channels: int,
        rank: float,
        factor: bool = False,
        mean: float = 0.0,
    ) -> Map:
        """What ``key`` says layer ``number`` makes, and perhaps one before made."""
        name = self.known.setdefault(key, number)
        return self.made(name, covariance, channels, rank, factor, mean)

    def made(
        self,
        name: int,
        covariance: Floats,
        channels: int,
        rank: float,
        factor: bool = False,
        mean: float = 0.0,
    ) -> Map:
        """A map that is one source."""
        result = Map(covariance, channels, rank, {name: _WHOLE}, factor, name, mean)
        self.sources[name] = result
        return result


@lru_cache(maxsize=64)
def _alone(kernel: tuple[int, int]) -> frozenset[Route]:
    """The one route through a pool."""
    return frozenset([(kernel,)])
