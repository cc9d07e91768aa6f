"""Row stationary (Chen et al., ISCA 2016 and JSSC 2017): how a layer is cut into passes.

A processing element runs a convolution along one row: a row of weights stays, a row of inputs
slides by. As many elements as the kernel has rows, above each other, add up a row of outputs;
``strip`` such columns are a *set*, and the array holds several sets. A *pass* runs, on one strip
of output rows,

    images x (filters x filter_sets) x (channels x channel_sets)

(in Table III of JSSC 2017: n, p x t, q x r; the strip is e). Between passes the buffer keeps
the inputs of a pass and the partial sums of ``kept_filters`` (m), so inputs come from DRAM once
for each group of that many filters, and weights once for each strip and group of images.

Time of a pass: the multiplications of an element or what a port of the buffer passes, whichever
is longer; then the weights of the next pass are loaded, which an element cannot do at work.
Inputs and outputs cross the DRAM link between passes, as their buffer is single; weights are
fetched ahead.

The mapping, a rule of ours: what divides evenly, at most four sets, at least 90 % of the most
elements that can work; of those the fewest words through DRAM, then the fewest cycles, then the
fewest words through the buffer. It gives all seven published parameters of AlexNet's five layers
(``scripts/validate/systolic_chips.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final, NamedTuple

__all__ = ["Mapping", "RowStationary", "Shape", "best_mapping", "run_length_share"]

#: Strips that keep fewer elements busy, as a share of the most possible, are left out.
_LEAST_ACTIVE: Final = 0.9
#: Sets at most; the published mappings have one to four.
_MOST_SETS: Final = 4
#: Run-length code of JSSC 2017: in 64 bits three runs of at most 31 zeros, each with a value.
_LONGEST_RUN: Final = 31
_CODE_BITS: Final = 64 / 3


@dataclass(frozen=True, slots=True)
class RowStationary:
    """What an array of row-stationary elements has; words are of the operands' width.

    buffer_bytes: of the buffer, for inputs and partial sums together.
    *_words:      of an element's scratchpads.
    *_port_words: between buffer and array in a cycle; sums in each direction.
    clocked_bits: registers of an element that the clock drives in every cycle.
    """

    buffer_bytes: float
    filter_words: float
    input_words: float
    sum_words: float
    filter_port_words: float
    input_port_words: float
    sum_port_words: float
    clocked_bits: float


class Shape(NamedTuple):
    """One group of a convolution; the input with its padding, a square stride."""

    channels: int
    filters: int
    out_height: int
    out_width: int
    in_height: int
    in_width: int
    kernel_height: int
    kernel_width: int
    stride: int


class Mapping(NamedTuple):
    """A mapping, and what it takes for a whole batch of one group.

    active: elements at work.  cycles: without waiting for DRAM.
    *_words: through DRAM; buffer_*: through the buffer.
    """

    strip: int
    images: int
    kept_filters: int
    filters: int
    channels: int
    filter_sets: int
    channel_sets: int
    active: int
    cycles: int
    input_words: int
    weight_words: int
    output_words: int
    buffer_input_words: int
    buffer_sum_words: int


class _Outer(NamedTuple):
    """The part of a mapping that decides its words through DRAM."""

    strip: int
    sets: int
    images: int
    kept_filters: int
    slots: int  # channels whose inputs fit into the buffer


@lru_cache(maxsize=1 << 16)
def best_mapping(
    shape: Shape, rows: int, cols: int, array: RowStationary, batch: int, word_bytes: float
) -> Mapping:
    """The mapping by the module's rule on ``rows`` x ``cols`` elements.

    A layer of which not even one row of one filter fits is cut further at no charge.
    """
    strips = list(_strips(shape, rows, cols))
    most = max(active for _, _, active in strips)
    useful = [(strip, sets) for strip, sets, active in strips if active >= _LEAST_ACTIVE * most]
    outers = list(_outers(shape, useful, array, batch, word_bytes))
    outers = outers or [_Outer(*useful[0], 1, 1, 1)]
    words = [sum(_dram_words(shape, outer, batch)) for outer in outers]
    found = [
        mapping
        for outer, own in zip(outers, words, strict=True)
        if own == min(words)
        for mapping in _mappings(shape, outer, array, batch)
    ]
    return min(found, key=lambda m: (m.cycles, m.buffer_input_words + m.buffer_sum_words))


def run_length_share(zeros: float) -> float:
    """Bits of run-length coded 16-bit values over their plain bits, at most 1.

    zeros: share of values that are zero, below 1, spread evenly.
    """
    codes = (1 - zeros) / (1 - zeros ** (_LONGEST_RUN + 1))
    return min(1.0, codes * _CODE_BITS / 16)


def _strips(shape: Shape, rows: int, cols: int) -> Iterator[tuple[int, int, int]]:
    """Output rows of a strip, sets of the array, elements they keep busy."""
    height = min(shape.kernel_height, rows)
    stacked = rows // height
    for strip in range(1, min(shape.out_height, cols * stacked) + 1):
        stacks = -(-strip // cols)  # a long strip is folded over several
        sets = stacked // stacks * max(cols // strip, 1)
        sets = min(sets, _MOST_SETS, shape.channels * shape.filters)
        if sets:
            yield strip, sets, height * strip * sets


def _outers(
    shape: Shape,
    strips: list[tuple[int, int]],
    array: RowStationary,
    batch: int,
    word_bytes: float,
) -> Iterator[_Outer]:
    for strip, sets in strips:
        rows = min((strip - 1) * shape.stride + shape.kernel_height, shape.in_height)
        channel_bytes = rows * shape.in_width * word_bytes
        for images in _divisors(batch):
            for kept in _divisors(shape.filters):
                sums = images * kept * strip * shape.out_width * word_bytes
                slots = int((array.buffer_bytes - sums) // (images * channel_bytes))
                if slots >= 1:
                    yield _Outer(strip, sets, images, kept, slots)


def _mappings(shape: Shape, outer: _Outer, array: RowStationary, batch: int) -> Iterator[Mapping]:
    width = shape.kernel_width
    for both in _divisors(shape.channels):
        if both > outer.slots:
            break
        for sets in _divisors(both):
            channels = both // sets
            if sets > outer.sets or channels * width > max(array.input_words, width):
                continue
            places = [d for d in _divisors(outer.kept_filters) if d * sets <= outer.sets]
            spare = min(array.sum_words, array.filter_words // (channels * width))
            filters = max(
                d for d in _divisors(outer.kept_filters // places[-1]) if d <= max(spare, 1)
            )
            yield _mapping(shape, outer, array, batch, (filters, channels, places[-1], sets))


def _dram_words(shape: Shape, outer: _Outer, batch: int) -> tuple[int, int]:
    """Inputs and weights that cross the DRAM link."""
    strips = -(-shape.out_height // outer.strip)
    overlap = max(shape.kernel_height - shape.stride, 0)
    rows = min(shape.in_height + (strips - 1) * overlap, strips * shape.in_height)
    groups, turns = shape.filters // outer.kept_filters, batch // outer.images
    weights = shape.filters * shape.channels * shape.kernel_height * shape.kernel_width
    return shape.channels * rows * shape.in_width * batch * groups, weights * strips * turns


def _mapping(
    shape: Shape,
    outer: _Outer,
    array: RowStationary,
    batch: int,
    of_pass: tuple[int, int, int, int],
) -> Mapping:
    filters, channels, filter_sets, channel_sets = of_pass
    strips = -(-shape.out_height // outer.strip)
    inputs, weights = _dram_words(shape, outer, batch)
    outputs = shape.filters * shape.out_height * shape.out_width * batch
    filter_passes = outer.kept_filters // (filters * filter_sets)
    channel_passes = shape.channels // (channels * channel_sets)
    passes = filter_passes * channel_passes * (shape.filters // outer.kept_filters)
    passes *= batch // outer.images  # of each strip
    multiplying = outer.images * shape.out_width * filters * channels * shape.kernel_width
    # Ports pass what there is: the last strip may be lower.
    summing = outputs * channel_passes / array.sum_port_words
    fetching = inputs * filter_passes / array.input_port_words
    loading = weights / array.filter_port_words
    cycles = max(strips * passes * multiplying, summing, fetching) + loading
    height = min(shape.kernel_height, outer.strip * shape.kernel_height)
    return Mapping(
        outer.strip,
        outer.images,
        outer.kept_filters,
        *of_pass,
        active=height * outer.strip * filter_sets * channel_sets,
        cycles=int(-(-cycles // 1)),
        input_words=inputs,
        weight_words=weights,
        output_words=outputs,
        buffer_input_words=inputs * (1 + filter_passes),
        buffer_sum_words=outputs * (2 * channel_passes - 1),
    )


@cache
def _divisors(number: int) -> tuple[int, ...]:
    return tuple(d for d in range(1, number + 1) if number % d == 0)
