"""The best mapping of a layer, proved to be, and of two layers in a row.

``best_nest`` searches every order and every cut of the dimensions into divisors, by branch and
bound: a nest's costs depend on how far each boundary has come in every dimension, so it looks for
a chain of such points, the cheapest first, until no other can be better. The result is the optimum
of that space. Left out: unrolling other dimensions, and padding a dimension to one that divides.

``best_pair`` asks of two layers in a row whether the tensor between them stays in the buffer: it
then never passes DRAM, and both have less room for their tiles. Strips of a fused pair, which
need less room than the whole tensor, are not searched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError
from flash.targets.systolic.nests import (
    ALL,
    DIMENSIONS,
    NOTHING,
    OF_WEIGHTS,
    SUMMED,
    Aim,
    Boundaries,
    Costs,
    Loop,
    Memories,
    Nest,
    NestedLayer,
    Points,
    Product,
    Resident,
    turns,
)

__all__ = ["Pair", "best_nest", "best_pair"]

_G, _K, _C, _Y, _X, _R, _S = range(7)


@lru_cache(maxsize=1024)
def best_nest(
    sizes: Product, memories: Memories, aim: Aim = "latency", resident: Resident = NOTHING
) -> tuple[Nest, Costs]:
    """The mapping of least cycles, energy or product of both, proved to be; of equals, one.

    resident: "inputs" that are in the buffer from before, "outputs" that stay in it.

    Raises ``UsageError`` for what are no sizes, memories or aim, and where not even one word of
    each operand fits.
    """
    if aim not in get_args(Aim):
        raise UsageError(f"aim must be one of {', '.join(get_args(Aim))}, got {aim!r}")
    layer = NestedLayer(sizes, memories, resident)
    points = np.array(list(product(*(_divisors(int(n)) for n in layer.steps))), dtype=np.int64)
    innermosts = _innermosts(layer, points, aim)
    found: tuple[float, Boundaries | None] = (np.inf, None)
    if aim == "latency":  # loops at the bottom matter for what is written in the end only
        found = _with(layer, points, np.ones(7, dtype=np.int64), aim, found)
    if aim != "latency" or found[1] is None or _waits(layer, found[1]):
        for innermost, bound in innermosts:
            if bound >= found[0]:
                break
            found = _with(layer, points, innermost, aim, found)
    if found[1] is None:
        raise UsageError(f"{sizes}: not one word of each operand fits into {memories}")
    best = found[1]
    for innermost, _ in innermosts if aim == "latency" else ():
        other = best._replace(innermost=innermost)
        if _is_chain(other) and layer.costs(other).cycles <= found[0] * (1 + 1e-12):
            best = other
            break
    return _written(layer, best)


def _waits(layer: NestedLayer, at: Boundaries) -> bool:
    """Whether outputs are left to be written when the last of them is complete."""
    tile = float(layer.output_tile(at.outputs)) / layer.memories.dram_bytes_per_cycle
    return tile > float(layer.last_turn(at))


def _is_chain(at: Boundaries) -> bool:
    """Whether one nest passes all boundaries."""
    ranked = sorted(at, key=lambda point: int(point.prod()))
    return all((high % low == 0).all() for low, high in pairwise(ranked)) and bool(
        turns(at.innermost, SUMMED) == 1 or (at.outputs % at.innermost == 0).all()
    )


@dataclass(frozen=True)
class Pair:
    """Two layers in a row. fused: whether the tensor between them stays in the buffer."""

    fused: bool
    nests: tuple[Nest, Nest]
    costs: tuple[Costs, Costs]

    @property
    def cycles(self) -> float:
        """Of both, one after the other."""
        return float(sum(costs.cycles for costs in self.costs))

    @property
    def energy_pj(self) -> float:
        """Of both."""
        return float(sum(costs.energy_pj for costs in self.costs))


def best_pair(
    first: Product, second: Product, memories: Memories, aim: Literal["latency", "energy"]
) -> Pair:
    """The better of two layers each by itself, and with the tensor between them in the buffer.

    Raises ``UsageError`` where the second does not read what the first writes.
    """
    written = (first.groups * first.filters, first.height, first.width)
    read = (second.groups * second.channels, second.in_height, second.in_width)
    if written != read:
        raise UsageError(f"the second layer reads {read} (channels, rows, columns), the first "
                         f"writes {written}")  # fmt: skip
    apart = [best_nest(sizes, memories, aim) for sizes in (first, second)]
    pairs = [(False, apart)]
    try:
        fused = [
            best_nest(first, memories, aim, frozenset({"outputs"})),
            best_nest(second, memories, aim, frozenset({"inputs"})),
        ]
        pairs.append((True, fused))
    except UsageError:  # the tensor does not fit
        pass
    is_fused, both = min(pairs, key=lambda pair: float(sum(costs.of(aim) for _, costs in pair[1])))
    (one, its), (other, others) = both
    return Pair(is_fused, (one, other), (its, others))


def _innermosts(layer: NestedLayer, points: Points, aim: Aim) -> list[tuple[Points, float]]:
    """Loops of one kind that may be at the bottom, with a lower bound, lowest first."""
    nothing = np.ones(7, dtype=np.int64)
    whole = _least_dram_pj(layer)
    each = [nothing, *_kinds(points)]
    bounds = [float(sum(layer.inner_pj(p)[:2])) + whole for p in each]
    ordered = sorted(zip(each, bounds, strict=True), key=lambda pair: pair[1])
    least = layer.arithmetic if aim == "product" else 1
    return [(p, 0.0 if aim == "latency" else bound * least) for p, bound in ordered]


def _kinds(points: Points) -> Iterator[Points]:
    for kind in (SUMMED, frozenset({_K}), frozenset({_Y, _X})):
        others = sorted(ALL - kind)
        yield from points[(points[:, others] == 1).all(axis=1) & (points.prod(axis=1) > 1)]


def _least_dram_pj(layer: NestedLayer) -> float:
    """Energy of every tensor through DRAM once; a bound from below."""
    m = layer.memories
    inputs = float(layer.input_traffic(layer.steps))
    outputs = layer.least_written
    read = (layer.weight_bytes + inputs) * m.dram_read_byte
    written = outputs * m.dram_write_byte
    buffer = inputs * m.buffer_write_byte + outputs * m.buffer_read_byte
    return read + written + buffer + layer.weight_bytes / m.bytes * m.weight_write


def _with(
    layer: NestedLayer,
    points: Points,
    innermost: Points,
    aim: Aim,
    found: tuple[float, Boundaries | None],
) -> tuple[float, Boundaries | None]:
    """The best nest with these loops at the bottom, or what was found before."""
    chained = _divides_either(points, innermost)
    inputs = outputs = points[chained]
    if turns(innermost, SUMMED) > 1:  # what adds up in registers is inside the buffer's tile
        outputs = points[(points % innermost == 0).all(axis=1)]
    inputs = inputs[layer.input_tile(inputs) <= layer.memories.buffer_bytes]
    if not len(inputs) or not len(outputs):
        return found
    bounds = _input_bounds(layer, inputs, innermost, aim)
    for k in np.argsort(bounds, kind="stable"):
        if bounds[k] >= found[0]:
            break
        own = inputs[k]
        chained = _divides_either(outputs, own)
        chained &= layer.allowed(own, outputs)
        if chained.any():
            found = _with_weights(layer, innermost, own, outputs[chained], aim, found)
    return found


def _input_bounds(layer: NestedLayer, inputs: Points, innermost: Points, aim: Aim) -> NDArray[Any]:
    """A lower bound of the cost for every boundary of the inputs."""
    m, traffic = layer.memories, layer.input_traffic(inputs)
    outputs = layer.least_written
    more = (traffic - float(layer.input_traffic(layer.steps))).clip(0)
    own = float(sum(layer.inner_pj(innermost)[:2])) + _least_dram_pj(layer)
    energy = np.asarray(own + more * (m.dram_read_byte + m.buffer_write_byte))
    words = traffic + layer.weight_bytes + outputs
    first = np.minimum(layer.input_tile(inputs), traffic) + layer.across * layer.down * m.bytes
    busy = layer.arithmetic + first / m.dram_bytes_per_cycle
    drain = layer.across + layer.down - 2
    cycles = np.asarray(np.maximum(busy, words / m.dram_bytes_per_cycle) + drain)
    bounds: dict[Aim, NDArray[Any]] = {"energy": energy, "latency": cycles}
    return energy * cycles if aim == "product" else bounds[aim]


def _with_weights(
    layer: NestedLayer,
    innermost: Points,
    inputs: Points,
    outputs: Points,
    aim: Aim,
    found: tuple[float, Boundaries | None],
) -> tuple[float, Boundaries | None]:
    """With the best boundary of the weights: as few weights, as many places as a gap allows.

    Between two neighbours of the chain the best is the lower one's weights with the upper one's
    rows and columns: both first tile and traffic are least there.
    """
    shape = outputs.shape
    chain = [np.broadcast_to(p, shape) for p in (innermost, inputs)] + [outputs]
    sizes = np.stack([p.prod(axis=1) for p in chain])
    order = np.argsort(sizes, axis=0, kind="stable")
    stacked = np.stack(chain)
    ranked = [np.take_along_axis(stacked, order[k][None, :, None], axis=0)[0] for k in range(3)]
    ends = [np.ones(shape, np.int64), *ranked, np.broadcast_to(layer.steps, shape)]
    places = [_Y, _X]
    candidates = []
    for low, high in pairwise(ends):
        point = low.copy()
        point[:, places] = high[:, places]
        candidates.append(point)
    candidates.append(ends[-1].copy())
    for point in candidates:
        fits = turns(point, OF_WEIGHTS) <= layer.memories.weight_words
        if not fits.any():
            continue
        at = Boundaries(innermost, point[fits], inputs, outputs[fits])
        costs = layer.costs(at)
        values = np.broadcast_to(costs.of(aim), (int(fits.sum()),))
        best = int(np.argmin(values))
        if values[best] < found[0]:
            found = (
                float(values[best]),
                at._replace(weights=at.weights[best], outputs=at.outputs[best]),
            )
    return found


def _divides_either(points: Points, other: Points) -> NDArray[np.bool_]:
    """Whether a nest can pass both: one divides the other in every dimension."""
    up, down = (points % other == 0).all(axis=1), (other % points == 0).all(axis=1)
    return np.asarray(up | down)


def _divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


def _written(layer: NestedLayer, at: Boundaries) -> tuple[Nest, Costs]:
    """The nest through the boundaries, and its costs."""
    marks = {"sums": at.innermost, "weights": at.weights, "inputs": at.inputs}
    marks |= {"outputs": at.outputs}
    loops: list[Loop] = []
    places: dict[str, int] = {}
    now = np.ones(7, dtype=np.int64)
    for name in sorted(marks, key=lambda key: int(marks[key].prod())):
        ratio = marks[name] // now
        loops += _in_order(ratio)
        now = marks[name]
        places[name] = len(loops)
    loops += _in_order(layer.steps // now)
    summed = turns(at.innermost, SUMMED) == at.innermost.prod()
    nest = Nest(tuple(loops), places["sums"] if summed else 0, places["weights"],
                places["inputs"], places["outputs"])  # fmt: skip
    return nest, layer.costs(at)


def _in_order(times: Points) -> list[Loop]:
    """Loops between two boundaries: rows and columns first, as they use weights again."""
    order = (_Y, _X, _R, _S, _C, _K, _G)
    return [(DIMENSIONS[k], int(times[k])) for k in order if times[k] > 1]
