"""One state of the exact optimizer: partial designs times options, of which the best survive.

Every partial design is extended by every option. Where that makes many, most products are never
formed: similar partial designs stand in groups (similar options, where those are more), and a
group whose best corner with an option is dominated already goes as one (``Sieve``), else its parts
are asked; what is left is sieved now and then, and filtered exactly at the end. What another one
dominates may be dropped at any time and in any order, so the result is exact. Of equal products
the one that comes first by piece, partial design and option is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.optimize.criterion import Criterion
from flash.optimize.pareto import non_dominated
from flash.optimize.sieve import Sieve
from flash.spaces.stage_tables import Floats

__all__ = ["Merge", "Piece"]

Ints = NDArray[np.int64]

#: Products formed at once: bounds the memory.
_BLOCK = 1 << 17
#: Products gathered from several pieces to be filtered together.
_GATHERED = 1 << 13
#: With fewer products, or fewer coordinates than three, the exact filter alone is quicker.
_FEW = 1 << 16
#: Share of the products from which the first sieve is made, and how many at most.
_SAMPLED, _SAMPLE = 8, 1 << 15
#: A sieve that lets more than this share through is not followed by another.
_WORTH = 0.9
#: Members of a group, and groups in a group of groups: a corner of more is seldom dominated.
_GROUP = 8
#: Levels of groups: 64, 8, single ones.
_LEVELS = 3
#: Shares of the groups, at most, each spread over all: the first ones sharpen the sieve.
_ROUNDS = 16
#: Bits of a place on the curve along which neighbours stand, shared by the coordinates.
_BITS = 60


@dataclass(frozen=True)
class Piece:
    """Partial designs ``first`` to ``last`` of a layer, and the options they may take.

    own:     (quantities, options).
    options: (options,) their numbers.
    then:    (quantities,) each: what stages without a choice of their own add afterwards.
    """

    first: int
    last: int
    own: Floats
    options: Ints
    then: Sequence[Floats]

    @property
    def products(self) -> int:
        """Partial designs times options."""
        return (self.last - self.first) * len(self.options)


class Merge:
    """The survivors of all pieces that arrive in one state.

    columns:  (quantities, n) totals of the partial designs before.
    adds:     which quantities add up; the others combine by maximum.
    low, high: (quantities,) what remains.
    hopeful:   which totals may end on the front; None where nobody can tell.
    """

    def __init__(
        self,
        columns: Floats,
        adds: Sequence[bool],
        criteria: Sequence[Criterion],
        low: Floats,
        high: Floats,
        hopeful: Callable[[Floats], NDArray[np.bool_] | None] = lambda columns: None,
    ) -> None:
        self._hopeful = hopeful
        self._before, self._adds, self._criteria = columns, adds, criteria
        self._low, self._high = low, high
        self.evaluations = 0

    def of(self, pieces: Sequence[Piece]) -> tuple[Floats, Ints, Ints]:
        """Totals (quantities, n), partial designs and options of the survivors."""
        total = sum(piece.products for piece in pieces)
        # With one option each, the partial designs were filtered before: a sieve drops few.
        choice = any(len(piece.options) > 1 for piece in pieces)
        sieve = self._first_sieve(pieces, total) if choice and total > _FEW else None
        if sieve is not None:
            return self._sieved(pieces, sieve, max(1, min(_ROUNDS, total // _BLOCK)))
        found = _Pool(len(self._adds))
        for columns, parents, options in self._gathered(pieces):
            keep = self._in_reach(columns)
            if choice and len(parents) < total:
                keep = keep[non_dominated(self._points(columns[:, keep]))]
            found.add(columns[:, keep], parents[keep], options[keep])
        return self._filtered(found).all()

    def _sieved(
        self, pieces: Sequence[Piece], sieve: Sieve, rounds: int
    ) -> tuple[Floats, Ints, Ints]:
        """``of`` for many products: every round takes its share of each piece."""
        found, fresh = _Pool(len(self._adds)), 0
        orders = np.cumsum([0] + [piece.products for piece in pieces])
        plans = [self._plan(piece) for piece in pieces]
        for turn in range(rounds):
            for piece, plan, order in zip(pieces, plans, orders, strict=False):
                for columns, parents, which in self._promising(piece, plan, turn, rounds, sieve):
                    number = order + (parents - piece.first) * piece.own.shape[1] + which
                    found.add(columns, parents, piece.options[which], number)
                    fresh += len(parents)
                    if len(parents):
                        sieve.add(self._coordinates(columns))
                    if fresh > max(_BLOCK, found.sifted):
                        found, sieve = self._sifted(found, int(orders[-1]))
                        fresh = 0
            if turn == 0 and rounds > 1:
                found, sieve = self._sifted(found, int(orders[-1]))
                fresh = 0
        found, _ = self._sifted(found, int(orders[-1]), thoroughly=True)
        return self._filtered(found).all()

    def _sifted(self, pool: _Pool, expected: int, thoroughly: bool = False) -> tuple[_Pool, Sieve]:
        """The pool through a sieve of its own, and that sieve.

        thoroughly: through one sieve for each coordinate that it may keep.
        """
        columns, *labels = pool.numbered()
        coordinates = np.stack(self._coordinates(columns))
        for turn in range(len(coordinates) if thoroughly else 1):
            sieve = Sieve(coordinates.T, expected, kept=-1 - turn)
            keep = np.flatnonzero(sieve.may_stay(list(coordinates)))
            few = len(keep) > _WORTH * coordinates.shape[1]
            columns, coordinates = columns.take(keep, axis=1), coordinates.take(keep, axis=1)
            labels = [label.take(keep) for label in labels]
            if few:
                break
        after = _Pool(len(self._adds))
        after.add(columns, *labels)
        after.sifted = len(keep)
        return after, sieve

    # ------------------------------------------------------------------------------ products
    def _all(self, piece: Piece, rows: slice) -> Iterator[tuple[Floats, Ints, Ints]]:
        """Every partial design with every option, in blocks: totals, partial designs, options."""
        count = piece.own.shape[1]
        step = rows.step or 1
        at_once = max(1, _BLOCK // max(count, 1)) * step
        for start in range(rows.start, rows.stop, at_once):
            parents = np.arange(start, min(start + at_once, rows.stop), step)
            part = self._before[:, start : min(start + at_once, rows.stop) : step]
            columns = self._joined(part[:, :, None], piece.own[:, None, :], piece)
            size = columns.shape[1]
            self.evaluations += size
            yield columns, np.repeat(parents, count), np.tile(np.arange(count), size // count)

    def _gathered(self, pieces: Sequence[Piece]) -> Iterator[tuple[Floats, Ints, Ints]]:
        """Every product, some thousands at a time: totals, partial designs, numbers of options."""
        blocks, count = list[tuple[Floats, Ints, Ints]](), 0
        for piece in pieces:
            for columns, parents, which in self._all(piece, slice(piece.first, piece.last)):
                blocks.append((columns, parents, piece.options[which]))
                count += len(parents)
                if count >= _GATHERED:
                    yield _joint(blocks)
                    blocks, count = [], 0
        if blocks:
            yield _joint(blocks)

    def _plan(self, piece: Piece) -> _Tree | None:
        """Groups of similar partial designs or options; None where they are too few, or where
        what is good here is bad there, so that groups have no best corner."""
        signs = self._signs()
        before = self._before[:, piece.first : piece.last]
        of_options = piece.own.shape[1] > before.shape[1]
        grouped = piece.own if of_options else before
        if not signs.all() or grouped.shape[1] < 2 * _GROUP:
            return None
        return _Tree(grouped, signs[:, None], of_options)

    def _promising(
        self, piece: Piece, tree: _Tree | None, turn: int, rounds: int, sieve: Sieve
    ) -> Iterator[tuple[Floats, Ints, Ints]]:
        """Products that the sieve lets through, of one share: totals, partial designs, options."""
        if tree is None:
            for columns, parents, which in self._all(
                piece, slice(piece.first + turn, piece.last, rounds)
            ):
                keep = self._through(columns, sieve)
                yield columns[:, keep], parents[keep], which[keep]
            return
        others = piece.own if not tree.of_options else self._before[:, piece.first : piece.last]
        nodes = np.arange(turn, tree.corners[0].shape[1], rounds)
        pairs = np.repeat(nodes, others.shape[1]), np.tile(np.arange(others.shape[1]), len(nodes))
        for columns, members, which in self._descended(piece, tree, others, 0, pairs, sieve):
            parents, options = (which, members) if tree.of_options else (members, which)
            yield columns, piece.first + parents, options

    def _descended(
        self,
        piece: Piece,
        tree: _Tree,
        others: Floats,
        level: int,
        pairs: tuple[Ints, Ints],
        sieve: Sieve,
    ) -> Iterator[tuple[Floats, Ints, Ints]]:
        """Products below pairs of a node of the tree and one of ``others``."""
        for start in range(0, len(pairs[0]), _BLOCK):
            nodes, which = (half[start : start + _BLOCK] for half in pairs)
            columns = self._joined(
                tree.corners[level].take(nodes, axis=1), others.take(which, axis=1), piece
            )
            self.evaluations += columns.shape[1]
            keep = self._through(columns, sieve)
            nodes, which = nodes[keep], which[keep]
            if level == _LEVELS - 1:
                yield columns[:, keep], tree.members[nodes], which
                continue
            below = (nodes[:, None] * _GROUP + np.arange(_GROUP)).ravel()
            yield from self._descended(
                piece, tree, others, level + 1, (below, np.repeat(which, _GROUP)), sieve
            )

    def _joined(self, part: Floats, own: Floats, piece: Piece) -> Floats:
        """Totals of partial designs and options that broadcast, shape (quantities, products)."""
        shape = np.broadcast_shapes(part.shape[1:], own.shape[1:])
        result = np.empty((len(self._adds), *shape))
        for k, adds in enumerate(self._adds):
            merge = np.add if adds else np.maximum
            merge(part[k], own[k], out=result[k])
            for then in piece.then:
                merge(result[k], then[k], out=result[k])
        return result.reshape(len(result), -1)

    # ------------------------------------------------------------------------------- filters
    def _first_sieve(self, pieces: Sequence[Piece], total: int) -> Sieve | None:
        """A sieve of products spread over all pieces; None where two coordinates decide."""
        seen = []
        stride = max(_SAMPLED, total // _SAMPLE)
        for piece in pieces:
            for columns, _, _ in self._all(piece, slice(piece.first, piece.last, stride)):
                seen.append(columns[:, self._in_reach(columns)])
        points = self._points(np.concatenate(seen, axis=1))
        if points.shape[1] < 3 or len(points) == 0 or not np.isfinite(points).all():
            return None
        return Sieve(points[non_dominated(points)], total)

    def _through(self, columns: Floats, sieve: Sieve) -> Ints:
        """Products in reach that the sieve does not drop."""
        keep = self._in_reach(columns)
        if len(keep) < columns.shape[1]:
            columns = columns[:, keep]
        return keep[sieve.may_stay(self._coordinates(columns))]

    def _in_reach(self, columns: Floats) -> Ints:
        """Products that have a completion within the limits."""
        keep = np.ones(columns.shape[1], dtype=np.bool_)
        for criterion in self._criteria:
            hold = criterion.may_hold(columns, self._low, self._high)
            if hold is not None:
                keep &= hold
        rows = np.flatnonzero(keep)
        hopeful = self._hopeful(columns[:, rows])
        return rows if hopeful is None else rows[hopeful]

    def _coordinates(self, columns: Floats) -> list[Floats]:
        return [
            end for c in self._criteria for end in c.coordinates(columns, self._low, self._high)
        ]

    def _points(self, columns: Floats) -> Floats:
        return np.stack(self._coordinates(columns)).T

    def _filtered(self, pool: _Pool) -> _Pool:
        """The pool without what is dominated."""
        columns, parents, options, numbers = pool.in_order()
        keep = non_dominated(self._points(columns))
        after = _Pool(len(self._adds))
        after.add(columns[:, keep], parents[keep], options[keep], numbers[keep])
        return after

    # -------------------------------------------------------------------------------- groups
    def _signs(self) -> Floats:
        """+1 for quantities of which less is better, -1 for the others, 0 where both hold."""
        signs = np.zeros(len(self._adds))
        for k in range(len(signs)):
            wanted = {c.of.sign for c in self._criteria if k in c.sums or k == c.peak}
            signs[k] = wanted.pop() if len(wanted) == 1 else 0.0
        return signs


def _joint(blocks: Sequence[tuple[Floats, Ints, Ints]]) -> tuple[Floats, Ints, Ints]:
    columns, parents, options = zip(*blocks, strict=True)
    return np.concatenate(columns, axis=1), np.concatenate(parents), np.concatenate(options)


class _Pool:
    """Products kept so far."""

    def __init__(self, quantities: int) -> None:
        self._columns = [np.zeros((quantities, 0))]
        self._parents = [np.zeros(0, dtype=np.int64)]
        self._options = [np.zeros(0, dtype=np.int64)]
        self._numbers = [np.zeros(0, dtype=np.int64)]
        self.sifted = 0

    def add(
        self, columns: Floats, parents: Ints, options: Ints, numbers: Ints | None = None
    ) -> None:
        """More of them; ``numbers`` say which come first, in the order given without."""
        self._columns.append(columns)
        self._parents.append(parents)
        self._options.append(options)
        if numbers is not None:
            self._numbers.append(numbers)

    def all(self) -> tuple[Floats, Ints, Ints]:
        """Totals, partial designs, options."""
        return _joint([*zip(self._columns, self._parents, self._options, strict=True)])

    def numbered(self) -> tuple[Floats, Ints, Ints, Ints]:
        """The same with the numbers."""
        columns, parents, options = self.all()
        numbers = np.concatenate(self._numbers)
        if len(numbers) < len(parents):  # none were given: they are in order
            numbers = np.arange(len(parents))
        return columns, parents, options, numbers

    def in_order(self) -> tuple[Floats, Ints, Ints, Ints]:
        """The same sorted by number."""
        columns, parents, options, numbers = self.numbered()
        if (np.diff(numbers) < 0).any():
            order = np.argsort(numbers, kind="stable")
            columns, parents = columns[:, order], parents[order]
            options, numbers = options[order], numbers[order]
        return columns, parents, options, numbers


class _Tree:
    """Neighbouring columns in groups, and those in groups again, with the best corner of each.

    members:    (groups x size,) which column stands where; the last ones repeat the last column.
    corners:    a level each, the largest groups first: (quantities, groups).
    of_options: whether the columns are options, not partial designs.
    """

    def __init__(self, columns: Floats, signs: Floats, of_options: bool) -> None:
        self.of_options = of_options
        order = _along_curve(columns)
        missing = -len(order) % _GROUP ** (_LEVELS - 1)
        self.members = np.append(order, np.repeat(order[-1:], missing))
        corners = [columns.take(self.members, axis=1) * signs]
        for _ in range(_LEVELS - 1):
            corners.append(corners[-1].reshape(len(columns), -1, _GROUP).min(axis=2))
        self.corners = [corner * signs for corner in reversed(corners)]


def _along_curve(points: Floats) -> Ints:
    """The columns of ``points`` (coordinates, n) along Morton's curve: neighbours stand together.

    Coordinates in equal steps, their bits in turn, the highest first (Morton 1966).
    """
    low, high = points.min(axis=1, keepdims=True), points.max(axis=1, keepdims=True)
    bits = _BITS // len(points)
    scale = ((1 << bits) - 1) / np.where(high > low, high - low, 1.0)
    steps = ((points - low) * scale).astype(np.int64)
    place = np.zeros(points.shape[1], dtype=np.int64)
    for bit in range(bits - 1, -1, -1):
        for step in steps:
            place = place * 2 + (step >> bit & 1)
    return np.argsort(place, kind="stable")
