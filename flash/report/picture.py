"""The front as a picture: an SVG written by hand, readable in light and in dark.

Score over latency (logarithmic), a marker a design, the picks named and with their intervals,
the best score at each latency as a step line, a third objective as colour.
"""

from __future__ import annotations

import html
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flash.quantities import format_number, quantity
from flash.report.axes import Axis, Box, blend, place_labels, tick_text

if TYPE_CHECKING:
    from flash.report.data import SearchData
    from flash.report.design import DesignReport

__all__ = ["Mark", "front_svg"]

#: Size of the picture without its caption, in pixels as are all lengths here.
_WIDTH, _HEIGHT = 880.0, 470.0
#: Share of the score's range left free above and below: a label with its gap fits in.
_ROOM = 0.23
#: Of a label from its marker, up to which no line leads to it.
_BESIDE = 16.0
#: Above this many designs, markers that fall on the same pixel are drawn once.
_MANY = 2000

_STYLE = """
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1f2328}
.page{fill:#ffffff}.title{font-size:18px;font-weight:600}.sub,.key{font-size:12.5px;fill:#59636e}
.tick{font-size:12px;fill:#59636e}.name{font-size:13px}.caption{font-size:11px;fill:#59636e}
.pick{font-size:13px;font-weight:600}.value{font-size:12px;fill:#59636e}
.halo{stroke:#ffffff;stroke-width:4px;stroke-linejoin:round;paint-order:stroke}
.grid{stroke:#e4e8ec}.axis{stroke:#818b98}.limit{stroke:#cf222e;stroke-dasharray:5 4}
.limits{font-size:12px;fill:#cf222e}.area{fill:#2563eb;fill-opacity:.07}
.step{fill:none;stroke:#2563eb;stroke-opacity:.55;stroke-width:1.5}
.design{fill:#2563eb;stroke:#ffffff;stroke-width:.6}.random{fill:#818b98;fill-opacity:.35}
.bar{stroke:#1f2328;stroke-width:1.5;fill:none}
.picked{fill:none;stroke:#1f2328;stroke-width:2}.leader{stroke:#818b98}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.page{fill:#0d1117}.sub,.key,.tick,.caption,.value{fill:#9198a1}
.halo{stroke:#0d1117}.grid{stroke:#242b33}.axis{stroke:#656c76}.limit{stroke:#ff7b72}
.limits{fill:#ff7b72}.area{fill:#60a5fa}.step{stroke:#60a5fa}
.design{fill:#60a5fa;stroke:#0d1117}.random{fill:#9198a1}
.bar{stroke:#e6edf3}.picked{stroke:#e6edf3}}
"""


@dataclass(frozen=True)
class Mark:
    """A network that is no design of the front, to be shown by name."""

    label: str
    latency_ms: float
    score: float


def front_svg(
    report: SearchData,
    background: Sequence[tuple[float, float]] = (),
    marks: Sequence[Mark] = (),
) -> str:
    """The picture of a search, as SVG text.

    background: (latency_ms, score) of further designs, drawn faintly where they fall into
    the picture; the score is ``report.score``.
    marks: further networks, shown by name wherever they lie.
    """
    return _Picture(report, background, marks).draw()


def _cell(point: tuple[float, float]) -> tuple[int, int]:
    """Which cell of the grid of 4 px a point is in, by column and row."""
    return round(point[0] / 4), round(point[1] / 4)


class _Picture:
    """One drawing; pieces are added from back to front."""

    def __init__(
        self,
        report: SearchData,
        background: Sequence[tuple[float, float]],
        marks: Sequence[Mark] = (),
    ) -> None:
        self.report = report
        self.marks = tuple(marks)
        self.third = _third(report)
        right = _WIDTH - (112.0 if self.third else 28.0)
        self.plot = Box(76.0, 92.0, right, _HEIGHT - 58.0)
        self.scores = {d.id: d.quantity(report.score) or 0.0 for d in report.front}
        picked = [design for _, design in report.picked]
        latencies = [d.latency_ms.value for d in report.front]
        latencies += [mark.latency_ms for mark in self.marks]
        # An interval may reach to zero, which a logarithmic axis cannot show.
        floor = min(latencies) / 4
        latencies += [max(d.latency_ms.low, floor) for d in picked]
        latencies += [min(d.latency_ms.high, 4 * max(latencies)) for d in picked]
        limit = report.limits.get("latency_ms")
        if limit is not None and limit < 2 * max(latencies):
            latencies.append(limit)
        scores = list(self.scores.values())
        if report.score == "accuracy":
            for design in picked:
                scores += [design.accuracy.low, design.accuracy.high] if design.accuracy else []
        self.x = Axis.around(latencies, self.plot.left, self.plot.right, log=True, margin=0.05)
        # Random designs are shown where they fall, but do not stretch the latency axis.
        self.random = [
            (float(latency), float(score))
            for latency, score in background
            if self.x.shows(latency) and score <= max(scores) and math.isfinite(score)
        ]
        scores += [score for _, score in self.random] + [mark.score for mark in self.marks]
        self.y = Axis.around(scores, self.plot.bottom, self.plot.top, log=False, margin=_ROOM)
        self.parts: list[str] = []
        self.pixels: dict[str, tuple[float, float]] = {}

    def draw(self) -> str:
        self._head()
        self._axes()
        self._background()
        self._limits()
        self._designs()
        self._marks()
        self._picks()
        self._colours()
        height = self._caption()
        title = _safe(f"Pareto front of {self._what()}")
        body = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {height:g}" '
            f'width="{_WIDTH:g}" height="{height:g}" role="img">\n<title>{title}</title>\n'
            f"<style>{_STYLE}</style>\n"
            f'<rect class="page" width="{_WIDTH:g}" height="{height:g}"/>\n{body}\n</svg>\n'
        )

    # --------------------------------------------------------------------------- pieces
    def _what(self) -> str:
        return f"{self.report.space.name} on {self.report.target['name']}"

    def _text(self, x: float, y: float, css: str, text: str, more: str = "") -> None:
        self.parts.append(f'<text class="{css}" x="{x:.1f}" y="{y:.1f}"{more}>{_safe(text)}</text>')

    def _line(self, css: str, x1: float, y1: float, x2: float, y2: float) -> None:
        self.parts.append(f'<path class="{css}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>')

    def _head(self) -> None:
        left = self.plot.left
        self._text(left, 30, "title", f"Pareto front: {self._what()}")
        self._text(left, 51, "sub", _clauses(self.report.certificate_without_time, 120))
        count = len(self.report.front)
        # Widths of text are estimates: 6.3 px a character at this size.
        key = [
            (
                'class="design" r="4"',
                f"{count:,} designs, none dominated" if count > 1 else "1 design",
            )
        ]
        if self.random:
            # They are drawn from all that was trained: some may lie above the front.
            also = "" if self.report.space.measured is None else ", unlike what was measured too"
            key.append(('class="random" r="3"', f"random designs{also}"))
        key.append(('class="picked" r="6"', "pick, with its interval"))
        for mark, words in key:
            self.parts.append(f'<circle {mark} cx="{left + 6:.1f}" cy="72"/>')
            self._text(left + 18, 76.5, "key", words)
            left += 18 + 6.3 * len(words) + 26

    def _axes(self) -> None:
        plot = self.plot
        for value in self.x.ticks():
            x = self.x.at(value)
            self._line("grid", x, plot.top, x, plot.bottom)
            self._text(x, plot.bottom + 18, "tick", tick_text(value), ' text-anchor="middle"')
        for value in self.y.ticks():
            y = self.y.at(value)
            self._line("grid", plot.left, y, plot.right, y)
            self._text(plot.left - 8, y + 4, "tick", tick_text(value), ' text-anchor="end"')
        self._line("axis", plot.left, plot.bottom, plot.right, plot.bottom)
        across, middle = (plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2
        name = f"Latency on {self.report.target['name']} (ms, logarithmic)"
        self._text(across, plot.bottom + 42, "name", name, ' text-anchor="middle"')
        score = quantity(self.report.score).label
        if self.report.score == "accuracy":
            name = f"Predicted {self.report.accuracy.measure} (%)"
        else:
            name = f"{score} (score, not calibrated to accuracy)"
        turned = f' text-anchor="middle" transform="rotate(-90 14 {middle:.1f})"'
        self._text(14, middle, "name", name, turned)

    def _background(self) -> None:
        for latency, score in self.random:
            x, y = self.x.at(latency), self.y.at(score)
            self.parts.append(f'<circle class="random" cx="{x:.1f}" cy="{y:.1f}" r="2"/>')

    def _marks(self) -> None:
        for mark in self.marks:
            x, y = self.x.at(mark.latency_ms), self.y.at(mark.score)
            self.parts.append(f'<path class="picked" d="M{x - 7:.1f} {y:.1f}l7 -7l7 7l-7 7z"/>')
            self._text(x - 11, y + 18, "value halo", mark.label, ' text-anchor="end"')

    def _limits(self) -> None:
        limit = self.report.limits.get("latency_ms")
        if limit is not None and self.x.shows(limit):
            x, turn = self.x.at(limit), ' text-anchor="end"'
            self._line("limit", x, self.plot.top, x, self.plot.bottom)
            words = f"limit {format_number(limit)} ms"
            self._text(x - 6, self.plot.bottom - 8, "limits halo", words, turn)
        limit = self.report.limits.get(self.report.score)
        if limit is not None and self.y.shows(limit):
            y = self.y.at(limit)
            self._line("limit", self.plot.left, y, self.plot.right, y)
            words = f"at least {format_number(limit)}{_unit(self.report.score)}"
            self._text(self.plot.left + 6, y - 6, "limits halo", words)

    def _designs(self) -> None:
        corners = self._steps()
        path = "".join(f"H{x:.1f}V{y:.1f}" for x, y in corners[1:])
        start = f"M{corners[0][0]:.1f} {corners[0][1]:.1f}{path}H{self.plot.right:.1f}"
        base = f"V{self.plot.bottom:.1f}H{corners[0][0]:.1f}Z"
        self.parts.append(f'<path class="area" d="{start}{base}"/>')
        self.parts.append(f'<path class="step" d="{start}"/>')
        front = self.report.front
        radius = 4.5 if len(front) <= 60 else 3.2 if len(front) <= 400 else 2.4
        spots = {_whole(self._pixel(design)): design for design in front}
        shown = spots.values() if len(front) > _MANY else front
        scale = _scale([d.quantity(self.third) or 0.0 for d in front]) if self.third else None
        for design in shown:
            x, y = self._pixel(design)
            paint = ""
            if scale is not None and self.third:
                colour = blend(scale.at(design.quantity(self.third) or 0.0))
                paint = f' style="fill:{colour}"'
            hover = f"<title>{_safe(self._hover(design))}</title>"
            place = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"'
            self.parts.append(f'<circle class="design" {place}{paint}>{hover}</circle>')

    def _pixel(self, design: DesignReport) -> tuple[float, float]:
        known = self.pixels.get(design.id)
        if known is None:
            x, y = self.x.at(design.latency_ms.value), self.y.at(self.scores[design.id])
            known = self.pixels[design.id] = round(x, 1), round(y, 1)
        return known

    def _steps(self) -> list[tuple[float, float]]:
        """Pixels of the designs that raise the best score so far, by rising latency."""
        corners: list[tuple[float, float]] = []
        best = -math.inf
        for design in self.report.front:
            if self.scores[design.id] > best:
                best = self.scores[design.id]
                corners.append(self._pixel(design))
        return corners

    def _hover(self, design: DesignReport) -> str:
        parts = [f"{design.id}: {design.short}"]
        for name in dict.fromkeys((self.report.score, *self.report.objectives)):
            value = design.quantity(name)
            if value is not None:
                parts.append(f"{quantity(name).label} {format_number(value)}{_unit(name)}")
        return ", ".join(parts)

    def _picks(self) -> None:
        names: dict[str, list[str]] = {}
        designs = {design.id: design for _, design in self.report.picked}
        for label, design in self.report.picked:
            names.setdefault(design.id, []).append(label)
        texts = [(", ".join(names[key]), self._value(designs[key])) for key in names]
        points = [self._pixel(designs[key]) for key in names]
        sizes = [(max(7.4 * len(a), 6.4 * len(b)), 34.0) for a, b in texts]
        for design in designs.values():
            self._bars(design)
        inner = Box(self.plot.left, self.plot.top, self.plot.right, self.plot.bottom)
        # On a grid of 4 px: what a label hides is a matter of area, not of how many lie there.
        marks = [self._pixel(design) for design in self.report.front] + self._between()
        seen = sorted({(cell_x * 4.0, cell_y * 4.0) for cell_x, cell_y in map(_cell, marks)})
        labels = place_labels(points, sizes, inner, seen)
        for (x, y), place, (name, value) in zip(points, labels, texts, strict=True):
            self.parts.append(f'<circle class="picked" cx="{x:.1f}" cy="{y:.1f}" r="7"/>')
            self._leader(x, y, place.box)
            anchor = f' text-anchor="{place.anchor}"'
            self._text(place.x, place.box.top + 13, "pick halo", name, anchor)
            self._text(place.x, place.box.top + 29, "value halo", value, anchor)

    def _leader(self, x: float, y: float, box: Box) -> None:
        """A line from a marker to its label, where that does not stand right beside it."""
        end_x = min(max(x, box.left), box.right)
        end_y = box.bottom + 2 if box.bottom < y else box.top - 2
        length = math.hypot(end_x - x, end_y - y)
        if length > _BESIDE:
            start = [at + (end - at) * 8 / length for at, end in ((x, end_x), (y, end_y))]
            self._line("leader", start[0], start[1], end_x, end_y)

    def _between(self) -> list[tuple[float, float]]:
        """Pixels along the step line, which labels should not hide either."""
        corners, points = self._steps(), []
        for (x1, y1), (x2, y2) in zip(corners, corners[1:], strict=False):
            if _cell((x1, y1)) == _cell((x2, y2)):  # so is all between them
                points.append((x1, y1))
                continue
            points += [(x1 + k * (x2 - x1) / 16, y1) for k in range(17)]
            points += [(x2, y1 + k * (y2 - y1) / 16) for k in range(17)]
        return points

    def _value(self, design: DesignReport) -> str:
        score = self.report.score
        name = "" if score == "accuracy" else f"{quantity(score).label} "
        value = f"{name}{format_number(self.scores[design.id])}{_unit(score)}"
        return f"{format_number(design.latency_ms.value)} ms, {value}"

    def _bars(self, design: DesignReport) -> None:
        x, y = self._pixel(design)
        low, high = (self.x.at(v) for v in (design.latency_ms.low, design.latency_ms.high))
        # An interval that goes on beyond the picture ends in an arrow, not in a cap.
        back = 5.0 if not self.x.shows(design.latency_ms.high) else 0.0
        caps = f"M{low:.1f} {y - 4:.1f}V{y + 4:.1f}"
        caps += f"M{high - back:.1f} {y - 4:.1f}L{high:.1f} {y:.1f}L{high - back:.1f} {y + 4:.1f}"
        path = f"M{low:.1f} {y:.1f}H{high:.1f}{caps}"
        if self.report.score == "accuracy" and design.accuracy is not None:
            low, high = (self.y.at(v) for v in (design.accuracy.low, design.accuracy.high))
            caps = "".join(f"M{x - 4:.1f} {end:.1f}H{x + 4:.1f}" for end in (low, high))
            path += f"M{x:.1f} {low:.1f}V{high:.1f}{caps}"
        self.parts.append(f'<path class="bar" d="{path}"/>')

    def _colours(self) -> None:
        if not self.third:
            return
        scale = _scale([d.quantity(self.third) or 0.0 for d in self.report.front])
        left, top, bottom = self.plot.right + 26, self.plot.top + 24, self.plot.bottom
        stops = "".join(
            f'<stop offset="{k / 12:.3f}" stop-color="{blend(1 - k / 12)}"/>' for k in range(13)
        )
        self.parts.append(
            f'<defs><linearGradient id="ramp" x1="0" y1="0" x2="0" y2="1">{stops}'
            f'</linearGradient></defs><rect x="{left:.1f}" y="{top:.1f}" width="12" '
            f'height="{bottom - top:.1f}" rx="3" fill="url(#ramp)"/>'
        )
        name = f"{quantity(self.third).label}{_unit(self.third, ' (', ')')}"
        self._text(left - 4, self.plot.top + 8, "tick", name)
        for value in scale.ticks():
            y = bottom + scale.at(value) * (top - bottom)
            text = _count(value) if self.third in ("params", "macs") else tick_text(value)
            self._text(left + 18, y + 4, "tick", text)

    def _caption(self) -> float:
        """One line under the plot on the target; returns the height of the whole picture.

        Where every number comes from stands in the description, out of the picture's way.
        """
        sources = [f"{topic}: {line}" if topic else line for topic, line in self.report.sources]
        words = textwrap.shorten(sources[0], 90, placeholder=" ...")
        line = f"{words}; where the numbers come from: front.json"
        self._text(self.plot.left, _HEIGHT + 8, "caption", line)
        self.parts.insert(0, f"<desc>{_safe(chr(10).join(sources))}</desc>")
        return _HEIGHT + 20


def _whole(pixel: tuple[float, float]) -> tuple[int, int]:
    return round(pixel[0]), round(pixel[1])


def _third(report: SearchData) -> str:
    """The objective shown as colour; empty if there are but two or some design lacks it."""
    if len(report.objectives) < 3:
        return ""
    rest = [name for name in report.objectives if name not in (report.score, "latency_ms")]
    known = [n for n in rest if all(d.quantity(n) is not None for d in report.front)]
    return known[0] if known else ""


def _scale(values: list[float]) -> Axis:
    """From a quantity to a share of the colour ramp."""
    log = min(values) > 0 and max(values) > 20 * min(values)
    return Axis.around(values, 0.0, 1.0, log=log, margin=0.02)


def _unit(name: str, before: str = " ", after: str = "") -> str:
    symbol = quantity(name).symbol
    return f"{before}{symbol}{after}" if symbol else ""


def _count(value: float) -> str:
    for factor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{tick_text(value / factor)}{suffix}"
    return tick_text(value)


def _clauses(text: str, most: int) -> str:
    """The first clauses of a sentence that fit; a part of the first where that does not."""
    kept, *rest = text.split("; ")
    for clause in rest:
        if len(kept) + len(clause) + 2 > most:
            break
        kept += f"; {clause}"
    return textwrap.shorten(kept, most)


def _safe(text: str) -> str:
    """Text for XML: escaped, and without the control characters XML 1.0 forbids."""
    return html.escape(re.sub(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]", " ", text))
