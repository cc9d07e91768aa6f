"""The scores, layer by layer: which layers lose entropy, and where capacity lies."""

from __future__ import annotations

from dataclasses import dataclass

from flash.metrics.sed.graph import Map, Trace, trace
from flash.metrics.sed.maps import PIXEL_ENTROPY
from flash.metrics.sed.paths import capacities, path_shares
from flash.spaces.network import Network

__all__ = ["LayerEntropy", "layer_entropies"]

#: The window whose entropy is compared.
_WINDOW = (3, 3)


@dataclass(frozen=True)
class LayerEntropy:
    """What one live layer makes of the maps it reads.

    entropy:  of a 3 x 3 window of the map it writes, as a share of that of nine independent
              numbers: 1 for white noise, less the smoother a map is.
    lost:     what of it the layer takes away: entropy of what it reads (mean over channels) less
              that of what it writes; below 0 where it adds some.
    capacity: the layer's share of the network's capacity; 0 for other layers than convolutions.
    share:    of the variance at the next tensor that all paths pass; 1 for a bare layer.
    """

    layer: str
    op: str
    entropy: float
    lost: float
    capacity: float
    share: float


def layer_entropies(network: Network) -> list[LayerEntropy]:
    """The live layers that work on maps, in execution order; none if nothing is live."""
    found = trace(network)
    live = found.live
    if not live.order:
        return []
    shares = path_shares(found)
    capacity = capacities(found, shares)
    total = sum(capacity.values()) or 1.0
    rows = []
    for number in live.order:
        layer = live.layers[number]
        if layer.op in _END_MAPS or number in live.gates:
            continue
        reads = live.passed(number) if layer.op == "mul" else live.reads[number]
        written = _entropy(found, found.maps[number])
        widths = [live.channels(p) for p in reads]
        read = sum(w * _entropy(found, found.maps[p]) for w, p in zip(widths, reads, strict=True))
        # A layer that reads no channel of a live one (places of what is not zero) loses nothing.
        lost = 0.0 if number in found.restarts or not sum(widths) else read / sum(widths) - written
        part = capacity.get(number, 0.0) / total
        rows.append(
            LayerEntropy(layer.name, layer.op, written, lost, part, shares.get(number, 1.0))
        )
    return rows


_END_MAPS = ("global_pool", "linear", "output", "input", "reduce")


def _entropy(found: Trace, x: Map) -> float:
    statistics = found.statistics
    (entropy,) = statistics.entropies(_WINDOW, [statistics.unit(x.covariance)])
    return entropy / (_WINDOW[0] * _WINDOW[1] * PIXEL_ENTROPY)
