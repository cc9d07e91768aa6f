"""Stages of a model: runs of layers that depend on few variables.

A cut may stand before a layer with weights or a window, where no tensor crosses it that only a
sum, an activation or a gate behind the cut reads: runtimes merge those with what makes it, and
only layers of one stage merge. Where that would leave a stage with too many combinations, it is
cut anyway. Neighbours with the same variables are one stage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from flash.spaces.layers import Layer

__all__ = ["MOST", "Stretch", "cut_into_stages", "effort"]

#: Combinations of values that a stage may be tabulated over.
MOST: Final = 20_000
#: Combinations between two stages that are not worth a larger table.
ENOUGH: Final = 50
_JOINS: Final = ("add", "act", "mul", "norm")


@dataclass(frozen=True)
class Stretch:
    """Layers ``first`` to ``last``, and the variables their costs follow from."""

    name: str
    layers: tuple[int, ...]
    owns: tuple[str, ...]
    reads: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As the graph's file has it."""
        return {"name": self.name, "owns": list(self.owns), "reads": list(self.reads)}


def cut_into_stages(
    layers: Sequence[Layer],
    depends: Sequence[frozenset[str]],
    passes: Sequence[frozenset[str]],
    variables: Mapping[str, int],
) -> list[Stretch]:
    """The stages in order.

    passes:    of each layer, the variables that the size of its result follows from: memory of
               a stage follows from what passes it, as far as its table can hold that.
    depends:   of each layer, the variables that its costs follow from.
    variables: number of values of each, in order; those on which nothing depends go last.
    """
    pieces = _pieces(layers, _cuts(layers, _JOINS))
    pieces = [
        finer
        for piece in pieces
        for finer in (
            [piece] if _size(piece, depends, variables) <= MOST else _finer(piece, layers)
        )
    ]
    merged = _merged(pieces, depends, variables)
    known: set[str] = set()
    stages = []
    for number, piece in enumerate(merged):
        used = set().union(*(depends[k] for k in piece))
        wider = used | _passing(piece, layers, passes)
        if prod(variables[name] for name in wider) <= MOST:
            used = wider
        if number == len(merged) - 1:
            used |= set(variables) - known - used
        owns = tuple(name for name in variables if name in used - known)
        reads = tuple(name for name in variables if name in used & known)
        known |= used
        stages.append(Stretch(f"stage{number}", tuple(piece), owns, reads))
    return stages


def _passing(
    piece: Sequence[int], layers: Sequence[Layer], passes: Sequence[frozenset[str]]
) -> set[str]:
    """Variables of the tensors made before a stage and read after it."""
    first, last = piece[0], piece[-1]
    found: set[str] = set()
    for layer in layers[last + 1 :]:
        for x in layer.inputs:
            if 0 <= int(x.producer) < first:
                found |= passes[int(x.producer)]
    return found


def _cuts(layers: Sequence[Layer], joins: Sequence[str]) -> set[int]:
    """Layers before which a cut may stand."""
    readers = Counter(int(x.producer) for layer in layers for x in layer.inputs)
    last_join: dict[int, int] = {}
    for number, layer in enumerate(layers):
        if layer.op in joins:
            for x in layer.inputs:
                if readers[int(x.producer)] == 1:
                    last_join[int(x.producer)] = number
    found, open_until = set(), -1
    for number, layer in enumerate(layers):
        if layer.op not in (*joins, "output") and open_until < number:
            found.add(number)
        open_until = max(open_until, last_join.get(number, -1))
    return found


def _pieces(layers: Sequence[Layer], cuts: set[int]) -> list[list[int]]:
    pieces: list[list[int]] = [[]]
    for number in range(len(layers)):
        if number in cuts and pieces[-1]:
            pieces.append([])
        pieces[-1].append(number)
    return pieces


def _finer(piece: Sequence[int], layers: Sequence[Layer]) -> list[list[int]]:
    """The piece cut before every layer that joins nothing."""
    found: list[list[int]] = [[]]
    for number in piece:
        if layers[number].op not in _JOINS and found[-1]:
            found.append([])
        found[-1].append(number)
    return found


def _size(
    piece: Sequence[int], depends: Sequence[frozenset[str]], variables: Mapping[str, int]
) -> int:
    used = set().union(*(depends[k] for k in piece))
    return prod(variables[name] for name in used)


def _merged(
    pieces: list[list[int]], depends: Sequence[frozenset[str]], variables: Mapping[str, int]
) -> list[list[int]]:
    """Neighbours joined, those first between which most combinations would have to be told apart.

    What an optimizer keeps between two stages is a partial front for every combination of the
    variables that both sides follow from.
    """
    used = [set().union(*(depends[k] for k in piece)) for piece in pieces]
    while len(pieces) > 1:
        found = []
        for at in range(1, len(pieces)):
            both = used[at - 1] | used[at]
            size = prod(variables[name] for name in both)
            alive = _alive(used, at, variables)
            nested = used[at - 1] >= used[at] or used[at] >= used[at - 1]
            if size <= MOST and (nested or alive > ENOUGH):
                found.append((alive, -at))
        if not found:
            break
        at = -max(found)[1]
        pieces[at - 1 : at + 1] = [pieces[at - 1] + pieces[at]]
        used[at - 1 : at + 1] = [used[at - 1] | used[at]]
    return pieces


def _alive(used: Sequence[set[str]], at: int, variables: Mapping[str, int]) -> int:
    """Combinations of the variables that stages before and after a cut follow from."""
    before, after = set().union(*used[:at]), set().union(*used[at:])
    return prod(variables[name] for name in before & after)


def effort(stages: Sequence[Stretch], variables: Mapping[str, int]) -> int:
    """Options times states that an exact optimizer goes through, summed over the stages."""
    total, known = 0, set[str]()
    for number, stage in enumerate(stages):
        states = prod(variables[name] for name in known)
        total += states * prod(variables[name] for name in stage.owns)
        known = (known | set(stage.owns)) & {n for s in stages[number + 1 :] for n in s.reads}
    return total
