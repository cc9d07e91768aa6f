"""Which tensors go from the tiles of one layer to those of another, whatever the chip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from flash.spaces.layers import Layer
from flash.spaces.table import LayerTable
from flash.targets.imc.mapping import MAPPED
from flash.targets.shapes import SIZES, distinct_rows, sizes_of

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["ELSEWHERE", "DistinctMoves", "Moves", "distinct_moves", "layer_moves"]

Ints = NDArray[np.int64]
#: Row of a sender (or home) that is no layer of the table: the chip's input, or another stage.
ELSEWHERE: Final = -1


@dataclass(frozen=True)
class Moves:
    """Tensors that move.

    row:      (moves,), the row of the table that receives.
    sender:   (moves, designs), the row in whose tiles the tensor is, or ``ELSEWHERE``.
    home:     (moves, designs), the row to whose tiles it goes, or ``ELSEWHERE``.
    elements: (moves, designs), 0 where nothing moves.
    """

    row: Ints
    sender: Ints
    home: Ints
    elements: NDArray[np.float64]


def layer_moves(table: LayerTable, partial: bool = False) -> Moves:
    """Everything that layers fetch.

    A convolution or linear layer fetches each of its inputs. Other operations run in the tiles that
    hold their largest operand (the latest of equals), and the other operands come there; of one
    operand, nothing moves.

    partial: the table may hold some stages of networks only. What others made is ``ELSEWHERE``, of
             equals it is the earlier; where it is the largest operand, nobody knows what moves, and
             nothing is said to.
    """
    columns = np.arange(table.designs)
    holder = np.full((len(table) + 1, table.designs), ELSEWHERE, dtype=np.int64)
    rows: list[int] = []
    from_rows, to_rows, counts = list[Ints](), list[Ints](), list[NDArray[np.float64]]()
    for row, layer in enumerate(table.layers):
        senders, elements = [], []
        for x in layer.inputs:
            made = np.maximum(np.broadcast_to(np.asarray(x.producer), columns.shape), ELSEWHERE)
            senders.append(holder[made, columns])
            count = np.asarray(x.channels * x.height * x.width * 1.0)
            elements.append(np.broadcast_to(count * (table.active[row] & x.present), columns.shape))
        mapped = layer.op in MAPPED
        home = np.full(table.designs, row) if mapped else _home(senders, elements)
        holder[row] = home
        if not mapped and len(senders) == 1:
            continue
        for sender, count in zip(senders, elements, strict=True):
            stays = (sender == home) | (partial & (home == ELSEWHERE))
            moved = np.where(stays, 0.0, count)
            from_rows.append(sender)
            to_rows.append(home)
            counts.append(moved)
            rows.append(row)
    shape = (len(rows), table.designs)
    return Moves(
        np.array(rows, dtype=np.int64),
        np.array(from_rows, dtype=np.int64).reshape(shape),
        np.array(to_rows, dtype=np.int64).reshape(shape),
        np.array(counts, dtype=np.float64).reshape(shape),
    )


def _home(senders: list[Ints], elements: list[NDArray[np.float64]]) -> Ints:
    """Where the largest operand is, the latest among equals."""
    home, most = senders[0], elements[0]
    for other, count in zip(senders[1:], elements[1:], strict=True):
        better = (count > most) | ((count == most) & (other > home))
        home, most = np.where(better, other, home), np.where(better, count, most)
    return home


@dataclass(frozen=True)
class DistinctMoves:
    """Moves of a partial table, those alike taken together.

    layer:    the layers on crossbars, its sizes arrays over the distinct ones.
    sender:   (moves,), which of them sends; ``ELSEWHERE`` where that is not known.
    home:     (moves,), which of them it goes to.
    elements: (moves,).
    fetched:  (moves,), the layer at home takes it in; else another operation, in its tiles.
    counts:   (designs, moves), how often each design has them.
    """

    layer: Layer
    sender: Ints
    home: Ints
    elements: Ints
    fetched: NDArray[np.bool_]
    counts: csr_array


def distinct_moves(table: LayerTable) -> DistinctMoves | None:
    """The distinct moves of ``layer_moves(table, partial=True)``; None without any."""
    # See ``distinct_layers``.
    from scipy.sparse import csr_array  # noqa: PLC0415

    found = layer_moves(table, partial=True)
    which, designs = np.nonzero(found.elements)
    if not len(which):
        return None
    mapped = np.flatnonzero(np.isin(table.ops, MAPPED))
    sizes = [sizes_of(table.layers[row], table.active[row]) for row in mapped]
    shapes, index = distinct_rows(np.concatenate(sizes))
    # Shape of the layer in each row and design; the row after the last stands for ELSEWHERE.
    number = np.full((len(table) + 1, table.designs), ELSEWHERE, dtype=np.int64)
    is_mapped = np.isin(np.arange(len(table)), mapped)[:, None]
    number[:-1][table.active & is_mapped] = index
    receiver, home = found.row[which], found.home[which, designs]
    keys = np.stack(
        [
            number[found.sender[which, designs], designs],
            number[home, designs],
            found.elements[which, designs].astype(np.int64),
            receiver == home,
        ],
        axis=1,
    )
    alike, of = distinct_rows(keys)
    by_name = dict(zip(SIZES, shapes.T, strict=True))
    layer = replace(table.layers[int(mapped[0])], **by_name)
    counts = csr_array((np.ones(len(of)), (designs, of)), shape=(table.designs, len(alike)))
    sender, target, elements, fetched = alike.T
    return DistinctMoves(layer, sender, target, elements, fetched.astype(np.bool_), counts)
