"""A search in the terminal: with ``rich`` where a person looks, as plain text elsewhere.

Plain text is ASCII as far as flash's own words go, without colour and without trailing
blanks, so that it can be piped, compared and pasted. ``rich`` is imported only when its
colours will be seen.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from flash.quantities import EXTRAPOLATED
from flash.report.brief import render_brief
from flash.report.columns import Column, Row, choose_columns, rows_of

if TYPE_CHECKING:
    from flash.report.result import SearchReport

__all__ = ["print_report", "render_plain"]

#: Characters a line where the output is a file or a pipe.
_PIPE_WIDTH = 120
#: Characters a line of the short form where the output is a file or a pipe, and the least.
_BRIEF_WIDTH, _LEAST_WIDTH = 80, 60
#: What the marks in the table mean.
_UNTRAINED = (
    "^ beyond the trained networks: their trend goes on, which nothing confirms; its interval is "
    "widened"
)


def print_report(
    report: SearchReport,
    files: Sequence[str | Path] = (),
    *,
    stream: TextIO | None = None,
    quiet: bool = False,
    verbose: bool = False,
) -> None:
    """Print a search: the picks on one screen, or all there is to say.

    stream:  standard output unless given; COLUMNS overrides the width.
    verbose: sources, picks, some of the front, certificate, notes and files written, in colour
        on a terminal that wants it (``NO_COLOR`` unset, ``TERM`` not ``dumb``).
    quiet:   no more than the picks and the certificate.
    """
    out = sys.stdout if stream is None else stream
    if quiet or not verbose:
        width = min(shutil.get_terminal_size((_BRIEF_WIDTH, 24)).columns, _PIPE_WIDTH)
        _write(out, render_brief(report, files, max(width, _LEAST_WIDTH), quiet=quiet))
        return
    terminal = out.isatty() and os.environ.get("TERM") != "dumb"
    if terminal and not os.environ.get("NO_COLOR"):
        _print_rich(report, files, out, shutil.get_terminal_size().columns)
        return
    # A file or a pipe has no width of its own.
    width = shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns
    _write(out, render_plain(report, width=width, files=files))


def _write(out: TextIO, text: str) -> None:
    encoding = getattr(out, "encoding", None) or "utf-8"
    out.write(text.encode(encoding, errors="backslashreplace").decode(encoding))


def render_plain(
    report: SearchReport,
    *,
    width: int = _PIPE_WIDTH,
    files: Sequence[str | Path] = (),
    quiet: bool = False,
) -> str:
    """The search as plain text of at most ``width`` columns (60 or more); see ``print_report``."""
    rows = rows_of(report, quiet=quiet)
    columns = choose_columns(report, rows, width)
    lines = []
    for topic, words in report.sources:
        lines += _wrap(f"{topic:<11}{words}", width, 11)
    lines.append("")
    lines += _plain_line([column.heading for column in columns], columns)
    if any(column.unit for column in columns):
        lines += _plain_line([column.unit for column in columns], columns)
    lines.append("  ".join("-" * column.wide for column in columns))
    for k, row in enumerate(rows):
        if not row.picked and rows[k - 1].picked:
            lines.append("")
        lines += _plain_line([column.cells[k] for column in columns], columns)
    lines.append("")
    for words in _below(report, rows, files, quiet):
        lines += _wrap(words, width, 2)
    return "\n".join(lines) + "\n"


def _below(
    report: SearchReport, rows: Sequence[Row], files: Sequence[str | Path], quiet: bool
) -> list[str]:
    lines = [f"* {EXTRAPOLATED}"] if any(row.design.extrapolated for row in rows) else []
    predicted = (row.design.accuracy for row in rows)
    if any(accuracy is not None and accuracy.extrapolated for accuracy in predicted):
        lines.append(_UNTRAINED)
    if not quiet:
        shown, count = len(rows), len(report.front)
        if shown < count:
            lines.append(f"{shown} of the {count:,} designs of the front")
    lines.append(report.certificate)
    if not quiet:
        lines += [f"note: {note}" for note in report.notes]
        if files:
            lines.append(f"written: {', '.join(str(path) for path in files)}")
    return lines


def _wrap(words: str, width: int, indent: int) -> list[str]:
    return textwrap.wrap(words, width, subsequent_indent=" " * indent, break_on_hyphens=False) or [
        ""
    ]


def _plain_line(cells: Sequence[str], columns: Sequence[Column]) -> list[str]:
    folded = [
        textwrap.wrap(cell, column.wide, break_on_hyphens=False)
        for cell, column in zip(cells, columns, strict=True)
    ]
    lines = []
    for parts in zip_longest(*folded, fillvalue=""):
        padded = (
            part.rjust(column.wide) if column.right else part.ljust(column.wide)
            for part, column in zip(parts, columns, strict=True)
        )
        lines.append("  ".join(padded).rstrip())
    return lines or [""]


def _print_rich(
    report: SearchReport, files: Sequence[str | Path], stream: TextIO, width: int
) -> None:
    from rich.console import Console  # noqa: PLC0415 (costs a tenth of a second)
    from rich.padding import Padding  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(file=stream, width=width, force_terminal=True, highlight=False)
    unicode = (stream.encoding or "").lower().replace("-", "") == "utf8"
    above = Table.grid(padding=(0, 2, 0, 0))
    for topic, words in report.sources:
        above.add_row(Text(topic, style="bold"), Text(words))
    console.print(above, Text())
    rows = rows_of(report, quiet=False)
    columns = choose_columns(report, rows, width, dash="\u2013" if unicode else "-")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        heading = f"{column.heading}\n{column.unit}"
        table.add_column(
            heading,
            justify="right" if column.right else "left",
            width=column.wide,
            no_wrap=column.right,
            overflow="fold",
        )
    for k, row in enumerate(rows):
        last = row.picked and k + 1 < len(rows) and not rows[k + 1].picked
        cells = [Text(column.cells[k], style=_style(column, row)) for column in columns]
        table.add_row(*cells, end_section=last)
        if last:
            table.add_row()
    console.print(table, Text())
    for words in _below(report, rows, files, quiet=False):
        style = ""
        if words == report.certificate:
            style = "bold green" if report.optimizer.certified else "bold yellow"
        elif words.startswith(("note: ", "* ", "^ ")):
            style = "dim"
        console.print(Padding(Text(words, style=style), 0))


def _style(column: Column, row: Row) -> str:
    if column.key == "label":
        return "bold cyan" if row.picked else "dim"
    if column.key == "latency_ms" or not row.picked:
        return ""
    return "bold" if column.key in ("accuracy", "nn_degree", "sed", "nn_mass") else ""
