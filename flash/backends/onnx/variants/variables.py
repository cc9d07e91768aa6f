"""The variables of a model's variants: which widths and depths, and what each may be.

Groups of units that play the same part in the equal blocks of a run follow one variable, and so
does a gate's squeezed width with the width it gates (squeeze-and-excitation), in the same share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flash.backends.onnx.variants.blocks import Run, blocks_by_node
from flash.backends.onnx.variants.frozen import Frozen
from flash.backends.onnx.variants.units import KERNEL, SIDE, Group, Units

__all__ = ["SHARES", "Choice", "choose_variables"]

#: Shares of a width that variants may keep, from fine to coarse.
SHARES: Final = (
    (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0),
    (0.25, 0.4, 0.55, 0.7, 0.85, 1.0),
    (0.25, 0.45, 0.6, 0.8, 1.0),
    (0.25, 0.5, 0.75, 1.0),
    (0.25, 0.6, 1.0),
)
#: Width in channels from which on variants keep multiples of so many channels.
_STEPS: Final = ((64, 8), (32, 4), (16, 2), (0, 1))
#: Depths that a run may have at most, the full one included.
_MOST_DEPTHS: Final = 6


@dataclass(frozen=True)
class Choice:
    """A variable: see ``flash.spaces.template.Variable``; ``run`` is the one it is the depth of."""

    name: str
    kind: str
    values: tuple[int, ...]
    units: Mapping[int, tuple[int, ...]]
    what: str
    run: int = -1

    def to_dict(self) -> dict[str, Any]:
        """As the graph's file has it."""
        units = {str(group): list(own) for group, own in self.units.items()}
        return {
            "name": self.name,
            "kind": self.kind,
            "values": list(self.values),
            "units": units,
            "what": self.what,
        }


def choose_variables(
    frozen: Frozen,
    units: Units,
    runs: Sequence[Run],
    shares: Sequence[float] = SHARES[0],
    tied: Sequence[Sequence[int]] = (),
    block: int = 1,
) -> list[Choice]:
    """The variables in the order in which the model meets them.

    tied:  groups of which all follow one variable, in equal shares.
    block: channels that the target computes at once: wider groups keep multiples of it.
    """
    at = _Nodes(frozen, units, runs)
    found = _widths(units, _leaders(units, at, tied), at, shares, block)
    found += _depth_choices(runs)
    found += _extent_choices(frozen, units)
    found.sort(key=lambda pair: pair[0])
    return [choice for _, choice in found if len(choice.values) > 1]


def _leaders(units: Units, at: _Nodes, tied: Sequence[Sequence[int]]) -> dict[int, int]:
    """Group -> the group whose variable it follows, its own mostly."""
    leaders: dict[object, int] = {}
    follows: dict[int, int] = {}
    for number in range(len(units.groups)):
        key = at.part(number)
        follows[number] = leaders.setdefault(key, number)
    for number in range(len(units.groups)):
        gated = at.gates(number)
        if gated is not None:
            follows[number] = follows[gated]
    for together in tied:
        leads = {follows[g] for g in together}
        lead = max(leads, key=lambda g: (units.groups[g].units, -g))
        follows = {g: lead if own in leads else own for g, own in follows.items()}
    return follows


def _widths(
    units: Units, follows: Mapping[int, int], at: _Nodes, shares: Sequence[float], block: int
) -> list[tuple[int, Choice]]:
    """Widths and heads, each with the node at which it begins."""
    found: list[tuple[int, Choice]] = []
    counts: dict[str, int] = {}
    for leader in dict.fromkeys(follows.values()):
        groups = [g for g, own in follows.items() if own == leader]
        if units.groups[leader].units < 2:
            continue
        inside = at.part(leader) is not leader and isinstance(at.part(leader), tuple)
        kind = "heads" if units.groups[leader].heads else "inner" if inside else "width"
        counts[kind] = counts.get(kind, 0) + 1
        levels = _levels(units.groups[leader], shares, block)
        name = f"{kind}{counts[kind]}"
        choice = _width(name, kind, units.groups, (leader, groups), levels, at)
        found.append((at.first(leader), choice))
    return found


def _depth_choices(runs: Sequence[Run]) -> list[tuple[int, Choice]]:
    found: list[tuple[int, Choice]] = []
    for number, run in enumerate(runs):
        n = len(run.blocks)
        what = f"blocks kept of {n} equal one{'s' if n > 1 else ''} after '{run.blocks[0].enters}'"
        choice = Choice(f"depth{number + 1}", "depth", _depths(n), {}, what, number)
        found.append((min(run.blocks[0].nodes), choice))
    return found


def _extent_choices(frozen: Frozen, units: Units) -> list[tuple[int, Choice]]:
    """A variable for each kernel that may be smaller, and one for the side of the input."""
    found: list[tuple[int, Choice]] = []
    sides: dict[int, tuple[int, ...]] = {}
    for number, extent in units.numbered_extents:
        if extent.kind == SIDE:
            sides[number] = extent.sizes
            continue
        name, node = f"kernel{len(found) + 1}", frozen.nodes[extent.node].name
        what = f"side of the depthwise kernels of '{node}' on"
        found.append(
            (extent.node, Choice(name, KERNEL, extent.sizes, {number: extent.sizes}, what))
        )
    if sides:
        values = sides[units.extent_at[next(iter(frozen.inputs)), 2]]
        what = "height of the input, its width along"
        found.append((-1, Choice("side", SIDE, values, sides, what)))
    return found


def _depths(blocks: int) -> tuple[int, ...]:
    least = 0 if blocks == 1 else 1
    every = range(least, blocks + 1)
    if len(every) <= _MOST_DEPTHS:
        return tuple(every)
    return tuple(sorted({round(blocks * k / _MOST_DEPTHS) for k in range(1, _MOST_DEPTHS + 1)}))


def _levels(group: Group, wanted: Sequence[float], block: int) -> tuple[int, ...]:
    """Units at each share of the width; more channels than a block in multiples of it."""
    if group.heads and group.units <= len(wanted):
        return tuple(range(1, group.units + 1))
    step = next(step for least, step in _STEPS if group.channels >= least)
    if group.channels > block:
        step = max(step, block)
    step = max(1, step // group.per)
    shares = {max(step, round(group.units * s / step) * step) for s in wanted}
    return tuple(sorted({min(n, group.units) for n in shares} | {group.units}))


def _width(
    name: str,
    kind: str,
    groups: Sequence[Group],
    members: tuple[int, Sequence[int]],
    levels: tuple[int, ...],
    at: _Nodes,
) -> Choice:
    leader, followers = members
    lead = groups[leader]
    units = {}
    for member in followers:
        own = groups[member].units
        same = own == lead.units
        units[member] = tuple(n if same else max(1, round(own * n / lead.units)) for n in levels)
    per = 1 if kind == "heads" else lead.per
    what = {"heads": "heads of attention", "inner": "channels inside the blocks"}.get(
        kind, "channels"
    )
    place = at.frozen.nodes[at.first(leader)].name
    return Choice(name, kind, tuple(n * per for n in levels), units, f"{what} from '{place}' on")


class _Nodes:
    """Where groups are: the nodes that read or make what they reach."""

    def __init__(self, frozen: Frozen, units: Units, runs: Sequence[Run]) -> None:
        self.frozen, self.units = frozen, units
        self._blocks = blocks_by_node(runs)
        self._runs = runs
        makers: dict[str, list[int]] = {}
        for k, node in enumerate(frozen.nodes):
            for name in node.output:
                makers.setdefault(name, []).append(k)
            for name in node.input:
                if name in frozen.stored:
                    makers.setdefault(name, []).append(k)
        self._nodes = [
            sorted({k for name, _ in group.places for k in makers.get(name, ())})
            for group in units.groups
        ]

    def first(self, group: int) -> int:
        """The first node that reaches a group."""
        return self._nodes[group][0] if self._nodes[group] else 0

    def part(self, group: int) -> object:
        """Equal for groups that play the same part in equal blocks; else the group itself."""
        nodes = self._nodes[group]
        blocks = {self._blocks.get(k) for k in nodes}
        if len(blocks) != 1 or None in blocks:
            return group
        ((run, block),) = (b for b in blocks if b is not None)
        inside = self._runs[run].blocks[block].nodes
        own = self.units.groups[group]
        return run, own.units, own.heads, tuple(inside.index(k) for k in nodes)

    def gates(self, group: int) -> int | None:
        """The group of which this one is the squeezed width of a gate; None if it is none."""
        own, shapes = self.units.groups[group], self.frozen.shapes
        made = [(n, axis) for n, axis in own.places if n not in self.frozen.stored]
        if (
            any(shapes[n][axis] != _elements(shapes[n]) for n, axis in made if len(shapes[n]) > 2)
            or not made
        ):
            return None
        for other, candidate in enumerate(self.units.groups):
            if other == group or candidate.channels <= own.channels:
                continue
            names = {name for name, _ in candidate.places} & {
                name for name, _ in own.places if name in self.frozen.stored
            }
            matrices = [n for n in names if len(shapes[n]) > 1]
            into = any((n, 0) in own.places and (n, 1) in candidate.places for n in matrices)
            back = any((n, 1) in own.places and (n, 0) in candidate.places for n in matrices)
            if into and back:
                return other
        return None


def _elements(shape: Sequence[int]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total
