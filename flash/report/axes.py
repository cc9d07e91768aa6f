"""Axes, colours and label places for the pictures: numbers in, pixels out, nothing drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Axis", "Box", "Label", "blend", "place_labels", "tick_text"]

#: Corners of a colour ramp that stays visible on white and on near-black, low to high.
_RAMP = ((37, 99, 235), (139, 92, 246), (236, 72, 153), (245, 158, 11))


@dataclass(frozen=True)
class Axis:
    """A scale from ``low..high`` (data) to ``start..end`` (pixels), linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def around(
        cls, values: Sequence[float], start: float, end: float, *, log: bool, margin: float
    ) -> Axis:
        """An axis that shows all values with a margin (share of the range) on both sides.

        ``log`` needs values above zero. One value alone gets a range around it.
        """
        low, high = min(values), max(values)
        if log:
            ratio = max(high / low, 1.2)
            return cls(low / ratio**margin, high * ratio**margin, start, end, log=True)
        span = high - low or abs(high) or 1.0
        return cls(low - margin * span, high + margin * span, start, end)

    def at(self, value: float) -> float:
        """The pixel of a value; values off the axis land on its end."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def shows(self, value: float) -> bool:
        """Whether the value lies on the axis."""
        return self.low <= value <= self.high

    def ticks(self) -> list[float]:
        """Round values (1, 2 or 5 times a power of ten) to label, 3 to 9 of them."""
        if not self.log:
            return self._linear_ticks()
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        exponents = range(first, last + 1)
        found = [m * 10.0**e for e in exponents for m in (1, 2, 5) if self.shows(m * 10.0**e)]
        if len(found) > 9:
            decades = [10.0**e for e in exponents if self.shows(10.0**e)]
            return decades[:: math.ceil(len(decades) / 9)]
        return found if len(found) >= 3 else self._linear_ticks()

    def _linear_ticks(self) -> list[float]:
        rough = (self.high - self.low) / 7
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        # Multiples of a power of ten below one carry binary dust: 3 * 0.1 is not 0.3.
        digits = max(0, -math.floor(math.log10(step)))
        return [round(k * step, digits) for k in range(first, last + 1)]


def tick_text(value: float) -> str:
    """A round number as written on an axis: 0.05, 20, 10,000."""
    text = f"{value:,.9f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def blend(share: float) -> str:
    """Colour ``#rrggbb`` for a share of the way from low (0) to high (1)."""
    position = min(max(share, 0.0), 1.0) * (len(_RAMP) - 1)
    k = min(int(position), len(_RAMP) - 2)
    mix = (round(a + (b - a) * (position - k)) for a, b in zip(_RAMP[k], _RAMP[k + 1], strict=True))
    return "#" + "".join(f"{part:02x}" for part in mix)


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two share any area."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def holds(self, x: float, y: float) -> bool:
        """Whether the point lies in the box."""
        return self.left <= x <= self.right and self.top <= y <= self.bottom


@dataclass(frozen=True)
class Label:
    """A place for lines of text: its box, and where text starts or ends (``anchor``)."""

    box: Box
    x: float
    anchor: str


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    plot: Box,
    obstacles: Sequence[tuple[float, float]],
) -> list[Label]:
    """A place near each point for its label, off the markers and off one another.

    points: pixels to label; sizes: (width, height) of each label; obstacles: pixels that
    should stay visible. Greedy over a dozen places a point, above to the left first: over a
    rising front that corner is empty.
    """
    placed: list[Label] = []
    for (x, y), (width, height) in zip(points, sizes, strict=True):

        def cost(rank: int, label: Label) -> float:
            box = label.box
            outside = (
                max(plot.left - box.left, 0)
                + max(box.right - plot.right, 0)
                + max(plot.top - box.top, 0)
                + max(box.bottom - plot.bottom, 0)
            )
            hidden = sum(box.holds(*point) for point in obstacles)
            crossing = sum(box.overlaps(other.box) for other in placed)
            return 100 * outside + 1000 * crossing + 4 * hidden + rank

        options = _options(x, y, width, height)
        placed.append(min(enumerate(options), key=lambda option: cost(*option))[1])
    return placed


def _options(x: float, y: float, width: float, height: float) -> list[Label]:
    options = []
    for gap in (12, 30, 54):
        for above in (True, False):
            top = y - gap - height if above else y + gap
            for anchor in ("end", "start") if above else ("start", "end"):
                left = x - 8 - width if anchor == "end" else x + 8
                box = Box(left, top, left + width, top + height)
                options.append(Label(box, x - 8 if anchor == "end" else x + 8, anchor))
    return options
