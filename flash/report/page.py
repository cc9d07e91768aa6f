"""A search where objects show themselves: the lines of a prompt, the cell of a notebook."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from flash.quantities import quantity
from flash.report.columns import choose_columns, rows_of
from flash.report.picture import front_svg

if TYPE_CHECKING:
    from flash.report.result import DesignReport, SearchReport

__all__ = ["design_text", "search_html", "search_text"]

#: Most characters of a line at a prompt.
_WIDTH = 100
#: Of the cells of the HTML table.
_STYLE = "text-align:{};padding:1px 10px"


def search_text(report: SearchReport) -> str:
    """At most ten lines: what was searched, the picks, the certificate, where the rest is."""
    front = f"{len(report.front):,} designs" if len(report.front) > 1 else "1 design"
    lines = [f"SearchReport: {report.space.name} on {report.target['name']}, {front}"]
    lines.append(f"  objectives    {', '.join(quantity(name).label for name in report.objectives)}")
    for label, design in report.picked:
        lines.append(f"  {label:<14}{design_text(design, report.score)}")
    if report.limits:
        limits = (f"{quantity(n).label} {quantity(n).format(v)}" for n, v in report.limits.items())
        lines.append(f"  limits        {', '.join(limits)}")
    lines.append(f"  {report.certificate}")
    lines.append("  more: .front, .picks, .notes, .to_dataframe(), .to_json()")
    return "\n".join(line if len(line) <= _WIDTH else f"{line[: _WIDTH - 4]} ..." for line in lines)


def design_text(design: DesignReport, score: str = "") -> str:
    """One design in a line: latency, score, what it is."""
    parts = [quantity("latency_ms").format(design.latency_ms.value)]
    value = design.quantity(score) if score else None
    if value is not None:
        of = quantity(score)
        parts.append(f"{of.label} {of.format(value)}")
    return f"{', '.join(parts)}, {design.short}"


def search_html(report: SearchReport) -> str:
    """The picture of the front and a table of the picks and some of the front, as HTML."""
    rows = rows_of(report, quiet=False)
    columns = choose_columns(report, rows, 10_000, dash="\u2013")
    head = "".join(
        f'<th style="{_style(column.right)}">{_safe(column.heading)} {_safe(column.unit)}</th>'
        for column in columns
    )
    body = "".join(
        f'<tr style="font-weight:{"600" if row.picked else "400"}">'
        + "".join(
            f'<td style="{_style(column.right)}">{_safe(column.cells[k])}</td>'
            for column in columns
        )
        + "</tr>\n"
        for k, row in enumerate(rows)
    )
    return (
        f"<div>\n{front_svg(report)}\n<table>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}</tbody>\n</table>\n<p>{_safe(report.certificate)}</p>\n</div>\n"
    )


def _style(right: bool) -> str:
    return _STYLE.format("right" if right else "left")


def _safe(text: str) -> str:
    return html.escape(text)
