"""A search in a cell of a notebook: the picture of the front and a table."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from flash.report.columns import choose_columns, rows_of
from flash.report.picture import front_svg

if TYPE_CHECKING:
    from flash.report.data import SearchData

__all__ = ["search_html"]

#: Of the cells of the HTML table.
_STYLE = "text-align:{};padding:1px 10px"


def search_html(report: SearchData) -> str:
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
