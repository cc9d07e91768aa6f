"""One state of the exact optimizer: partial designs times options, of which the best survive.

Every partial design is extended by every option. Where that makes many, most products are never
formed: similar options stand in groups, and a group whose best corner is dominated already goes
as one (``Sieve``); what is left is formed and sieved, then filtered exactly now and then. What
another one dominates may be dropped at any time and in any order, so the result is exact. Of
equal products the one that comes first by piece, partial design and option is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
#: With fewer products, or fewer coordinates than three, the exact filter alone is quicker.
_FEW = 1 << 16
#: Share of the products from which the first sieve is made, and how many at most.
_SAMPLED, _SAMPLE = 8, 1 << 15
#: A sieve that lets more than this share through is not followed by another.
_WORTH = 0.9
#: Options in a group.
_GROUP = 8
#: Shares of the partial designs, at most, each spread over all: the first ones sharpen the sieve.
_ROUNDS = 16


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
    """

    def __init__(
        self,
        columns: Floats,
        adds: Sequence[bool],
        criteria: Sequence[Criterion],
        low: Floats,
        high: Floats,
    ) -> None:
        self._before, self._adds, self._criteria = columns, adds, criteria
        self._low, self._high = low, high
        self.evaluations = 0

    def of(self, pieces: Sequence[Piece]) -> tuple[Floats, Ints, Ints]:
        """Totals (quantities, n), partial designs and options of the survivors."""
        total = sum(piece.products for piece in pieces)
        if len(pieces) == 1 and total <= _BLOCK >> 5:
            return self._small(pieces[0])
        found = _Pool(len(self._adds))
        sieve = self._first_sieve(pieces, total) if total > _FEW else None
        if sieve is None:
            for piece in pieces:
                for columns, parents, which in self._all(piece, slice(piece.first, piece.last)):
                    keep = self._in_reach(columns)
                    if len(keep) > _BLOCK >> 5:
                        keep = keep[non_dominated(self._points(columns[:, keep]))]
                    found.add(columns[:, keep], parents[keep], piece.options[which[keep]])
            return self._filtered(found).all()
        return self._sieved(pieces, sieve, max(1, min(_ROUNDS, total // _BLOCK)))

    def _small(self, piece: Piece) -> tuple[Floats, Ints, Ints]:
        """``of`` for one piece of few products, as most states of spaces with many have."""
        ((columns, parents, which),) = self._all(piece, slice(piece.first, piece.last))
        keep = self._in_reach(columns)
        keep = keep[non_dominated(self._points(columns[:, keep]))]
        return columns[:, keep], parents[keep], piece.options[which[keep]]

    def _sieved(
        self, pieces: Sequence[Piece], sieve: Sieve, rounds: int
    ) -> tuple[Floats, Ints, Ints]:
        """``of`` for many products: every round takes its share of each piece."""
        found, fresh = _Pool(len(self._adds)), 0
        orders = np.cumsum([0] + [piece.products for piece in pieces])
        plans = [self._plan(piece) for piece in pieces]
        for turn in range(rounds):
            for piece, plan, order in zip(pieces, plans, orders, strict=False):
                rows = slice(piece.first + turn, piece.last, rounds)
                for columns, parents, which in self._promising(piece, rows, plan, sieve):
                    keep = self._in_reach(columns)
                    keep = keep[sieve.may_stay(self._coordinates(columns[:, keep]))]
                    columns, parents, which = columns[:, keep], parents[keep], which[keep]
                    number = order + (parents - piece.first) * piece.own.shape[1] + which
                    found.add(columns, parents, piece.options[which], number)
                    fresh += len(keep)
                    if len(keep):
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
        parts = pool.in_order()
        points = self._points(parts[0])
        for turn in range(points.shape[1] if thoroughly else 1):
            sieve = Sieve(points, expected, kept=-1 - turn)
            keep = np.flatnonzero(sieve.may_stay(list(points.T)))
            few = len(keep) > _WORTH * len(points)
            points = points[keep]
            parts = (parts[0][:, keep], parts[1][keep], parts[2][keep], parts[3][keep])
            if few:
                break
        after = _Pool(len(self._adds))
        after.add(*parts)
        after.sifted = len(points)
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

    def _plan(self, piece: Piece) -> tuple[Ints, Floats] | None:
        """Groups of similar options and the best corner of each; None where that is no gain."""
        signs = self._signs()
        # What is good here and bad there has no best corner.
        if not signs.all() or piece.own.shape[1] < 2 * _GROUP:
            return None
        members = _groups(piece.own * signs[:, None], _GROUP)
        grouped = piece.own[:, members]
        best = np.where(signs[:, None] < 0, grouped.max(axis=2), grouped.min(axis=2))
        return members, best

    def _promising(
        self, piece: Piece, rows: slice, plan: tuple[Ints, Floats] | None, sieve: Sieve
    ) -> Iterator[tuple[Floats, Ints, Ints]]:
        """The same without groups of options that the sieve drops as one."""
        if plan is None:
            yield from self._all(piece, rows)
            return
        members, corners = plan
        everyone = np.arange(rows.start, rows.stop, rows.step)
        at_once = max(1, _BLOCK // len(members))
        pairs = max(1, _BLOCK // members.shape[1])
        for start in range(0, len(everyone), at_once):
            parents = everyone[start : start + at_once]
            part = self._before[:, parents]
            best = self._joined(part[:, :, None], corners[:, None, :], piece)
            self.evaluations += best.shape[1]
            alive = self._in_reach(best)
            alive = alive[sieve.may_stay(self._coordinates(best[:, alive]))]
            row, groups = np.divmod(alive, len(members))
            for begin in range(0, len(row), pairs):
                chosen, which = row[begin : begin + pairs], members[groups[begin : begin + pairs]]
                columns = self._joined(part[:, chosen, None], piece.own[:, which], piece)
                self.evaluations += columns.shape[1]
                yield columns, np.repeat(parents[chosen], which.shape[1]), which.ravel()

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

    def _in_reach(self, columns: Floats) -> Ints:
        """Products that have a completion within the limits."""
        keep = np.ones(columns.shape[1], dtype=np.bool_)
        for criterion in self._criteria:
            hold = criterion.may_hold(columns, self._low, self._high)
            if hold is not None:
                keep &= hold
        return np.flatnonzero(keep)

    def _coordinates(self, columns: Floats) -> list[Floats]:
        return [
            end for c in self._criteria for end in c.coordinates(columns, self._low, self._high)
        ]

    def _points(self, columns: Floats) -> Floats:
        return np.stack(self._coordinates(columns), axis=1)

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
        return (
            np.concatenate(self._columns, axis=1),
            np.concatenate(self._parents),
            np.concatenate(self._options),
        )

    def in_order(self) -> tuple[Floats, Ints, Ints, Ints]:
        """The same sorted by number, and the numbers."""
        columns, parents, options = self.all()
        numbers = np.concatenate(self._numbers)
        if len(numbers) < len(parents):  # none were given: they are in order
            return columns, parents, options, np.arange(len(parents))
        order = np.argsort(numbers, kind="stable")
        return columns[:, order], parents[order], options[order], numbers[order]


def _groups(points: Floats, size: int) -> Ints:
    """Neighbouring columns of ``points`` (coordinates, n) in groups, shape (groups, size).

    Halved again and again along the coordinate of the widest spread. The last group is filled up
    with one of its own.
    """
    spread = points.std(axis=1)
    scaled = points / np.where(spread > 0, spread, 1.0)[:, None]
    groups: list[Ints] = []
    waiting = [np.arange(points.shape[1])]
    while waiting:
        rows = waiting.pop()
        if len(rows) <= size:
            groups.append(np.append(rows, np.repeat(rows[-1:], size - len(rows))))
            continue
        own = scaled[:, rows]
        axis = int(np.argmax(own.max(axis=1) - own.min(axis=1)))
        rows = rows[np.argsort(own[axis], kind="stable")]
        half = -(-len(rows) // (2 * size)) * size
        waiting += [rows[half:], rows[:half]]
    return np.stack(groups)
